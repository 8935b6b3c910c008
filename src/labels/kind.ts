/** What is asked of a kind of labels: how they are read, divided among sets, guessed and shown. Each kind is a file. */
import type { LeftOut } from "../core/places.ts";

/** What a column of a table holds, as far as it may be the label. */
type ColumnKind = "labels" | "flags" | "numbers";

/** What was read of the labels of files: a `Corpus` has it. */
export interface ReadLabels {
  /** The different ones, as they were written, by their ids. */
  labels: readonly string[];
  labelColumn: string;
  /** The columns of labels that have one each. */
  labelColumns: readonly string[] | undefined;
  /** The line where each occurs first. */
  labelLines: readonly number[];
  /** Before decimals of scores. */
  decimalSign: "." | "," | undefined;
}

/** The rows of files, as their labels are checked: a `Corpus`. */
export interface ReadRows extends ReadLabels {
  readonly leftOut: LeftOut;
  /** The label ids of rows. */
  table(rows: Uint32Array, padTo: number): { labels: ArrayLike<number> };
}

/** The outputs of a model, and what each should be. */
export interface Outputs {
  names: readonly string[];
  /** Those whose rows are counted: labels, not scores. */
  counted: readonly string[];
  /**
   * By label id, the value of each output: the score, or 1 for the labels that the message has and 0 for the others.
   */
  values: readonly Float32Array[];
}

/** The rows of a set, as far as their labels matter: a `Dataset`. */
export interface LabelRows {
  readonly size: number;
  label(row: number): number;
  /** What each output of a row should be, where labels are not classes. */
  values(row: number): Float32Array;
}

/** The sets that a baseline is fitted to and tested on. */
export interface BaselineSets<Set> {
  train: Set;
  test: Set;
  labels: readonly string[];
}

/** What labels are that are read as classes, and why. */
export interface Recognized {
  code: string;
  why: string;
  /** The settings with which they are read, besides the objective. */
  settings: string;
}

/** A kind of labels, or `NONE`. `Set`: what it has of rows. */
export interface LabelKind<Set extends { readonly size: number } = { readonly size: number }> {
  /** What has a label. */
  of: "text" | "word" | "nothing";
  /** Whether a text has any number of them: a cell may be empty, and each label may have a column. */
  isList: boolean;
  /** The kinds of columns that may be the label, the likeliest first. */
  columns: readonly ColumnKind[];
  /** How a classic model or a probe is fitted; absent: none is. */
  fit?: "classes" | "labels" | "scores";
  /** What a row in memory has: "label: a number". */
  expected?: string;
  /** The label of a row in memory, as a cell has it; undefined: it is none. */
  readValue?(label: unknown, separator: string): string | number | undefined;
  /** Throws ConfigError if the names of outputs are not ones that rows can have. */
  checkNames?(names: readonly string[]): void;
  /**
   * The rows of a set whose labels can be used; invalid ones are in `leftOut` if they are skipped. Throws DataError for
   * labels that cannot be learned. `before`: the labels of the sets that were read before; `named`: classes.
   */
  takeRows?(
    read: ReadRows,
    rows: Uint32Array<ArrayBuffer>,
    how: { skipFaulty: boolean; before: readonly string[]; file: string; named?: readonly string[] | undefined },
  ): Uint32Array<ArrayBuffer>;
  /**
   * The outputs of all rows that were read, of several labels `first` these; absent: classes are. Throws DataError
   * unless the training set has what can be learned.
   */
  outputs?(
    read: ReadLabels,
    train: Pick<LabelRows, "size" | "label">,
    how: { where: string; separator?: string | undefined; first?: readonly string[] | undefined },
  ): Outputs;
  /** The options with which rows are read again as they were; absent: texts have no order. */
  rereads?(labels: readonly string[]): object;
  /** Labels that were read as classes, of this kind; null: they are not. `classes`: rows by label. */
  recognize?(classes: Readonly<Record<string, number>>): Recognized | null;
  /**
   * The one class of a row, of those of the first file: rows are stratified by it, weighted and reviewed. Absent: it
   * has none.
   */
  classOf?(set: Set, row: number): number;
  /** The classes or labels of a row, in equal shares in all folds. */
  labelsOf(set: Set, row: number): readonly number[];
  /** What is said of a row. */
  answerOf?(set: Set, row: number, labels: readonly string[]): string | number | string[];
  /** What is guessed without reading a text, the simplest last: what each says of the test set. */
  baselines(sets: BaselineSets<Set>): { name: string; values: ArrayLike<number> }[];
}
