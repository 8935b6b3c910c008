/** Messages that are the same but for numbers, punctuation, white space and case: in two sets, they leak from one to the other. */
import type { Dataset } from "./dataset.ts";

/** What is compared: lower case, a run of digits as 0, anything between words as one space. */
export function normalized(text: string): string {
  const words = text
    .toLowerCase()
    .replace(/\d+/g, "0")
    .replace(/[\s\p{P}\p{S}]+/gu, " ")
    .trim();
  // Of a text of signs alone nothing is left to compare.
  return words === "" ? text.trim() : words;
}

/** Rows of each set that have a near copy in a set before it: [0, val in train, test in train or val]. */
export function countLeaks(sets: readonly Dataset[]): number[] {
  const seen = new Set<string>();
  return sets.map((set) => {
    const texts = textsOf(set);
    const leaks = texts.filter((text) => seen.has(text)).length;
    for (const text of texts) seen.add(text);
    return leaks;
  });
}

/** The sets without the rows that have a near copy before them, in their own set or in an earlier one. */
export function dropCopies<T extends Dataset[]>(...sets: T): { [K in keyof T]: Dataset } {
  const seen = new Set<string>();
  return sets.map((set) =>
    set.select(
      textsOf(set).flatMap((text, position) => {
        if (seen.has(text)) return [];
        seen.add(text);
        return [position];
      }),
    ),
  ) as { [K in keyof T]: Dataset };
}

function textsOf(set: Dataset): string[] {
  return Array.from({ length: set.size }, (_, i) => normalized(set.text(i)));
}
