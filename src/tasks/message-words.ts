/** Words and tables of messages, and of their classes or labels, that several tasks have. */

import { formatCount, formatScore, percent } from "../core/format.ts";
import type { PairSettings } from "../core/pair.ts";
import { type LabelMeasures, LISTED_CLASSES } from "../core/statistics.ts";
import { type Block, type Cell, makeTable, messageColumns, type RowColumn, type Table } from "../document/blocks.ts";
import type { Splits } from "./evaluation.ts";
import type { Answer } from "./predictions.ts";
import type { DataShown, Message, Words } from "./task.ts";

/** With fewer test rows, a share of them is no headline. */
export const FEW_ROWS = 20;

/** "300 test messages" */
export const countMessages = (rows: number, one = "message") =>
  `${formatCount(rows)} test ${one}${rows === 1 ? "" : "s"}`;

export const tooFew = (rows: number) => (rows < FEW_ROWS ? ": too few to tell" : "");

/** What messages are called. */
export const MESSAGES: Pick<Words, "units" | "drawn"> = {
  units: { many: "messages", seen: "examples", rows: "rows", counted: "rows" },
  drawn: () => ({ rows: "rows" }),
};

/** No labels are a dash. */
const showAnswer = (answer: Answer): Cell => (typeof answer === "object" ? answer.join(" | ") || "–" : answer);

/** Messages with their true and their predicted answers, as these are called. */
export function mistakesTable(
  mistakes: readonly Message[],
  caption: string,
  [truth, predicted]: readonly [truth: string, predicted: string],
  pairs?: PairSettings,
  text?: string,
): Table {
  const hasProbability = mistakes.some(({ probability }) => probability !== undefined);
  const columns: RowColumn<Message>[] = [
    { title: truth, key: "truth", value: (one) => showAnswer(one.truth), format: formatScore },
    { title: predicted, key: "predicted", value: (one) => showAnswer(one.predicted), format: formatScore },
    { title: "Probability", key: "probability", value: ({ probability }) => probability, format: percent },
  ];
  return makeTable(
    "mistakes",
    caption,
    [...(hasProbability ? columns : columns.slice(0, 2)), ...messageColumns(pairs, text)],
    mistakes,
  );
}

type Labelled<T> = T & { label: string };

/** Precision, recall and F1, with Wilson's intervals. `name`: "Class"; `rows`: what is counted of it. */
function measuredClasses<T extends LabelMeasures>(
  classes: readonly Labelled<T>[],
  name: string,
  more: readonly RowColumn<Labelled<T>>[],
  caption: string,
  rows = "Rows",
): Table {
  const column = (title: string, key: "precision" | "recall" | "f1"): RowColumn<Labelled<T>> => ({
    ...({ title, key, interval: true, format: percent } as const),
    value: ({ [key]: measured }) => measured && { value: measured.share, ...measured },
  });
  return makeTable<Labelled<T>>(
    "classes",
    caption,
    [
      { title: name, key: "class", value: ({ label }) => label },
      { title: rows, key: "rows", value: ({ rows }) => rows, format: formatCount },
      { title: null, key: "predicted", value: ({ predicted }) => predicted },
      ...[column("Precision", "precision"), column("Recall", "recall"), column("F1", "f1")],
      ...more,
    ],
    classes,
  );
}

/** What is measured of each class, or of many classes those with the lowest F1. */
export function classesTable<T extends LabelMeasures>(
  classes: readonly Labelled<T>[],
  [one, many]: readonly [one: string, many: string],
  more: readonly RowColumn<Labelled<T>>[],
  rows?: string,
): Table {
  const table = (some: readonly Labelled<T>[], caption: string) => measuredClasses(some, one, more, caption, rows);
  if (classes.length <= LISTED_CLASSES) return table(classes, `${many} of the test set, with 95 % intervals`);
  const present = classes.filter(({ f1 }) => f1).sort((a, b) => a.f1!.share - b.f1!.share);
  const absent = classes.filter(({ f1 }) => !f1);
  const caption = `The ${many.toLowerCase()} with the lowest F1, of ${formatCount(present.length)} in the test set, with 95 % intervals`;
  return { ...table([...present, ...absent], caption), shown: Math.min(LISTED_CLASSES, present.length) };
}

/** The number of rows per class or label, or of the largest classes if there are many. */
export function classRows(
  [one, many]: readonly [one: string, many: string],
  rowsAre = "Rows",
): (data: DataShown) => Block[] {
  return (data) => {
    const { labels, stats } = data;
    const { train, val, test } = stats;
    const rows = (label: string) => train.classes[label]! + val.classes[label]! + test.classes[label]!;
    const areMany = labels.length > LISTED_CLASSES;
    const shown = areMany ? labels.toSorted((a, b) => rows(b) - rows(a)).slice(0, LISTED_CLASSES / 2) : labels;
    const column = (title: string, key: keyof Splits<unknown>) =>
      data[key].size > 0
        ? [{ title, key, value: (label: string) => stats[key].classes[label], format: formatCount }]
        : [];
    const fewest = labels.reduce((least, label) => Math.min(least, rows(label)), Number.POSITIVE_INFINITY);
    const caption = areMany
      ? `The largest of ${formatCount(labels.length)} ${many.toLowerCase()}; the smallest has ${formatCount(fewest)} ${rowsAre.toLowerCase()}`
      : `${rowsAre} by ${one.toLowerCase()}`;
    return [
      makeTable<string>(
        "data-classes",
        caption,
        [
          { title: one, key: "class", value: (label) => label },
          ...[...column("Training", "train"), ...column("Validation", "val"), ...column("Test", "test")],
        ],
        shown,
      ),
    ];
  };
}
