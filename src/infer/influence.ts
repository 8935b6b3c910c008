/** The influence of each word of a message on its label, by leaving it out. */
import { predictions } from "../engine/predictions.ts";
import type { Classifier } from "./classifier.ts";

/** A word, or some words that are left out together. */
export interface Part {
  /** Where they are in the text, white space around them excluded. */
  start: number;
  end: number;
  /** The probability of the text's label, less the one without the part: above 0 the part speaks for the label. */
  influence: number;
}

export interface Influences {
  label: string;
  /** In the order of the text; empty for a text of one word. */
  parts: Part[];
  /** Words in a part: 1, or more in a long text. */
  words: number;
}

/**
 * The most parts of a text. Each is one more text to classify: longer texts are divided into parts of several
 * consecutive words.
 */
export const MOST_PARTS = 40;

/** Leave one out: the text is classified without each of its words in turn. All variants are classified in one call. */
export async function measureInfluences(classifier: Classifier, text: string): Promise<Influences> {
  const found = [...text.matchAll(/\S+/g)].map(({ index, 0: word }) => ({ start: index, end: index + word.length }));
  const words = Math.max(1, Math.ceil(found.length / MOST_PARTS));
  const places = found.flatMap(({ start }, i) =>
    i % words === 0 ? [{ start, end: found[Math.min(i + words, found.length) - 1]!.end }] : [],
  );
  const left = places.length > 1 ? places : [];
  const without = left.map(({ start, end }, i) => {
    const next = left[i + 1];
    // The white space behind a part goes with it, that before the last one with the last.
    return next ? text.slice(0, start) + text.slice(next.start) : text.slice(0, left[i - 1]!.end) + text.slice(end);
  });
  const { labels } = classifier;
  const [whole, ...rest] = predictions(await classifier.logits([text, ...without]), labels.length);
  const { label, probability } = whole!;
  const parts = left.map((place, i) => ({ ...place, influence: probability - rest[i]!.probabilities[label]! }));
  return { label: labels[label]!, parts, words };
}
