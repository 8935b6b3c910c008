/** The part of a sweep's report about its best run: confusion matrix, classes, mistakes. */
import type { LoadedDataset } from "../data/datasets.ts";
import type { Block } from "../report/document.ts";
import {
  cellsOf,
  classMeasures,
  confusionsOf,
  LISTED_CLASSES,
  type Measured,
  macroF1,
  mistakesOf,
  rocAuc,
} from "../report/statistics.ts";
import { oneLine } from "../report/text.ts";
import { percent } from "./measure.ts";
import { LONGEST_NAME, type Outcome } from "./outcome.ts";
import type { TrialResult } from "./store.ts";

/** Maximum width of messages, in columns. */
const LONGEST_MESSAGE = 400;

/** Maximum rows of the table of mistakes. */
const SHOWN_ROWS = 100;

/** Confusion, precision, recall, F1, ROC-AUC and the mistakes of the best run's first seed. */
export function details(best: Outcome, { labels, test }: LoadedDataset): Block[] {
  const truth = Array.from({ length: test.size }, (_, row) => test.label(row));
  const trial = best.trials[0]!;
  const { predicted, probability } = trial;
  const names = labels.map((label) => oneLine(label, LONGEST_NAME));
  const sure = truth
    .flatMap((label, row) => (predicted[row] === label ? [] : [row]))
    .sort((a, b) => probability[b]! - probability[a]!);
  const shown = sure.slice(0, SHOWN_ROWS).map((row) => {
    const text = oneLine(test.text(row), LONGEST_MESSAGE);
    return [names[truth[row]!]!, names[predicted[row]!]!, probability[row]!.toFixed(3), text];
  });
  const count = sure.length > shown.length ? `; the ${shown.length} with the highest probability` : "";
  return [
    { kind: "heading", level: 2, text: `The best run: ${best.label}, seed ${trial.options.seed}` },
    ...(labels.length > LISTED_CLASSES ? manyClasses(trial, names, truth) : fewClasses(trial, names, truth)),
    { kind: "text", text: `${sure.length} of ${truth.length} test messages are misclassified${count}:` },
    ...(shown.length > 0
      ? [
          {
            kind: "table" as const,
            name: "mistakes",
            header: ["truth", "predicted", "probability", "message"],
            rows: shown,
          },
        ]
      : []),
  ];
}

/** What was not measured. */
const NONE = "-";
const show = (of: Measured | null) => (of ? percent(of.share) : NONE);

/** The whole confusion matrix and the measures of every class. */
function fewClasses(
  { predicted, probabilities }: TrialResult,
  names: readonly string[],
  truth: readonly number[],
): Block[] {
  const confusions = confusionsOf(truth, predicted);
  const cell = cellsOf(confusions);
  const measures = classMeasures(confusions, names.length).map(({ precision, recall, f1 }, positive) => {
    const auc = rocAuc(
      truth.map((t) => t === positive),
      probabilities!.map((p) => p[positive]!),
    );
    return [names[positive]!, ...[precision, recall, f1].map(show), Number.isNaN(auc) ? NONE : auc.toFixed(4)];
  });
  return [
    {
      kind: "table",
      name: "confusion",
      header: ["truth", ...names.map((name) => `predicted ${name}`)],
      rows: names.map((name, label) => [name, ...names.map((_, other) => cell(label, other))]),
    },
    {
      kind: "table",
      name: "classes",
      header: ["class", "precision %", "recall %", "F1 %", "ROC-AUC"],
      rows: measures,
    },
  ];
}

/** The most frequent mistakes and the classes with the lowest F1; confusion.csv has the whole matrix. */
function manyClasses({ name, predicted }: TrialResult, names: readonly string[], truth: readonly number[]): Block[] {
  const confusions = confusionsOf(truth, predicted);
  const mistakes = mistakesOf(confusions).slice(0, LISTED_CLASSES);
  const measures = classMeasures(confusions, names.length);
  const present = [...new Set(truth)].sort((a, b) => measures[a]!.f1!.share - measures[b]!.f1!.share);
  const worst = present.slice(0, LISTED_CLASSES).map((label) => {
    const { precision, recall, f1 } = measures[label]!;
    return [names[label]!, ...[precision, recall, f1].map(show)];
  });
  return [
    {
      kind: "text",
      text:
        `${names.length} classes, ${present.length} of them in the test set, with a macro F1 of ${percent(macroF1(confusions))} %. ` +
        `The most frequent mistakes and the classes with the lowest F1; trials/${name}/confusion.csv has every pair of classes:`,
    },
    {
      kind: "table",
      name: "confusion",
      header: ["truth", "predicted", "rows"],
      rows: mistakes.map((one) => [names[one.truth]!, names[one.predicted]!, one.rows]),
    },
    { kind: "table", name: "classes", header: ["class", "precision %", "recall %", "F1 %"], rows: worst },
  ];
}
