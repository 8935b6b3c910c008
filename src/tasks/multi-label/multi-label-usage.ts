/** What is made with a classifier with several labels a message, in words, tables and code. */
import type { Classification } from "../predictions.ts";
import { LISTED, type Usage } from "../task.ts";

const choice = (labels: readonly string[]) =>
  `any of ${labels.length > LISTED ? `${labels.length} labels` : labels.join(", ")}`;

export const usage: Usage<Classification> = {
  transformers: "AutoModelForSequenceClassification",
  hub: "text-classification",
  does: (texts, labels) => `classifies ${texts} as ${choice(labels)}`,
  choice,
  columns: (labels) => ["predicted", ...labels.map((label) => `probability ${label}`)],
  cells: ({ labels = [], probabilities }, names) => [labels.join("|"), ...names.map((name) => probabilities[name]!)],
  python: ["print(dict(zip(model.config.id2label.values(), logits[0].sigmoid().tolist())))"],
  javascript: ["console.log(model.config.id2label, logits.sigmoid().tolist());"],
  hasPipeline: true,
};
