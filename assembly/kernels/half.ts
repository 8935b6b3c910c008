// Converts halves (f16) to floats, exactly, including subnormal ones. Only for finite halves: weights are checked when
// loaded.

import { load_halves, SCALE, widen } from "./lanes";

/** Loads `count` halves, 1 to 3, followed by 0. */
export function load_part_halves(at: usize, count: u32): v128 {
  let halves = i32x4.replace_lane(i32x4.splat(0), 0, load<i16>(at));
  if (count > 1) halves = i32x4.replace_lane(halves, 1, load<i16>(at, 2));
  if (count > 2) halves = i32x4.replace_lane(halves, 2, load<i16>(at, 4));
  return widen(halves);
}

export function load_half(at: usize): f32 {
  return reinterpret<f32>((load<i16>(at) << 13) & 0x8fffffff) * SCALE;
}

/** Converts `count` halves to floats at `to`. */
export function widen_row(to: usize, from: usize, count: u32): void {
  let i: u32 = 0;
  for (; i + 4 <= count; i += 4) v128.store(to + (i << 2), load_halves(from + (i << 1)));
  for (; i < count; i++) store<f32>(to + (i << 2), load_half(from + (i << 1)));
}

/** Converts rows of `count` halves, `from_stride` bytes apart, to rows of floats `to_stride` bytes apart. */
export function widen_rows(to: usize, to_stride: usize, from: usize, from_stride: usize, rows: u32, count: u32): void {
  for (let i: u32 = 0; i < rows; i++) widen_row(to + i * to_stride, from + i * from_stride, count);
}
