/**
 * Near-duplicates: messages that differ only in numbers, punctuation, white space and case, of pairs in both texts. They
 * are a group, which no split divides; across given sets they are leaks.
 */
import { groupBy } from "../core/group-by.ts";
import type { TextOrPair } from "../core/pair.ts";

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

/** The group of each row, by its place; undefined: it is in none. */
export type Groups = readonly (string | undefined)[];

/** Rows of a set. */
export interface Compared<T = unknown> {
  readonly size: number;
  /** A row's number among all that were read. */
  place(i: number): number;
  /** For each row the first of all that were read whose text is its near-duplicate, or itself. */
  firstCopies(): readonly number[] | Uint32Array;
  select(positions: ArrayLike<number>): T;
}

/** For each set, the positions of rows with a near-duplicate in an earlier set; train has none. */
export function findLeaks(sets: readonly Compared[]): number[][] {
  const seen = new Set<number>();
  return sets.map((set) => {
    const firsts = Array.from(set.firstCopies());
    const leaks = [...firsts.keys()].filter((i) => seen.has(firsts[i]!));
    for (const first of firsts) seen.add(first);
    return leaks;
  });
}

/** The sets without the rows that have an earlier near-duplicate, in their own set or in an earlier one. */
export function dropCopies<T extends Compared<T>>(sets: readonly T[]): T[] {
  const seen = new Set<number>();
  return sets.map((set) => {
    const firsts = Array.from(set.firstCopies());
    return set.select([...firsts.keys()].filter((i) => !seen.has(firsts[i]!) && seen.add(firsts[i]!)));
  });
}

/** The near-duplicates in three sets. */
export interface CopyStats {
  /** Rows with an earlier near-duplicate, and the texts that they are near-duplicates of. */
  nearDuplicates: { rows: number; texts: number };
  /**
   * Rows of val with a near-duplicate in train, and rows of test with one in train or val: the texts differ only in
   * numbers, punctuation, white space and case.
   */
  leaks: { val: number; test: number };
}

export function countCopies(sets: readonly Compared[]): CopyStats {
  const [seen, again] = [new Set<number>(), new Set<number>()];
  for (const set of sets) for (const first of set.firstCopies()) (seen.has(first) ? again : seen).add(first);
  const rows = sets.reduce((sum, { size }) => sum + size, -seen.size);
  const [, val = [], test = []] = findLeaks(again.size > 0 ? sets : []);
  return { nearDuplicates: { rows, texts: again.size }, leaks: { val: val.length, test: test.length } };
}

/**
 * For each row the first of its group, of which all rows are in the same set: near-duplicates, and rows of one group of a
 * column. Where all rows of a class are near-duplicates of one text, they are by themselves, so that the class can be
 * learned and measured: those are leaks.
 */
export function groupRows(set: Compared, column?: Groups, classOf: (row: number) => number = () => 0): Uint32Array {
  const parents = Uint32Array.from({ length: set.size }, (_, i) => i);
  const firsts = set.firstCopies();
  const classes = [...groupBy(parents, classOf)];
  const isDivided = new Map(classes.map(([label, own]) => [label, own.every((i) => firsts[i] === firsts[own[0]!])]));
  const rootOf = (row: number): number => {
    let root = row;
    while (parents[root] !== root) root = parents[root] = parents[parents[root]!]!;
    return root;
  };
  const join = (i: number, other = i) => {
    const [a, b] = [rootOf(i), rootOf(other)];
    parents[Math.max(a, b)] = Math.min(a, b);
  };
  const copies: number[] = [];
  const named = new Map<string, number>();
  for (const i of parents.keys()) {
    const first = firsts[i]!;
    copies[first] ??= i;
    if (!isDivided.get(classOf(i))) join(i, copies[first]);
    const name = column?.[set.place(i)];
    if (name === undefined) continue;
    join(i, named.get(name));
    named.set(name, i);
  }
  return parents.map((_, i) => rootOf(i));
}

/**
 * For each row the first one whose text is its near-duplicate, or itself. Rows are found by a hash, and their texts
 * compared again, so that no text stays in memory.
 */
export function firstCopies(size: number, read: (row: number) => TextOrPair): Uint32Array {
  const textAt = (row: number) => {
    const text = read(row);
    return typeof text === "string" ? normalize(text) : text.map(normalize).join("\n");
  };
  const rows = new Map<number, number>();
  return Uint32Array.from({ length: size }, (_, row) => {
    const text = textAt(row);
    for (let hash = hashText(text); ; hash++) {
      const first = rows.get(hash) ?? row;
      if (first === row) rows.set(hash, row);
      if (first === row || textAt(first) === text) return first;
    }
  });
}

/** FNV-1a over the text's UTF-16 units, 32 bits. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}
