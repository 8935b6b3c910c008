/** The file of a classic model: plain JSON with scikit-learn's words, which a few lines of any language can use (data/README.md). */
import { LIMITS } from "../io/limits.ts";
import { type MessagesObjective, TASKS } from "../tasks/index.ts";
import type { ClassicParts } from "./parts.ts";
import { ANALYZERS, NGRAMS } from "./tfidf.ts";

export const FORMAT = "lowrank-classic";
export const VERSION = 1;

/** The n-grams of a kind, of the first (0) or the second text (1) of a row. */
export interface StoredVocabulary {
  text: number;
  analyzer: (typeof ANALYZERS)[number];
  ngram_range: readonly number[];
  ngrams: string[];
  /** The training rows that have each: its idf is ln((1 + rows) / (1 + df)) + 1. */
  df: number[];
  /** [outputs, n-grams] */
  coef: number[][];
}

/** Outputs of one for each label, or one for the second of two classes. */
export const countOutputs = (objective: MessagesObjective, labels: number) =>
  TASKS[objective].loss === "cross-entropy" && labels === 2 ? 1 : labels;

/** The bytes of its file, a line for each list; null: it would be larger than what is read. */
export function printClassic({
  tfidf,
  weights,
  objective,
  labels,
  strength: _,
  ...about
}: ClassicParts): Uint8Array | null {
  const outputs = countOutputs(objective, labels.length);
  let first = 0;
  const vocabularies = tfidf.list().map(({ ngrams, rows }, i): StoredVocabulary => {
    const start = first;
    first += ngrams.length;
    const kind = i % ANALYZERS.length;
    const coef = Array.from({ length: outputs }, (_, output) =>
      ngrams.map((_, column) => weights[(start + column) * outputs + output]!),
    );
    const analyzer = ANALYZERS[kind]!;
    return { text: Math.floor(i / ANALYZERS.length), analyzer, ngram_range: NGRAMS[kind]!, ngrams, df: rows, coef };
  });
  const head = { format: FORMAT, version: VERSION, objective, ...about, labels, rows: tfidf.rows };
  const intercept = [...weights.subarray(first * outputs)];
  const printed = `${printLines({ ...head, intercept }).slice(0, -2)},\n"vocabularies": [\n${vocabularies.map(printLines).join(",\n")}\n]}\n`;
  const bytes = new TextEncoder().encode(printed);
  return bytes.length > LIMITS.classic ? null : bytes;
}

const printLines = (object: object) =>
  `{${Object.entries(object)
    .map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`)
    .join(",\n")}\n}`;
