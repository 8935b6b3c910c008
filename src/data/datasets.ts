/** Data sets by name or file: read, balanced, shuffled, split and ready for batches. */
import { exists, openFile, readAsset } from "#platform";
import spamAssassin from "../../data/datasets/spam-assassin.json" with { type: "json" };
import { ConfigError, DataError } from "../errors.ts";
import type { FileReader } from "../platform/reader.ts";
import { nearest } from "./columns.ts";
import { bytesReader, Corpus, type ReadOptions } from "./corpus.ts";
import { Dataset, type DatasetStats, type Padding } from "./dataset.ts";
import { DataModule } from "./wasm.ts";

/** A file by its path, or opened (then its owner closes it). */
export type DataSource = string | FileReader;

/** One file to split, three files that are split already, or the name of a data set that comes with the program. */
export type DatasetSpec =
  | { file: DataSource }
  | { train: DataSource; val: DataSource; test: DataSource }
  | { name: string };

export interface DatasetOptions {
  /** Columns (keys in JSON lines); guessed from usual names or from the values where left out. */
  textColumn?: string;
  labelColumn?: string;
  /** Drop rows until all classes have as many as the smallest. Default: for one file or a name yes, for given splits no. */
  balance?: boolean;
  /** The longest row in tokens; longer ones keep their first. Default 1024, GPT-2's context. */
  maxLength?: number;
  /** Default "none". */
  padding?: Padding;
  /** Seed of the balancing and of the split. Default 1. */
  seed?: number;
  /** Shares of train, val and test. Default 0.7, 0.1, 0.2. */
  fractions?: readonly [number, number, number];
  /** Whether texts can be asked for later. Default true. */
  keepTexts?: boolean;
  /** Bytes read at a time. Default 256 KiB. */
  chunkBytes?: number;
  /** The module to hold the rows; a new one where left out. What it held before is gone. */
  module?: DataModule;
}

export interface LoadedDataset {
  train: Dataset;
  val: Dataset;
  test: Dataset;
  /** Class names by class id. */
  labels: readonly string[];
  stats: {
    train: DatasetStats;
    val: DatasetStats;
    test: DatasetStats;
    /** Rows in the files, before balancing. */
    rowsRead: number;
    /** Invalid UTF-8 sequences that became U+FFFD. */
    invalidUtf8: number;
  };
  /** The longest row allowed, in tokens. */
  maxLength: number;
  /** Where the rows came from, for people. */
  source: string;
}

/** What data/datasets/<name>.json tells of a data set that comes with the program. */
export interface DatasetDescription {
  name: string;
  title: string;
  /** Its file, among those built with the program. */
  file: string;
  columns: { text: string; label: string };
  source: string;
  license: string;
  made: string;
  rows: number;
  labels: Record<string, number>;
  bytes: number;
  sha256: string;
}

/** The data sets that come with the program. */
export const DATASETS: readonly DatasetDescription[] = [spamAssassin];

/** Loads a data set. DataError, FormatError and ConfigError say what is wrong with the data, a file or an option. */
export async function loadDataset(spec: DatasetSpec, options: DatasetOptions = {}): Promise<LoadedDataset> {
  const seed = options.seed ?? 1;
  const maxLength = options.maxLength ?? 1024;
  if (!Number.isInteger(maxLength) || maxLength < 1) {
    throw new ConfigError("No such longest length", { expected: "a whole number of tokens", found: String(maxLength) });
  }
  const corpus = new Corpus(options.module ?? (await DataModule.load()));
  const read: ReadOptions = {
    maxLength,
    keepTexts: options.keepTexts ?? true,
    chunkBytes: options.chunkBytes ?? 1 << 18,
  };
  if (options.textColumn !== undefined) read.textColumn = options.textColumn;
  if (options.labelColumn !== undefined) read.labelColumn = options.labelColumn;

  const { parts, rowsRead, source } =
    "train" in spec
      ? await readSplits(corpus, spec, read, options, seed)
      : await readAndSplit(corpus, spec, read, options, seed);
  const padTo = paddedLength(options.padding ?? "none", parts[0], maxLength);
  const [train, val, test] = parts.map((part) => part.padded(padTo)) as [Dataset, Dataset, Dataset];
  const stats = { train: train.stats(), val: val.stats(), test: test.stats() };
  return {
    train,
    val,
    test,
    labels: corpus.labels,
    stats: { ...stats, rowsRead, invalidUtf8: corpus.invalidUtf8 },
    maxLength,
    source,
  };
}

interface Parts {
  parts: [Dataset, Dataset, Dataset];
  rowsRead: number;
  source: string;
}

async function readSplits(
  corpus: Corpus,
  spec: { train: DataSource; val: DataSource; test: DataSource },
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Parts> {
  const sources = [spec.train, spec.val, spec.test];
  const sets: Dataset[] = [];
  for (const source of sources) sets.push(await readSource(corpus, source, read));
  const parts = (options.balance ? sets.map((set) => set.balance(seed)) : sets) as [Dataset, Dataset, Dataset];
  return { parts, rowsRead: sets.reduce((n, set) => n + set.size, 0), source: sources.map(sourceName).join(", ") };
}

async function readAndSplit(
  corpus: Corpus,
  spec: { file: DataSource } | { name: string },
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Parts> {
  const { file, columns, source } =
    "name" in spec ? await named(spec.name) : { ...spec, columns: {}, source: sourceName(spec.file) };
  const all = await readSource(corpus, file, { ...read, ...columns });
  const kept = (options.balance ?? true) ? all.balance(seed) : all;
  const parts = kept.shuffle(seed).split(options.fractions ?? [0.7, 0.1, 0.2]) as [Dataset, Dataset, Dataset];
  return { parts, rowsRead: all.size, source };
}

/** A data set that comes with the program. */
async function named(name: string) {
  const { file, columns, title } = findDescription(name);
  return {
    file: bytesReader(file, await readAsset(file)),
    columns: { textColumn: columns.text, labelColumn: columns.label },
    source: `${name}: ${title}`,
  };
}

function findDescription(name: string): DatasetDescription {
  const found = DATASETS.find((d) => d.name === name);
  if (found) return found;
  const names = DATASETS.map((d) => d.name);
  throw new ConfigError(`There is no data set "${name}"`, {
    expected: names.join(", "),
    found: name,
    hint: `did you mean "${nearest(name, names)}"? A file of your own needs its path with its extension`,
  });
}

async function readSource(corpus: Corpus, source: DataSource, read: ReadOptions): Promise<Dataset> {
  const file = typeof source === "string" ? await open(source) : source;
  try {
    const learned = corpus.labels.length > 0;
    const rows = await corpus.read(file, read);
    if (corpus.labels.length < 2 && !learned) {
      throw new DataError("One class only", {
        where: file.name,
        expected: "rows of at least two classes",
        found: `"${corpus.labels[0]}" in all of ${rows.length} rows`,
      });
    }
    return new Dataset(corpus, rows);
  } finally {
    if (typeof source === "string") await file.close();
  }
}

async function open(path: string): Promise<FileReader> {
  if (await exists(path)) return openFile(path);
  throw new DataError("There is no such file", {
    where: path,
    hint: "give the path of a .csv, .tsv, .txt or .jsonl file",
  });
}

function sourceName(source: DataSource): string {
  return typeof source === "string" ? source : source.name;
}

/** The length that rows are padded to, 0 for none; a number may be at most the longest length allowed. */
function paddedLength(padding: Padding, train: Dataset, maxLength: number): number {
  if (padding === "none") return 0;
  if (padding === "longest") return train.stats().max;
  if (Number.isInteger(padding) && padding >= 1 && padding <= maxLength) return padding;
  throw new ConfigError("No such padding", {
    expected: `"none", "longest" or a whole number of tokens from 1 to ${maxLength}`,
    found: String(padding),
  });
}
