/** One class a message. */
import type { Task } from "./task.ts";

export const task: Task = {
  title: "a classifier",
  target: "text",
  head: "own",
  loss: "cross-entropy",
  outputs: { least: 2 },
  peft: "SEQ_CLS",
  problemType: "single_label_classification",
  transformers: "AutoModelForSequenceClassification",
  hub: "text-classification",
};
