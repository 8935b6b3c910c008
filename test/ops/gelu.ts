/** GELU and its derivative in f64: the reference of gelu and linear. */
const S = Math.sqrt(2 / Math.PI);

export function gelu(x: number): number {
  return 0.5 * x * (1 + Math.tanh(S * (x + 0.044715 * x ** 3)));
}

export function slope(x: number): number {
  const t = Math.tanh(S * (x + 0.044715 * x ** 3));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * S * (1 + 3 * 0.044715 * x ** 2);
}

const SIZES = [0, 1e-30, 1e-7, 0.01, 1, 4, 5, 6, 6.5, 7, 8, 10, 20, 100, 1e3, 1e4, 1e6];

/** Inputs where tanh, exp or the cubic overflow or cancel. */
export const EXTREMES = SIZES.flatMap((x) => [x, -x]);
