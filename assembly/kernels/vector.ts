// Helpers of the kernels: multiply-add, sums over lanes, exp, and rows whose length is not a multiple of four.

import { load_part } from "./lanes";

/** a * b + c: fused in the build with relaxed SIMD, otherwise rounded twice. */
export function madd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
}

/** (x + y) + (z + w). */
export function sum_lanes(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** The largest lane; NaN if any is NaN. */
export function max_lanes(v: v128): f32 {
  return max<f32>(
    max<f32>(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
    max<f32>(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
  );
}

/** The sums over the lanes of four vectors, by a transposed addition. */
export function sum_four(s0: v128, s1: v128, s2: v128, s3: v128): v128 {
  const low01 = v128.shuffle<f32>(s0, s1, 0, 4, 1, 5);
  const high01 = v128.shuffle<f32>(s0, s1, 2, 6, 3, 7);
  const low23 = v128.shuffle<f32>(s2, s3, 0, 4, 1, 5);
  const high23 = v128.shuffle<f32>(s2, s3, 2, 6, 3, 7);
  const even = f32x4.add(v128.shuffle<f32>(low01, low23, 0, 1, 4, 5), v128.shuffle<f32>(low01, low23, 2, 3, 6, 7));
  const odd = f32x4.add(v128.shuffle<f32>(high01, high23, 0, 1, 4, 5), v128.shuffle<f32>(high01, high23, 2, 3, 6, 7));
  return f32x4.add(even, odd);
}

/** The same of integers. */
export function sum_four_integers(s0: v128, s1: v128, s2: v128, s3: v128): v128 {
  const low01 = v128.shuffle<i32>(s0, s1, 0, 4, 1, 5);
  const high01 = v128.shuffle<i32>(s0, s1, 2, 6, 3, 7);
  const low23 = v128.shuffle<i32>(s2, s3, 0, 4, 1, 5);
  const high23 = v128.shuffle<i32>(s2, s3, 2, 6, 3, 7);
  const even = i32x4.add(v128.shuffle<i32>(low01, low23, 0, 1, 4, 5), v128.shuffle<i32>(low01, low23, 2, 3, 6, 7));
  const odd = i32x4.add(v128.shuffle<i32>(high01, high23, 0, 1, 4, 5), v128.shuffle<i32>(high01, high23, 2, 3, 6, 7));
  return i32x4.add(even, odd);
}

/** 1.5 * 2^23: adding it to a small number leaves the nearest integer in the low bits. */
const ROUND: f32 = 12582912;

/**
 * e^x for -87.3 <= x <= 88, clamped outside; NaN stays NaN. Relative error at most 1.2e-7 (2^-23).
 * x = n ln 2 + r with |r| <= ln 2 / 2, e^r by a polynomial of degree 7. Reference: Cephes, expf (Moshier 1992).
 */
export function exp(x: v128): v128 {
  // pmin and pmax are one instruction each, and propagate a NaN in the first operand.
  const y = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-87.3)), f32x4.splat(88));
  const rounded = madd(y, f32x4.splat(1.44269504088896341), f32x4.splat(ROUND));
  const n = f32x4.sub(rounded, f32x4.splat(ROUND));
  // ln 2 in two parts: n * 0.693359375 is exact.
  const r = madd(n, f32x4.splat(2.1219444e-4), madd(n, f32x4.splat(-0.693359375), y));
  let p = madd(f32x4.splat(1.98756915e-4), r, f32x4.splat(1.3981999507e-3));
  p = madd(p, r, f32x4.splat(8.3334519073e-3));
  p = madd(p, r, f32x4.splat(4.1665795894e-2));
  p = madd(p, r, f32x4.splat(1.6666665459e-1));
  p = madd(p, r, f32x4.splat(5.0000001201e-1));
  p = f32x4.add(madd(p, f32x4.mul(r, r), r), f32x4.splat(1));
  // The integer's bits move into the exponent; the bits above them are shifted out.
  return f32x4.mul(p, i32x4.add(i32x4.shl(rounded, 23), i32x4.splat(0x3f800000)));
}

/** e^x of one number. */
export function exp_of(x: f32): f32 {
  return f32x4.extract_lane(exp(f32x4.splat(x)), 0);
}

/** Sum of x[i] * y[i], in four lanes that are added at the end. */
export function dot(x: usize, y: usize, count: u32): f32 {
  let sum = f32x4.splat(0);
  let i: u32 = 0;
  for (; i + 4 <= count; i += 4) sum = madd(v128.load(x + (i << 2)), v128.load(y + (i << 2)), sum);
  if (i < count) sum = madd(load_part(x + (i << 2), count - i), load_part(y + (i << 2), count - i), sum);
  return sum_lanes(sum);
}
