/** The activations and their derivatives in f64: the reference of activation and linear. */
import type { ActivationName } from "../../src/ops/activation.ts";
import { slope } from "./gradient.ts";

const S = Math.sqrt(2 / Math.PI);

/** The normal distribution: its series about 0, and beyond 3 the continued fraction of its tail. */
function normal(x: number): number {
  const z = Math.abs(x);
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (z < 3) {
    let [sum, term] = [x, x];
    for (let n = 1; n < 80; n++) {
      term *= (x * x) / (2 * n + 1);
      sum += term;
    }
    return 0.5 + density * sum;
  }
  let fraction = z;
  for (let n = 200; n > 0; n--) fraction = z + n / fraction;
  return x < 0 ? density / fraction : 1 - density / fraction;
}

export const FORMULAS: Record<ActivationName, (x: number) => number> = {
  gelu_new: (x) => 0.5 * x * (1 + Math.tanh(S * (x + 0.044715 * x ** 3))),
  gelu: (x) => x * normal(x),
  relu: (x) => Math.max(x, 0),
};

/** Their derivatives. At 0, where relu has none, its kernel gives 0. */
export function slopes(by: ActivationName, values: Float64Array): Float64Array {
  if (by === "relu") return values.map((x) => Number(x > 0));
  return values.map((x) => slope(FORMULAS[by], x));
}

const SIZES = [0, 1e-30, 1e-7, 0.01, 1, 4, 5, 6, 6.5, 7, 8, 10, 20, 100, 1e3, 1e4, 1e6];

/** Inputs where tanh, exp or the cubic overflow or cancel. */
export const EXTREMES = SIZES.flatMap((x) => [x, -x]);
