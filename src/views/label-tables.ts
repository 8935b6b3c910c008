/** The results of a classifier with several labels a message on the test set, as blocks and tables. */

import { againstColumns, type Block, makeTable, messageColumns, type Table } from "../document/blocks.ts";
import { formatCount, formatLoss, percent } from "../format.ts";
import type { PairSettings } from "../pair.ts";
import type { RunRecord } from "../run/record.ts";
import { type Estimate, LISTED_CLASSES, type Measured } from "../statistics.ts";
import type { ComparedLabels, LabelledMessage, LabelResult, LabelResults } from "../train/multi-label.ts";

export function labelBlocks(results: LabelResults, { labels, pairs }: RunRecord): Block[] {
  const wrong = results.verdicts.filter((right) => !right).length;
  const title = `Not exactly their labels: ${formatCount(wrong)} of ${formatCount(results.verdicts.length)} test messages`;
  return [
    labelBaselines(results),
    labelsBlock(results, labels),
    ...(wrong > 0
      ? [{ kind: "details", title, blocks: [labelMistakes(results.mistakes, title, pairs)] } satisfies Block]
      : []),
  ];
}

/** The run compared with the baselines: each has its difference from the run, with interval and p. */
export function labelBaselines({ compared }: LabelResults): Table {
  const column = (title: string, key: "microF1" | "macroF1" | "exact", name: string) => ({
    ...({ title, key: name, interval: true, format: percent } as const),
    value: ({ [key]: estimate }: ComparedLabels): Estimate => estimate,
  });
  return makeTable<ComparedLabels>(
    "baselines",
    "This run and baselines on the test set, with 95 % intervals; the paired bootstrap of micro F1",
    [
      { title: "Classifier", key: "classifier", value: ({ name }) => name },
      { title: null, key: "rows", value: ({ rows }) => rows },
      ...[column("Micro F1", "microF1", "micro_f1"), column("Macro F1", "macroF1", "macro_f1")],
      column("Exact match", "exact", "exact"),
      ...againstColumns("Micro F1: this run minus it", percent, "bootstrap_p"),
    ],
    compared,
  );
}

type LabelRow = LabelResult & { label: string };

/** All labels, or those with the lowest F1 if there are many. */
function labelsBlock({ labels: measured }: LabelResults, labels: readonly string[]): Block {
  const all = measured.map((one, i): LabelRow => ({ ...one, label: labels[i]! }));
  if (all.length <= LISTED_CLASSES) return labelsTable(all, "Labels on the test set, with 95 % intervals");
  const present = all.filter(({ f1 }) => f1).sort((a, b) => a.f1!.share - b.f1!.share);
  const caption =
    `The labels with the lowest F1, of ${formatCount(present.length)} in the test set, with 95 % intervals; ` +
    "the run's classes.csv has all";
  const table = labelsTable(present.slice(0, LISTED_CLASSES), caption);
  return { kind: "details", title: "The labels with the lowest F1", blocks: [table] };
}

/** Precision, recall and F1, with Wilson's intervals, and thresholds. */
export function labelsTable(rows: readonly LabelRow[], caption = ""): Table {
  const column = (title: string, key: "precision" | "recall" | "f1") => ({
    ...({ title, key, interval: true, format: percent } as const),
    value: ({ [key]: measured }: LabelRow) => withInterval(measured),
  });
  return makeTable<LabelRow>(
    "classes",
    caption,
    [
      { title: "Label", key: "class", value: ({ label }) => label },
      { title: "Rows", key: "rows", value: ({ rows }) => rows, format: formatCount },
      { title: null, key: "predicted", value: ({ predicted }) => predicted },
      ...[column("Precision", "precision"), column("Recall", "recall"), column("F1", "f1")],
      { title: "Threshold", key: "threshold", value: ({ threshold }) => threshold, format: formatLoss },
    ],
    rows,
  );
}

const withInterval = (measured: Measured | null) => measured && { value: measured.share, ...measured };

const showSet = (labels: readonly string[]) => (labels.length > 0 ? labels.join(" | ") : "–");

function labelMistakes(mistakes: readonly LabelledMessage[], title: string, pairs?: PairSettings): Table {
  return makeTable<LabelledMessage>(
    "mistakes",
    title,
    [
      { title: "Labels", key: "truth", value: ({ truth }) => showSet(truth) },
      { title: "Predicted", key: "predicted", value: ({ predicted }) => showSet(predicted) },
      ...messageColumns(pairs),
    ],
    mistakes,
  );
}
