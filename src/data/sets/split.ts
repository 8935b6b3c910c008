import { ConfigError, DataError } from "../../core/errors.ts";
import { groupBy } from "../../core/group-by.ts";
import { Rng } from "../../core/rng.ts";
import { either, setting } from "../../core/setting.ts";
import type { LabelKind } from "../../labels/kind.ts";
import { checkFractions, type Dataset, partSizes } from "../dataset.ts";
import { type Compared, type Groups, groupRows } from "../duplicates.ts";

/**
 * `stratified`: every class is shuffled by the seed and split separately, so that all sets have the same class
 * proportions, and a class with three rows is in all of them. `random`: shuffled by the seed, then split. Both keep
 * near-duplicates, and groups of a column, in one set. `ordered`: split in the order in which the rows were read.
 * `experiment`: of the data set `sms`, the rows of the published experiment in its order.
 */
export const SPLITS = ["stratified", "random", "ordered", "experiment"] as const;
/** How rows are split into training, validation and test set. */
export type Split = (typeof SPLITS)[number];

/** How a file, and a data set without a split of its own, is split: by class, if there are classes. */
export const defaultSplit = (labelsAre: LabelKind): Split => (labelsAre.classOf ? "stratified" : "random");

export type Parts = [Dataset, Dataset, Dataset];

/** The error for another data set, or for all rows. */
export function refuseExperiment(): never {
  throw new ConfigError("options-conflict", "the split experiment is one of balanced rows of the data set sms", {
    expected: `${setting("split")} random, stratified or ordered`,
  });
}

/** Whether a split draws rows, and keeps groups together: others take them in their order. */
export const keepsGroups = (split: Split) => split === "stratified" || split === "random";

/**
 * Splits the rows into one part per fraction. Near-duplicates, and rows of one group of a column, are in one part, unless
 * the rows keep their order; a group is of the class of its first row. Throws DataError if the fractions do not add up to
 * 1, or a part would be empty whose fraction is above 0.
 */
export function splitDataset<T extends Compared<T>>(
  all: T & { label?(i: number): number },
  split: Split,
  fractions: readonly number[],
  seed: number,
  column?: Groups,
): T[] {
  checkFractions(fractions);
  const isByClass = split === "stratified";
  const classOf = (row: number) => (isByClass ? all.label!(row) : 0);
  const isDrawn = keepsGroups(split);
  const firsts = isDrawn ? groupRows(all, column, classOf) : Uint32Array.from({ length: all.size }, (_, i) => i);
  const groups = [...groupBy(firsts.keys(), (row) => firsts[row]!).values()];
  const rng = new Rng(seed);
  const parts: number[][] = fractions.map(() => []);
  for (const [, own] of [...groupBy(groups, ([first]) => classOf(first!))].sort(([a], [b]) => a - b)) {
    if (isDrawn) rng.shuffle(own);
    const placed = placeGroups(own, (isByClass ? classSizes : partSizes)(countRows(own), fractions));
    for (const [i, part] of parts.entries()) for (const group of placed[i]!) for (const row of group) part.push(row);
  }
  if (parts.some(({ length }, i) => length === 0 && fractions[i]! > 0)) {
    const shares = fractions.filter((one) => one !== 0).map((one) => `${Number((100 * one).toPrecision(3))} %`);
    const ways = ["give more rows", `train on all of them: ${setting("fractions", [1, 0, 0])}`];
    throw new DataError("too-few-rows", "Too few rows to split", {
      expected: `at least one row in each part: ${shares.join(", ")}`,
      found: describeGroups(all.size, groups.length),
      hint: either(...ways, ...(groups.length < all.size ? [`divide groups: ${setting("split", "ordered")}`] : [])),
    });
  }
  return parts.map((rows) => all.select(isByClass ? rng.shuffle(rows) : rows));
}

/** "40 rows", or "40 rows in 2 groups" and what is one. */
export const describeGroups = (rows: number, groups: number) =>
  `${rows} rows${groups < rows ? ` in ${groups} groups (near-duplicates, and rows of one ${setting("groupColumn")}, are one)` : ""}`;

/**
 * A training set of about `rows` rows, drawn by the seed, and a validation set that is smaller by the same factor; of
 * each class in proportion, if there are classes, and at least one row. The test set stays.
 */
export function drawRows([train, val, test]: Parts, rows: number, labelsAre: LabelKind, seed: number): Parts {
  const draw = (set: Dataset) => {
    const shuffled = set.shuffle(seed);
    const classes = groupBy(shuffled.positions(), (i) => labelsAre.classOf?.(shuffled, i) ?? 0);
    const drawn = [...classes.values()].flatMap((own) => own.slice(0, Math.ceil((own.length * rows) / train.size)));
    return shuffled.select(drawn.sort((a, b) => a - b));
  };
  return [draw(train), draw(val), test];
}

const countRows = (groups: readonly number[][]) => groups.reduce((sum, { length }) => sum + length, 0);

/**
 * Groups in parts of about these rows: one behind the other, each is in the part in which its middle lies. A part that
 * would be empty has the smallest group of the largest one, as far as there are groups.
 */
function placeGroups(groups: readonly number[][], sizes: readonly number[]): number[][][] {
  const parts: number[][][] = sizes.map(() => []);
  const ends = sizes.map((_, i) => sizes.slice(0, i + 1).reduce((a, b) => a + b));
  let start = 0;
  for (const group of groups) {
    const middle = start + group.length / 2;
    parts[ends.findIndex((end) => middle < end)]!.push(group);
    start += group.length;
  }
  const wanted = firstParts(sizes).slice(0, groups.length);
  for (const i of wanted.filter((i) => parts[i]!.length === 0)) {
    const others = parts.filter(({ length }, one) => length > Number(wanted.includes(one)));
    const largest = others.reduce((a, b) => (countRows(b) > countRows(a) ? b : a));
    const smallest = largest.reduce((a, b) => (b.length < a.length ? b : a));
    parts[i]!.push(...largest.splice(largest.indexOf(smallest), 1));
  }
  return parts;
}

/** The parts with a share, in the order in which they get a row: the training set, the test set, the validation set. */
function firstParts(shares: readonly number[]): number[] {
  const [training, ...others] = [...shares.keys()].filter((i) => shares[i]! > 0);
  return [training!, ...others.reverse()];
}

/**
 * The rows of a class in each part: one in each, as far as they go, by `firstParts`; and each further row in the part
 * that is furthest below its share.
 */
function classSizes(rows: number, fractions: readonly number[]): number[] {
  const sizes = fractions.map(() => 0);
  const first = firstParts(fractions).slice(0, rows);
  for (const i of first) sizes[i] = 1;
  for (let left = rows - first.length; left > 0; left--) {
    const missing = fractions.map((fraction, i) => rows * fraction - sizes[i]!);
    sizes[missing.indexOf(Math.max(...missing))]!++;
  }
  return sizes;
}
