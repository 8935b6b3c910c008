/** Reads messages with labels in their three sets, from wherever they are. */

import { ConfigError, DataError, nameList } from "../../core/errors.ts";
import { COUNTED } from "../../core/places.ts";
import { setting } from "../../core/setting.ts";
import type { DownloadOptions } from "../../io/hub/download-options.ts";
import { SET } from "../../labels/set.ts";
import { Corpus, type ReadOptions } from "../corpus.ts";
import { type Dataset, HELD_OUT } from "../dataset.ts";
import type { DatasetOptions, DatasetSpec } from "../dataset-options.ts";
import type { Groups } from "../duplicates.ts";
import { findSetColumn, SETS, setNamed } from "../table/column-names.ts";
import { knownFormat } from "../table/dialect.ts";
import { DataModule } from "../wasm.ts";
import { correctRows } from "./corrections.ts";
import { folderSets } from "./folder.ts";
import type { HubSplit } from "./hub.ts";
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
  const sets = await findGiven(spec, read, options);
  const loaded =
    sets?.val || sets?.test
      ? await readGiven(corpus, sets, read, options, seed)
      : await readAndSplit(corpus, spec, sets, read, options, seed);
  const { groupColumn, corrections } = options;
  if (groupColumn !== undefined && !loaded.groups) refuseGroups(groupColumn);
  if (corrections !== undefined && !loaded.corrected) refuseCorrections(loaded.source);
  return loaded;
}

interface GivenSet {
  name: string;
  files: readonly DataSource[];
}

/** Sets that are given. Of a data set of the hub that has a training set alone, that is all. */
interface GivenSets {
  train: GivenSet;
  val?: GivenSet | undefined;
  test?: GivenSet | undefined;
  /** What they are the sets of. */
  title?: string;
  /** Of the hub: its name, and the splits that are not used, in words. */
  name?: string;
  unused?: string;
}

/** Files of sets, a folder with one of each set, or a data set of the hub; null for what is one set. */
async function findGiven(spec: DatasetSpec, read: ReadOptions, options: DownloadOptions): Promise<GivenSets | null> {
  if ("train" in spec) {
    const set = (source: DataSource) => ({ name: sourceName(source), files: [source] });
    const { train, val, test } = spec;
    return { train: set(train), ...(val && { val: set(val) }), ...(test && { test: set(test) }) };
  }
  if ("name" in spec) return isOnHub(spec.name) ? findOnHub(spec.name, read, options) : null;
  if (!("file" in spec) || typeof spec.file !== "string" || knownFormat(spec.file)) return null;
  const sets = (await isFolder(spec.file)) && (await folderSets(spec.file));
  return sets ? { ...sets, title: spec.file } : null;
}

async function findOnHub(whole: string, read: ReadOptions, options: DownloadOptions): Promise<GivenSets> {
  const { openHubDataset } = await import("./hub.ts");
  const found = await openHubDataset(whole, options);
  const { train, name, others } = found;
  const [val, test] = [await withClasses(found.val, read), await withClasses(found.test, read)];
  const unlabelled = [found.val, found.test].flatMap((split) =>
    split && split !== val && split !== test ? split : [],
  );
  const names = [...unlabelled.map((split) => `${split.name}, which has no classes`), ...others];
  const unused = names.length > 0 ? ` (not used: ${nameList(names)})` : "";
  return { train, val, test, title: `${found.title} of the Hugging Face hub`, name, unused };
}

/** A split; undefined if it has no classes, as in tests with secret answers. */
async function withClasses(split: HubSplit | undefined, read: ReadOptions): Promise<HubSplit | undefined> {
  const [first] = split?.files ?? [];
  if (first === undefined) return undefined;
  return (await whileOpen(first, (file) => hasClasses(file, read))) ? split : undefined;
}

/** `sets`: of the hub, with a training set alone. */
async function readAndSplit(
  corpus: Corpus,
  spec: DatasetSpec,
  sets: GivenSets | null,
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Loaded> {
  const { corrections, groupColumn, model, split: asked = defaultSplit(read.labelsAre) } = options;
  const isBundled = "name" in spec && !sets;
  const inMemory =
    "rows" in spec ? memoryRows(spec.rows, { ...options, labelsAre: read.labelsAre }, corpus.leftOut) : null;
  const own: Source | readonly Source[] = sets?.train.files ?? inMemory?.file ?? (spec as { file: DataSource }).file;
  const { file, columns, source, split, ...named } = isBundled
    ? await openNamed(spec.name, options)
    : {
        file: own,
        columns: {},
        source: sets ? `${sets.title}: ${sets.train.name}${sets.unused}` : sourceName(own as Source),
        split: asked,
        balance: false,
        fractions: undefined,
        parts: [],
      };
  let setColumn: string | undefined;
  const onTable: ReadOptions["onTable"] = (table) => {
    setColumn ??= findSetColumn(table);
    read.onTable?.(table);
  };
  const whole = await readSource(corpus, file, { ...read, ...columns, onTable });
  const loadModule = () => DataModule.load(model);
  const { rows: all, corrected } =
    corrections === undefined ? { rows: whole } : await correctRows(corpus, whole, read, corrections, loadModule);
  const { balance = named.balance, fractions = named.fractions ?? USUAL_FRACTIONS } = options;
  // A class may have one row where nothing is tested, or where classes and sets are those of a model that learns on.
  const isGiven = read.labels !== undefined && split === "ordered";
  const isChecked = !isBundled && read.labelsAre.classOf && fractions[2] > 0 && !isGiven;
  const where = sourceName([file].flat()[0]! as Source) + (corrected ? COUNTED : "");
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
  const more = { ...(corrected ? { corrected } : {}), ...(sets?.name === undefined ? {} : { name: sets.name }) };
  // Where rows were skipped, it is not known which set another one is of.
  if (setColumn !== undefined && !isDrawn && corpus.leftOut.rows === 0) {
    const words = await readColumn(setColumn);
    const found = Object.keys(SETS).map((name) => {
      const at = used.positions().filter((i) => setNamed(words[used.place(i)] ?? "") === name);
      return at.length > 0 ? { name, rows: used.select(at) } : undefined;
    });
    return { ...joinGiven(found, `${source}, column "${setColumn}"`, read, options, seed), ...more };
  }
  const isGrouped = groupColumn !== undefined && (keepsGroups(split) || fractions[0] === 1);
  const groups = isGrouped ? await readColumn(groupColumn) : undefined;
  const loaded = splitLoaded(used, split, { ...options, balance, fractions }, seed, groups);
  return { ...loaded, testParts: locateParts(loaded.parts[2], named.parts), source, ...more };
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

/** What a column says of each row of a file; undefined where it says nothing. It is read in a `module` of its own. */
async function readGroups(
  module: DataModule,
  source: Source | readonly Source[],
  { labels: _, ...read }: ReadOptions,
): Promise<Groups> {
  const corpus = new Corpus(module);
  const all = await readSource(corpus, source, { ...read, labelsAre: SET });
  return Array.from(all.positions(), (i) => all.labels[all.label(i)] || undefined);
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

async function readGiven(
  corpus: Corpus,
  { train, val, test, title, name, unused = "" }: GivenSets,
  read: ReadOptions,
  options: GivenOptions,
  seed: number,
): Promise<Loaded> {
  const isWhole = test !== undefined && val !== undefined;
  for (const option of ["split", "fractions"] as const)
    if (isWhole && options[option] !== undefined) refuseSplit(option, options[option]);
  const sets: (NamedRows | undefined)[] = [];
  for (const set of [train, val, test])
    sets.push(set && { name: set.name, rows: await readSource(corpus, set.files, read) });
  const loaded = joinGiven(sets, title, read, options, seed);
  return { ...loaded, source: loaded.source + unused, ...(name === undefined ? {} : { name }) };
}

interface NamedRows {
  name: string;
  rows: Dataset;
}

/** Training, validation and test set: without a test set the validation set is one; a missing one is taken from train. */
function joinGiven(
  [train, val, test]: readonly (NamedRows | undefined)[],
  title: string | undefined,
  read: ReadOptions,
  options: GivenOptions,
  seed: number,
): Loaded {
  const held = test ?? val!;
  const isWhole = test !== undefined && val !== undefined;
  const splits = isWhole ? [train!, val, test] : [train!, held];
  const sets = splits.map(({ rows }) => rows);
  const names = splits.map(({ name }) => (title === undefined ? name : `${title}, ${name}`));
  const kept = withoutCopies(sets, names, options);
  const used = options.balance ? kept.map((set) => set.balance(seed)) : kept;
  const { split = defaultSplit(read.labelsAre), fractions: [most, some] = HELD_OUT } = options;
  const own = isWhole ? [] : splitDataset(used[0]!, split, [most / (most + some), some / (most + some)], seed);
  const parts = (isWhole ? used : [...own, used[1]!]) as Parts;
  const sentence = isWhole
    ? `${train!.name}, ${val.name}, ${test.name}`
    : `${train!.name}, of which ${parts[1].size} rows, ${TAKEN[split]}, are the validation set, and ${held.name}` +
      (held === test ? "" : " as the test set");
  const source = title === undefined ? sentence : `${title}: ${sentence}`;
  return { parts, testParts: [], ...counts(sets, kept), source, split: "given" };
}
