/** The activations and their derivatives in f64: the reference of activation and linear. */
import type { Activation } from "../../src/config.ts";

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

export const FORMULAS: Record<Activation, { value: (x: number) => number; slope: (x: number) => number }> = {
  gelu_new: {
    value: (x) => 0.5 * x * (1 + Math.tanh(S * (x + 0.044715 * x ** 3))),
    slope: (x) => {
      const t = Math.tanh(S * (x + 0.044715 * x ** 3));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * S * (1 + 3 * 0.044715 * x ** 2);
    },
  },
  gelu: {
    value: (x) => x * normal(x),
    slope: (x) => normal(x) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI),
  },
  relu: { value: (x) => Math.max(x, 0), slope: (x) => (x > 0 ? 1 : 0) },
};

const SIZES = [0, 1e-30, 1e-7, 0.01, 1, 4, 5, 6, 6.5, 7, 8, 10, 20, 100, 1e3, 1e4, 1e6];

/** Inputs where tanh, exp or the cubic overflow or cancel. */
export const EXTREMES = SIZES.flatMap((x) => [x, -x]);

/** Rows and columns of tests of functions of one number: multiples of four and not, and more than a workgroup has. */
export const SHAPES = [
  [17, 68],
  [1, 1],
  [1, 20],
  [5, 132],
  [3, 257],
] as const;
