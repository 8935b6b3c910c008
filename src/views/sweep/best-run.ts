/** The part of a sweep's report about its best run: confusion matrix, classes, mistakes. */

import { confusionLookup, LISTED_CLASSES, type Measured, sortMistakes } from "../../statistics.ts";
import { percent } from "../../sweep/measure.ts";
import { LONGEST_NAME, type Outcome } from "../../sweep/outcome.ts";
import type { TrialRecord } from "../../sweep/store.ts";
import type { TestResults } from "../../train/results.ts";
import type { Block } from "../document.ts";
import { oneLine } from "../terminal/text.ts";

/** Maximum width of messages, in columns. */
const LONGEST_MESSAGE = 400;

const cutName = (label: string) => oneLine(label, LONGEST_NAME);

/** Confusion, precision, recall, F1, ROC-AUC and the mistakes of the best run's first seed. */
export function details({ label, trials: [first] }: Outcome): Block[] {
  const { options, labels, results } = first!;
  const { verdicts, mistakes } = results.test!;
  const wrong = verdicts.filter((one) => one === 0).length;
  const count = wrong > mistakes.length ? `; the ${mistakes.length} with the highest probability` : "";
  const table: Block = {
    kind: "table",
    name: "mistakes",
    header: ["truth", "predicted", "probability", "message"],
    rows: mistakes.map(({ truth, predicted, probability, text }) => [
      ...[cutName(truth), cutName(predicted), probability.toFixed(3), oneLine(text, LONGEST_MESSAGE)],
    ]),
  };
  return [
    { kind: "heading", level: 2, text: `The best run: ${label}, seed ${options.seed}` },
    ...(labels.length > LISTED_CLASSES ? manyClasses(first!) : fewClasses(results.test!, labels.map(cutName))),
    { kind: "text", text: `${wrong} of ${verdicts.length} test messages are misclassified${count}:` },
    ...(wrong > 0 ? [table] : []),
  ];
}

/** What was not measured. */
const NONE = "-";
const show = (of: Measured | null) => (of ? percent(of.share) : NONE);

/** The whole confusion matrix and the measures of every class. */
function fewClasses({ confusions, classes }: TestResults, names: readonly string[]): Block[] {
  const cell = confusionLookup(confusions);
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
      rows: classes.map(({ precision, recall, f1, auc }, i) => [
        ...[names[i]!, show(precision), show(recall), show(f1), auc === null ? NONE : auc.toFixed(4)],
      ]),
    },
  ];
}

/** The most frequent mistakes and the classes with the lowest F1; confusion.csv has the whole matrix. */
function manyClasses({ trial, labels, results }: TrialRecord): Block[] {
  const { confusions, classes } = results.test!;
  const names = labels.map(cutName);
  const present = classes.flatMap(({ f1, ...measures }, i) => (f1 ? [{ name: names[i]!, f1, ...measures }] : []));
  const worst = present.toSorted((a, b) => a.f1.share - b.f1.share).slice(0, LISTED_CLASSES);
  return [
    {
      kind: "text",
      text:
        `${names.length} classes, ${present.length} of them in the test set, with a macro F1 of ` +
        `${percent(results.after.test.macroF1!)} %. The most frequent mistakes and the classes with the lowest F1; ` +
        `trials/${trial.name}/confusion.csv has every pair of classes:`,
    },
    {
      kind: "table",
      name: "confusion",
      header: ["truth", "predicted", "rows"],
      rows: sortMistakes(confusions)
        .slice(0, LISTED_CLASSES)
        .map((one) => [names[one.truth]!, names[one.predicted]!, one.rows]),
    },
    {
      kind: "table",
      name: "classes",
      header: ["class", "precision %", "recall %", "F1 %"],
      rows: worst.map(({ name, precision, recall, f1 }) => [name, ...[precision, recall, f1].map(show)]),
    },
  ];
}
