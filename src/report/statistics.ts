/** Statistics for small test sets: confidence intervals, paired comparisons, and classification metrics. */

/** A confidence interval of a proportion, within [0, 1]. */
export interface Interval {
  low: number;
  high: number;
}

/** The 97.5 % point of the standard normal distribution. */
const Z95 = 1.959963984540054;

/** Wilson's 95 % interval of the proportion `successes` / `n` (Wilson 1927, without continuity correction). */
export function wilson(successes: number, n: number): Interval {
  if (n === 0) return { low: 0, high: 1 };
  const p = successes / n;
  const z2 = Z95 * Z95;
  const centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const half = (Z95 / (1 + z2 / n)) * Math.sqrt((p * (1 - p)) / n + z2 / (4 * n * n));
  return { low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
}

export interface Summary {
  n: number;
  mean: number;
  /** Sample standard deviation (n - 1); 0 for a single value. */
  sd: number;
}

export function summarize(values: readonly number[]): Summary {
  const n = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { n, mean, sd: n > 1 ? Math.sqrt(squares / (n - 1)) : 0 };
}

export interface McNemar {
  /** Rows that only the first, or only the second, classifies correctly. */
  onlyFirst: number;
  onlySecond: number;
  /** Rows that are undecided for at least one of the two. */
  undecided: number;
  /** Two-sided p-value of the exact binomial test. */
  p: number;
}

/** Whether a row is classified correctly; null: undecided. */
export type Verdict = boolean | null;

/**
 * McNemar's exact test of two classifiers on the same rows (McNemar 1947): under the null hypothesis, each row on which they
 * differ is a fair coin flip. Undecided rows are excluded. Throws RangeError if the lengths differ.
 */
export function mcnemar(first: readonly Verdict[], second: readonly Verdict[]): McNemar {
  if (first.length !== second.length) throw new RangeError(`${first.length} rows against ${second.length}`);
  let onlyFirst = 0;
  let onlySecond = 0;
  let undecided = 0;
  first.forEach((right, i) => {
    if (right === null || second[i] === null) undecided++;
    else if (right && !second[i]) onlyFirst++;
    else if (!right && second[i]) onlySecond++;
  });
  const n = onlyFirst + onlySecond;
  const smaller = Math.min(onlyFirst, onlySecond);
  // 2 * P(X <= smaller), X ~ Binomial(n, 1/2), with logarithms of the binomial coefficients to avoid overflow.
  let logChoose = 0;
  let tail = 0;
  for (let k = 0; k <= smaller; k++) {
    tail += Math.exp(logChoose - n * Math.LN2);
    logChoose += Math.log(n - k) - Math.log(k + 1);
  }
  return { onlyFirst, onlySecond, undecided, p: Math.min(1, 2 * tail) };
}

/** Maximum number of classes that are listed individually and as a matrix; with more, the most frequent mistakes are shown. */
export const LISTED_CLASSES = 12;

/** The number of rows of class `truth` that were classified as `predicted`. */
export interface Confusion {
  truth: number;
  predicted: number;
  rows: number;
}

/** The confusion matrix in sparse form: its nonzero entries, sorted by truth, then by prediction. */
export function confusionsOf(truth: readonly number[], predicted: readonly number[]): Confusion[] {
  const counts = new Map<number, Map<number, number>>();
  truth.forEach((t, i) => {
    const row = counts.get(t) ?? new Map<number, number>();
    counts.set(t, row.set(predicted[i]!, (row.get(predicted[i]!) ?? 0) + 1));
  });
  const sorted = <T>(map: ReadonlyMap<number, T>) => [...map].sort(([a], [b]) => a - b);
  return sorted(counts).flatMap(([t, row]) => sorted(row).map(([s, rows]) => ({ truth: t, predicted: s, rows })));
}

/** A lookup of the matrix entry [truth][predicted]. */
export function cellsOf(confusions: readonly Confusion[]): (truth: number, predicted: number) => number {
  const cells = new Map(confusions.map(({ truth, predicted, rows }) => [`${truth} ${predicted}`, rows]));
  return (truth, predicted) => cells.get(`${truth} ${predicted}`) ?? 0;
}

/** The entries off the diagonal, by descending number of rows; the sort is stable. */
export function mistakesOf(confusions: readonly Confusion[]): Confusion[] {
  return confusions.filter(({ truth, predicted }) => truth !== predicted).sort((a, b) => b.rows - a.rows);
}

export interface ClassMeasures {
  precision: number;
  recall: number;
  f1: number;
}

/** Precision, recall and F1 of each class; 0 if the denominator is 0, as in scikit-learn. */
export function classMeasures(confusions: readonly Confusion[], classes: number): ClassMeasures[] {
  const zeros = () => new Array<number>(classes).fill(0);
  const [there, named, right] = [zeros(), zeros(), zeros()];
  for (const { truth, predicted, rows } of confusions) {
    there[truth]! += rows;
    named[predicted]! += rows;
    if (truth === predicted) right[truth]! += rows;
  }
  return right.map((hits, i) => {
    const precision = named[i] === 0 ? 0 : hits / named[i]!;
    const recall = there[i] === 0 ? 0 : hits / there[i]!;
    return { precision, recall, f1: hits === 0 ? 0 : (2 * precision * recall) / (precision + recall) };
  });
}

/** The mean F1 of the classes that occur as truth or as prediction, as scikit-learn's `f1_score(average="macro")`. */
export function macroF1(confusions: readonly Confusion[]): number {
  const present = [...new Set(confusions.flatMap(({ truth, predicted }) => [truth, predicted]))];
  const largest = present.reduce((most, label) => Math.max(most, label), -1);
  const measures = classMeasures(confusions, largest + 1);
  return present.reduce((sum, label) => sum + measures[label]!.f1, 0) / present.length;
}

/**
 * Area under the ROC curve: the fraction of (positive, negative) pairs that the score orders correctly, with ties counted as
 * one half (Mann-Whitney U). NaN if there are no positives or no negatives.
 */
export function rocAuc(positive: readonly boolean[], scores: readonly number[]): number {
  const order = scores.map((_, i) => i).sort((a, b) => scores[a]! - scores[b]!);
  let rankSum = 0;
  for (let start = 0; start < order.length; ) {
    let end = start;
    while (end < order.length && scores[order[end]!] === scores[order[start]!]) end++;
    // Tied rows share the mean of ranks start + 1 .. end.
    const rank = (start + 1 + end) / 2;
    for (let i = start; i < end; i++) if (positive[order[i]!]) rankSum += rank;
    start = end;
  }
  const positives = positive.filter(Boolean).length;
  const negatives = positive.length - positives;
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}
