// Parts of vectors, and conversions, that inner loops call. The compiler prefers small code (asconfig.json), so these
// say that they are to be inlined, in a file of their own: Biome cannot read such functions and leaves it out.

/** 2^112, the difference between the exponent biases of f32 and f16. */
export const SCALE: f32 = reinterpret<f32>(0x77800000);

/** 1.5 * 2^23: adding it to a small number leaves the nearest integer in the low bits. */
const ROUND: f32 = 12582912;

/** Loads `count` numbers, 1 to 3, into the first lanes; the others are 0. */
@inline
export function load_part(at: usize, count: u32): v128 {
  if (count == 1) return v128.load_zero<f32>(at);
  const v = v128.load_zero<f64>(at);
  return count == 2 ? v : v128.load_lane<f32>(at, v, 2, 8);
}

/** Writes the first `count` lanes, 1 to 3. */
@inline
export function store_part(at: usize, v: v128, count: u32): void {
  if (count == 1) {
    v128.store_lane<f32>(at, v, 0);
    return;
  }
  v128.store_lane<f64>(at, v, 0);
  if (count == 3) v128.store_lane<f32>(at, v, 2, 8);
}

/** Loads `count` numbers, 1 to 4, into the first lanes; the others are 0. */
@inline
export function load_some(at: usize, count: u32): v128 {
  return count == 4 ? v128.load(at) : load_part(at, count);
}

/** Writes the first `count` lanes, 1 to 4. */
@inline
export function store_some(at: usize, v: v128, count: u32): void {
  if (count == 4) v128.store(at, v);
  else store_part(at, v, count);
}

/**
 * Converts four halves, each sign-extended to a word: the shift moves exponent and fraction to their places; of the
 * sign's copies only the first is kept.
 */
@inline
export function widen(halves: v128): v128 {
  const bits = v128.and(i32x4.shl(halves, 13), i32x4.splat(0x8fffffff));
  return f32x4.mul(bits, f32x4.splat(SCALE));
}

@inline
export function load_halves(at: usize): v128 {
  return widen(v128.load_ext<i16>(at));
}

/** The nearest integers. */
@inline
export function nearest(v: v128, inverse: v128): v128 {
  return i32x4.sub(f32x4.add(f32x4.mul(v, inverse), f32x4.splat(ROUND)), f32x4.splat(ROUND));
}
