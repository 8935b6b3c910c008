/** A message to try a model with: it is printed into code and commands. */

import { joinPair, type TextOrPair } from "../core/pair.ts";

/** Characters that need no escape in any shell, language or page. */
const PLAIN = /^[\p{L}\p{N}][\p{L}\p{N} ,.?']{0,59}$/u;
/** The fewest characters of a meaningful message. */
const TELLING = 20;

/** The first plain text, or pair of plain texts; `texts` are in the order of preference. */
export function textToTry(texts: Iterable<TextOrPair>, isPair = false): TextOrPair {
  let short: TextOrPair | undefined;
  for (const text of texts) {
    if (![text].flat().every((one) => PLAIN.test(one))) continue;
    if (joinPair(text).length >= TELLING) return text;
    short ??= text;
  }
  return short ?? (isPair ? ["some text", "another text"] : "some text");
}
