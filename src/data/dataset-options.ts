/** Which data is loaded, and how: the arguments of `loadDataset`, and what those of other data share with them. */
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
} from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import type { BaseModel } from "../io/hf.ts";
import { DOWNLOAD_OPTIONS, type DownloadOptions } from "../io/hub/download-options.ts";
import type { MessagesObjective } from "../tasks/index.ts";
import type { Padding } from "./dataset.ts";
import type { LabelledRow } from "./sets/memory-rows.ts";
import { isOnHub } from "./sets/named.ts";
import { type DataSource, refuseSplit } from "./sets/source.ts";
import type { Split } from "./sets/split.ts";
import { type Files, FRACTIONS } from "./settings.ts";
import type { ColumnChoice } from "./table/columns.ts";
import type { DataModule } from "./wasm.ts";

/**
 * One file or rows in memory to split, three files that are split already, or the name of a data set: one of
 * `DATASETS`, or owner/name on the Hugging Face hub, with `:configuration`, or `@` and a commit, behind it.
 */
export type DatasetSpec =
  | { file: DataSource }
  | { rows: readonly LabelledRow[] }
  | GivenFiles<DataSource>
  | { name: string };

/** Files of sets: where one is missing, a part of the training set is the validation set. */
export type GivenFiles<T> = { train: T } & ({ val: T; test?: T } | { val?: T; test: T });

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
   * The column of what rows belong to, such as a customer: those of one group, and near-duplicates, are in one set, and
   * in one fold of `crossValidate` or `train --folds`. Only of one file or rows in memory that are shuffled. Default:
   * near-duplicates alone.
   */
  groupColumn?: string;
  /**
   * Tables as the review.csv of `train --folds`, in which somebody has looked through the column "correct label": its labels
   * count instead of those of the rows, and rows with "drop" are left out; a class that the data does not have is
   * "new: CLASS" once. Default: labels are as they are.
   */
  corrections?: Files;
  /**
   * Drop rows until all classes are as large as the smallest. Default: the data set's own for a name, otherwise false.
   */
  balance?: boolean;
  /**
   * How to split one file or a named data set, or how to take the validation set from the training set of a data set of
   * the hub that has none. "stratified" and "random" keep near-duplicates (see `stats.leaks`) in one set, unless a class
   * has no other rows. Default: the data set's own for `sms` and `languages`, else "stratified" for classes and "random"
   * for others.
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
  /** Called with the beginning of a table before its columns are found. Default: not called. */
  onTable?: ColumnChoice["onTable"];
  /** The module that stores the rows, with its own vocabulary; its earlier rows are lost. Default: a new one. */
  module?: DataModule;
}

type Kinds<Options> = Readonly<Record<Exclude<keyof Options, keyof ReadingOptions>, FieldKind>>;

const READING: Readonly<Record<keyof ReadingOptions, FieldKind>> = {
  ...{ maxLength: "number?", seed: "number?", fractions: optional(FRACTIONS), encoding: "text?", model: "model?" },
};

export const DATASET_OPTIONS: Kinds<DatasetOptions> = {
  ...{
    objective: "text?",
    textColumn: "text?",
    labelColumn: "text?",
    labelSeparator: "text?",
    split: "text?",
    sheet: "text?",
  },
  ...{ balance: "boolean?", dedupe: "boolean?", skipFaulty: "boolean?", trainRows: "number?", chunkBytes: "number?" },
  ...{ labels: "texts?", padding: "any?", onTable: "function?", module: "any?", groupColumn: "text?" },
  ...{ corrections: "any?" },
  ...{ onProgress: DOWNLOAD_OPTIONS.onProgress, signal: DOWNLOAD_OPTIONS.signal },
};

/** A spec and options as a run stores them: files by absolute path, open files by name. */
export type Origin = Record<string, unknown>;

const isSource = (value: unknown) => isText(value) || isFile(value);
export const SOURCE: Kind = ["a path, or an opened file", isSource];
export const SOURCES: Kind = [
  "a path, an opened file, or an array of these",
  (value) => isSource(value) || isListOf(value, isSource),
];

/** The keys of each form of a spec. */
const SPECS = [["file"], ["rows"], ["train", "val", "test"], ["train", "test"], ["train", "val"], ["name"]];
const FORMS = "{ file }, { rows }, { train, val, test }, without val or test too, or { name }";
const ROWS_KIND: Kind = ["an array of rows", Array.isArray];

/**
 * The origin of a spec and options; of rows in memory their number. Throws ConfigError for a spec that names no data,
 * and for a key that is neither an option in `kinds` nor part of a spec; an origin, which has both, is valid for both
 * arguments.
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

export const pathOf = (one: DataSource) => (typeof one === "string" ? absolutePath(one) : one.name);
