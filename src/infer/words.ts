/** How a token classifier reads texts. Few do: it is loaded on demand. */

import type { TextOrList } from "../core/pair.ts";
import { splitWords, type Word, WordEncoder } from "../data/text/words.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { predictions, type TaggedText } from "../tasks/predictions.ts";
import { type Entity, entityFinder } from "../tasks/tokens/entities.ts";

/** A text as the model reads it: its token ids, its words, and the first token of each. */
interface ReadText {
  text: string;
  words: readonly Word[];
  ids: Uint32Array;
  firsts: Uint32Array;
}

/** Words that are given, as those of a text in which a space is between them. */
function placeWords(words: readonly string[]): Word[] {
  let end = -1;
  return words.map((text) => {
    const start = end + 1;
    end = start + text.length;
    return { text, start, end };
  });
}

/** Texts, with their words as far as they fit: those that are given, or into which they are divided. */
export function encodeWords(tokenizer: Tokenizer, texts: readonly TextOrList[], most: number): ReadText[] {
  const encoder = new WordEncoder(tokenizer);
  return texts.map((given) => {
    const [text, words] = typeof given === "string" ? [given, splitWords(given)] : [given.join(" "), placeWords(given)];
    const encoded = encoder.encode(
      words.map((word) => word.text),
      most,
    );
    return { text, words: words.slice(0, encoded.firsts.length), ...encoded };
  });
}

/** The entities of texts, from the logits [tokens, labels] of all of their tokens. */
export function readEntities(
  texts: readonly ReadText[],
  logits: Float32Array,
  labels: readonly string[],
): TaggedText[] {
  const tokens = predictions(logits, labels.length);
  const find = entityFinder(labels);
  let start = 0;
  return texts.map(({ text, words, ids, firsts }) => {
    const own = Array.from(firsts, (first) => tokens[start + first]!);
    start += ids.length;
    const span = ({ type, first, last }: Entity) => {
      const place = { start: words[first]!.start, end: words[last]!.end };
      const probability = Math.min(...own.slice(first, last + 1).map((one) => one.probability));
      return { label: type, text: text.slice(place.start, place.end), ...place, probability };
    };
    return { entities: find(own.map(({ label }) => label)).map(span) };
  });
}
