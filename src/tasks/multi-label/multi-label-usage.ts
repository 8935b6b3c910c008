/** What is made with a classifier with several labels a message, in words, tables and code. */
import { type Classification, labelThreshold } from "../predictions.ts";
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
  atLeast({ label, probability, probabilities, labels = [] }, least) {
    const isLess = (probability ?? 0) < least;
    return {
      ...{ label: isLess ? null : label, probability: isLess ? null : probability, probabilities },
      labels: labels.filter((one) => probabilities[one]! >= least),
    };
  },
  margin: ({ probabilities }, { labels, settings }) =>
    Math.min(...labels.map((label, i) => Math.abs(probabilities[label]! - labelThreshold(settings, i)))),
  python: ["print(dict(zip(model.config.id2label.values(), logits[0].sigmoid().tolist())))"],
  javascript: ["console.log(model.config.id2label, logits.sigmoid().tolist());"],
  hasPipeline: true,
};
