/** Measures of a regression's scores, with 95 % intervals. */
import { type Interval, Z95 } from "../../statistics.ts";
import { type Columns, type Places, pick } from "../compare.ts";

/** The mean over all rows, or over those at `at`. */
function mean({ truth = [], predicted = [] }: Columns, of: (truth: number, predicted: number) => number, at?: Places) {
  const { length } = at ?? truth;
  let sum = 0;
  for (let i = 0; i < length; i++) {
    const row = at ? at[i]! : i;
    sum += of(truth[row]!, predicted[row]!);
  }
  return sum / length;
}

const squaredError = (truth: number, predicted: number) => (predicted - truth) * (predicted - truth);

export const rootMeanSquare = (scores: Columns, at?: Places) => Math.sqrt(mean(scores, squaredError, at));

export const meanAbsolute = (scores: Columns, at?: Places) =>
  mean(scores, (truth, predicted) => Math.abs(predicted - truth), at);

/** 1 - squared errors / squared distances from the mean; NaN: the true scores are all equal. */
export function determination(scores: Columns, at?: Places): number {
  const { truth: all = [] } = scores;
  const truth = pick(all, at);
  if (truth.every((score) => score === truth[0])) return Number.NaN;
  const middle = mean(scores, (score) => score, at);
  return 1 - mean(scores, squaredError, at) / mean(scores, (score) => (score - middle) ** 2, at);
}

/** Spearman's, ties having the mean of their ranks; NaN: there is none of scores that are all equal. */
export function rankCorrelation({ truth = [], predicted = [] }: Columns, at?: Places): number {
  const [a, b] = [ranks(pick(truth, at)), ranks(pick(predicted, at))];
  const middle = (a.length + 1) / 2;
  let [both, own, other] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]! - middle, b[i]! - middle];
    both += x * y;
    own += x * x;
    other += y * y;
  }
  return own === 0 || other === 0 ? Number.NaN : both / Math.sqrt(own * other);
}

/**
 * Fisher's, with the variance of Bonett and Wright 2000, "Sample size requirements for estimating Pearson, Kendall and
 * Spearman correlations".
 */
export function rankInterval(scores: Columns): Interval {
  const { truth: { length: n } = [] } = scores;
  const value = rankCorrelation(scores);
  if (n < 4) return { low: -1, high: 1 };
  const half = Z95 * Math.sqrt((1 + (value * value) / 2) / (n - 3));
  return { low: Math.tanh(Math.atanh(value) - half), high: Math.tanh(Math.atanh(value) + half) };
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
