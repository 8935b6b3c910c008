/**
 * Near-duplicates: messages that differ only in numbers, punctuation, white space and case, of pairs in both texts;
 * across sets, leaks.
 */
import type { Dataset } from "./dataset.ts";

const BETWEEN_WORDS = /[\s\p{P}\p{S}]/u;

/** Whether a code point separates words: 0 not tested yet, 1 yes, 2 no. */
const kinds = new Uint8Array(0x110000);

function isBetweenWords(code: number): boolean {
  if (kinds[code] === 0) kinds[code] = BETWEEN_WORDS.test(String.fromCodePoint(code)) ? 1 : 2;
  return kinds[code] === 1;
}

const isDigit = (code: number) => code >= 48 && code <= 57;

let units = new Uint16Array(1 << 12);
const decoder = new TextDecoder("utf-16le");

/**
 * The form in which texts are compared: lower case, each run of digits replaced by 0, white space, punctuation and
 * symbols between words by one space. A text of symbols alone is only trimmed. A single pass: every row of a data set
 * is normalized.
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

/** For each set, the positions of rows with a near-duplicate in an earlier set; train has none. */
export function findLeaks(sets: readonly Dataset[]): Uint32Array[] {
  const firsts = firstCopies(sets);
  let start = 0;
  return sets.map((set) => {
    const leaks = set.positions().filter((position) => firsts[start + position]! < start);
    start += set.size;
    return leaks;
  });
}

/** The sets without the rows that have an earlier near-duplicate, in their own set or in an earlier one. */
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
 * For each row, numbered across the sets, the first row that is a near-duplicate of it, or itself. Texts are normalized
 * again when they are compared, so that a row takes 20 bytes of memory instead of a string.
 */
function firstCopies(sets: readonly Dataset[]): Uint32Array {
  const starts: number[] = [];
  let size = 0;
  for (const set of sets) {
    starts.push(size);
    size += set.size;
  }
  const textAt = (row: number) => {
    const set = starts.findLastIndex((start) => start <= row);
    return [sets[set]!.text(row - starts[set]!)].flat().map(normalized).join("\n");
  };
  // Open addressing, at most half full. A slot is {hash, row + 1}; row + 1 is 0 in a free slot.
  const mask = 2 ** Math.ceil(Math.log2(2 * size + 1)) - 1;
  const slots = new Uint32Array(2 * (mask + 1));
  return Uint32Array.from({ length: size }, (_, row) => {
    const text = textAt(row);
    const hash = hashText(text);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const found = slots[2 * slot + 1]! - 1;
      if (found < 0) {
        slots.set([hash, row + 1], 2 * slot);
        return row;
      }
      if (slots[2 * slot] === hash && textAt(found) === text) return found;
    }
  });
}

/** FNV-1a over the text's UTF-16 units, 32 bits. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
