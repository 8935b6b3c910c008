/** Data sets by name or file: read, balanced, shuffled, split and ready for batches. */
import { absolutePath, exists, openFile } from "#platform";
import { checkArguments, checkOptions, type Kind } from "../arguments.ts";
import { oneOf } from "../config.ts";
import { ConfigError, DataError, nameList } from "../errors.ts";
import { DOWNLOAD_OPTIONS, type DownloadEvent } from "../io/download-options.ts";
import type { FileReader } from "../platform/reader.ts";
import { refuseScores } from "./columns.ts";
import { CHUNK_BYTES, Corpus, type LeftOut, type ReadOptions } from "./corpus.ts";
import { Dataset, type DatasetStats, type Padding } from "./dataset.ts";
import { dropCopies, findLeaks } from "./duplicates.ts";
import { checkEncoding } from "./encoding.ts";
import { openNamed } from "./named.ts";
import { type Parts, SPLITS, type Split, splitDataset } from "./split.ts";
import { DataModule } from "./wasm.ts";

/** A file by its path, or opened (then its owner closes it). */
export type DataSource = string | FileReader;

/** One file to split, three files that are split already, or the name of a data set (`DATASETS`). */
export type DatasetSpec =
  | { file: DataSource }
  | { train: DataSource; val: DataSource; test: DataSource }
  | { name: string };

/** Options of `loadDataset`. */
export interface DatasetOptions {
  /** Columns (keys in JSON lines). Default: chosen by their names or values. */
  textColumn?: string;
  labelColumn?: string;
  /**
   * Drop rows until all classes are as large as the smallest. Default: the data set's own for a name, true for the split "experiment",
   * otherwise false.
   */
  balance?: boolean;
  /** The longest row in tokens; longer rows are truncated at the end. Default 1024, GPT-2's context. */
  maxLength?: number;
  /** How to split one file or a named data set. Default: "random" for a file, the data set's own for a name. */
  split?: Split;
  /** Drop rows that have an earlier near-duplicate (see `stats.leaks`), before balancing and splitting. Default false. */
  dedupe?: boolean;
  /** Default "none". */
  padding?: Padding;
  /** Seed of the balancing and of the split. Default 1. */
  seed?: number;
  /** Shares of train, val and test. Default 0.7, 0.1, 0.2; the data set's own for a name. */
  fractions?: readonly [number, number, number];
  /** Skip invalid rows and report them in `stats.leftOut` instead of throwing. Default false. */
  skipFaulty?: boolean;
  /** Encoding of files without a byte order mark, by a name of the Encoding Standard. Default "utf-8". */
  encoding?: string;
  /** Bytes read at a time. Default 256 KiB. */
  chunkBytes?: number;
  /** Receives the events of the download of a named data set. */
  onProgress?: (event: DownloadEvent) => void;
  /** Aborts the download. */
  signal?: AbortSignal;
  /** The module that stores the rows; rows stored in it before are lost. Default: a new one. */
  module?: DataModule;
}

const OPTIONS = {
  textColumn: "text?",
  labelColumn: "text?",
  balance: "boolean?",
  maxLength: "number?",
  split: "text?",
  dedupe: "boolean?",
  padding: "any?",
  seed: "number?",
  fractions: "numbers?",
  skipFaulty: "boolean?",
  encoding: "text?",
  chunkBytes: "number?",
  onProgress: DOWNLOAD_OPTIONS.onProgress,
  signal: DOWNLOAD_OPTIONS.signal,
  module: "any?",
} as const satisfies Record<keyof DatasetOptions, Kind>;

/** Messages with classes, split and encoded: what `loadDataset` returns. */
export interface LoadedDataset {
  objective: "classification";
  train: Dataset;
  val: Dataset;
  test: Dataset;
  /** Class names by class id. */
  labels: readonly string[];
  stats: {
    train: DatasetStats;
    val: DatasetStats;
    test: DatasetStats;
    /** Rows in the files, before balancing, and those of each class. */
    rowsRead: number;
    classesRead: Record<string, number>;
    leftOut: LeftOut;
    /** Rows that were dropped as near-duplicates of an earlier row. */
    copies: number;
    /**
     * Rows of val with a near-duplicate in train, and rows of test with one in train or val: the texts differ only in numbers,
     * punctuation, white space and case.
     */
    leaks: { val: number; test: number };
    /** Labels with white space around them, which was dropped. */
    trimmedLabels: number;
  };
  /** The test rows of each part of a named data set that has several. */
  testParts: readonly { name: string; positions: Uint32Array }[];
  /** How the data was split; "given" if by separate files. */
  split: Split | "given";
  /** The longest row allowed, in tokens. */
  maxLength: number;
  /** Where the rows came from, to print. */
  source: string;
  /** The same with the options, as arguments for `loadDataset`. */
  origin: Origin;
}

/** A spec and options as a run stores them: files by absolute path, open files by name. */
export type Origin = Record<string, unknown>;

/** The keys of each form of a spec. */
const SPECS = [["file"], ["train", "val", "test"], ["name"]];

/**
 * The origin of a spec and options. Throws ConfigError for a spec that names no data, and for a key that is neither an option
 * in `kinds` nor part of a spec; an origin, which has both, is valid for either argument.
 */
export function originOf(
  spec: object,
  options: object,
  source: "source" | "sources",
  kinds: Readonly<Record<string, Kind>>,
): Origin {
  checkArguments({ spec }, { spec: "object" });
  const given = spec as Record<string, DataSource | readonly DataSource[]>;
  const keys = SPECS.find((some) => some.every((key) => given[key] !== undefined));
  if (!keys)
    throw new ConfigError("spec: it names no data to load", {
      expected: "{ file }, { train, val, test } or { name }",
      found: Object.keys(spec).join(", ") || "nothing",
    });
  const file = `${source}?` as const;
  const both = { ...kinds, file, train: file, val: file, test: file, name: "text?" } as const;
  checkOptions("spec", spec, both);
  checkOptions("options", options, both);
  const path = (one: DataSource) => (typeof one === "string" ? absolutePath(one) : one.name);
  const named = keys.map((key) => {
    const some = given[key] as DataSource | readonly DataSource[];
    return [key, key === "name" ? some : Array.isArray(some) ? some.map(path) : path(some as DataSource)];
  });
  // Modules, signals and callbacks cannot be stored.
  const plain = Object.entries(options).filter(
    ([, value]) => Array.isArray(value) || !/object|function/.test(typeof value),
  );
  return { ...Object.fromEntries(plain), ...Object.fromEntries(named) };
}

/**
 * Loads a data set. Throws DataError, FormatError or ConfigError if the data, a file or an option is invalid.
 *
 * @example
 * ```ts
 * import { loadDataset } from "lowrank";
 *
 * const data = await loadDataset({ file: "messages.csv" }, { maxLength: 256, split: "stratified" });
 * console.log(data.labels, data.train.size, data.stats.leaks.test);
 * ```
 */
export async function loadDataset(spec: DatasetSpec, options: DatasetOptions = {}): Promise<LoadedDataset> {
  const origin = originOf(spec, options, "source", OPTIONS);
  const seed = options.seed ?? 1;
  const maxLength = options.maxLength ?? 1024;
  if (!Number.isInteger(maxLength) || maxLength < 1) {
    throw new ConfigError("maxLength is invalid", {
      expected: "a whole number of tokens, 1 or more",
      found: String(maxLength),
    });
  }
  const corpus = new Corpus(options.module ?? (await DataModule.load()));
  const read: ReadOptions = {
    maxLength,
    chunkBytes: options.chunkBytes ?? CHUNK_BYTES,
    skipFaulty: options.skipFaulty ?? false,
    encoding: options.encoding,
  };
  if (options.encoding !== undefined) checkEncoding(options.encoding);
  if (options.textColumn !== undefined) read.textColumn = options.textColumn;
  if (options.labelColumn !== undefined) read.labelColumn = options.labelColumn;

  const loaded =
    "train" in spec
      ? await readSplits(corpus, spec, read, options, seed)
      : await readAndSplit(corpus, spec, read, options, seed);
  const { parts, testParts, rowsRead, classesRead, copies, source, split } = loaded;
  const padTo = paddedLength(options.padding ?? "none", parts[0], maxLength);
  const [train, val, test] = parts.map((part) => part.padded(padTo)) as Parts;
  const [, valLeaks, testLeaks] = findLeaks(parts);
  return {
    objective: "classification",
    train,
    val,
    test,
    labels: corpus.labels,
    stats: {
      train: train.stats(),
      val: val.stats(),
      test: test.stats(),
      rowsRead,
      classesRead,
      leftOut: corpus.leftOut,
      copies,
      leaks: { val: valLeaks!.length, test: testLeaks!.length },
      trimmedLabels: corpus.trimmedLabels,
    },
    testParts,
    split,
    maxLength,
    source,
    origin: split === "given" ? origin : { ...origin, split },
  };
}

interface Loaded {
  parts: Parts;
  testParts: LoadedDataset["testParts"];
  rowsRead: number;
  classesRead: Record<string, number>;
  copies: number;
  source: string;
  split: Split | "given";
}

async function readSplits(
  corpus: Corpus,
  spec: { train: DataSource; val: DataSource; test: DataSource },
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Loaded> {
  if (options.split !== undefined)
    throw new ConfigError("a split is invalid for files that are split already", {
      expected: "no split",
      found: `split ${options.split}`,
      hint: "use --split only with --data or --dataset",
    });
  const sources = [spec.train, spec.val, spec.test];
  const sets: Dataset[] = [];
  for (const source of sources) sets.push(await readSource(corpus, source, read));
  const kept = (options.dedupe ? dropCopies(...(sets as Parts)) : sets) as Parts;
  for (const [i, set] of kept.entries())
    if (set.size === 0)
      throw new DataError("A set has only near-duplicates of earlier rows", {
        where: sourceName(sources[i]!),
        found: `${sets[i]!.size} rows, each with an earlier near-duplicate`,
      });
  return {
    parts: (options.balance ? kept.map((set) => set.balance(seed)) : kept) as Parts,
    testParts: [],
    ...counts(sets, kept),
    source: sources.map(sourceName).join(", "),
    split: "given",
  };
}

async function readAndSplit(
  corpus: Corpus,
  spec: { file: DataSource } | { name: string },
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Loaded> {
  if (options.split !== undefined) oneOf("split", options.split, SPLITS);
  const { file, columns, source, split, ...named } =
    "name" in spec
      ? await openNamed(spec.name, options)
      : {
          ...spec,
          columns: {},
          source: sourceName(spec.file),
          split: options.split ?? "random",
          balance: options.split === "experiment",
          fractions: undefined,
          parts: [],
        };
  const all = await readSource(corpus, file, { ...read, ...columns });
  if ("file" in spec) refuseSingles(corpus, all.classes(), source);
  const [kept] = options.dedupe ? dropCopies(all) : [all];
  const { balance = named.balance, fractions = named.fractions ?? [0.7, 0.1, 0.2] } = options;
  const parts = splitDataset(kept, { split, balance, fractions, seed });
  return { parts, testParts: partsOf(parts[2], named.parts), ...counts([all], [kept]), source, split };
}

/** The positions of the rows of each part; `parts` has their names and sizes, in the order in which they were read. */
function partsOf(set: Dataset, parts: readonly { name: string; rows: number }[]): LoadedDataset["testParts"] {
  let end = 0;
  return parts.map(({ name, rows }) => {
    const start = end;
    end += rows;
    return { name, positions: set.positions().filter((i) => start <= set.place(i) && set.place(i) < end) };
  });
}

/** Rows read, rows of each class, and copies dropped. */
function counts(read: readonly Dataset[], kept: readonly Dataset[]) {
  const rows = (sets: readonly Dataset[]) => sets.reduce((n, set) => n + set.size, 0);
  const classes = new Map<string, number>();
  for (const set of read)
    for (const [name, count] of Object.entries(set.classes())) classes.set(name, (classes.get(name) ?? 0) + count);
  return { rowsRead: rows(read), classesRead: Object.fromEntries(classes), copies: rows(read) - rows(kept) };
}

async function readSource(corpus: Corpus, source: DataSource, read: ReadOptions): Promise<Dataset> {
  const file = typeof source === "string" ? await open(source) : source;
  try {
    const hadLabels = corpus.labels.length > 0;
    const rows = await corpus.read(file, read);
    if (!hadLabels) checkLabels(corpus, rows.length, file.name);
    return new Dataset(corpus, rows);
  } finally {
    if (typeof source === "string") await file.close();
  }
}

/** Throws DataError if the labels of a training set are not classes to learn. */
function checkLabels({ labels, labelColumn, labelLines, leftOut }: Corpus, rows: number, file: string): void {
  if (labels.length < 2) {
    const { rows: left, rowErrors } = leftOut;
    throw new DataError("All rows have the same class", {
      where: file,
      expected: "rows of at least two classes",
      found: `"${labels[0]}" in all of ${rows} rows, the first on line ${labelLines[0]}`,
      hint:
        left > 0
          ? `check the ${left} skipped rows, the first at ${rowErrors[0]!.details.where}`
          : "give another --label-column, or add rows of another class",
    });
  }
  refuseScores(labels, labelColumn, `${file}:${labelLines[0]}`);
  if (labels.length === rows && rows > 2)
    throw new DataError(`All labels in "${labelColumn}" are different`, {
      where: file,
      expected: "classes with several rows each",
      found: `${rows} labels in ${rows} rows: ${nameList(labels.map((label, i) => `"${label}" (line ${labelLines[i]})`))}`,
      hint: "give another --label-column",
    });
}

/** Throws DataError if a class of a file that is to be split has one row, which cannot be in all sets. */
function refuseSingles({ labels, labelLines }: Corpus, counts: Record<string, number>, file: string): void {
  const singles = labels.flatMap((label, i) => (counts[label] === 1 ? [{ label, line: labelLines[i]! }] : []));
  if (singles.length === 0) return;
  const [first] = singles.sort((a, b) => a.line - b.line);
  throw new DataError(singles.length === 1 ? "A class has only one row" : "Some classes have only one row", {
    where: `${file}:${first!.line}`,
    expected: "several rows of each class, to train and to test it",
    found: nameList(singles.map(({ label, line }) => `"${label}" (line ${line})`)),
    hint: "check the spelling of the label; add rows of the class, or leave the row out",
  });
}

async function open(path: string): Promise<FileReader> {
  if (await exists(path)) return openFile(path);
  throw new ConfigError("There is no such file", {
    where: path,
    hint: "give the path of a .csv, .tsv, .txt, .jsonl or .json file",
  });
}

function sourceName(source: DataSource): string {
  return typeof source === "string" ? source : source.name;
}

/** The length to which rows are padded; 0: no padding. Throws ConfigError for a number above `maxLength`. */
function paddedLength(padding: Padding, train: Dataset, maxLength: number): number {
  if (padding === "none") return 0;
  if (padding === "longest") return train.stats().max;
  if (Number.isInteger(padding) && padding >= 1 && padding <= maxLength) return padding;
  throw new ConfigError("The padding is invalid", {
    expected: `"none", "longest" or a whole number of tokens from 1 to ${maxLength}`,
    found: String(padding),
  });
}
