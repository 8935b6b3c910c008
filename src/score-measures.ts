/** Measures of a regression's scores, with 95 % intervals. */
import { bootstrap, type Estimate, percentiles95, SAMPLES, Z95 } from "./statistics.ts";

export interface ScoreMeasures {
  rows: number;
  /** Root of the mean squared error, and mean absolute error: intervals by the bootstrap. */
  rmse: Estimate;
  mae: Estimate;
  /** 1 - squared errors / squared distances from the mean; null: the true scores are all equal. By the bootstrap. */
  r2: Estimate | null;
  /** Rank correlation; null: there is none of scores that are all equal. */
  spearman: Estimate | null;
}

/** Of all values, or of those at `at`. */
function mean(values: ArrayLike<number>, of: (value: number) => number, at?: ArrayLike<number>): number {
  const { length } = at ?? values;
  let sum = 0;
  for (let i = 0; i < length; i++) sum += of(values[at ? at[i]! : i]!);
  return sum / length;
}

export const rootMeanSquare = (errors: ArrayLike<number>, rows?: ArrayLike<number>) =>
  Math.sqrt(mean(errors, (error) => error * error, rows));
export const meanAbsolute = (errors: ArrayLike<number>, rows?: ArrayLike<number>) => mean(errors, Math.abs, rows);

function determination(truth: ArrayLike<number>, errors: ArrayLike<number>, rows?: ArrayLike<number>): number {
  const middle = mean(truth, (score) => score, rows);
  return 1 - mean(errors, (error) => error * error, rows) / mean(truth, (score) => (score - middle) ** 2, rows);
}

export function measureScores(truth: readonly number[], scores: ArrayLike<number>): ScoreMeasures {
  const errors = truth.map((score, row) => scores[row]! - score);
  const estimate = (of: (rows?: ArrayLike<number>) => number): Estimate => {
    // A sample of rows may have no variance.
    const samples = bootstrap(truth.length, SAMPLES.interval, of).filter(Number.isFinite);
    return { value: of(), ...percentiles95(samples) };
  };
  const varies = truth.some((score) => score !== truth[0]);
  return {
    rows: truth.length,
    rmse: estimate((rows) => rootMeanSquare(errors, rows)),
    mae: estimate((rows) => meanAbsolute(errors, rows)),
    r2: varies ? estimate((rows) => determination(truth, errors, rows)) : null,
    spearman: spearman(truth, scores),
  };
}

/**
 * Spearman's rank correlation, ties having the mean of their ranks. The interval is Fisher's, with the variance of
 * Bonett and Wright 2000, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations".
 */
export function spearman(first: ArrayLike<number>, second: ArrayLike<number>): Estimate | null {
  const [a, b] = [ranks(first), ranks(second)];
  const n = a.length;
  const middle = (n + 1) / 2;
  let [both, own, other] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[i]! - middle, b[i]! - middle];
    both += x * y;
    own += x * x;
    other += y * y;
  }
  if (own === 0 || other === 0) return null;
  const value = both / Math.sqrt(own * other);
  if (n < 4) return { value, low: -1, high: 1 };
  const half = Z95 * Math.sqrt((1 + (value * value) / 2) / (n - 3));
  return { value, low: Math.tanh(Math.atanh(value) - half), high: Math.tanh(Math.atanh(value) + half) };
}

/** From 1 on. */
function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from({ length: values.length }, (_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const found = new Float64Array(values.length);
  for (let i = 0; i < order.length; ) {
    let end = i;
    while (end < order.length && values[order[end]!] === values[order[i]!]) end++;
    for (let j = i; j < end; j++) found[order[j]!] = (i + 1 + end) / 2;
    i = end;
  }
  return found;
}
