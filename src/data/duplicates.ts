/** Messages that are the same but for numbers, punctuation, white space and case: in two sets, they leak from one to the other. */
import type { Dataset } from "./dataset.ts";

const BETWEEN_WORDS = /[\s\p{P}\p{S}]/u;

/** By code point, whether it stands between words: 0 not asked yet, 1 yes, 2 no. */
const kinds = new Uint8Array(0x110000);

function isBetweenWords(code: number): boolean {
  if (kinds[code] === 0) kinds[code] = BETWEEN_WORDS.test(String.fromCodePoint(code)) ? 1 : 2;
  return kinds[code] === 1;
}

const isDigit = (code: number) => code >= 48 && code <= 57;

let units = new Uint16Array(1 << 12);
const decoder = new TextDecoder("utf-16le");

/**
 * What is compared: lower case, a run of digits as 0, white space, punctuation and signs between words as one space; of a
 * text of signs alone, itself. One pass, as every row of a data set goes through it.
 */
export function normalized(text: string): string {
  const lower = text.toLowerCase();
  if (units.length < lower.length) units = new Uint16Array(2 * lower.length);
  let n = 0;
  let before = 0;
  for (let i = 0; i < lower.length; i++) {
    const code = lower.codePointAt(i)!;
    const wide = code > 0xffff;
    if (isBetweenWords(code)) {
      if (wide) i++;
    } else if (!isDigit(code) || !isDigit(before)) {
      if (n > 0 && isBetweenWords(before)) units[n++] = 32;
      units[n++] = isDigit(code) ? 48 : lower.charCodeAt(i);
      if (wide) units[n++] = lower.charCodeAt(++i);
    }
    before = code;
  }
  return n === 0 ? text.trim() : decoder.decode(units.subarray(0, n));
}

/** The positions in each set of rows with a near copy in a set before it: none in train, then those of val and of test. */
export function findLeaks(sets: readonly Dataset[]): Uint32Array[] {
  const firsts = firstCopies(sets);
  let start = 0;
  return sets.map((set) => {
    const leaks = set.positions().filter((position) => firsts[start + position]! < start);
    start += set.size;
    return leaks;
  });
}

/** The sets without the rows that have a near copy before them, in their own set or in an earlier one. */
export function dropCopies<T extends Dataset[]>(...sets: T): { [K in keyof T]: Dataset } {
  const firsts = firstCopies(sets);
  let start = 0;
  return sets.map((set) => {
    const kept = set.positions().filter((position) => firsts[start + position] === start + position);
    start += set.size;
    return set.select(kept);
  }) as { [K in keyof T]: Dataset };
}

/**
 * For each row of the sets, numbered one set behind the other, the first row that is a copy of it, or itself. Texts are
 * made again where they are compared, so that a million rows take 20 bytes each and not a million strings.
 */
function firstCopies(sets: readonly Dataset[]): Uint32Array {
  const starts: number[] = [];
  let size = 0;
  for (const set of sets) {
    starts.push(size);
    size += set.size;
  }
  const textOf = (row: number) => {
    const set = starts.findLastIndex((start) => start <= row);
    return normalized(sets[set]!.text(row - starts[set]!));
  };
  // Open addressing, at most half full; a slot is {hash, row + 1}, 0 in the second where it is free.
  const mask = 2 ** Math.ceil(Math.log2(2 * size + 1)) - 1;
  const slots = new Uint32Array(2 * (mask + 1));
  return Uint32Array.from({ length: size }, (_, row) => {
    const text = textOf(row);
    const hash = hashOf(text);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const found = slots[2 * slot + 1]! - 1;
      if (found < 0) {
        slots.set([hash, row + 1], 2 * slot);
        return row;
      }
      if (slots[2 * slot] === hash && textOf(found) === text) return found;
    }
  });
}

/** FNV-1a over the text's UTF-16 units, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
