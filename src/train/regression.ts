/** Measures a regression on its test set, compared with the baselines. */
import type { LoadedDataset } from "../data/datasets.ts";
import type { TextOrPair } from "../pair.ts";
import { meanAbsolute, measureScores, rootMeanSquare, type ScoreMeasures } from "../score-measures.ts";
import {
  bootstrap,
  bootstrapP,
  comparePairs,
  type Estimate,
  type Interval,
  pairedSamples,
  percentiles95,
  type Standing,
  summarize,
  Z95,
} from "../statistics.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { scoreRows } from "./logistic.ts";
import { MISTAKES, type Splits } from "./measured.ts";
import { fitRidge } from "./ridge.ts";
import { meanScore, trueScores } from "./scores.ts";
import type { TrainOptions } from "./settings.ts";
import { type Limits, TextFit } from "./text-fit.ts";
import { textToTry } from "./text-to-try.ts";

/** A message of the test set, and its score. */
export interface ScoredMessage {
  text: TextOrPair;
  truth: number;
  predicted: number;
}

/** The run itself, or a baseline, on the test set. */
export interface ComparedScores extends ScoreMeasures, Pick<ScoreBaseline, "limits"> {
  name: string;
  /** The run against it: its RMSE minus the other's, by the paired bootstrap; null for the run itself. */
  against: { difference: Estimate; p: number; standing: Standing } | null;
}

/** The results of a regression on the test set. */
export interface ScoreResults {
  /** The run first, then the baselines; the last is the mean of the training scores. */
  compared: [ComparedScores, ...ComparedScores[]];
  /** The score minus the true one, of each row. */
  errors: number[];
  /** Tenths of the rows, in the order of their true scores. */
  bins: ScoreBin[];
  /** Messages whose scores are nearest to the true ones, and furthest from them. */
  samples: ScoredMessage[];
  mistakes: ScoredMessage[];
  /** A message to try the model with. */
  example: TextOrPair;
}

/** Rows with neighbouring true scores: the means, and the interval of the mean score. */
interface ScoreBin {
  truth: number;
  predicted: number;
  interval: Interval;
}

const BINS = 10;
const SAMPLED = 3;

export async function measure(
  data: LoadedDataset,
  _: TrainOptions,
  evaluated: Splits<Evaluation>,
  scores: Splits<Float32Array>,
  signal?: AbortSignal,
) {
  const { val, test } = scores;
  const baselines = await predictBaselines(data, signal);
  return {
    results: {
      ...{ after: evaluated, parts: [], decision: null, test: null, texts: null },
      scores: measureTest(data, test, baselines),
    },
    outputs: { val, test },
  };
}

interface ScoreBaseline {
  name: string;
  /** What its fit left out. */
  limits?: string;
  /** The score of each row of the test set. */
  scores: ArrayLike<number>;
}

/** The results of these scores of the test set's rows. */
export function measureTest(
  { test, pairs }: Pick<LoadedDataset, "test" | "pairs">,
  scores: ArrayLike<number>,
  baselines: readonly ScoreBaseline[],
): ScoreResults {
  const truth = trueScores(test);
  const distances = (some: ArrayLike<number>) => truth.map((score, row) => some[row]! - score);
  const errors = distances(scores);
  const others = baselines.map(({ scores, ...named }) => ({ ...named, scores, errors: distances(scores) }));
  const tests = comparePairs(
    others.map((other) => [errors, other.errors] as const),
    compareErrors,
  );
  const message = (row: number): ScoredMessage => ({
    text: test.text(row),
    truth: truth[row]!,
    predicted: scores[row]!,
  });
  const order = [...errors.keys()].sort((a, b) => Math.abs(errors[a]!) - Math.abs(errors[b]!) || a - b);
  return {
    compared: [
      { name: "this run", ...measureScores(truth, scores), against: null },
      ...others.map(({ scores, errors: _, ...named }, i): ComparedScores => {
        const { difference, adjusted: p, standing } = tests[i]!;
        return { ...named, ...measureScores(truth, scores), against: { difference, p, standing } };
      }),
    ],
    errors,
    bins: binScores(truth, scores),
    samples: order.slice(0, SAMPLED).map(message),
    mistakes: order.slice(-MISTAKES).reverse().map(message),
    example: textToTry(
      order.map((row) => test.text(row)),
      pairs !== undefined,
    ),
  };
}

/** Rows with equal true scores are in one bin. */
function binScores(truth: readonly number[], scores: ArrayLike<number>): ScoreBin[] {
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

/** The paired bootstrap of the difference in RMSE. */
export function compareErrors(first: readonly number[], second: readonly number[]) {
  const differ = (rows?: ArrayLike<number>) => rootMeanSquare(first, rows) - rootMeanSquare(second, rows);
  const differences = bootstrap(first.length, pairedSamples(first.length), differ);
  const value = differ();
  return { difference: { value, ...percentiles95(differences) }, p: bootstrapP(differences), firstIsBetter: value < 0 };
}

type Sets = Pick<LoadedDataset, "train" | "val" | "test">;

async function predictBaselines(sets: Sets, signal?: AbortSignal): Promise<ScoreBaseline[]> {
  const { train, test } = sets;
  const mean = meanScore(train);
  const { alpha, ...ridge } = await predictRidge(sets, { signal });
  return [
    { name: `TF-IDF, ridge regression (alpha ${alpha})`, ...ridge },
    { name: `always the mean, ${Number(mean.toPrecision(4))}`, scores: new Float64Array(test.size).fill(mean) },
  ];
}

/** Values of alpha in the order in which they are tried; without validation rows scikit-learn's default. */
const STRENGTHS = [100, 10, 1, 0.1, 0.01];
const DEFAULT_STRENGTH = 1;

/** Alpha is the one with the lowest error on the validation set: smaller ones are tried until it rises. */
export async function predictRidge({ train, val, test }: Sets, limits?: Limits) {
  const fit = await TextFit.begin(train, 1, limits);
  const known = trueScores(val);
  const [training, validation] = [await fit.read(train, fit.used), await fit.read(val)];
  // Without the mean, which the bias would take long to reach.
  const mean = meanScore(train);
  const scores = Float64Array.from(fit.used, (row) => train.values(row)[0]! - mean);
  let best = {
    alpha: DEFAULT_STRENGTH,
    error: Infinity,
    weights: new Float64Array(fit.tfidf.width + 1) as Float64Array,
  };
  for (const alpha of known.length > 0 ? STRENGTHS : [DEFAULT_STRENGTH]) {
    const weights = await fitRidge(training, scores, alpha, fit);
    const predicted = scoreRows(validation, weights);
    const error = meanAbsolute(known.map((score, row) => (predicted[row]! + mean - score) ** 2));
    if (error >= best.error) break;
    best = { alpha, error: known.length > 0 ? error : 0, weights };
  }
  const predicted = scoreRows(await fit.read(test), best.weights).map((score) => score + mean);
  return { alpha: best.alpha, ...fit.limits, scores: predicted };
}
