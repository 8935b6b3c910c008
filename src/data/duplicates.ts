/**
 * Near-duplicates: messages that differ only in numbers, punctuation, white space and case, of pairs in both texts;
 * across sets, leaks.
 */
import { groupBy } from "../group-by.ts";
import type { Dataset } from "./dataset.ts";

/**
 * The form in which texts are compared: lower case, each run of digits replaced by 0, white space, punctuation and
 * symbols between words by one space. A text of symbols alone is only trimmed.
 */
export function normalize(text: string): string {
  const words = text
    .toLowerCase()
    .replace(/\d+/g, "0")
    .replace(/[\s\p{P}\p{S}]+/gu, " ")
    .trim();
  return words === "" ? text.trim() : words;
}

/** The latest answer, as it is asked for again: the training set, all sets, and their near-duplicates. */
const known = new WeakMap<Dataset, { sets: readonly Dataset[]; firsts: Uint32Array }>();

/** As `firstCopies`, of near-duplicates. */
function nearCopies(sets: readonly Dataset[]): Uint32Array {
  const [train] = sets;
  const last = train && known.get(train);
  if (last?.sets.length === sets.length && last.sets.every((set, i) => set === sets[i])) return last.firsts;
  const firsts = firstCopies(sets, normalize);
  if (train) known.set(train, { sets, firsts });
  return firsts;
}

/** For each set, the positions of rows with a near-duplicate in an earlier set; train has none. */
export function findLeaks(sets: readonly Dataset[]): Uint32Array[] {
  const firsts = nearCopies(sets);
  let start = 0;
  return sets.map((set) => {
    const leaks = set.positions().filter((position) => firsts[start + position]! < start);
    start += set.size;
    return leaks;
  });
}

/** The sets without the rows that have an earlier near-duplicate, in their own set or in an earlier one. */
export function dropCopies<T extends Dataset[]>(...sets: T): { [K in keyof T]: Dataset } {
  const firsts = nearCopies(sets);
  let start = 0;
  return sets.map((set) => {
    const kept = set.positions().filter((position) => firsts[start + position] === start + position);
    start += set.size;
    return set.select(kept);
  }) as { [K in keyof T]: Dataset };
}

export const countCopies = (sets: readonly Dataset[]): number =>
  nearCopies(sets).reduce((sum, first, row) => sum + Number(first !== row), 0);

/** A row: its set, and its position there. */
export interface PlacedRow {
  set: Dataset;
  position: number;
}

export const placeRows = (sets: readonly Dataset[]): PlacedRow[] =>
  sets.flatMap((set) => Array.from(set.positions(), (position) => ({ set, position })));

/** The rows of each text that has several labels; texts are equal but for the white space around them. */
export function findConflicts(sets: readonly Dataset[]): PlacedRow[][] {
  const all = placeRows(sets);
  const firsts = firstCopies(sets, (text) => text.trim());
  const groups = groupBy(all.keys(), (row) => firsts[row]!);
  return [...groups.values()]
    .map((rows) => rows.map((row) => all[row]!))
    .filter((rows) => new Set(rows.map(({ set, position }) => set.label(position))).size > 1);
}

/**
 * For each row, numbered across the sets, the first row whose text has the same form, or itself. Rows are found by a
 * hash, and their texts compared again, so that no text stays in memory.
 */
function firstCopies(sets: readonly Dataset[], form: (text: string) => string): Uint32Array {
  const starts: number[] = [];
  let size = 0;
  for (const set of sets) {
    starts.push(size);
    size += set.size;
  }
  const textAt = (row: number) => {
    const set = starts.findLastIndex((start) => start <= row);
    return [sets[set]!.text(row - starts[set]!)].flat().map(form).join("\n");
  };
  const rowsByHash = new Map<number, number[]>();
  return Uint32Array.from({ length: size }, (_, row) => {
    const text = textAt(row);
    const hash = hashText(text);
    const rows = rowsByHash.get(hash);
    const first = rows?.find((one) => textAt(one) === text);
    if (first !== undefined) return first;
    if (rows) rows.push(row);
    else rowsByHash.set(hash, [row]);
    return row;
  });
}

/** FNV-1a over the text's UTF-16 units, 32 bits. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}
