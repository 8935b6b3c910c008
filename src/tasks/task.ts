/**
 * What is asked of a task, which is what a model learns. Each has a file with three exports, so that a page loads what
 * it needs: `task`, what it is in a model and in files, `training`, how it is trained and measured, and `words`, what
 * people read of it.
 */
import type { Block, Table } from "../document/blocks.ts";
import type { PairSettings, TextOrPair } from "../pair.ts";
import type { Columns, Compared } from "./compare.ts";
import type { Evaluation, Splits } from "./evaluation.ts";
import type { Classification, Decision, Scored } from "./predictions.ts";

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
  /** transformers' class that loads the model. */
  transformers: string;
  /** transformers' module that is its own head: of a GPT-2 and of a Llama-type model, and whether it has a bias. */
  module?: { gpt2: string; llama: string; hasBias: boolean };
  /** The hub's name. */
  hub: string;
  /** What texts get of its own head; absent: it writes texts. */
  predicts?: Predictor;
}

/** What is made of the logits of texts. */
export interface Predictor<T = Classification | Scored> {
  /** The method of a `Classifier` that gives it. */
  method: "classify" | "score";
  /** That of a blank text. */
  blank(): T;
  /** Those of texts, in order, from finite logits [texts, outputs]. */
  of(logits: Float32Array, model: { labels: readonly string[]; settings: Record<string, unknown> }): T[];
  /** The columns of a labelled table, and a row's values in them. */
  columns(labels: readonly string[]): string[];
  cells(prediction: T, labels: readonly string[]): (string | number | null)[];
}

/** How others use a trained model, in words and code. */
export interface Usage {
  /** What a model does with `texts` ("messages"): "classifies messages as ham or spam". */
  does(texts: string, labels: readonly string[]): string;
  /** What it says of a text: "ham or spam". Where it writes texts: nothing. */
  choice?(labels: readonly string[]): string;
  /** The lines of Python that use `model` and `tokenizer` of transformers; of its own head, behind `logits`. */
  python: readonly string[];
  /** The same with transformers.js; where it writes texts, with a pipeline. */
  javascript: readonly string[];
  /** Whether a pipeline of transformers.js, of the hub's name, does it. */
  hasPipeline: boolean;
}

/** Classes that are listed in a sentence. */
export const LISTED = 6;

/** What learns of whole texts has in common: how PEFT, transformers and the hub know it. */
export const OF_TEXTS = {
  peft: "SEQ_CLS",
  transformers: "AutoModelForSequenceClassification",
  module: { gpt2: "score", llama: "score", hasBias: false },
  hub: "text-classification",
} as const;

/** The rows of a labelled set, as far as a task asks: a `Dataset` is one. */
export interface LabelledRows {
  readonly size: number;
  text(row: number): TextOrPair;
  /** The class of a row. */
  label(row: number): number;
  /** What each output of a row should be, where labels are not classes. */
  values(row: number): Float32Array;
}

/** An answer, true or predicted: a class, a score, labels. */
export type Answer = string | number | readonly string[];

/** A message of the test set. */
export interface Message {
  text: TextOrPair;
  truth: Answer;
  predicted: Answer;
  /** The probability of what is predicted, where it has one. */
  probability?: number;
}

/** The results on the test set. `Details`: what only the task has. */
export interface TestResults<Details = object> {
  /** The run first, then its baselines, the simplest last. */
  compared: [Compared, ...Compared[]];
  /** The run's rows, of which the measures are made: a column of numbers each. */
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

/** What is measured after the last step. */
export interface Results<Details = object> {
  /** Before the first step. Training figures are of at most as many rows as the test set has. */
  before: Splits<Evaluation>;
  /** With the parameters that are kept. */
  after: Splits<Evaluation>;
  /** The test rows of each part of the data, after training; empty if the data has no parts. */
  parts: PartEvaluation[];
  /** What was chosen on the validation set, with which all of `after` is measured; null: nothing. */
  decision: ChosenDecision | null;
  test: TestResults<Details>;
}

/** A decision, and what it is like on the validation set. */
export interface ChosenDecision extends Decision {
  /** Precision and recall of the class with the threshold. */
  precision?: number;
  recall?: number;
  /** No threshold reaches the precision that was asked for: the highest that one has; null: no row is of that class. */
  reached?: number | null;
}

/** One class a message, a number, or any number of labels. */
export type LabelKind = "class" | "score" | "set";

/** How a task is trained and measured. */
export interface Training {
  /** Defaults of settings, where they are not a classifier's. */
  defaults: Readonly<Record<string, unknown>>;
  /** Defaults in the page, where data is often little. */
  pageDefaults?: Readonly<Record<string, unknown>>;
  /** Settings that it has not, or a word that one of them cannot be ("split stratified"), and why. */
  lacks: Readonly<Record<string, string>>;
  /** What the labels of messages are; null: there are none. Labels are read, and baselines made, by it. */
  labels: LabelKind | null;
}

/** A run, as far as words are made of it: a `RunRecord` is one. */
export interface Shown {
  labels: readonly string[];
  unequal: boolean;
  pairs?: PairSettings;
  results: Results | null;
}

/** What people read of a task. */
export interface Words {
  /** "message" or "block", and of many. */
  unit: readonly [one: string, many: string];
  /** "94.5 % of 300 test messages correct" */
  headline(run: Shown, results: Results): string;
  /** What is shown of the test set behind the table of baselines. */
  blocks(run: Shown, results: Results): Block[];
  /** Tables that a run's directory has in full, in addition to that of the baselines. */
  tables(run: Shown, results: Results): Table[];
}
