/** How a regression is trained and measured. */

import { formatScore } from "../../core/format.ts";
import { type Interval, summarize, Z95 } from "../../core/statistics.ts";
import { meanScore, SCORE, trueScores } from "../../labels/score.ts";
import { type Columns, type Places, pick, sampledMeasure } from "../compare.ts";
import { INTERVAL } from "../stored.ts";
import { type LabelledRows, MISTAKES, type Training } from "../task.ts";

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

const meanAbsolute = (scores: Columns, at?: Places) =>
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

/** Rows with neighbouring true scores: the means, and the interval of the mean score. */
export interface ScoreBin {
  truth: number;
  predicted: number;
  interval: Interval;
}

/** What only a regression's results have. */
export interface ScoreDetails {
  /** Tenths of the rows, in the order of their true scores. */
  bins: ScoreBin[];
}

const HELP =
  "The root of the mean squared error: how far a score is from the true one, where large errors count more. Always giving the mean has the standard deviation of the scores.";

const threeDigits = (value: number) => value.toFixed(3);

// In the scores' own unit.
const measures: Training["measures"] = /* @__PURE__ */ (() => [
  sampledMeasure(
    {
      ...{ key: "rmse", title: "RMSE", format: formatScore, isError: true, help: HELP, hub: "rmse" },
      evaluated: Math.sqrt,
    },
    rootMeanSquare,
  ),
  sampledMeasure(
    { key: "mae", title: "MAE", format: formatScore, isError: true, evaluated: "meanError" },
    meanAbsolute,
  ),
  sampledMeasure({ key: "r2", title: "R²", format: threeDigits, most: 1 }, determination),
  sampledMeasure({ key: "spearman", title: "Spearman", format: threeDigits, most: 1 }, rankCorrelation, rankInterval),
])();

export const training: Training<LabelledRows, ScoreDetails> = {
  defaults: { classWeights: "none" },
  lacks: {
    corrections: "scores are not reviewed",
    labelSeparator: "a message has one score",
    stride: "messages are not cut into blocks",
    balance: "scores are no classes",
    "split stratified": "scores are no classes",
    "split experiment": "scores are no classes",
    classWeights: "scores are no classes",
    calibrate: "a score has no probability",
    threshold: "a score has no probability",
    positive: "scores are no classes",
  },
  labels: SCORE,
  measures,
  answer: (scores) => scores,
  columns: (set, values) => ({ truth: trueScores(set).slice(0, values.length), predicted: Array.from(values) }),
  // A head that begins at 0 would spend its first steps on the way.
  bias: (train) => [meanScore(train)],
  stored: {
    answer: "number",
    columns: () => ({ truth: Infinity, predicted: Infinity }),
    details: { bins: [{ truth: "number", predicted: "number", interval: INTERVAL }] },
  },
  predict: (scores) => ({ values: scores }),
  answers: (set, { values }) => ({ truth: trueScores(set), predicted: Array.from(values) }),
  describe(_, { columns }) {
    const { truth = [], predicted = [] } = columns;
    const distance = (row: number) => Math.abs(predicted[row]! - truth[row]!);
    const order = [...truth.keys()].sort((a, b) => distance(a) - distance(b) || a - b);
    return {
      samples: order.slice(0, SAMPLED),
      mistakes: order.slice(-MISTAKES).reverse(),
      preferred: order,
      details: { bins: binScores(truth, predicted) },
    };
  },
};

const BINS = 10;
const SAMPLED = 3;

/** Rows with equal true scores are in one bin. */
function binScores(truth: readonly number[], scores: readonly number[]): ScoreBin[] {
  const order = [...truth.keys()].sort((a, b) => truth[a]! - truth[b]! || a - b);
  const bins: ScoreBin[] = [];
  for (let start = 0; start < order.length; ) {
    let end = Math.min(order.length, start + Math.ceil(order.length / BINS));
    while (end < order.length && truth[order[end]!] === truth[order[end - 1]!]) end++;
    const rows = order.slice(start, end);
    const { mean, sd } = summarize(rows.map((row) => scores[row]!));
    const half = (Z95 * sd) / Math.sqrt(rows.length);
    const middle = summarize(rows.map((row) => truth[row]!)).mean;
    bins.push({ truth: middle, predicted: mean, interval: { low: mean - half, high: mean + half } });
    start = end;
  }
  return bins;
}
