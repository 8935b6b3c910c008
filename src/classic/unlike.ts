/** Texts unlike the training data, by the words that both have: of another language, or of no language. */
import type { TextOrPair } from "../pair.ts";
import type { ClassicParts } from "./parts.ts";
import { ANALYZERS, splitWords } from "./tfidf.ts";

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
