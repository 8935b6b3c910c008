/** Data sets by name or file: read, balanced, shuffled, split and ready for batches. */
import { absolutePath } from "#platform";
import {
  checkOptions,
  type FieldKind,
  type Fields,
  isFile,
  isListOf,
  isText,
  type Kind,
  optional,
  parseChoice,
} from "../checks.ts";
import { usualLength } from "../config.ts";
import { ConfigError } from "../errors.ts";
import type { BaseModel } from "../io/hf.ts";
import { DOWNLOAD_OPTIONS, type DownloadOptions } from "../io/hub/download-options.ts";
import type { PairSettings } from "../pair.ts";
import { setting } from "../setting.ts";
import type { Splits } from "../tasks/evaluation.ts";
import { DEFAULT_OBJECTIVE, type MessagesObjective, OBJECTIVES, readsTokens } from "../tasks/index.ts";
import type { LabelKind } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";
import { CHUNK_BYTES, Corpus, type LeftOut, type ReadOptions } from "./corpus.ts";
import type { Corrected } from "./corrections.ts";
import { addClasses, type Dataset, type DatasetStats, type Padding } from "./dataset.ts";
import { findLeaks } from "./duplicates.ts";
import type { LabelledRow } from "./memory-rows.ts";
import { isOnHub, openNamed } from "./named.ts";
import { LIST_SEPARATOR, ROWS } from "./places.ts";
import { checkDataSettings, type Files, FRACTIONS } from "./settings.ts";
import {
  checkSingles,
  counts,
  type DataSource,
  isFolder,
  type Loaded,
  readSource,
  refuseSplit,
  sourceName,
  splitLoaded,
  USUAL_FRACTIONS,
  withoutCopies,
} from "./source.ts";
import { defaultSplit, drawRows, type Groups, type Parts, refuseExperiment, type Split } from "./split.ts";
import type { ColumnChoice } from "./table/columns.ts";
import { knownFormat } from "./table/dialect.ts";
import { checkEncoding } from "./table/encoding.ts";
import type { Combined } from "./table/labels.ts";
import { DataModule } from "./wasm.ts";

export type { DataSource } from "./source.ts";

/**
 * One file or rows in memory to split, three files that are split already, or the name of a data set: one of
 * `DATASETS`, or owner/name on the Hugging Face hub, with `:configuration`, or `@` and a commit, behind it.
 */
export type DatasetSpec =
  | { file: DataSource }
  | { rows: readonly LabelledRow[] }
  | { train: DataSource; val: DataSource; test: DataSource }
  | { name: string };

/** How data is read, whatever is learned of it. */
export interface ReadingOptions {
  /** The longest row in tokens: others are cut, texts into blocks. Default: the context of `model`, at most 1024. */
  maxLength?: number;
  /** Seed of the split, and of what is drawn before it. Default 1. */
  seed?: number;
  /**
   * Shares of train, val and test. Default 0.7, 0.1, 0.2; of texts 0.8, 0.1, 0.1; the data set's own for a name. With
   * `[1, 0, 0]` all rows are trained on: nothing is measured on others, and the parameters of the last step are kept.
   */
  fractions?: readonly [number, number, number];
  /** Encoding of files without a byte order mark, by a name of the Encoding Standard. Default "utf-8". */
  encoding?: string;
  /** The model, from `loadModel`, whose tokenizer reads the rows. Default: GPT-2's tokenizer. */
  model?: BaseModel;
}

/** Options of `loadDataset`. */
export interface DatasetOptions extends ReadingOptions, Pick<DownloadOptions, "onProgress" | "signal"> {
  /**
   * What the labels are: classes, of which a message has one (default); numbers (`regression`), all with a point before
   * decimals or all with a comma; or any number of labels a message, with `labelSeparator` between them and none in an
   * empty cell (`multi-label`).
   */
  objective?: MessagesObjective;
  /** What is between several labels of a message. Default "|". */
  labelSeparator?: string;
  /**
   * The first classes, or labels of several, in this order, whether rows have them or not. Default: those of the rows
   * alone, which are sorted behind these.
   */
  labels?: readonly string[];
  /**
   * The column of the texts; in JSON a key, or the path to a nested one (`message.body`). Default: chosen by its name
   * or values (see `chosen`). Pairs of texts are in two columns, with a comma between their names: "question,answer".
   */
  textColumn?: string;
  /**
   * The column of the labels, named as the text's. Default: chosen by its name or values. Several labels a message can
   * have a column each, with 1 where a message has the label, else 0: all of them with commas between their names.
   */
  labelColumn?: string;
  /** The sheet of an Excel file. Default: the only visible one that has cells. */
  sheet?: string;
  /**
   * The column of what rows belong to, such as a customer: those of one group are in one fold of `crossValidate` or
   * `train --folds`. Only of one file or rows in memory, all in the training set. Default: rows are by themselves.
   */
  groupColumn?: string;
  /**
   * Tables as the review.csv of `train --folds`, in which somebody has filled the column "correct label": their labels
   * count instead of those of the rows, and rows with "drop" are left out. Default: labels are as they are.
   */
  corrections?: Files;
  /**
   * Drop rows until all classes are as large as the smallest. Default: the data set's own for a name, otherwise false.
   */
  balance?: boolean;
  /**
   * How to split one file or a named data set, or how to take the validation set from the training set of a data set of
   * the hub that has none. Default: the data set's own for `sms` and `languages`, else "stratified" for classes and
   * "random" for others.
   */
  split?: Split;
  /** Drop rows with an earlier near-duplicate (see `stats.leaks`), before balancing and splitting. Default false. */
  dedupe?: boolean;
  /**
   * Learn from about so many rows, drawn by the seed, each class in proportion; the validation set shrinks by the same
   * factor, the test set stays. Default: from all of the training set.
   */
  trainRows?: number;
  /** Whether rows are padded with tokens that count, as in the published program. Default "none". */
  padding?: Padding;
  /**
   * Skip invalid rows, and classes with one row, and report them in `stats.leftOut` instead of throwing. Default false.
   */
  skipFaulty?: boolean;
  /** Bytes read at a time. Default 256 KiB. */
  chunkBytes?: number;
  /** Called with the names and the first rows of a table before its columns are found. Default: not called. */
  onColumns?: ColumnChoice["onColumns"];
  /** The module that stores the rows, with its own vocabulary; its earlier rows are lost. Default: a new one. */
  module?: DataModule;
}

type Kinds<Options> = Readonly<Record<Exclude<keyof Options, keyof ReadingOptions>, FieldKind>>;

const READING: Readonly<Record<keyof ReadingOptions, FieldKind>> = {
  ...{ maxLength: "number?", seed: "number?", fractions: optional(FRACTIONS), encoding: "text?", model: "model?" },
};

const OPTIONS: Kinds<DatasetOptions> = {
  ...{
    objective: "text?",
    textColumn: "text?",
    labelColumn: "text?",
    labelSeparator: "text?",
    split: "text?",
    sheet: "text?",
  },
  ...{ balance: "boolean?", dedupe: "boolean?", skipFaulty: "boolean?", trainRows: "number?", chunkBytes: "number?" },
  ...{ labels: "texts?", padding: "any?", onColumns: "function?", module: "any?", groupColumn: "text?" },
  ...{ corrections: "any?" },
  ...{ onProgress: DOWNLOAD_OPTIONS.onProgress, signal: DOWNLOAD_OPTIONS.signal },
};

/** Sets that are split and encoded, whatever is learned of them. */
export interface LoadedSets<Set> extends Splits<Set> {
  /** Class names by class id; the names of several labels a message; of a regression "score"; of texts none. */
  labels: readonly string[];
  /** The group of each row of a `groupColumn`, by its place. */
  groups?: Groups;
  /** The fingerprint of the vocabulary that the rows are encoded with. */
  vocabulary: string;
  /** The longest row allowed, in tokens. */
  maxLength: number;
  /** Where the rows came from, to print. */
  source: string;
  /** The same with the options, as arguments for the function that has loaded them. */
  origin: Origin;
}

/** Messages with labels, split and encoded: what `loadDataset` returns. */
export interface LoadedDataset extends LoadedSets<Dataset> {
  objective: MessagesObjective;
  stats: Splits<DatasetStats> & {
    /** Rows in the files, before balancing, and those of each class or label. */
    rowsRead: number;
    classesRead: Record<string, number>;
    leftOut: LeftOut;
    /** Rows that were dropped as near-duplicates of an earlier row. */
    copies: number;
    /** What `corrections` have changed; absent: there were none. */
    corrected?: Corrected;
    /** Rows of the training and the validation set that `trainRows` left out. */
    undrawn: number;
    /**
     * Rows of val with a near-duplicate in train, and rows of test with one in train or val: the texts differ only in
     * numbers, punctuation, white space and case.
     */
    leaks: { val: number; test: number };
    /** Labels that look like several in one. */
    combined: Combined | null;
  };
  /** The test rows of each part of a named data set that has several. */
  testParts: readonly { name: string; positions: Uint32Array }[];
  /** How the data was split; "given" if by separate files. */
  split: Split | "given";
  /** Pairs of texts: their columns, and what is between their tokens. */
  pairs?: PairSettings;
  /** Which columns were chosen and why, if their names do not say it. */
  chosen?: string;
}

/** A spec and options as a run stores them: files by absolute path, open files by name. */
export type Origin = Record<string, unknown>;

const isSource = (value: unknown) => isText(value) || isFile(value);
export const SOURCE: Kind = ["a path, or an opened file", isSource];
export const SOURCES: Kind = [
  "a path, an opened file, or an array of these",
  (value) => isSource(value) || isListOf(value, isSource),
];

/** The keys of each form of a spec. */
const SPECS = [["file"], ["rows"], ["train", "val", "test"], ["name"]];
const FORMS = "{ file }, { rows }, { train, val, test } or { name }";
const ROWS_KIND: Kind = ["an array of rows", Array.isArray];

/**
 * The origin of a spec and options; of rows in memory their number. Throws ConfigError for a spec that names no data, and for a key that is neither an
 * option in `kinds` nor part of a spec; an origin, which has both, is valid for both arguments.
 */
export function parseOrigin(spec: object | string, options: object, source: Kind, own: Fields): Origin {
  if (typeof spec === "string") {
    const key = isOnHub(spec) || !/\.\w+$/.test(spec) ? "name" : "file";
    throw new ConfigError("invalid-argument", `spec: the string ${JSON.stringify(spec)}`, {
      expected: FORMS,
      hint: `did you mean { ${key}: ${JSON.stringify(spec)} }?`,
    });
  }
  if (Array.isArray(spec))
    throw new ConfigError("invalid-argument", "spec: an array", {
      expected: FORMS,
      hint: "did you mean { rows: [...] }?",
    });
  const file = optional(source);
  const kinds = { ...own, ...READING };
  const rows = optional(ROWS_KIND);
  const both = { file, rows, train: file, val: file, test: file, name: "text?", ...kinds } as const;
  checkOptions("spec", spec, both);
  checkOptions("options", options, both);
  const given = spec as Record<string, DataSource | readonly DataSource[]>;
  const keys = SPECS.find((some) => some.every((key) => given[key] !== undefined));
  if (!keys)
    throw new ConfigError("no-data-source", "spec: it names no data to load", {
      expected: FORMS,
      found: Object.keys(spec).join(", ") || "nothing",
    });
  if (keys.includes("train") && (options as ReadingOptions).fractions)
    refuseSplit("fractions", (options as ReadingOptions).fractions);
  const stray = Object.keys(kinds).find((key) => given[key] !== undefined && !(key in options));
  if (stray !== undefined)
    throw new ConfigError("invalid-argument", `spec: ${stray} is an option`, {
      expected: `{ ${keys.join(", ")} }, { ${stray} }`,
    });
  const named = keys.map((key) => {
    const some = given[key] as DataSource | readonly DataSource[];
    if (key === "name") return [key, some];
    if (key === "rows") return [key, (some as readonly unknown[]).length];
    return [key, Array.isArray(some) ? some.map(pathOf) : pathOf(some as DataSource)];
  });
  // Modules, signals and callbacks cannot be stored.
  const plain = Object.entries(options).filter(
    ([, value]) => Array.isArray(value) || !/object|function|undefined/.test(typeof value),
  );
  return { ...Object.fromEntries(plain), ...Object.fromEntries(named) };
}

const pathOf = (one: DataSource) => (typeof one === "string" ? absolutePath(one) : one.name);

/**
 * Loads a data set. Throws DataError, FormatError or ConfigError if the data, a file or an option is invalid.
 *
 * @example
 * ```ts
 * import { loadDataset } from "lowrank";
 *
 * const data = await loadDataset({ file: "messages.csv" }, { dedupe: true });
 * console.log(data.labels, data.train.size, data.stats.leaks.test);
 *
 * const reviews = await loadDataset({ name: "stanfordnlp/imdb" }); // of the Hugging Face hub, downloaded once
 *
 * const rows = [{ text: "see you at noon", label: "ham" }, { text: "you have won", label: "spam" }]; // and many more
 * const mine = await loadDataset({ rows });
 * ```
 */
export async function loadDataset(spec: DatasetSpec, options: DatasetOptions = {}): Promise<LoadedDataset> {
  const origin = parseOrigin(spec, options, SOURCE, OPTIONS);
  const seed = options.seed ?? 1;
  const maxLength = options.maxLength ?? usualLength(options.model?.config);
  const [objective, labelsAre] = parseMessagesObjective(options);
  const { trainRows, labelSeparator } = options;
  const module = options.module ?? (await DataModule.load(options.model));
  const corpus = new Corpus(module);
  const read: ReadOptions = {
    labelsAre,
    maxLength,
    chunkBytes: options.chunkBytes ?? CHUNK_BYTES,
    skipFaulty: options.skipFaulty ?? false,
    encoding: options.encoding,
    sheet: options.sheet,
    labelSeparator,
    labels: options.labels,
    onColumns: options.onColumns,
  };
  if (options.labels) (await import("./table/label-faults.ts")).checkNames(options.labels, labelsAre);
  if (options.split === "experiment" && !("name" in spec && !isOnHub(spec.name))) refuseExperiment();
  if (options.encoding !== undefined) checkEncoding(options.encoding);
  if (options.textColumn !== undefined) read.textColumn = options.textColumn;
  if (options.labelColumn !== undefined) read.labelColumn = options.labelColumn;

  const loaded =
    "train" in spec
      ? await readSplits(corpus, spec, read, options, seed)
      : "name" in spec && isOnHub(spec.name)
        ? await (await import("./hub-rows.ts")).readHub(corpus, spec.name, read, options, seed)
        : ((await readFolders(corpus, spec, read, options, seed)) ??
          (await readAndSplit(corpus, spec, read, options, seed)));
  const { groupColumn, corrections } = options;
  if (groupColumn !== undefined && !loaded.groups) refuseGroups(groupColumn);
  if (corrections !== undefined && !loaded.corrected) refuseCorrections(loaded.source);
  const { groups, testParts, rowsRead, copies, source, split, name } = loaded;
  const parts = trainRows === undefined ? loaded.parts : drawRows(loaded.parts, trainRows, labelsAre, seed);
  const padTo = paddedLength(options.padding ?? "none", parts[0], maxLength);
  const outputs =
    labelsAre === "class"
      ? null
      : (await import("./outputs.ts")).makeOutputs(corpus, labelsAre, parts[0], {
          where: source,
          separator: "rows" in spec ? LIST_SEPARATOR : labelSeparator,
          first: options.labels,
        });
  const [train, val, test] = parts.map((part) => part.padded(padTo).withOutputs(outputs)) as Parts;
  const [, valLeaks, testLeaks] = findLeaks(parts);
  const { pairColumns: columns } = corpus;
  const classesRead = outputs ? addClasses([train, val, test]) : loaded.classesRead;
  const names = Object.keys(classesRead);
  const mayBeCombined = names.some((label) => /[|;,]/.test(label));
  return {
    objective,
    train,
    val,
    test,
    labels: outputs?.names ?? corpus.labels,
    stats: {
      train: train.stats(),
      val: val.stats(),
      test: test.stats(),
      rowsRead,
      classesRead,
      leftOut: corpus.leftOut,
      copies,
      ...(loaded.corrected ? { corrected: loaded.corrected } : {}),
      undrawn: sizeOf(loaded.parts) - sizeOf(parts),
      leaks: { val: valLeaks!.length, test: testLeaks!.length },
      combined: mayBeCombined ? (await import("./table/label-faults.ts")).findCombined(names) : null,
    },
    testParts,
    split,
    ...(groups ? { groups } : {}),
    vocabulary: module.vocabulary.fingerprint,
    maxLength,
    ...(columns ? { pairs: { columns } } : {}),
    ...(corpus.chosen ? { chosen: corpus.chosen.why } : {}),
    source,
    origin: {
      ...origin,
      ...(split === "given" ? {} : { split }),
      ...(name === undefined ? {} : { name }),
      ...(corrections === undefined ? {} : { corrections: [corrections].flat().map(pathOf) }),
      ...(columns && !("rows" in spec) ? { textColumn: columns.join() } : {}),
      ...corpus.chosen?.columns,
    },
  };
}

const sizeOf = (parts: Parts) => parts.reduce((sum, { size }) => sum + size, 0);

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
  const { folderSets } = await import("./folder.ts");
  const sets = await folderSets(spec.file);
  if (!sets) return null;
  return (await import("./given-sets.ts")).readGivenSets(corpus, sets, spec.file, read, options, seed);
}

async function readAndSplit(
  corpus: Corpus,
  spec: Exclude<DatasetSpec, { train: DataSource }>,
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Loaded> {
  const { file, columns, source, split, ...named } =
    "name" in spec
      ? await openNamed(spec.name, options)
      : {
          ...("rows" in spec ? await openRows(corpus, spec.rows, read, options) : { file: spec.file, columns: {} }),
          source: "rows" in spec ? ROWS : sourceName(spec.file),
          split: options.split ?? defaultSplit(read.labelsAre),
          balance: false,
          fractions: undefined,
          parts: [],
        };
  const whole = await readSource(corpus, file, { ...read, ...columns });
  const { corrections, groupColumn, model } = options;
  const loadModule = () => DataModule.load(model);
  const { rows: all, corrected } =
    corrections === undefined
      ? { rows: whole }
      : await (await import("./corrections.ts")).correctRows(corpus, whole, read, corrections, loadModule);
  const { balance = named.balance, fractions = named.fractions ?? USUAL_FRACTIONS } = options;
  // Where nothing is tested, a class may have one row.
  const isChecked = !("name" in spec) && read.labelsAre === "class" && fractions[2] > 0;
  const used = isChecked ? await checkSingles(corpus, all, source, read.skipFaulty) : all;
  const loaded = splitLoaded(used, split, { ...options, balance, fractions }, seed);
  const testParts = locateParts(loaded.parts[2], named.parts);
  const rest = { testParts, source, ...(corrected ? { corrected } : {}) };
  if (groupColumn === undefined || fractions[0] !== 1) return { ...loaded, ...rest };
  const { readGroups } = await import("./groups.ts");
  const ofGroups = { ...read, ...columns, labelColumn: groupColumn };
  const groups = await readGroups(new Corpus(await loadModule()), file, ofGroups, whole.size);
  return { ...loaded, ...rest, groups };
}

/** The error for corrections of rows that are not of one file. */
function refuseCorrections(found: string): never {
  throw new ConfigError("option-without-effect", `${setting("corrections")} needs the rows of one file`, {
    expected: setting("data"),
    found,
  });
}

/** The error for groups of rows that are not to be divided into folds. */
function refuseGroups(column: string): never {
  throw new ConfigError("option-without-effect", `${setting("groupColumn")} has an effect on folds alone`, {
    expected: `one file, and ${setting("folds", 5)}`,
    found: setting("groupColumn", column),
  });
}

/** Rows in memory as a file, and its columns. */
async function openRows(
  { leftOut }: Corpus,
  rows: readonly LabelledRow[],
  { labelsAre }: ReadOptions,
  options: DatasetOptions,
) {
  const { rowsFile } = await import("./memory-rows.ts");
  const { leftOut: invalid, ...read } = rowsFile(rows, { ...options, labelsAre });
  leftOut.rows += invalid.rows;
  leftOut.rowErrors.push(...invalid.rowErrors);
  return read;
}

/** What is learned of the messages. Throws ConfigError for an unknown objective, and for options that it has not. */
function parseMessagesObjective(options: DatasetOptions): [objective: MessagesObjective, labelsAre: LabelKind] {
  const known = OBJECTIVES.filter((one): one is MessagesObjective => !readsTokens({ objective: one }));
  const objective = parseChoice("objective", options.objective ?? DEFAULT_OBJECTIVE, known);
  checkDataSettings(options, objective);
  if (options.labelSeparator === "")
    throw new ConfigError("invalid-value", `${setting("labelSeparator")} is empty`, {
      expected: 'a sign such as "," or ";"',
    });
  return [objective, TRAINING[objective].labels!];
}

/** The positions of the rows of each part; `parts` has their names and sizes, in the order in which they were read. */
function locateParts(set: Dataset, parts: readonly { name: string; rows: number }[]): LoadedDataset["testParts"] {
  let end = 0;
  return parts.map(({ name, rows }) => {
    const start = end;
    end += rows;
    return { name, positions: set.positions().filter((i) => start <= set.place(i) && set.place(i) < end) };
  });
}

/** The length to which rows are padded; 0: no padding. Throws ConfigError for a number above `maxLength`. */
function paddedLength(padding: Padding, train: Dataset, maxLength: number): number {
  if (padding === "none") return 0;
  if (padding === "longest") return train.stats().max;
  if (Number.isInteger(padding) && padding >= 1 && padding <= maxLength) return padding;
  throw new ConfigError("invalid-value", "The padding is invalid", {
    expected: `"none", "longest" or a whole number of tokens from 1 to ${maxLength}`,
    found: String(padding),
  });
}
