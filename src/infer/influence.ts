/** The influence of each word of a message on its label, by leaving it out. */

import type { TextOrPair } from "../core/pair.ts";
import { hasOneClass } from "../tasks/index.ts";
import type { Classification } from "../tasks/predictions.ts";
import type { Classifier } from "./classifier.ts";

/** A word, or some words that are left out together. */
export interface TextPart {
  /** The text that has them: 0, or 1 in the second of a pair. */
  of: number;
  /** Where they are in the text, white space around them excluded. */
  start: number;
  end: number;
  /**
   * The log-odds of the text's label, ln p / (1 - p), less those without the part: above 0 the part speaks for the
   * label. Of ln 4, the odds fall to a quarter without it, also where the probability stays near 1.
   */
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
 * classified in one call. Null: it has not one class.
 */
export async function measureInfluences(classifier: Classifier, text: TextOrPair): Promise<Influences | null> {
  if (!hasOneClass(classifier.meta.task)) return null;
  const found = [text]
    .flat()
    .map((one) => [...one.matchAll(/\S+/g)].map(({ index, 0: word }) => ({ start: index, end: index + word.length })));
  const words = Math.max(1, Math.ceil(found.flat().length / MOST_PARTS));
  const all = found.flatMap((own, of) =>
    own.flatMap(({ start }, i) =>
      i % words === 0 ? [{ of, start, end: own[Math.min(i + words, own.length) - 1]!.end }] : [],
    ),
  );
  const parts = all.length > 1 ? all : [];
  const variants = parts.map((_, i) => leaveOut(text, parts, new Set([i])));
  const [whole, ...without] = await classifier.classify([text, ...variants]);
  const label = whole!.label!;
  const odds = logOdds(whole!, label);
  return { label, parts: parts.map((part, i) => ({ ...part, influence: odds - logOdds(without[i]!, label) })), words };
}

/** Of a label, against all others. The sum of the others' probabilities has the digits that 1 - p has lost. */
function logOdds({ probabilities }: Classification, label: string): number {
  const { [label]: own, ...others } = probabilities;
  const log = (share: number) => Math.log(Math.max(share, Number.MIN_VALUE));
  return log(own!) - log(Object.values(others).reduce((sum, share) => sum + share, 0));
}

/**
 * A text, or a pair, without some of its parts. The white space behind each goes with it; without the last one, that
 * before it goes.
 */
export function leaveOut(
  text: TextOrPair,
  parts: readonly Pick<TextPart, "of" | "start" | "end">[],
  out: ReadonlySet<number>,
): TextOrPair {
  const shorten = (one: string, of: number) => {
    const own = parts.map((part, i) => ({ ...part, isOut: out.has(i) })).filter((part) => part.of === of);
    const last = own.findLastIndex(({ isOut }) => !isOut);
    const pieces = own.map(({ start, end, isOut }, i) =>
      isOut ? "" : one.slice(start, i === last ? end : own[i + 1]!.start),
    );
    return one.slice(0, own[0]?.start) + pieces.join("") + one.slice(own.at(-1)?.end ?? one.length);
  };
  return typeof text === "string" ? shorten(text, 0) : [shorten(text[0], 0), shorten(text[1], 1)];
}
