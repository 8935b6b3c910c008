/** How much texts resemble each other: rows that differ in a few words, as those made of templates do. */
import type { TextOrPair } from "../core/pair.ts";
import type { SparseRows, Tfidf } from "./tfidf.ts";

/**
 * Half of the rows of templates have another at this cosine. Of six sets of people's texts the median is at most .21
 * (of the training rows), and at most a third of the test rows of six have a training row at it (src/bench/README.md).
 */
export const NEAR = 0.4;
/** Rows whose nearest ones are looked for, and rows among which. */
const SAMPLE = 300;
const MOST_ROWS = 10_000;

/** Of the first rows the cosine of each with the nearest of `others`, itself left out; rows have `parts` of length 1. */
export function nearestCosines(rows: SparseRows, others: SparseRows, parts: number): number[] {
  const count = others.starts.length - 1;
  const having = Array.from({ length: others.width }, (): number[] => []);
  const valuesOf = Array.from({ length: others.width }, (): number[] => []);
  for (let row = 0; row < count; row++)
    for (let i = others.starts[row]!; i < others.starts[row + 1]!; i++) {
      having[others.columns[i]!]!.push(row);
      valuesOf[others.columns[i]!]!.push(others.values[i]!);
    }
  const { starts, columns, values } = rows;
  return Array.from({ length: Math.min(starts.length - 1, SAMPLE) }, (_, row) => {
    const cosines = new Float64Array(count);
    for (let i = starts[row]!; i < starts[row + 1]!; i++)
      for (const [j, other] of having[columns[i]!]!.entries())
        cosines[other]! += (values[i]! * valuesOf[columns[i]!]![j]!) / parts;
    if (rows === others) cosines[row] = 0;
    return cosines.reduce((most, one) => Math.max(most, one), 0);
  });
}

/** The share of test texts that resemble a training text. */
export async function shareAlike(
  tfidf: Tfidf,
  training: readonly TextOrPair[],
  tested: readonly TextOrPair[],
): Promise<number> {
  const others = await tfidf.transform(training.slice(0, MOST_ROWS));
  const cosines = nearestCosines(await tfidf.transform(tested.slice(0, SAMPLE)), others, tfidf.list().length);
  return cosines.filter((cosine) => cosine > NEAR).length / cosines.length;
}
