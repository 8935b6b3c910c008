/** Ridge regression. */
import { add, countProduct, dot, type Meter, scoreRows, sumErrors } from "./logistic.ts";
import type { SparseRows } from "./tfidf.ts";

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
