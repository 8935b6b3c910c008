/** Data sets of the Hugging Face hub as training, validation and test sets of a classifier. */
import { nameList } from "../../errors.ts";
import type { DownloadOptions } from "../../io/hub/download-options.ts";
import type { Corpus, ReadOptions } from "../corpus.ts";
import { type GivenOptions, readGivenSets } from "./given-sets.ts";
import { type HubDataset, type HubSplit, openHubDataset } from "./hub.ts";
import {
  checkSingles,
  type Loaded,
  messageColumns,
  readSource,
  splitLoaded,
  USUAL_FRACTIONS,
  whileOpen,
} from "./source.ts";
import { defaultSplit } from "./split.ts";

/**
 * Reads a data set of the hub in its own splits. Without a test set the validation set is one; a validation set that is
 * missing is taken from the training set. A training set alone is split as a file is.
 */
export async function readHub(
  corpus: Corpus,
  whole: string,
  read: ReadOptions,
  options: GivenOptions & DownloadOptions,
  seed: number,
): Promise<Loaded> {
  const found = await openHubDataset(whole, options);
  const [val, test] = [await withClasses(found.val, read), await withClasses(found.test, read)];
  const title = `${found.title} of the Hugging Face hub`;
  const { train, name } = found;
  if (test === undefined && val === undefined) {
    const all = await readSource(corpus, train.files, read);
    const { fractions: [, , tested] = USUAL_FRACTIONS } = options;
    const isChecked = read.labelsAre === "class" && tested > 0;
    const set = isChecked ? await checkSingles(corpus, all, train.files[0]!, read.skipFaulty) : all;
    const loaded = splitLoaded(set, options.split ?? defaultSplit(read.labelsAre), options, seed);
    return { ...loaded, testParts: [], source: `${title}: ${train.name}${unused(found)}`, name };
  }
  const loaded = await readGivenSets(corpus, { train, val, test }, title, read, options, seed);
  return { ...loaded, source: `${loaded.source}${unused(found, val, test)}`, name };
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
  const { hasClasses } = await import("../table/parquet.ts");
  return (await whileOpen(first, (file) => hasClasses(file, messageColumns(read, first)))) ? split : undefined;
}
