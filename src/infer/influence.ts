/** The influence of each word of a message on its label, by leaving it out. */

import type { TextOrPair } from "../pair.ts";
import { predictions } from "../tasks/predictions.ts";
import type { Classifier } from "./classifier.ts";

/** A word, or some words that are left out together. */
export interface TextPart {
  /** The text that has them: 0, or 1 in the second of a pair. */
  of: number;
  /** Where they are in the text, white space around them excluded. */
  start: number;
  end: number;
  /** The probability of the text's label, less the one without the part: above 0 the part speaks for the label. */
  influence: number;
}

export interface Influences {
  label: string;
  /** In the order of the texts; empty for a text of one word. */
  parts: TextPart[];
  /** Words in a part: 1, or more in a long text. */
  words: number;
}

/**
 * The most parts of a text. Each is one more text to classify: longer texts are divided into parts of several
 * consecutive words.
 */
export const MOST_PARTS = 40;

/**
 * Leave one out: the text, or each of a pair, is classified without each of its words, one at a time. All variants are
 * classified in one call.
 */
export async function measureInfluences(classifier: Classifier, text: TextOrPair): Promise<Influences> {
  const texts = [text].flat();
  const found = texts.map((one) =>
    [...one.matchAll(/\S+/g)].map(({ index, 0: word }) => ({ start: index, end: index + word.length })),
  );
  const words = Math.max(1, Math.ceil(found.flat().length / MOST_PARTS));
  const places = found.map((all) =>
    all.flatMap(({ start }, i) =>
      i % words === 0 ? [{ start, end: all[Math.min(i + words, all.length) - 1]!.end }] : [],
    ),
  );
  const left = places.flatMap((own, of) =>
    own.map((place, i) => ({ ...place, of, rest: leaveOut(texts[of]!, own, i) })),
  );
  const parts = left.length > 1 ? left : [];
  const variants = parts.map(({ of, rest }): TextOrPair => {
    if (typeof text === "string") return rest;
    return of === 0 ? [rest, text[1]] : [text[0], rest];
  });
  const { labels } = classifier;
  const [whole, ...without] = predictions(await classifier.logits([text, ...variants]), labels.length);
  const { label, probability } = whole!;
  return {
    label: labels[label]!,
    parts: parts.map(({ rest: _, ...place }, i) => {
      return { ...place, influence: probability - without[i]!.probabilities[label]! };
    }),
    words,
  };
}

/** A text without one of its parts. The white space behind it goes with it, that before the last one with the last. */
function leaveOut(text: string, parts: readonly Pick<TextPart, "start" | "end">[], i: number): string {
  const next = parts[i + 1];
  return next
    ? text.slice(0, parts[i]!.start) + text.slice(next.start)
    : text.slice(0, parts[i - 1]?.end ?? 0) + text.slice(parts[i]!.end);
}
