/** Fits a classic model to messages: logistic regressions for classes and labels, ridge regression for scores. */

import type { LoadedDataset } from "../data/datasets.ts";
import { meanScore, trueScores } from "../tasks/regression/regression-training.ts";
import type { LabelKind } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";
import {
  add,
  countProduct,
  dot,
  fitLogistic,
  type Meter,
  scoreRows,
  softmaxRows,
  sumErrors,
  weightColumns,
} from "./logistic.ts";
import { ClassicModel } from "./model.ts";
import { chooseStrength, type Limits, TextFit } from "./text-fit.ts";
import type { SparseRows } from "./tfidf.ts";

type Sets = Pick<LoadedDataset, "train" | "val" | "labels" | "objective" | "pairs">;

/** Values of C, and of alpha, in the order in which they are tried, and scikit-learn's defaults. */
const STRENGTHS = {
  c: { usual: 1, tried: [0.1, 1, 10, 100, 1000] },
  alpha: { usual: 1, tried: [100, 10, 1, 0.1, 0.01] },
};

/** Digits of a weight: those of a float32, with which a file is half as large. */
const DIGITS = 7;

/** The weights [width + 1, outputs] of a fit, the labels of the outputs, and what it is. */
interface Fitted {
  fit: TextFit;
  weights: Float64Array;
  labels: readonly string[];
  name: string;
  /** C or alpha. */
  strength: number;
}

const FITS: Record<
  Exclude<LabelKind, "tags">,
  (sets: Sets, limits: Limits, strength?: number) => Promise<Fitted | null>
> = {
  class: fitClasses,
  set: fitLabels,
  score: fitScores,
};

/** By data: all runs on it have the same. */
const known = new WeakMap<Sets, Promise<ClassicModel | null>>();

/** The classic model of a training set, as the validation set chooses it; null: all rows have the same class. */
export async function fitClassic(sets: Sets, signal?: AbortSignal): Promise<ClassicModel | null> {
  // What the signal of another run has ended is begun again.
  const before = await known.get(sets)?.catch(() => undefined);
  if (before !== undefined) return before;
  const own = fitWithin(sets, { signal });
  known.set(sets, own);
  return own;
}

/** The same, within limits of memory and time. `strength`: without a validation set. */
export async function fitWithin(sets: Sets, limits: Limits = {}, strength?: number): Promise<ClassicModel | null> {
  const { objective, pairs } = sets;
  const fitted = await FITS[TRAINING[objective].labels as keyof typeof FITS](sets, limits, strength);
  if (fitted === null) return null;
  const { fit, weights: exact, ...rest } = fitted;
  // What is measured is what its file has.
  const weights = exact.map((weight) => Number(weight.toPrecision(DIGITS)));
  const parts = { ...rest, ...fit.limits, objective, tfidf: fit.tfidf, weights };
  return new ClassicModel(pairs ? { ...parts, pairs } : parts);
}

/**
 * Of the classes that have training rows; null if there are no two. C is the one with the lowest validation loss:
 * larger ones are tried until it rises.
 */
async function fitClasses({ train, val }: Sets, limits: Limits, usual = STRENGTHS.c.usual): Promise<Fitted | null> {
  const fit = await TextFit.begin(train, weightColumns(train.labels.length), limits);
  const present = [...new Set(Array.from(fit.used, (row) => train.label(row)))].sort((a, b) => a - b);
  const classes = present.length;
  if (classes < 2) return null;
  const read = async (set: Sets["train"], rows: Uint32Array) => ({
    rows: await fit.read(set, rows),
    labels: Int32Array.from(rows, (row) => present.indexOf(set.label(row))),
    classes,
  });
  const judged = val.positions().filter((row) => present.includes(val.label(row)));
  const [training, validation] = [await read(train, fit.used), await read(val, judged)];
  const zeros = new Float64Array((fit.tfidf.width + 1) * weightColumns(classes));
  const best = await chooseStrength<Float64Array>(
    { ...STRENGTHS.c, usual },
    judged.length,
    zeros,
    async (c, before) => {
      const weights = await fitLogistic(training, c, before, fit);
      return [weights, softmaxRows(scoreRows(validation.rows, weights), validation).loss];
    },
  );
  const name = `TF-IDF, logistic regression (C ${best.strength})`;
  const { strength } = best;
  return { fit, name, strength, weights: best.weights, labels: present.map((label) => train.labels[label]!) };
}

/** One regression a label, all with the C that has the lowest loss on the validation set. */
async function fitLabels({ train, val, labels }: Sets, limits: Limits, usual = STRENGTHS.c.usual): Promise<Fitted> {
  const fit = await TextFit.begin(train, labels.length, limits);
  const read = async (set: typeof train, places: Uint32Array) => ({
    rows: await fit.read(set, places),
    labelled: (label: number) => Int32Array.from(places, (row) => set.values(row)[label]!),
  });
  const training = await read(train, fit.used);
  const validation = await read(val, val.positions());
  const zeros = labels.map(() => new Float64Array(fit.tfidf.width + 1));
  const best = await chooseStrength<Float64Array[]>({ ...STRENGTHS.c, usual }, val.size, zeros, async (c, before) => {
    let loss = 0;
    const weights: Float64Array[] = [];
    for (const label of labels.keys()) {
      const own = { rows: training.rows, labels: training.labelled(label), classes: 2 };
      weights.push(await fitLogistic(own, c, before[label]!, shareOf(fit, labels.length - label)));
      const judged = { labels: validation.labelled(label), classes: 2 };
      loss += softmaxRows(scoreRows(validation.rows, weights[label]!), judged).loss;
    }
    return [weights, loss];
  });
  const k = labels.length;
  const weights = new Float64Array((fit.tfidf.width + 1) * k);
  for (const [label, own] of best.weights.entries())
    for (const [i, value] of own.entries()) weights[i * k + label] = value;
  return {
    fit,
    name: `TF-IDF, a logistic regression a label (C ${best.strength})`,
    strength: best.strength,
    weights,
    labels,
  };
}

/** What the first of so many fits may take: they have equal shares, and those after it what it leaves. */
function shareOf(fit: TextFit, fits: number): Meter {
  const keep = fit.work - fit.work / fits;
  return { take: (work) => fit.take(work, keep) };
}

/** Alpha is the one with the lowest error on the validation set: smaller ones are tried until it rises. */
async function fitScores({ train, val, labels }: Sets, limits: Limits, usual = STRENGTHS.alpha.usual): Promise<Fitted> {
  const fit = await TextFit.begin(train, 1, limits);
  const truth = trueScores(val);
  const [training, validation] = [await fit.read(train, fit.used), await fit.read(val)];
  // Without the mean, which the bias would take long to reach.
  const mean = meanScore(train);
  const scores = Float64Array.from(fit.used, (row) => train.values(row)[0]! - mean);
  const none = new Float64Array(fit.tfidf.width + 1);
  const best = await chooseStrength<Float64Array>({ ...STRENGTHS.alpha, usual }, truth.length, none, async (alpha) => {
    const weights = await fitRidge(training, scores, alpha, fit);
    const predicted = scoreRows(validation, weights);
    const errors = truth.map((score, row) => (predicted[row]! + mean - score) ** 2);
    return [weights, errors.reduce((sum, error) => sum + error, 0) / truth.length];
  });
  const weights = best.weights.slice();
  weights[weights.length - 1]! += mean;
  return { fit, name: `TF-IDF, ridge regression (alpha ${best.strength})`, strength: best.strength, weights, labels };
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
