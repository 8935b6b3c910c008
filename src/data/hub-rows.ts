/** Data sets of the Hugging Face hub as training, validation and test sets of a classifier. */
import { nameList } from "../errors.ts";
import type { DownloadOptions } from "../io/download-options.ts";
import type { Corpus, ReadOptions } from "./corpus.ts";
import { type Dataset, HELD_OUT } from "./dataset.ts";
import { type HubDataset, type HubSplit, openHubDataset } from "./hub.ts";
import {
  checkSingles,
  counts,
  type Loaded,
  messageColumns,
  readSource,
  refuseSplit,
  splitLoaded,
  USUAL_FRACTIONS,
  whileOpen,
  withoutCopies,
} from "./source.ts";
import { defaultSplit, type Parts, type Split, splitDataset } from "./split.ts";

/** The options of `loadDataset` that matter here. */
interface HubOptions extends DownloadOptions {
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

/**
 * Reads a data set of the hub in its own splits. Without a test set the validation set is one; a validation set that is
 * missing is taken from the training set. A training set alone is split as a file is.
 */
export async function readHub(
  corpus: Corpus,
  whole: string,
  read: ReadOptions,
  options: HubOptions,
  seed: number,
): Promise<Loaded> {
  const found = await openHubDataset(whole, options);
  const [val, test] = [await withClasses(found.val, read), await withClasses(found.test, read)];
  const title = `${found.title} of the Hugging Face hub`;
  const { train, name } = found;
  const held = test ?? val;
  if (held === undefined) {
    const all = await readSource(corpus, train.files, read);
    const { fractions: [, , tested] = USUAL_FRACTIONS } = options;
    const isChecked = read.labelsAre === "class" && tested > 0;
    const set = isChecked ? await checkSingles(corpus, all, train.files[0]!, read.skipFaulty) : all;
    const loaded = splitLoaded(set, options.split ?? defaultSplit(read.labelsAre), options, seed);
    return { ...loaded, testParts: [], source: `${title}: ${train.name}${unused(found)}`, name };
  }
  const isWhole = test !== undefined && val !== undefined;
  if (isWhole && options.split !== undefined) refuseSplit("split", options.split);
  if (isWhole && options.fractions !== undefined) refuseSplit("fractions", options.fractions);
  const splits = isWhole ? [train, val, test] : [train, held];
  const sets: Dataset[] = [];
  for (const { files } of splits) sets.push(await readSource(corpus, files, read));
  const names = splits.map((one) => `${found.title}, ${one.name}`);
  const kept = withoutCopies(sets, names, options);
  const used = options.balance ? kept.map((set) => set.balance(seed)) : kept;
  const { split = defaultSplit(read.labelsAre), fractions: [most, some] = HELD_OUT } = options;
  const own = isWhole ? [] : splitDataset(used[0]!, split, [most / (most + some), some / (most + some)], seed);
  const parts = (isWhole ? used : [...own, used[1]!]) as Parts;
  const sentence = isWhole
    ? `${train.name}, ${val.name}, ${test.name}`
    : `${train.name}, of which ${parts[1].size} rows, ${TAKEN[split]}, are the validation set, and ${held.name}` +
      (held === test ? "" : " as the test set");
  const source = `${title}: ${sentence}${unused(found, val, test)}`;
  return { parts, testParts: [], ...counts(sets, kept), source, split: "given", name };
}

/** The splits that are not used, in words. */
function unused({ val, test, others }: HubDataset, ...used: (HubSplit | undefined)[]): string {
  const unlabelled = [val, test].flatMap((split) => (split && !used.includes(split) ? [split.name] : []));
  const names = [...unlabelled.map((name) => `${name}, which has no classes`), ...others];
  return names.length > 0 ? ` (not used: ${nameList(names)})` : "";
}

/** A split; undefined if it has no classes, as in tests with secret answers. */
async function withClasses(split: HubSplit | undefined, read: ReadOptions): Promise<HubSplit | undefined> {
  const [first] = split?.files ?? [];
  if (first === undefined) return undefined;
  const { hasClasses } = await import("./parquet.ts");
  return (await whileOpen(first, (file) => hasClasses(file, messageColumns(read, first)))) ? split : undefined;
}
