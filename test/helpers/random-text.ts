/** Seeded random texts that look for trouble: all planes, runs of one kind, joints between kinds. */
import type { Rng } from "../../src/core/rng.ts";

const range = (first: number, last: number) => (rng: Rng) => String.fromCodePoint(first + rng.below(last - first + 1));
const among =
  (...texts: string[]) =>
  (rng: Rng) =>
    texts[rng.below(texts.length)]!;

/** Every white space of Unicode, and characters that only look like it. */
const spaces = "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2005\u200a\u2028\u2029\u202f\u205f\u3000".split("");
const nearlySpaces = "\ufeff\u200b\u180e\u2060\u001c\u001f\u0000\u007f".split("");

/** Assigned long before Unicode 15, so that every JavaScript engine agrees on the class of each. */
const kinds = [
  range(0x20, 0x7e),
  range(0x61, 0x7a),
  range(0x30, 0x39),
  among(" ", " ", "\n", "\t", "\r\n"),
  among(...spaces),
  among(...nearlySpaces),
  among("'s", "'d", "'m", "'t", "'ll", "'ve", "'re", "'S", "'", "'l", "'v", "’s"),
  among("the", " the", " and", "ing", " Call", "www.", "http://", "0800", "£", "!!!", "...", " <|endoftext|>"),
  range(0xa0, 0x17f),
  range(0x300, 0x36f), // combining marks
  range(0x391, 0x3a1), // Greek
  range(0x410, 0x44f), // Cyrillic
  range(0x5d0, 0x5ea), // Hebrew
  range(0x627, 0x64a), // Arabic
  range(0x660, 0x669), // Arabic digits
  range(0x905, 0x939), // Devanagari
  among("\u093f", "\u094d", "\u0e33", "\u0e49"), // vowel signs and tone marks
  range(0x3041, 0x3096), // Hiragana
  range(0x4e00, 0x9fa5), // Han
  range(0xac00, 0xd7a3), // Hangul
  range(0x2160, 0x2188), // Roman numerals
  among("²", "½", "①", "〇", "፩"), // other numbers
  range(0x2190, 0x23ff), // signs
  range(0x1f300, 0x1f5ff), // emoji
  among("\u200d", "\ufe0f", "\u{1f3fd}", "👩‍👩‍👧", "🇩🇪"),
  range(0x20000, 0x2a6d6), // Han of plane 2
  range(0x1d400, 0x1d454), // mathematical letters
  range(0x1d7ce, 0x1d7ff), // mathematical digits
  range(0xe000, 0xf8ff), // private use
  range(0xf0000, 0xffffd), // private use, plane 15
  range(0x100000, 0x10fffd), // private use, plane 16
  among("\ud800", "\udfff", "\udc00\ud800", "\uffff", "\u{10ffff}"), // lone surrogates, non-characters
];

/** A text of up to about `parts` characters: now one kind in a row, now all kinds in turn. */
export function randomText(rng: Rng, parts: number): string {
  const palette = Array.from({ length: 1 + rng.below(5) }, () => kinds[rng.below(kinds.length)]!);
  let text = "";
  for (let left = rng.below(parts + 1); left > 0; ) {
    const kind = palette[rng.below(palette.length)]!;
    for (let run = 1 + rng.below(rng.below(3) === 0 ? 12 : 2); run > 0 && left > 0; run--, left--) text += kind(rng);
  }
  return text;
}
