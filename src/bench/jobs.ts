/** The protocol between the tokenizer benchmark and its processes: jobs and findings. */

/** A job is a JSON file; `folder` holds the vocabulary in the format of Python's tiktoken. */
export type TokenizerJob = { folder: string } & (TextsJob | WordsJob);

/** Encodes and decodes texts, one call per text. */
export interface TextsJob {
  kind: "texts";
  texts: string[];
  /** How long to repeat, and the minimum and maximum number of repetitions. */
  seconds: number;
  least: number;
  most: number;
}

/** Encodes single words without white space. */
export interface WordsJob {
  kind: "words";
  words: { name: string; word: string }[];
}

/** One finding, written as a line of JSON to stdout. Findings from before a time limit are used. Times are in ms. */
export type Finding =
  | { version: string }
  | { init: number }
  | { first: number }
  /** A hash of the ids of each text. */
  | { ids: string[]; tokens: number }
  | { warm: number[] }
  | { decode: number[]; decoded: number }
  | { name: string; word: number }
  /** Bytes: the growth of the peak resident set size since before the tokenizer was loaded. */
  | { peak: number };
