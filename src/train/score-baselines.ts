/** What a regression has to beat: ridge regression on TF-IDF, and the mean of the scores. */
import type { LoadedDataset } from "../data/datasets.ts";
import { meanScore, trueScores } from "../tasks/regression/regression-training.ts";
import type { Baseline } from "../tasks/task.ts";
import { chooseStrength } from "./baselines.ts";
import { add, countProduct, dot, type Meter, scoreRows, sumErrors } from "./logistic.ts";
import { type Limits, TextFit } from "./text-fit.ts";
import type { SparseRows } from "./tfidf.ts";

type Sets = Pick<LoadedDataset, "train" | "val" | "test">;

/** Values of alpha in the order in which they are tried, and scikit-learn's default. */
const STRENGTHS = { usual: 1, tried: [100, 10, 1, 0.1, 0.01] };

export async function fitScores(sets: Sets, signal?: AbortSignal): Promise<Baseline[]> {
  const mean = meanScore(sets.train);
  return [
    await predictRidge(sets, { signal }),
    { name: `always the mean, ${Number(mean.toPrecision(4))}`, values: new Float64Array(sets.test.size).fill(mean) },
  ];
}

/** Alpha is the one with the lowest error on the validation set: smaller ones are tried until it rises. */
export async function predictRidge({ train, val, test }: Sets, limits?: Limits): Promise<Baseline> {
  const fit = await TextFit.begin(train, 1, limits);
  const known = trueScores(val);
  const [training, validation] = [await fit.read(train, fit.used), await fit.read(val)];
  // Without the mean, which the bias would take long to reach.
  const mean = meanScore(train);
  const scores = Float64Array.from(fit.used, (row) => train.values(row)[0]! - mean);
  const none = new Float64Array(fit.tfidf.width + 1);
  const best = await chooseStrength<Float64Array>(STRENGTHS, known.length, none, async (alpha) => {
    const weights = await fitRidge(training, scores, alpha, fit);
    const predicted = scoreRows(validation, weights);
    const errors = known.map((score, row) => (predicted[row]! + mean - score) ** 2);
    return [weights, errors.reduce((sum, error) => sum + error, 0) / known.length];
  });
  const values = scoreRows(await fit.read(test), best.weights).map((score) => score + mean);
  return { name: `TF-IDF, ridge regression (alpha ${best.strength})`, ...fit.limits, values };
}

/** The gradient at the optimum, as a part of that of weights of 0. */
const TOLERANCE = 1e-6;
/** The fits of some thousand rows take about a hundred. */
const MOST_PRODUCTS = 500;

/**
 * Ridge regression, as scikit-learn's: the least of the squared errors of all rows, and alpha times the squared weights
 * without the bias. By conjugate gradients (Nocedal and Wright 2006, algorithm 5.2): deterministic, and without a
 * matrix. The weights [width + 1], of which the last is the bias, or those reached when there was no more to take.
 */
export async function fitRidge(
  rows: SparseRows,
  scores: Float64Array,
  alpha: number,
  meter: Meter,
): Promise<Float64Array> {
  const penalised = rows.width;
  const weights = new Float64Array(rows.width + 1);
  const residual = sumErrors(rows, scores);
  const search = residual.slice();
  let squares = dot(residual, residual);
  const enough = TOLERANCE ** 2 * squares;
  const work = countProduct(rows, 1);
  for (let i = 0; i < MOST_PRODUCTS && squares > enough && (await meter.take(work)); i++) {
    const product = sumErrors(rows, scoreRows(rows, search));
    add(product, search, alpha, penalised);
    const rate = squares / dot(search, product);
    add(weights, search, rate);
    add(residual, product, -rate);
    const next = dot(residual, residual);
    for (let j = 0; j < search.length; j++) search[j] = residual[j]! + (next / squares) * search[j]!;
    squares = next;
  }
  return weights;
}
