/** References by rows and by finite differences: the gradient of a function, or whether a formula is that. */
import { Rng } from "../../src/core/rng.ts";
import { assertAllClose } from "./allclose.ts";

/** Step of the central differences, the cube root of f64's epsilon: truncation and rounding are both near 1e-10. */
const STEP = 6e-6;

/** Of the size that a derivative along a random direction has: a wrong element of a million would be 1e-3. */
const DIFFERENCE = 1e-6;
/** Rounding of the loss, divided by the step. */
const ROUNDING = 1e-10;

/** Throws unless `gradient` is that of `loss` at `values`: by its change along a direction in which they all move. */
export function assertGradient(
  name: string,
  values: Float64Array,
  gradient: Float64Array,
  loss: (values: Float64Array) => number,
): void {
  const rng = new Rng(values.length);
  const direction = values.map(() => rng.normal());
  const [high, low] = [STEP, -STEP].map((step) => loss(values.map((value, i) => value + step * direction[i]!)));
  const size = Math.sqrt(direction.reduce((sum, d, i) => sum + (d * gradient[i]!) ** 2, 0));
  const difference = (high! - low!) / (2 * STEP);
  assertAllClose(`${name}: the gradient along a direction`, [dot(direction, gradient)], [difference], {
    atol: DIFFERENCE * size + ROUNDING * (1 + Math.abs(high!)),
    rtol: 0,
  });
}

/**
 * The gradient of dot(f(row), dout of the row) for each row of `inp`, by central differences: no formula is needed. A
 * step grows with its number, so that rounding does not show.
 */
export function rowGradient(
  f: (row: Float64Array) => Float64Array,
  inp: Float64Array,
  dout: Float64Array,
  rows: number,
): Float64Array {
  const [cols, width] = [inp.length / rows, dout.length / rows];
  return inp.map((value, i) => {
    const at = Math.floor(i / cols);
    const row = inp.slice(at * cols, (at + 1) * cols);
    const above = dout.subarray(at * width, (at + 1) * width);
    const step = STEP * Math.max(1, Math.abs(value));
    const [high, low] = [value + step, value - step].map((moved) => f(row.with(i % cols, moved)));
    return high!.reduce((sum, one, j) => sum + (one - low![j]!) * above[j]!, 0) / (2 * step);
  });
}

/** The derivative of `f` at `x`, by a central difference. */
export function slope(f: (x: number) => number, x: number): number {
  const step = STEP * Math.max(1, Math.abs(x));
  return (f(x + step) - f(x - step)) / (2 * step);
}

/** What `f` makes of each row of `values`. */
export function eachRow(values: Float64Array, cols: number, f: (row: Float64Array) => Float64Array): Float64Array {
  const rows = Array.from({ length: values.length / cols }, (_, i) => f(values.slice(i * cols, (i + 1) * cols)));
  return Float64Array.from(rows.flatMap((row) => [...row]));
}

/** The sums of the columns of rows, on top of `before`: as gradients of what all rows share add up. */
export function addColumns(before: Float64Array, rows: Float64Array): Float64Array {
  const sums = before.slice();
  for (const [i, value] of rows.entries()) sums[i % sums.length]! += value;
  return sums;
}

/** Adds row `from` of `values`, times `factor`, to row `to` of `out`: its transpose is the gradient. */
export function addRows(
  out: Float64Array,
  values: Float64Array,
  cols: number,
  terms: readonly (readonly [to: number, from: number, factor?: number])[],
): Float64Array {
  for (const [to, from, factor = 1] of terms)
    for (let c = 0; c < cols; c++) out[to * cols + c]! += values[from * cols + c]! * factor;
  return out;
}

export const add = (a: Float64Array, b: Float64Array) => a.map((value, i) => value + b[i]!);
export const times = (a: Float64Array, b: Float64Array) => a.map((value, i) => value * b[i]!);

/** A scalar loss whose gradient with respect to `values` is `weights`. */
export function dot(values: Float64Array, weights: Float64Array): number {
  return values.reduce((sum, value, i) => sum + value * weights[i]!, 0);
}
