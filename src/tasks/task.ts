/**
 * What is asked of a task, which is what a model learns. Each has a folder with three files: `task`, what it is in a
 * model and in files, `training`, how it is trained and measured, `words`, what people read of it, with `usage`, what is
 * made with it.
 */
import type { Tree } from "../core/checks.ts";
import type { PairSettings, TextOrPair } from "../core/pair.ts";
import type { Block, Table } from "../document/blocks.ts";
import type { LabelKind, LabelRows } from "../labels/kind.ts";
import type { Columns, Compared, Competitor, Measure, Places } from "./compare.ts";
import type { Evaluation, Evaluations, Splits } from "./evaluation.ts";
import type { Answer, Decision, Labelled } from "./predictions.ts";

/** What a task is in a model and in files. */
export interface Task {
  /** "a regression" */
  title: string;
  /** What has a target, and a row of the head: each text, or each of its tokens. */
  target: "text" | "token";
  /** Whether the model has a head of its own, or that of the language model, whose outputs are the vocabulary. */
  head: "own" | "vocabulary";
  /** As transformers has it: cross-entropy of the one class of a row, or a loss of each output by itself. */
  loss: "cross-entropy" | "squared" | "binary";
  /** The fewest and the most outputs of its own head. */
  outputs: { least: number; most?: number };
  /** PEFT's `task_type`. */
  peft: "SEQ_CLS" | "CAUSAL_LM" | "TOKEN_CLS";
  /** transformers' `problem_type` of the base model's config. */
  problemType?: string;
  /** transformers' module that is its own head: `llama`: where the name differs, of Llama-type models. */
  module?: { name: string; llama?: string; hasBias: boolean };
  /** What texts get of its own head; absent: it writes texts. */
  predicts?: Predictor;
}

/** What is made of the logits of texts. */
export interface Predictor<T = Labelled> {
  /** The method of a `Classifier` that gives it. */
  method: "classify" | "score" | "tag";
  /** That of a blank text. */
  blank(): T;
  /** Those of texts, in order, from finite logits [texts, outputs]; absent: each word has its own (infer/words.ts). */
  of?(logits: Float32Array, model: { labels: readonly string[]; settings: Record<string, unknown> }): T[];
}

/** What is made with a trained model, in words, tables and code. */
export interface Usage<T = Labelled> {
  /** transformers' class that loads the model. */
  transformers: string;
  /** The hub's name of the task. */
  hub: string;
  /** What a model does with `texts` ("messages"): "classifies messages as ham or spam". */
  does(texts: string, labels: readonly string[]): string;
  /** What it says of a text: "ham or spam", or "one of 77 classes", in a question `which` of. It writes texts: nothing. */
  choice?(labels: readonly string[], which?: string): string;
  /** The columns of a table in which it labels the rows, and a row's values in them. */
  columns?(labels: readonly string[]): string[];
  cells?(prediction: T, labels: readonly string[]): (string | number | null)[];
  /** The lines of Python that use `model` and `tokenizer` of transformers; where a text has a target, behind `logits`. */
  python: readonly string[];
  /** The same with transformers.js; where it writes texts, with a pipeline. */
  javascript: readonly string[];
  /** Whether a pipeline of transformers.js, of the hub's name, does it. */
  hasPipeline: boolean;
  /** What differs where it was trained on chats. */
  chat?: Pick<Usage, "does" | "python" | "javascript">;
}

/** Classes that are listed in a sentence. */
export const LISTED = 6;

/** The module of transformers that is the head of tasks of whole texts. */
export const SCORE = { name: "score", hasBias: false };

/** A set that a model is trained or measured on. */
export interface Rows {
  readonly size: number;
}

/** The rows of a labelled set: a `Dataset` is one. */
export interface LabelledRows extends LabelRows {
  text(row: number): TextOrPair;
}

/** A message of the test set, or the beginning of a text. */
export interface Message {
  text: TextOrPair;
  truth: Answer;
  predicted: Answer;
  /** Of a text that is written: what was written before training. */
  before?: string;
  /** Of what is predicted, where that has one. */
  probability?: number;
}

/** The results on the test set. `Details`: what only the task has. */
export interface TestResults<Details = object> {
  /** The run first, then its baselines, the simplest last. */
  compared: [Compared, ...Compared[]];
  /** The name of the baseline that answers in place of the run, being as good and cheaper; absent: the run does. */
  serves?: string;
  /** The run's answers, of which the measures are made: columns of numbers, one entry a row of the test set. */
  rows: Columns;
  /** Some messages that it got right, or nearest, and those that it got most wrong. */
  samples: Message[];
  mistakes: Message[];
  /** A message to try the model with. */
  example: TextOrPair;
  details: Details;
}

/** A part of the test set. */
export interface PartEvaluation extends Evaluation {
  name: string;
}

/** What is measured after the last step of a run that has a test set. */
export interface Results<Details = object> {
  /** Before the first step. Training figures are of at most as many rows as the test set has. */
  before: Evaluations;
  /** With the parameters that are kept. */
  after: Evaluations;
  /** The test rows of each part of the data, after training; empty if the data has no parts. */
  parts: PartEvaluation[];
  /** What was chosen on the validation set, with which all of `after` is measured; null: nothing. */
  decision: ChosenDecision | null;
  /** What is said of the validation rows, by which runs are chosen; absent: there are none, or outputs have no head. */
  val?: Columns;
  test: TestResults<Details>;
}

/** A decision, and what it is like on the validation set. */
export interface ChosenDecision extends Decision {
  /** Precision and recall of the class with the threshold. */
  precision?: number;
  recall?: number;
  /** No threshold reaches the precision that was asked for: the highest that one has; null: no row is of that class. */
  reached?: number | null;
  /** By which rule folds have chosen it, each on its validation set: all of it is their mean. */
  ofFolds?: string;
}

/** What answers are made and measured with. */
export interface MeasuringContext {
  labels: readonly string[];
  /** Training rows of each class. */
  counts: readonly number[];
  options: { calibrate: boolean; threshold: string; positive: string | null };
}

/** What a model, or a baseline, says of the rows of a set. */
export interface Predicted {
  /** A class, a score, or 0 and 1 for each label; the losses of a language model. */
  values: ArrayLike<number>;
  /** [rows, outputs] where outputs have them. */
  probabilities?: ArrayLike<number>;
}

/** What is simple to make, and has to be beaten. */
export interface Baseline extends Omit<Competitor, "columns"> {
  /** What it says of the test set: see `Predicted`. */
  values: ArrayLike<number>;
}

/** Logits, or losses. */
export type Outputs = Float32Array | Float64Array;

/** The answers to all rows of a set, in words. */
export interface Answered {
  truth: readonly Answer[];
  predicted: readonly Answer[];
  /** Of what is predicted. */
  probability?: readonly number[];
  /** [rows, labels] */
  probabilities?: ArrayLike<number>;
}

/** Messages that are kept with the results as mistakes. */
export const MISTAKES = 100;

/** What is said of a test set. */
export interface Described<Details> {
  /** Rows. */
  samples: readonly number[];
  mistakes: readonly number[];
  /** All of them, the most suitable to try the model with first. */
  preferred: readonly number[];
  details: Details;
}

/** What a stored record of a run must have. */
export interface Stored {
  /** The kind of an answer. */
  answer: "text" | "number" | "texts";
  /** The columns of answers, and below which number all of their whole numbers are; Infinity: they are any numbers. */
  columns(labels: number): Readonly<Record<string, number>>;
  details: Tree;
}

/** How a task is trained, and how the answers of its models are made, measured and stored. */
export interface Training<Set extends Rows = Rows, Details extends object = object> {
  /** Defaults of settings, where they are not a classifier's. */
  defaults: Readonly<Record<string, unknown>>;
  /** Defaults in the page, where data is often little. */
  pageDefaults?: Readonly<Record<string, unknown>>;
  /** Settings that it has not, or a word that one of them cannot be ("split stratified"), and why. */
  lacks: Readonly<Record<string, string>>;
  /** What the labels are: data is read, and baselines are made, by it. */
  labels: LabelKind;
  /** The first is what a run is judged by, the second is shown next to it. */
  measures: readonly [Measure, Measure, ...Measure[]];
  /**
   * What logits [rows, outputs] say before anything is chosen; absent: the head is the vocabulary's, and an evaluation
   * has what the device counts.
   */
  answer?(logits: Float32Array, outputs: number): ArrayLike<number>;
  /** What the measures are figures of, from the answers to a set, or to its first rows. */
  columns(set: Set, values: ArrayLike<number>, outputs: number): Columns;
  /** The bias of the head before training; absent: 0. */
  bias?(train: Set): number[];
  /** What the validation set chooses, from the logits of its rows; null: nothing. */
  choose?(context: MeasuringContext, val: Set, logits: Outputs): ChosenDecision | null;
  /** From logits, or from the losses of all targets where the head is the vocabulary's. */
  predict(outputs: Outputs, context: MeasuringContext, decision: Decision | null): Predicted;
  /** The mean loss of all rows of a set, or of those at `at`, with what was chosen; absent: that does not change it. */
  loss?(set: Set, predicted: Predicted, at?: Places): number;
  /** The answers to the rows of a set; absent: it has no messages. */
  answers?(set: Set, predicted: Predicted, context: MeasuringContext): Answered;
  describe(set: Set, predicted: Predicted & { columns: Columns }, context: MeasuringContext): Described<Details>;
  stored: Stored;
}

/** A run, as far as words are made of it: a `RunRecord` is one. */
export interface Shown {
  labels: readonly string[];
  unequal: boolean;
  pairs?: PairSettings;
  options: { threshold: string };
}

/** Data with labels, as far as words are made of it: a `LoadedDataset` is one. */
export interface DataShown<Set extends Rows = Rows> extends Splits<Set> {
  labels: readonly string[];
  stats: Splits<{ classes: Readonly<Record<string, number>> }>;
}

/** What people read of a task. */
export interface Words<Details extends object = object, Set extends Rows = Rows> {
  units: {
    /** "messages" or "blocks" */
    many: string;
    /** What is trained on: "examples", of which a message is one in each epoch. */
    seen: string;
    /** What a set has: "rows". */
    rows: string;
    /** What an evaluation is a mean of: "rows" or "tokens". */
    counted: string;
  };
  /** The loss, with its unit: the title of an axis. */
  loss: string;
  /** In a menu of what labels can be; absent: there are none. */
  choice?: string;
  /** What is learned of messages: "of 3 classes". */
  learned?(labels: number): string;
  /** How labels are read, where that is not plain. */
  reads?(labels: readonly string[]): string;
  /** What is known of its data: the rows of each class. */
  data?(data: DataShown<Set>): Block[];
  /** "284 of 300 test messages right" */
  headline(run: Shown, results: Results<Details>): string;
  /** What is shown of the test set behind the table of baselines. */
  blocks?(run: Shown, results: Results<Details>): Block[];
  /** A table that the run's page alone has. */
  table?(results: Results<Details>): Table;
  /** What to know about the results. */
  notes?(run: Shown, results: Results<Details>): string[];
  /** What the measures are made of: "rows", and why these, if it needs saying. */
  drawn(details: Details): { rows: string; why?: string };
}
