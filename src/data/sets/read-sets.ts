/** Reads messages with labels in their three sets, from wherever they are. */

import { ConfigError, DataError, nameList } from "../../errors.ts";
import type { DownloadOptions } from "../../io/hub/download-options.ts";
import { setting } from "../../setting.ts";
import { Corpus, type ReadOptions } from "../corpus.ts";
import { type Dataset, HELD_OUT } from "../dataset.ts";
import type { DatasetOptions, DatasetSpec } from "../dataset-options.ts";
import type { Groups } from "../duplicates.ts";
import { COUNTED, ROWS } from "../places.ts";
import { findSetColumn, SETS, setNamed } from "../table/column-names.ts";
import { knownFormat } from "../table/dialect.ts";
import { DataModule } from "../wasm.ts";
import { correctRows } from "./corrections.ts";
import { folderSets } from "./folder.ts";
import type { HubDataset, HubSplit } from "./hub.ts";
import { memoryRows } from "./memory-rows.ts";
import { isOnHub, openNamed } from "./named.ts";
import {
  checkSingles,
  counts,
  type DataSource,
  hasClasses,
  isFolder,
  type Loaded,
  readSource,
  refuseSplit,
  type Source,
  sourceName,
  splitLoaded,
  USUAL_FRACTIONS,
  whileOpen,
  withoutCopies,
} from "./source.ts";
import { defaultSplit, keepsGroups, type Parts, type Split, splitDataset } from "./split.ts";

/** Reads and splits data. Throws ConfigError for options that it has not. */
export async function readSets(
  corpus: Corpus,
  spec: DatasetSpec,
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Loaded> {
  const loaded =
    "train" in spec
      ? await readSplits(corpus, spec, read, options, seed)
      : "name" in spec && isOnHub(spec.name)
        ? await readHub(corpus, spec.name, read, options, seed)
        : ((await readFolders(corpus, spec, read, options, seed)) ??
          (await readAndSplit(corpus, spec, read, options, seed)));
  const { groupColumn, corrections } = options;
  if (groupColumn !== undefined && !loaded.groups) refuseGroups(groupColumn);
  if (corrections !== undefined && !loaded.corrected) refuseCorrections(loaded.source);
  return loaded;
}

async function readSplits(
  corpus: Corpus,
  spec: { train: DataSource; val: DataSource; test: DataSource },
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Loaded> {
  if (options.split !== undefined) refuseSplit("split", options.split);
  const sources = [spec.train, spec.val, spec.test];
  const sets: Dataset[] = [];
  for (const source of sources) sets.push(await readSource(corpus, source, read));
  const kept = withoutCopies(sets, sources.map(sourceName), options);
  return {
    parts: (options.balance ? kept.map((set) => set.balance(seed)) : kept) as Parts,
    testParts: [],
    ...counts(sets, kept),
    source: sources.map(sourceName).join(", "),
    split: "given",
  };
}

/** A folder with one of each set, which has a folder of each class; null for anything else. */
async function readFolders(
  corpus: Corpus,
  spec: DatasetSpec,
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Loaded | null> {
  if (!("file" in spec) || typeof spec.file !== "string" || knownFormat(spec.file)) return null;
  if (!(await isFolder(spec.file))) return null;
  const sets = await folderSets(spec.file);
  if (!sets) return null;
  return readGivenSets(corpus, sets, spec.file, read, options, seed);
}

async function readAndSplit(
  corpus: Corpus,
  spec: Exclude<DatasetSpec, { train: DataSource }>,
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Loaded> {
  const { labelsAre } = read;
  const inMemory = "rows" in spec ? memoryRows(spec.rows, { ...options, labelsAre }, corpus.leftOut) : null;
  const { file, columns, source, split, ...named } =
    "name" in spec
      ? await openNamed(spec.name, options)
      : {
          file: "rows" in spec ? inMemory!.file : spec.file,
          columns: {},
          source: "rows" in spec ? ROWS : sourceName(spec.file),
          split: options.split ?? defaultSplit(read.labelsAre),
          balance: false,
          fractions: undefined,
          parts: [],
        };
  let setColumn: string | undefined;
  const onColumns: ReadOptions["onColumns"] = (names, rows) => {
    setColumn ??= findSetColumn(names, rows);
    read.onColumns?.(names, rows);
  };
  const whole = await readSource(corpus, file, { ...read, ...columns, onColumns });
  const { corrections, groupColumn, model } = options;
  const loadModule = () => DataModule.load(model);
  const { rows: all, corrected } =
    corrections === undefined ? { rows: whole } : await correctRows(corpus, whole, read, corrections, loadModule);
  const { balance = named.balance, fractions = named.fractions ?? USUAL_FRACTIONS } = options;
  // A class may have one row where nothing is tested, or where classes and sets are those of a model that learns on.
  const isGiven = read.labels !== undefined && split === "ordered";
  const isChecked = !("name" in spec) && read.labelsAre === "class" && fractions[2] > 0 && !isGiven;
  const where = corrected ? source + COUNTED : source;
  const used = isChecked ? await checkSingles(corpus, all, where, read.skipFaulty) : all;
  const readColumn = async (labelColumn: string): Promise<Groups> => {
    const asLabels = { ...read, ...columns, labelColumn };
    const said = inMemory?.groups ?? (await readGroups(await loadModule(), file, asLabels));
    if (said.length === whole.size) return said;
    throw new DataError("inputs-changed", "Rows were skipped, so that it is not known which group a row is of", {
      where: labelColumn,
      expected: `${said.length} rows with a text and a label`,
      found: String(whole.size),
      hint: `correct them, and omit ${setting("skipFaulty", true)}`,
    });
  };
  const isDrawn = "name" in spec || options.split !== undefined || options.fractions !== undefined;
  // Where rows were skipped, it is not known which set another one is of.
  if (setColumn !== undefined && !isDrawn && corpus.leftOut.rows === 0) {
    const words = await readColumn(setColumn);
    const sets = Object.keys(SETS).map((name) => {
      const at = used.positions().filter((i) => setNamed(words[used.place(i)] ?? "") === name);
      return at.length > 0 ? { name, rows: used.select(at) } : undefined;
    });
    const loaded = joinGiven(sets, `${source}, column "${setColumn}"`, read, options, seed);
    return { ...loaded, ...(corrected ? { corrected } : {}) };
  }
  const isGrouped = groupColumn !== undefined && (keepsGroups(split) || fractions[0] === 1);
  const groups = isGrouped ? await readColumn(groupColumn) : undefined;
  const loaded = splitLoaded(used, split, { ...options, balance, fractions }, seed, groups);
  const testParts = locateParts(loaded.parts[2], named.parts);
  return { ...loaded, testParts, source, ...(corrected ? { corrected } : {}) };
}

/** The error for corrections of rows that are not of one file. */
function refuseCorrections(found: string): never {
  throw new ConfigError("option-without-effect", `${setting("corrections")} needs the rows of one file`, {
    expected: setting("data"),
    found,
  });
}

/** The error for groups of rows that are not drawn. */
function refuseGroups(column: string): never {
  throw new ConfigError("option-without-effect", `${setting("groupColumn")} has an effect on drawn sets alone`, {
    expected: `one file, and ${setting("folds", 5)} or ${setting("split")} stratified or random`,
    found: setting("groupColumn", column),
  });
}

/** The positions of the rows of each part; `parts` has their names and sizes, in the order in which they were read. */
function locateParts(set: Dataset, parts: readonly { name: string; rows: number }[]): Loaded["testParts"] {
  let end = 0;
  return parts.map(({ name, rows }) => {
    const start = end;
    end += rows;
    return { name, positions: set.positions().filter((i) => start <= set.place(i) && set.place(i) < end) };
  });
}

/**
 * Reads a data set of the hub in its own splits. Without a test set the validation set is one; a validation set that is
 * missing is taken from the training set. A training set alone is split as a file is.
 */
async function readHub(
  corpus: Corpus,
  whole: string,
  read: ReadOptions,
  options: GivenOptions & DownloadOptions,
  seed: number,
): Promise<Loaded> {
  const { openHubDataset } = await import("./hub.ts");
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
  return (await whileOpen(first, (file) => hasClasses(file, read))) ? split : undefined;
}

/** What a column says of each row of a file; undefined where it says nothing. It is read in a `module` of its own. */
async function readGroups(module: DataModule, source: Source, { labels: _, ...read }: ReadOptions): Promise<Groups> {
  const corpus = new Corpus(module);
  const all = await readSource(corpus, source, { ...read, labelsAre: "set" });
  return Array.from(all.positions(), (i) => all.labels[all.label(i)] || undefined);
}

interface GivenSet {
  name: string;
  files: readonly string[];
}

/** Not both of `val` and `test` are missing. */
interface GivenSets {
  train: GivenSet;
  val: GivenSet | undefined;
  test: GivenSet | undefined;
}

/** The options of `loadDataset` that matter here. */
interface GivenOptions {
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

/** Reads the sets. */
async function readGivenSets(
  corpus: Corpus,
  { train, val, test }: GivenSets,
  title: string,
  read: ReadOptions,
  options: GivenOptions,
  seed: number,
): Promise<Loaded> {
  const isWhole = test !== undefined && val !== undefined;
  if (isWhole && options.split !== undefined) refuseSplit("split", options.split);
  if (isWhole && options.fractions !== undefined) refuseSplit("fractions", options.fractions);
  const sets: (NamedRows | undefined)[] = [];
  for (const set of [train, val, test])
    sets.push(set && { name: set.name, rows: await readSource(corpus, set.files, read) });
  return joinGiven(sets, title, read, options, seed);
}

interface NamedRows {
  name: string;
  rows: Dataset;
}

/** Training, validation and test set: without a test set the validation set is one; a missing one is taken from train. */
function joinGiven(
  [train, val, test]: readonly (NamedRows | undefined)[],
  title: string,
  read: ReadOptions,
  options: GivenOptions,
  seed: number,
): Loaded {
  const held = test ?? val!;
  const isWhole = test !== undefined && val !== undefined;
  const splits = isWhole ? [train!, val, test] : [train!, held];
  const sets = splits.map(({ rows }) => rows);
  const names = splits.map((one) => `${title}, ${one.name}`);
  const kept = withoutCopies(sets, names, options);
  const used = options.balance ? kept.map((set) => set.balance(seed)) : kept;
  const { split = defaultSplit(read.labelsAre), fractions: [most, some] = HELD_OUT } = options;
  const own = isWhole ? [] : splitDataset(used[0]!, split, [most / (most + some), some / (most + some)], seed);
  const parts = (isWhole ? used : [...own, used[1]!]) as Parts;
  const sentence = isWhole
    ? `${train!.name}, ${val.name}, ${test.name}`
    : `${train!.name}, of which ${parts[1].size} rows, ${TAKEN[split]}, are the validation set, and ${held.name}` +
      (held === test ? "" : " as the test set");
  return { parts, testParts: [], ...counts(sets, kept), source: `${title}: ${sentence}`, split: "given" };
}
