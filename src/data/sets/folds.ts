/** Folds: each row is tested once, by a model that has not learned from it. */
import { checkNumber } from "../../core/checks.ts";
import { ConfigError, DataError, nameList } from "../../core/errors.ts";
import { groupBy } from "../../core/group-by.ts";
import { setting } from "../../core/setting.ts";
import { TRAINING } from "../../tasks/training.ts";
import type { LoadedDataset } from "../datasets.ts";
import { countCopies, groupRows } from "../duplicates.ts";
import type { LoadedTagged } from "../text/tagged.ts";
import { describeGroups } from "./split.ts";

/** Data with labels. */
type Labelled = LoadedDataset | LoadedTagged;

/** So many folds each learn from most of the rows, and take few times as long as one run. */
export const USUAL_FOLDS = 5;

/** Into how many folds data is divided where nothing else is said: each has a row of every class. 1: it has no folds. */
export function usualFolds({ train, stats: { nearDuplicates, classesRead } }: LoadedDataset): number {
  return Math.max(1, Math.min(USUAL_FOLDS, train.size - nearDuplicates.rows, ...Object.values(classesRead)));
}

/** One of so many parts of the rows that are trained on is the validation set. */
const VALIDATION_PARTS = 10;

/**
 * Divides data whose rows are all in the training set (`fractions: [1, 0, 0]`) into folds: as many data sets, of which
 * each has other rows as its test set, and a tenth of the others as its validation set. The parts have the classes, or
 * the labels, in equal shares as far as that is possible, and near-duplicates and rows of one group (`groupColumn`) are in
 * one part; with `split: "ordered"` a fold's rows follow each other. Throws DataError if a class has fewer rows than
 * there are folds.
 * `areTogether` false: each row is by itself, so that near-duplicates tell of each other.
 */
export function divideFolds<Data extends Labelled>(all: Data, count: number, areTogether = true): Data[] {
  checkNumber("folds", count, { min: 2, whole: true });
  if (all.val.size + all.test.size > 0)
    throw splitAlready(`${all.train.size}, ${all.val.size} and ${all.test.size} rows`);
  const rows = rowsOf(all, areTogether);
  checkEnough(all, rows, count);
  const isOrdered = all.origin.split === "ordered";
  const divide = (places: readonly number[], parts: number) =>
    isOrdered ? places.map((_, i) => Math.floor((i * parts) / places.length)) : spread(rows, places, parts);
  const places = Array.from({ length: all.train.size }, (_, i) => i);
  const folds = divide(places, count);
  return Array.from({ length: count }, (_, fold) => {
    const others = places.filter((i) => folds[i] !== fold);
    const parts = divide(others, VALIDATION_PARTS);
    const last = Math.max(...parts);
    if (last === 0) throw tooFew(all, "The rows that a fold leaves are one group", "two or more groups", "one", 0);
    return withSets(
      all,
      [
        others.filter((_, i) => parts[i] !== last),
        others.filter((_, i) => parts[i] === last),
        places.filter((i) => folds[i] === fold),
      ],
      { folds: count, fold: fold + 1 },
    );
  });
}

export function splitAlready(found: string): ConfigError {
  return new ConfigError("already-split", "folds are invalid for data that is split already", {
    expected: "one file or rows in memory, all in the training set (fractions 1, 0, 0)",
    found,
  });
}

/** What is divided: the classes or labels of a row, and the first row of its group. */
interface Rows {
  classesOf(row: number): readonly number[];
  groups: Uint32Array;
}

function rowsOf(data: Labelled, areTogether: boolean): Rows {
  const { train, groups } = data;
  const { labels } = TRAINING[data.objective];
  const classOf = labels.classOf && ((row: number) => labels.classOf!(train, row));
  return {
    classesOf: (row) => labels.labelsOf(train, row),
    groups: areTogether ? groupRows(train, groups, classOf) : train.positions(),
  };
}

/**
 * The part of each of some rows. Group by group, the largest first, goes where its classes are rarest as shares of all,
 * and of equally suitable parts to the smallest.
 */
function spread({ classesOf, groups: firsts }: Rows, rows: readonly number[], count: number): number[] {
  const groups = groupBy(rows.keys(), (i) => firsts[rows[i]!]);
  const totals = countClasses(rows, classesOf);
  const parts = Array.from({ length: count }, () => ({ size: 0, classes: new Map<number, number>() }));
  const result = new Array<number>(rows.length);
  for (const group of [...groups.values()].sort((a, b) => b.length - a.length)) {
    const own = countClasses(
      group.map((i) => rows[i]!),
      classesOf,
    );
    const costs = parts.map(({ size, classes }) => {
      // Less than any difference between classes: it decides between equals.
      let cost = (SIZE_COUNTS * size) / rows.length;
      for (const [label, n] of own) cost += (n * (classes.get(label) ?? 0)) / totals.get(label)!;
      return cost;
    });
    const chosen = costs.indexOf(Math.min(...costs));
    const part = parts[chosen]!;
    part.size += group.length;
    for (const [label, n] of own) part.classes.set(label, (part.classes.get(label) ?? 0) + n);
    for (const i of group) result[i] = chosen;
  }
  return result;
}

const SIZE_COUNTS = 1e-3;

function countClasses(rows: readonly number[], classesOf: Rows["classesOf"]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const row of rows) for (const label of classesOf(row)) counts.set(label, (counts.get(label) ?? 0) + 1);
  return counts;
}

/** Throws DataError if a fold would have no rows, or none of a class. */
function checkEnough(data: Labelled, { groups }: Rows, count: number): void {
  const { train, labels } = data;
  const units = new Set(groups).size;
  const what = units < groups.length ? "groups" : "rows";
  const found = describeGroups(groups.length, units);
  if (units < count)
    throw tooFew(data, `There are fewer ${what} than folds`, `at least ${count} ${what}`, found, units);
  if (!TRAINING[data.objective].labels.classOf) return;
  const { classes } = train.stats();
  const rare = labels.filter((label) => classes[label]! > 0 && classes[label]! < count);
  if (rare.length === 0) return;
  throw tooFew(
    data,
    `${rare.length === 1 ? "A class has" : "Some classes have"} fewer rows than there are folds`,
    `at least ${count} rows of each class, one in each fold`,
    nameList(rare.map((label) => `"${label}" (${classes[label]})`)),
    Math.min(...rare.map((label) => classes[label]!)),
  );
}

/** `most`: the folds that are possible. */
function tooFew({ source }: Labelled, summary: string, expected: string, found: string, most: number): DataError {
  const hint = most >= 2 ? `use ${setting("folds", most)}, or add rows` : "add rows, or leave these out";
  return new DataError("too-few-rows", summary, { where: source, expected, found, hint });
}

/** The data with these rows of its training set as its sets. */
function withSets<Data extends Labelled>(
  all: Data,
  rows: readonly [train: number[], val: number[], test: number[]],
  fold: { folds: number; fold: number },
): Data {
  const [train, val, test] = rows.map((places) => all.train.select(places)) as [
    Data["train"],
    Data["val"],
    Data["test"],
  ];
  const sets = { train: train.stats(), val: val.stats(), test: test.stats() };
  const stats = { ...all.stats, ...sets, ...countCopies([train, val, test]) };
  return { ...all, train, val, test, stats, origin: { ...all.origin, ...fold } };
}
