/** What people read of a classifier with any number of labels a message. */

import { formatCount, formatLoss, percent } from "../../core/format.ts";
import { type LabelMeasures, labelMeasures } from "../../core/statistics.ts";
import { type Block, details, type RowColumn } from "../../document/blocks.ts";
import { countRows, readFigure } from "../compare.ts";
import { classesTable, classRows, countMessages, MESSAGES, mistakesTable, tooFew } from "../message-words.ts";
import { type Classification, labelThreshold } from "../predictions.ts";
import { LISTED, type Results, type Shown, type Usage, type Words } from "../task.ts";
import { hitsOf, isExact } from "./multi-label-training.ts";

const LABELS = ["Label", "Labels"] as const;

export const words: Words = {
  loss: "binary cross-entropy (nats)",
  choice: "any number a message: a|b",
  learned: (labels) => `with any of ${labels} labels`,
  ...MESSAGES,
  data: classRows(LABELS),
  headline(_, { test }) {
    const [{ rows, measured }] = test.compared;
    const { micro_f1, exact } = measured;
    const [f1, share] = [micro_f1, exact].map((one) => percent(readFigure(one)!));
    return `Micro F1 ${f1}, and exactly its labels for ${share} of ${countMessages(rows)}${tooFew(rows)}`;
  },
  blocks: (run, results) => [classesTable(nameLabels(run, results), LABELS, [THRESHOLD]), ...mistakes(run, results)],
  notes({ options: { threshold } }, { decision }) {
    const rule = decision?.ofFolds ?? threshold;
    if (rule === "none") return [];
    const where = decision?.ofFolds === undefined ? "the validation set" : "the folds' validation sets, on average";
    return [`Thresholds: each label is predicted from a probability of its own (${rule} on ${where}).`];
  },
};

/** Each label on the test set, and from which probability it is predicted. */
const nameLabels = ({ labels }: Shown, { test, decision }: Results) =>
  hitsOf(test.rows).map((hits, i) => ({
    ...labelMeasures(hits),
    ...{ label: labels[i]!, threshold: labelThreshold(decision ?? {}, i) },
  }));

const THRESHOLD: RowColumn<LabelMeasures & { threshold: number }> = {
  ...{ title: "Threshold", key: "threshold", format: formatLoss },
  value: ({ threshold }) => threshold,
};

function mistakes({ pairs }: Shown, { test }: Results): Block[] {
  const rows = countRows(test.rows);
  const wrong = Array.from({ length: rows }, (_, row) => row).filter((row) => !isExact(test.rows, row)).length;
  if (wrong === 0) return [];
  const title = `Not exactly their labels: ${formatCount(wrong)} of ${countMessages(rows)}`;
  return [details(title, [mistakesTable(test.mistakes, title, ["Labels", "Predicted"], pairs)])];
}

const choice = (labels: readonly string[], which = "any of") =>
  labels.length > LISTED ? `${which} ${labels.length} labels` : `any of ${labels.join(", ")}`;

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
