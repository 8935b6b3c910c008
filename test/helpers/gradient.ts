/** Finite differences: whether a gradient that was written from the formula is that of the function. */
import { assertAllClose } from "./allclose.ts";

/** Step of the central differences, the cube root of f64's epsilon: truncation and rounding are both near 1e-10. */
const STEP = 6e-6;

/** Central differences in f64 of functions whose values and third derivatives are near 1 agree to about 1e-9. */
const DIFFERENCES = { atol: 1e-8, rtol: 1e-6 };

/** Throws unless `gradient` is that of `loss` with respect to every element of `values`, which `loss` reads. */
export function assertGradient(name: string, loss: () => number, values: Float64Array, gradient: Float64Array): void {
  const numeric = values.map((value, i) => {
    values[i] = value + STEP;
    const above = loss();
    values[i] = value - STEP;
    const below = loss();
    values[i] = value;
    return (above - below) / (2 * STEP);
  });
  assertAllClose(`${name}: gradient and finite differences`, gradient, numeric, DIFFERENCES);
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

/** A scalar loss whose gradient with respect to `values` is `weights`. */
export function dot(values: Float64Array, weights: Float64Array): number {
  return values.reduce((sum, value, i) => sum + value * weights[i]!, 0);
}
