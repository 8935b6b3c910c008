/** Describes a data set for the page: statistics, a preview and notes. */

import { type FoundNames, findColumns, findKeys, sampleKeys } from "../../data/columns.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import { dataFormat } from "../../data/dialect.ts";
import { isOnHub } from "../../data/named.ts";
import { LowrankError } from "../../errors.ts";
import { count, showScore } from "../../format.ts";
import { excerpt } from "../../pair.ts";
import { summarize } from "../../statistics.ts";
import { type ClassWeights, isUnequal, weighClasses } from "../../train/class-weights.ts";
import { DEFAULTS } from "../../train/options.ts";
import { trueScores } from "../../train/scores.ts";
import { dataNotes } from "../../views/data.ts";
import type { Bin, ColumnReport, DataReport } from "../protocol.ts";
import { reportError } from "./errors.ts";

const PREVIEW_ROWS = 6;
const BINS = 24;
/** Characters of a message shown in the preview. */
const PREVIEW_CHARACTERS = 240;

/** The columns of a file, and the recognised text and label columns. */
export function describeColumns(sample: string[][], file: string): ColumnReport {
  const json = dataFormat(file) === "jsonl";
  try {
    if (json) {
      return { columns: sampleKeys(sample), ...columnNames(findKeys(sample, {}, file)) };
    }
    const found = findColumns(sample, {}, file);
    return { columns: found.header ? sample[0]! : [], ...columnNames(found) };
  } catch (error) {
    const columns = json ? sampleKeys(sample) : (sample[0] ?? []);
    // With two or more columns the visitor can choose them.
    if (error instanceof LowrankError && columns.length >= 2) return { columns, text: null, label: null };
    throw error;
  }
}

const columnNames = ({ textName, secondName, labelName }: FoundNames) => {
  return { text: textName, second: secondName, label: labelName };
};

export function describeData(
  data: LoadedDataset,
  columns: ColumnReport,
  classWeights: ClassWeights = DEFAULTS.classWeights,
): DataReport {
  const { labels, stats, source, train } = data;
  return {
    source,
    columns: columns.columns,
    text: columns.text ?? "",
    label: columns.label ?? "",
    ...(data.pairs ? { pairs: data.pairs } : {}),
    preview: Array.from({ length: Math.min(PREVIEW_ROWS, train.size) }, (_, i) => ({
      text: excerpt(train.text(i), PREVIEW_CHARACTERS),
      label: train.labels[train.label(i)]!,
    })),
    labels,
    classes: stats.classesRead,
    rowsRead: stats.rowsRead,
    stats: { train: stats.train, val: stats.val, test: stats.test },
    lengths: histogram(data),
    notes: pageNotes(data, classWeights),
    problems: stats.leftOut.rowErrors.map(describeProblem),
    problemCount: stats.leftOut.rows,
  };
}

/** "A row has the wrong number of fields (expected 2 fields, as in the first row; found 3)", with its line. */
function describeProblem(error: LowrankError): DataReport["problems"][0] {
  const { summary, where = "", expected, found, hint } = reportError(error);
  const why = [expected && `expected ${expected}`, found && `found ${found}`].filter(Boolean).join("; ");
  return {
    line: Number(where.match(/:(\d+)(:\d+)?$/)?.[1]),
    text: `${summary}${why && ` (${why})`}`,
    ...(hint === undefined ? {} : { hint }),
  };
}

/** A histogram of the rows' lengths in tokens. */
function histogram({ train, val, test, stats }: LoadedDataset): Bin[] {
  const longest = Math.max(stats.train.max, stats.val.max, stats.test.max);
  const width = Math.max(1, Math.ceil(longest / BINS));
  const bins = Array.from({ length: Math.ceil(longest / width) }, (_, i): Bin => {
    return { from: i * width + 1, to: (i + 1) * width + 1, rows: 0 };
  });
  for (const set of [train, val, test]) for (const length of set.lengths) bins[Math.ceil(length / width) - 1]!.rows++;
  return bins;
}

/** "Scores from -5 to 5, with mean -0.66 and standard deviation 2.1" */
function describeScores({ train }: LoadedDataset): string {
  const scores = trueScores(train).sort((a, b) => a - b);
  const { mean, sd } = summarize(scores);
  const [from, to, middle, spread] = [scores[0]!, scores.at(-1)!, mean, sd].map(showScore);
  return `Scores from ${from} to ${to}, with mean ${middle} and standard deviation ${spread}`;
}

/** The notes of the terminal, and what it says in its line about the rows. */
function pageNotes(data: LoadedDataset, classWeights: ClassWeights): string[] {
  const { stats, source } = data;
  const used = stats.train.rows + stats.val.rows + stats.test.rows + stats.copies;
  const weighted = weighClasses(data, classWeights) ? "weighted by class" : "not weighted (“Class weights”)";
  const { name } = data.origin;
  return [
    ...(typeof name === "string" && isOnHub(name) ? [source] : []),
    ...(data.objective === "regression" ? [describeScores(data)] : []),
    ...(isUnequal(data) ? [`The classes are unequal: their loss is ${weighted}`] : []),
    ...(stats.copies > 0 ? [`${count(stats.copies)} near-duplicates of earlier messages were dropped`] : []),
    ...(used < stats.rowsRead
      ? [`Balanced: ${count(stats.rowsRead - used)} rows of the larger classes were dropped`]
      : []),
    ...dataNotes(data),
  ];
}
