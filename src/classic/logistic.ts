/**
 * Logistic regression with L2, as scikit-learn's: the least of C times the cross-entropy of all rows, and half the
 * squared weights without the biases. Newton's method with conjugate gradients (Nocedal and Wright 2006, algorithm
 * 7.1): deterministic, and without a learning rate or a matrix of second derivatives.
 */
import type { TextFit } from "./text-fit.ts";
import type { SparseRows } from "./tfidf.ts";

/** The gradient at the optimum, as a part of that of weights of 0. */
const TOLERANCE = 1e-5;
/** Five to seven steps and at most sixty products in each have been seen. */
const MOST = { steps: 50, products: 250 } as const;
/** A step is halved until the loss falls by this part of what the gradient promises. */
const ENOUGH_DESCENT = 1e-4;

interface LabelledRows {
  rows: SparseRows;
  labels: Int32Array;
  classes: number;
}

/** Two classes need one column of weights, the second's: the first has a score of 0. More have one each. */
export const weightColumns = (classes: number) => (classes === 2 ? 1 : classes);

/** Scores [rows, k] by weights [width + 1, k], of which the last row are the biases. */
export function scoreRows(rows: SparseRows, weights: Float64Array): Float64Array {
  const k = weights.length / (rows.width + 1);
  const scores = new Float64Array((rows.starts.length - 1) * k);
  for (let row = 0; row < rows.starts.length - 1; row++) scoreRow(rows, row, weights, scores, row * k);
  return scores;
}

/** The transposed product: [width + 1, k] of errors [rows, k]. */
export function sumErrors(rows: SparseRows, errors: Float64Array): Float64Array {
  const k = errors.length / (rows.starts.length - 1);
  const sums = new Float64Array((rows.width + 1) * k);
  for (let row = 0; row < rows.starts.length - 1; row++) addErrors(rows, row, errors, row * k, sums);
  return sums;
}

/**
 * The scores [k] of one row, from `at` on. Two entries at a time, for which a score is loaded and stored once: added
 * from the left to the right they give the same bits as one after the other, in half the time.
 */
function scoreRow(rows: SparseRows, row: number, weights: Float64Array, scores: Float64Array, at: number): void {
  const { starts, columns, values, width } = rows;
  const k = weights.length / (width + 1);
  for (let c = 0; c < k; c++) scores[at + c] = weights[width * k + c]!;
  const end = starts[row + 1]!;
  let i = starts[row]!;
  for (; i < end - 1; i += 2) {
    const first = columns[i]! * k;
    const second = columns[i + 1]! * k;
    const value = values[i]!;
    const next = values[i + 1]!;
    for (let c = 0; c < k; c++)
      scores[at + c] = scores[at + c]! + value * weights[first + c]! + next * weights[second + c]!;
  }
  if (i < end) for (let c = 0; c < k; c++) scores[at + c]! += values[i]! * weights[columns[i]! * k + c]!;
}

/** Adds the errors [k] of one row, from `at` on, to the sums of its columns: a row has each column once. */
function addErrors(rows: SparseRows, row: number, errors: Float64Array, at: number, sums: Float64Array): void {
  const { starts, columns, values, width } = rows;
  const k = sums.length / (width + 1);
  for (let c = 0; c < k; c++) sums[width * k + c]! += errors[at + c]!;
  const end = starts[row + 1]!;
  let i = starts[row]!;
  for (; i < end - 1; i += 2) {
    const first = columns[i]! * k;
    const second = columns[i + 1]! * k;
    const value = values[i]!;
    const next = values[i + 1]!;
    for (let c = 0; c < k; c++) {
      sums[first + c]! += value * errors[at + c]!;
      sums[second + c]! += next * errors[at + c]!;
    }
  }
  if (i < end) for (let c = 0; c < k; c++) sums[columns[i]! * k + c]! += values[i]! * errors[at + c]!;
}

/** The cross-entropy of all rows, and the probabilities [rows, k], of scores [rows, k]. */
export function softmaxRows(
  scores: Float64Array,
  { labels, classes }: Pick<LabelledRows, "labels" | "classes">,
): { loss: number; shares: Float64Array } {
  const k = weightColumns(classes);
  const hasZero = k < classes;
  const shares = new Float64Array(scores.length);
  let loss = 0;
  for (let row = 0, at = 0; row < labels.length; row++, at += k) {
    let largest = hasZero ? 0 : -Infinity;
    for (let c = 0; c < k; c++) largest = Math.max(largest, scores[at + c]!);
    let sum = hasZero ? Math.exp(-largest) : 0;
    for (let c = 0; c < k; c++) {
      shares[at + c] = Math.exp(scores[at + c]! - largest);
      sum += shares[at + c]!;
    }
    for (let c = 0; c < k; c++) shares[at + c]! /= sum;
    const own = labels[row]! - (classes - k);
    loss += largest + Math.log(sum) - (own < 0 ? 0 : scores[at + own]!);
  }
  return { loss, shares };
}

/** What takes the work of a fit into account. */
export type Meter = Pick<TextFit, "take">;

/** Multiply-adds of a product of all rows and one of its transpose, with the sums of vectors around them. */
export const countProduct = ({ columns, width }: SparseRows, k: number) => 2 * k * (columns.length + 3 * width);

/**
 * The weights [width + 1, k] for a C, or those that were reached when there was no more to take; `start`: where to
 * begin, those of another C for instance.
 */
export async function fitLogistic(
  data: LabelledRows,
  c: number,
  start: Float64Array,
  meter: Meter,
): Promise<Float64Array> {
  const k = weightColumns(data.classes);
  const penalised = data.rows.width * k;
  const weights = start.slice();
  const scores = scoreRows(data.rows, weights);
  const slopeAt = (shares: Float64Array) => sumErrors(data.rows, subtractLabels(shares, data));
  const limit = TOLERANCE * norm(slopeAt(softmaxRows(new Float64Array(scores.length), data).shares));
  for (let step = 0; step < MOST.steps && (await meter.take(countProduct(data.rows, k))); step++) {
    const { loss, shares } = softmaxRows(scores, data);
    const gradient = slopeAt(shares);
    add(gradient, weights, 1 / c, penalised);
    if (norm(gradient) <= limit) break;
    const direction = await newtonDirection({ data, shares, penalty: 1 / c }, gradient, meter);
    const ahead = scoreRows(data.rows, direction);
    // The loss on the way, of scores and squared weights that are known without another product.
    const [linear, square] = [dot(weights, direction, penalised), dot(direction, direction, penalised)];
    const descent = dot(gradient, direction);
    let size = 2;
    let change: number;
    do {
      size /= 2;
      const moved = scores.slice();
      add(moved, ahead, size);
      change = softmaxRows(moved, data).loss - loss + (size * linear + (size * size * square) / 2) / c;
    } while (change > ENOUGH_DESCENT * size * descent && size > 1e-6);
    add(weights, direction, size);
    add(scores, ahead, size);
  }
  return weights;
}

/** The derivatives of the cross-entropy by the scores. */
function subtractLabels(shares: Float64Array, { labels, classes }: LabelledRows): Float64Array {
  const k = weightColumns(classes);
  const errors = shares.slice();
  for (const [row, label] of labels.entries()) {
    const own = label - (classes - k);
    if (own >= 0) errors[row * k + own]! -= 1;
  }
  return errors;
}

/** Where the loss is bent: the rows with their probabilities, and the penalty of squared weights. */
interface Curvature {
  data: LabelledRows;
  shares: Float64Array;
  penalty: number;
}

/** Newton's direction, as far as the gradient deserves, by conjugate gradients. */
async function newtonDirection(place: Curvature, gradient: Float64Array, meter: Meter): Promise<Float64Array> {
  const direction = new Float64Array(gradient.length);
  const residual = gradient.map((value) => -value);
  const search = residual.slice();
  let squares = dot(residual, residual);
  const slope = Math.sqrt(squares);
  const enough = Math.min(0.1, Math.sqrt(slope)) * slope;
  const work = countProduct(place.data.rows, weightColumns(place.data.classes));
  for (let i = 0; i < MOST.products && Math.sqrt(squares) > enough && (await meter.take(work)); i++) {
    const bent = multiplyCurvature(place, search);
    const curvature = dot(search, bent);
    if (!(curvature > 0)) break;
    const rate = squares / curvature;
    add(direction, search, rate);
    add(residual, bent, -rate);
    const next = dot(residual, residual);
    for (let j = 0; j < search.length; j++) search[j] = residual[j]! + (next / squares) * search[j]!;
    squares = next;
  }
  return direction;
}

/** The product of the second derivatives and a vector. */
function multiplyCurvature(
  { data: { rows, classes }, shares, penalty }: Curvature,
  vector: Float64Array,
): Float64Array {
  const k = weightColumns(classes);
  const bent = new Float64Array(vector.length);
  const scores = new Float64Array(k);
  for (let row = 0, at = 0; at < shares.length; row++, at += k) {
    scoreRow(rows, row, vector, scores, 0);
    let mean = 0;
    for (let c = 0; c < k; c++) mean += shares[at + c]! * scores[c]!;
    for (let c = 0; c < k; c++) scores[c] = shares[at + c]! * (scores[c]! - mean);
    addErrors(rows, row, scores, 0, bent);
  }
  add(bent, vector, penalty, rows.width * k);
  return bent;
}

export function dot(a: Float64Array, b: Float64Array, length = a.length): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[i]! * b[i]!;
  return sum;
}

const norm = (a: Float64Array) => Math.sqrt(dot(a, a));

/** a += factor * b. */
export function add(a: Float64Array, b: Float64Array, factor: number, length = a.length): void {
  for (let i = 0; i < length; i++) a[i]! += factor * b[i]!;
}
