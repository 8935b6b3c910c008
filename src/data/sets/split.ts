import { ConfigError } from "../../errors.ts";
import { Rng } from "../../rng.ts";
import { setting } from "../../setting.ts";
import type { LabelKind } from "../../tasks/task.ts";
import { checkFractions, checkParts, type Dataset } from "../dataset.ts";

/**
 * `stratified`: every class is shuffled by the seed and split separately, so that all sets have the same class
 * proportions, and a class with three rows is in all of them. `random`: shuffled by the seed, then split. `ordered`:
 * split in the order in which the rows were read. `experiment`: of the data set `sms`, the rows of the published
 * experiment in its order.
 */
export const SPLITS = ["stratified", "random", "ordered", "experiment"] as const;
/** How rows are split into training, validation and test set. */
export type Split = (typeof SPLITS)[number];

/** How a file, and a data set without a split of its own, is split: by class, if there are classes. */
export const defaultSplit = (labelsAre: LabelKind): Split => (labelsAre === "class" ? "stratified" : "random");

/** The group of each row, by its place; undefined: it is in none. */
export type Groups = readonly (string | undefined)[];

export type Parts = [Dataset, Dataset, Dataset];

/** The error for another data set, or for all rows. */
export function refuseExperiment(): never {
  throw new ConfigError("options-conflict", "the split experiment is one of balanced rows of the data set sms", {
    expected: `${setting("split")} random, stratified or ordered`,
  });
}

/** Splits the rows into one part per fraction. Throws DataError if they are too few. */
export function splitDataset(all: Dataset, split: Split, fractions: readonly number[], seed: number): Dataset[] {
  if (split === "stratified") return stratified(all, fractions, seed);
  // The experiment's rows are in its order already.
  const isOrdered = split === "ordered" || split === "experiment";
  return (isOrdered ? all : all.shuffle(seed)).split(fractions);
}

/**
 * A training set of about `rows` rows, drawn by the seed, and a validation set that is smaller by the same factor; of
 * each class in proportion, if there are classes, and at least one row. The test set stays.
 */
export function drawRows([train, val, test]: Parts, rows: number, labelsAre: LabelKind, seed: number): Parts {
  const draw = (set: Dataset) => {
    const shuffled = set.shuffle(seed);
    const groups = labelsAre === "class" ? positionsByClass(shuffled) : [shuffled.positions()];
    const drawn = groups.flatMap((group) => [...group.subarray(0, Math.ceil((group.length * rows) / train.size))]);
    return shuffled.select(drawn.sort((a, b) => a - b));
  };
  return [draw(train), draw(val), test];
}

/**
 * Shuffles and splits each class separately, then shuffles each set. Throws DataError if a set would be empty whose
 * fraction is above 0.
 */
function stratified(all: Dataset, fractions: readonly number[], seed: number): Dataset[] {
  checkFractions(fractions);
  const rng = new Rng(seed);
  const sets: number[][] = fractions.map(() => []);
  for (const rows of positionsByClass(all)) {
    const shuffled = rng.shuffle(rows);
    let start = 0;
    for (const [i, count] of classSizes(rows.length, fractions).entries()) {
      for (const row of shuffled.subarray(start, start + count)) sets[i]!.push(row);
      start += count;
    }
  }
  checkParts(sets, all.size, fractions);
  return sets.map((rows) => all.select(rng.shuffle(Uint32Array.from(rows))));
}

/**
 * The rows of a class in each part: one in each, as far as they go, first in the training set, then in the test set;
 * and each further row in the part that is furthest below its share.
 */
function classSizes(rows: number, fractions: readonly number[]): number[] {
  const sizes = fractions.map(() => 0);
  const [training, ...others] = [...sizes.keys()].filter((i) => fractions[i]! > 0);
  const first = [training!, ...others.reverse()].slice(0, rows);
  for (const i of first) sizes[i] = 1;
  for (let left = rows - first.length; left > 0; left--) {
    const missing = fractions.map((fraction, i) => rows * fraction - sizes[i]!);
    sizes[missing.indexOf(Math.max(...missing))]!++;
  }
  return sizes;
}

/** The positions of each class's rows, in their order; classes without rows are omitted. */
function positionsByClass(all: Dataset): Uint32Array[] {
  const lists: number[][] = all.labels.map(() => []);
  for (let i = 0; i < all.size; i++) lists[all.label(i)]!.push(i);
  return lists.filter((rows) => rows.length > 0).map((rows) => Uint32Array.from(rows));
}
