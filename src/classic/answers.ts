/** What a classic model makes of texts, and what reads one: all that using one loads. */

import { checkArguments } from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import { isBlank, TEXTS, type TextOrPair } from "../core/pair.ts";
import { parseJson } from "../io/limits.ts";
import { COUNTS } from "../io/peft/peft.ts";
import { TASKS } from "../tasks/index.ts";
import type { Labelled } from "../tasks/predictions.ts";
import { scoreRows } from "./logistic.ts";
import type { ClassicParts } from "./parts.ts";
import { parseClassic } from "./read.ts";
import { ANALYZERS, splitWords } from "./tfidf.ts";

export { readClassic } from "./read.ts";

/** By the file. */
const known = new WeakMap<Uint8Array, ClassicParts>();

/** The word counts of a linear probe, of their file, which is parsed once. Throws FormatError if it is damaged. */
export function readCounts(file: Uint8Array): ClassicParts {
  const parts = known.get(file) ?? parseClassic(parseJson(file, COUNTS), COUNTS);
  known.set(file, parts);
  return parts;
}

/** See `ClassicModel.logits`. */
export async function logitsOf(
  { tfidf, weights, labels: own }: ClassicParts,
  texts: readonly TextOrPair[],
  labels: readonly string[],
): Promise<Float32Array> {
  const scores = scoreRows(await tfidf.transform(texts), weights);
  const outputs = scores.length / texts.length;
  const logits = new Float32Array(texts.length * labels.length);
  for (const [label, name] of labels.entries()) {
    const at = own.indexOf(name);
    const output = at - (own.length - outputs);
    for (let row = 0; row < texts.length; row++)
      logits[row * labels.length + label] = at < 0 ? -Infinity : output < 0 ? 0 : scores[row * outputs + output]!;
  }
  return logits;
}

/** See `ClassicModel.unlike`. */
export async function unlike(parts: ClassicParts, texts: string | readonly TextOrPair[]): Promise<boolean[]> {
  const list = checkTexts(parts, texts);
  return list.map(recognizeUnlike(parts));
}

/** What its task makes of texts. Throws ConfigError for a method of another task, and for pairs in place of texts. */
export async function answer(
  parts: ClassicParts,
  method: "classify" | "score",
  texts: string | readonly TextOrPair[],
): Promise<Labelled[]> {
  const list = checkTexts(parts, texts);
  const { objective, labels } = parts;
  const predicts = TASKS[objective].predicts!;
  if (method !== predicts.method)
    throw new ConfigError("wrong-task", "the model is for another task", { hint: `use ${predicts.method}` });
  const results = predicts.of!(await logitsOf(parts, list, labels), { labels, settings: {} });
  return results.map((result, i) => (isBlank(list[i]!) ? predicts.blank() : result));
}

/** Texts as a list. Throws ConfigError for pairs in place of texts. */
function checkTexts({ pairs }: ClassicParts, texts: string | readonly TextOrPair[]): readonly TextOrPair[] {
  checkArguments({ texts }, { texts: TEXTS });
  const list = [texts].flat();
  const isPair = pairs !== undefined;
  const other = list.find((text) => (typeof text !== "string") !== isPair);
  if (other === undefined) return list;
  throw new ConfigError("wrong-text-count", `the model reads ${isPair ? "pairs of texts" : "single texts"}`, {
    expected: isPair ? "[first, second]" : "a string",
    found: JSON.stringify(other),
  });
}

/** The share of texts like the training data that have as few known words by chance. */
const RARE = 0.01;
/** And of a text's usual share of known words this one: by the first alone long texts of another topic are unlike. */
const FEW = 0.5;
/** A share of 1 would leave no text a chance of an unknown word. */
const MOST = 0.999;

/**
 * What recognises a text that is unlike the training data of a classic model: it has so few of their words as only 1 in
 * 100 texts of their kind.
 */
export function recognizeUnlike({ tfidf }: Pick<ClassicParts, "tfidf">): (text: TextOrPair) => boolean {
  // The vocabularies of a text follow each other, that of words first; of pairs those of the second text are behind.
  const vocabularies = tfidf.list().filter((_, i) => i % ANALYZERS.length === 0);
  // That a row has words which other rows have, too, is as probable as that a new text has words of the rows.
  let [shared, all] = [0, 0];
  const known = vocabularies.map(({ ngrams, rows }) => {
    const words = new Set<string>();
    for (const [i, ngram] of ngrams.entries()) {
      if (ngram.includes(" ")) continue;
      words.add(ngram);
      all += rows[i]!;
      if (rows[i]! > 1) shared += rows[i]!;
    }
    return words;
  });
  const usual = Math.min(MOST, shared / all);
  return (text) => {
    const words = [text].flat().map((one) => [...new Set(splitWords(one))]);
    const count = words.flat().length;
    const found = words.flatMap((some, i) => some.filter((word) => known[i]?.has(word))).length;
    return found < FEW * usual * count && atMost(found, count, usual) < RARE;
  };
}

/** The probability of at most `hits` of `n`, each of which has the probability `p`. */
function atMost(hits: number, n: number, p: number): number {
  let term = (1 - p) ** n;
  let sum = term;
  for (let i = 0; i < hits; i++) {
    term *= ((n - i) / (i + 1)) * (p / (1 - p));
    sum += term;
  }
  return sum;
}
