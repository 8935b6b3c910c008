/** Any number of labels a message. */
import type { Task } from "./task.ts";

export const task: Task = {
  title: "a classifier with several labels a message",
  target: "text",
  head: "own",
  loss: "binary",
  outputs: { least: 1 },
  peft: "SEQ_CLS",
  problemType: "multi_label_classification",
  transformers: "AutoModelForSequenceClassification",
  hub: "text-classification",
};
