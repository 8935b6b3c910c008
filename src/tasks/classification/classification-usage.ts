/** What is made with a classifier with one class a message, in words, tables and code. */
import type { Classification } from "../predictions.ts";
import { LISTED, type Usage } from "../task.ts";

const choice = (labels: readonly string[]) =>
  labels.length > LISTED ? `one of ${labels.length} classes` : `${labels.slice(0, -1).join(", ")} or ${labels.at(-1)}`;

export const usage: Usage<Classification> = {
  transformers: "AutoModelForSequenceClassification",
  hub: "text-classification",
  does: (texts, labels) => `classifies ${texts} as ${choice(labels)}`,
  choice,
  columns: () => ["predicted", "probability"],
  cells: ({ label, probability }) => [label, probability],
  python: ["print(dict(zip(model.config.id2label.values(), logits[0].softmax(-1).tolist())))"],
  javascript: ["console.log(model.config.id2label, logits.softmax(-1).tolist());"],
  hasPipeline: true,
};
