/** What the benchmark asks a process of a tokenizer to measure, and what it says. */

/** A job is a JSON file; `folder` holds the files of `prepare`. */
export type Job = { folder: string } & (TextsJob | WordsJob);

/** Encodes and decodes texts, each by a call of its own. */
export interface TextsJob {
  kind: "texts";
  texts: string[];
  /** How long to repeat, and at least and at most how often. */
  seconds: number;
  least: number;
  most: number;
}

/** Encodes single words without white space. */
export interface WordsJob {
  kind: "words";
  words: { name: string; word: string }[];
}

/** One finding, a line of JSON on stdout: what was found before a time limit ended the process stays. Times are ms. */
export type Finding =
  | { version: string }
  | { init: number }
  | { first: number }
  /** A hash of the ids of each text. */
  | { ids: string[]; tokens: number }
  | { warm: number[] }
  | { decode: number[]; decoded: number }
  | { name: string; word: number }
  /** Bytes: the largest resident set since before the tokenizer was loaded. */
  | { peak: number };
