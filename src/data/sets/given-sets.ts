/** Data that is split already, into a training set and at least one of the others. */
import type { Corpus, ReadOptions } from "../corpus.ts";
import { type Dataset, HELD_OUT } from "../dataset.ts";
import { counts, type Loaded, readSource, refuseSplit, withoutCopies } from "./source.ts";
import { defaultSplit, type Parts, type Split, splitDataset } from "./split.ts";

export interface GivenSet {
  name: string;
  files: readonly string[];
}

/** Not both of `val` and `test` are missing. */
export interface GivenSets {
  train: GivenSet;
  val: GivenSet | undefined;
  test: GivenSet | undefined;
}

/** The options of `loadDataset` that matter here. */
export interface GivenOptions {
  split?: Split;
  balance?: boolean;
  dedupe?: boolean;
  fractions?: readonly [number, number, number];
}

/** Which rows of the training set become the validation set. */
const TAKEN: Partial<Record<Split, string>> = {
  stratified: "drawn by the seed within each class",
  random: "drawn by the seed",
  ordered: "the last ones",
};

/** Reads the sets: without a test set the validation set is one; a missing one is taken from the training set. */
export async function readGivenSets(
  corpus: Corpus,
  { train, val, test }: GivenSets,
  title: string,
  read: ReadOptions,
  options: GivenOptions,
  seed: number,
): Promise<Loaded> {
  const held = test ?? val!;
  const isWhole = test !== undefined && val !== undefined;
  if (isWhole && options.split !== undefined) refuseSplit("split", options.split);
  if (isWhole && options.fractions !== undefined) refuseSplit("fractions", options.fractions);
  const splits = isWhole ? [train, val, test] : [train, held];
  const sets: Dataset[] = [];
  for (const { files } of splits) sets.push(await readSource(corpus, files, read));
  const names = splits.map((one) => `${title}, ${one.name}`);
  const kept = withoutCopies(sets, names, options);
  const used = options.balance ? kept.map((set) => set.balance(seed)) : kept;
  const { split = defaultSplit(read.labelsAre), fractions: [most, some] = HELD_OUT } = options;
  const own = isWhole ? [] : splitDataset(used[0]!, split, [most / (most + some), some / (most + some)], seed);
  const parts = (isWhole ? used : [...own, used[1]!]) as Parts;
  const sentence = isWhole
    ? `${train.name}, ${val.name}, ${test.name}`
    : `${train.name}, of which ${parts[1].size} rows, ${TAKEN[split]}, are the validation set, and ${held.name}` +
      (held === test ? "" : " as the test set");
  return { parts, testParts: [], ...counts(sets, kept), source: `${title}: ${sentence}`, split: "given" };
}
