/**
 * Fits a classic model, or a linear probe, to messages: logistic regressions for classes and labels, ridge regression
 * for scores.
 */

import type { LoadedDataset } from "../data/datasets.ts";
import type { LabelKind } from "../labels/kind.ts";
import { meanScore, trueScores } from "../labels/score.ts";
import { METHODS } from "../methods/index.ts";
import { TRAINING } from "../tasks/training.ts";
import { countOutputs } from "./file.ts";
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
import type { ClassicParts } from "./parts.ts";
import { chooseStrength, type Features, type Limits, TextFit } from "./text-fit.ts";
import type { SparseRows } from "./tfidf.ts";

type Sets = Pick<LoadedDataset, "train" | "val" | "labels" | "objective" | "pairs"> & {
  /** Of a linear probe. */
  features?: Features;
};

/** Values of C, and of alpha, in the order in which they are tried, and scikit-learn's defaults. */
const STRENGTHS = {
  c: { usual: 1, tried: [0.1, 1, 10, 100, 1000] },
  alpha: { usual: 1, tried: [100, 10, 1, 0.1, 0.01] },
};

/** Those of a probe: with few rows a validation set chooses worse than this, and with many it makes no difference. */
const OF_PROBES = { c: { usual: 10, tried: [10] }, alpha: { usual: 0.3, tried: [0.3] } };

function strengthsOf({ features }: Sets, given?: number): typeof STRENGTHS {
  const { c, alpha } = features ? OF_PROBES : STRENGTHS;
  const usual = given === undefined ? {} : { usual: given };
  return { c: { ...c, ...usual }, alpha: { ...alpha, ...usual } };
}

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
  NonNullable<LabelKind["fit"]>,
  (sets: Sets, limits: Limits, strength?: number) => Promise<Fitted | null>
> = {
  classes: fitClasses,
  labels: fitLabels,
  scores: fitScores,
};

/** By data: all runs on it have the same. */
const known = new WeakMap<Sets, Promise<ClassicModel | null>>();

/** The classic model of a training set, as the validation set chooses it; null: all rows have the same class, or none. */
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
  const { fit: kind } = TRAINING[objective].labels;
  const fitted = kind ? await FITS[kind](sets, limits, strength) : null;
  if (fitted === null) return null;
  const { fit, weights: exact, ...rest } = fitted;
  // What is measured is what its file has.
  const weights = exact.map((weight) => Number(weight.toPrecision(DIGITS)));
  const parts = { ...rest, ...fit.limits, objective, tfidf: fit.tfidf, weights };
  return new ClassicModel(pairs ? { ...parts, pairs } : parts);
}

/** A linear probe: a head [labels, C] for the model whose features it has, and the TF-IDF whose logits are added. */
export interface FittedProbe {
  name: string;
  head: { weight: Float32Array; bias: Float32Array };
  counts: ClassicParts;
}

/** The bias of a class without training rows. */
const NEVER = -1e4;

/** Fits a probe to the features of a training set; null: all rows have the same class. */
export async function fitProbe(sets: Sets & { features: Features }, limits: Limits = {}): Promise<FittedProbe | null> {
  const { objective, pairs, labels } = sets;
  const fitted = await FITS[TRAINING[objective].labels.fit!](sets, limits);
  if (fitted === null) return null;
  const { fit, weights, labels: present, name: fits } = fitted;
  const { tfidf } = fit;
  const { mean, scale, weight: ofCounts } = fit.features!;
  const outputs = weights.length / (fit.width + 1);
  const [first, behind] = [tfidf.width * outputs, fit.width * outputs];
  const C = mean.length;
  const head = { weight: new Float32Array(labels.length * C), bias: new Float32Array(labels.length).fill(NEVER) };
  const zeros = countOutputs(objective, labels.length);
  const counts = new Float64Array((tfidf.width + 1) * zeros);
  for (const [i, name] of present.entries()) {
    const label = labels.indexOf(name);
    const output = i - (present.length - outputs);
    // The score of the first of two classes is 0.
    head.bias[label] = output < 0 ? 0 : weights[behind + output]!;
    if (output < 0) continue;
    for (let c = 0; c < C; c++) {
      const weight = weights[first + c * outputs + output]! * scale;
      head.weight[label * C + c] = weight;
      head.bias[label]! -= weight * mean[c]!;
    }
    for (let n = 0; n < tfidf.width; n++)
      counts[n * zeros + label - (labels.length - zeros)] = Number(
        (ofCounts * weights[n * outputs + output]!).toPrecision(DIGITS),
      );
  }
  const name = `${METHODS.probe.title} with ${ofCounts < 1 ? `${ofCounts} x ` : ""}${fits}`;
  const parts = { objective, name, ...fit.limits, labels, tfidf, weights: counts };
  return { name, head, counts: pairs ? { ...parts, pairs } : parts };
}

/**
 * Of the classes that have training rows; null if there are no two. C is the one with the lowest validation loss:
 * larger ones are tried until it rises.
 */
async function fitClasses(sets: Sets, limits: Limits, given?: number): Promise<Fitted | null> {
  const { train, val, features } = sets;
  const strengths = strengthsOf(sets, given).c;
  const fit = await TextFit.begin({ train, features }, weightColumns(train.labels.length), limits);
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
  const zeros = new Float64Array((fit.width + 1) * weightColumns(classes));
  const best = await chooseStrength<Float64Array>(strengths, judged.length, zeros, async (c, before) => {
    const weights = await fitLogistic(training, c, before, fit);
    return [weights, softmaxRows(scoreRows(validation.rows, weights), validation).loss];
  });
  const name = `TF-IDF, logistic regression (C ${best.strength})`;
  const { strength } = best;
  return { fit, name, strength, weights: best.weights, labels: present.map((label) => train.labels[label]!) };
}

/** One regression a label, all with the C that has the lowest loss on the validation set. */
async function fitLabels(sets: Sets, limits: Limits, given?: number): Promise<Fitted> {
  const { train, val, labels, features } = sets;
  const strengths = strengthsOf(sets, given).c;
  const fit = await TextFit.begin({ train, features }, labels.length, limits);
  const read = async (set: typeof train, places: Uint32Array) => ({
    rows: await fit.read(set, places),
    labelled: (label: number) => Int32Array.from(places, (row) => set.values(row)[label]!),
  });
  const training = await read(train, fit.used);
  const validation = await read(val, val.positions());
  const zeros = labels.map(() => new Float64Array(fit.width + 1));
  const best = await chooseStrength<Float64Array[]>(strengths, val.size, zeros, async (c, before) => {
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
  const weights = new Float64Array((fit.width + 1) * k);
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
async function fitScores(sets: Sets, limits: Limits, given?: number): Promise<Fitted> {
  const { train, val, labels, features } = sets;
  const strengths = strengthsOf(sets, given).alpha;
  const fit = await TextFit.begin({ train, features }, 1, limits);
  const truth = trueScores(val);
  const [training, validation] = [await fit.read(train, fit.used), await fit.read(val)];
  // Without the mean, which the bias would take long to reach.
  const mean = meanScore(train);
  const scores = Float64Array.from(fit.used, (row) => train.values(row)[0]! - mean);
  const none = new Float64Array(fit.width + 1);
  const best = await chooseStrength<Float64Array>(strengths, truth.length, none, async (alpha) => {
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
