/** A score of each message. */
import type { Task } from "./task.ts";

export const task: Task = {
  title: "a regression",
  target: "text",
  head: "own",
  loss: "squared",
  outputs: { least: 1, most: 1 },
  peft: "SEQ_CLS",
  problemType: "regression",
  transformers: "AutoModelForSequenceClassification",
  hub: "text-classification",
};
