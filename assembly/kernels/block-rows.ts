// One row times weights in blocks of 8 or 4 bits, which are widened in registers. Every sum has the order and
// the bits of the same product with widened weights, in tile.ts and dots.ts.

import {
  blocks,
  bytes_high,
  bytes_low,
  codes,
  four_maxima,
  inputs,
  is_four,
  load_scale,
  load_scales,
  lower,
  pairs_high,
  pairs_low,
  plane0,
  plane1,
  plane2,
  plane3,
  scaled,
  scales,
  upper,
  words_high,
  words_low,
} from "./blocks";
import { PANEL } from "./generated/numbers";
import { madd, sum_four } from "./vector";

/**
 * One row times four panels from `panel` on, rows first .. first + k of them: as `multiply_one` of the widened panels. The
 * inner loops are called in two places to prevent inlining, as in tile.ts. They end with their condition: V8 moves what
 * does not change out of such a loop only.
 */
export function multiply_one_blocks(tile: usize, a: usize, panel: u32, first: u32, k: u32): void {
  for (let at = tile; at < tile + 128; at += 16) v128.store(at, f32x4.splat(0));
  const last = first + k;
  const shift: u32 = is_four ? 6 : 5;
  while (first < last) {
    const b = first >> shift;
    const count = min(last, (b + 1) << shift) - first;
    if (is_four) {
      multiply_fours(tile, a, panel, b, first, count);
      multiply_fours(tile + 64, a, panel + 2, b, first, count);
    } else {
      multiply_eights(tile, a, panel, b, first, count);
      multiply_eights(tile + 64, a, panel + 2, b, first, count);
    }
    a += count << 2;
    first += count;
  }
}

/** Two panels, two rows at a time. One panel gives too few accumulators to hide the latency of a multiply-add. */
function multiply_eights(tile: usize, a: usize, panel: u32, b: u32, first: u32, rows: u32): void {
  const next: usize = inputs << 3;
  let at = codes + panel * next + (first << 3);
  const scales0 = scales + (panel * blocks + b) * (PANEL * 2);
  const scales1 = scales0 + blocks * (PANEL * 2);
  const zero = i32x4.splat(0);
  const s00 = load_scales(scales0);
  const s01 = load_scales(scales0 + 8);
  const s10 = load_scales(scales1);
  const s11 = load_scales(scales1 + 8);
  let c00 = v128.load(tile);
  let c01 = v128.load(tile, 16);
  let c10 = v128.load(tile, 32);
  let c11 = v128.load(tile, 48);
  const end = at + (rows << 3);
  do {
    const x = v128.load_splat<f32>(a);
    const y = v128.load_splat<f32>(a, 4);
    const v = v128.load(at);
    const v0 = pairs_low(zero, v);
    const v1 = pairs_high(zero, v);
    c00 = madd(y, scaled(words_low(zero, v1), s00), madd(x, scaled(words_low(zero, v0), s00), c00));
    c01 = madd(y, scaled(words_high(zero, v1), s01), madd(x, scaled(words_high(zero, v0), s01), c01));
    const w = v128.load(at + next);
    const w0 = pairs_low(zero, w);
    const w1 = pairs_high(zero, w);
    c10 = madd(y, scaled(words_low(zero, w1), s10), madd(x, scaled(words_low(zero, w0), s10), c10));
    c11 = madd(y, scaled(words_high(zero, w1), s11), madd(x, scaled(words_high(zero, w0), s11), c11));
    a += 8;
    at += 16;
  } while (at < end);
  v128.store(tile, c00);
  v128.store(tile, c01, 16);
  v128.store(tile, c10, 32);
  v128.store(tile, c11, 48);
}

/** Two panels, four rows at a time: a block has 64. Sums are in memory, which keeps V8 from mixing the steps. */
function multiply_fours(tile: usize, a: usize, panel: u32, b: u32, first: u32, rows: u32): void {
  const next: usize = inputs << 2;
  let at = codes + panel * next + (first << 2);
  const m00 = four_maxima(panel, 0, b);
  const m01 = four_maxima(panel, 4, b);
  const m10 = four_maxima(panel + 1, 0, b);
  const m11 = four_maxima(panel + 1, 4, b);
  const end = at + (rows << 2);
  do {
    let index = upper(v128.load(at));
    let c = add_first(v128.load(tile), a, bytes_low(plane0, plane1, index), bytes_low(plane2, plane3, index), m00);
    v128.store(tile, add_last(c, a, bytes_high(plane0, plane1, index), bytes_high(plane2, plane3, index), m00));
    index = lower(v128.load(at));
    c = add_first(v128.load(tile, 16), a, bytes_low(plane0, plane1, index), bytes_low(plane2, plane3, index), m01);
    v128.store(tile, add_last(c, a, bytes_high(plane0, plane1, index), bytes_high(plane2, plane3, index), m01), 16);
    index = upper(v128.load(at + next));
    c = add_first(v128.load(tile, 32), a, bytes_low(plane0, plane1, index), bytes_low(plane2, plane3, index), m10);
    v128.store(tile, add_last(c, a, bytes_high(plane0, plane1, index), bytes_high(plane2, plane3, index), m10), 32);
    index = lower(v128.load(at + next));
    c = add_first(v128.load(tile, 48), a, bytes_low(plane0, plane1, index), bytes_low(plane2, plane3, index), m11);
    v128.store(tile, add_last(c, a, bytes_high(plane0, plane1, index), bytes_high(plane2, plane3, index), m11), 48);
    a += 16;
    at += 16;
  } while (at < end);
}

/** The first two of four elements of x, each times four weights of 4 bits, whose bytes 0, 1 and 2, 3 these are. */
function add_first(c: v128, x: usize, low: v128, high: v128, most: v128): v128 {
  c = madd(v128.load_splat<f32>(x), f32x4.mul(words_low(low, high), most), c);
  return madd(v128.load_splat<f32>(x, 4), f32x4.mul(words_high(low, high), most), c);
}

/** The last two. */
function add_last(c: v128, x: usize, low: v128, high: v128, most: v128): v128 {
  c = madd(v128.load_splat<f32>(x, 8), f32x4.mul(words_low(low, high), most), c);
  return madd(v128.load_splat<f32>(x, 12), f32x4.mul(words_high(low, high), most), c);
}

/**
 * x . row for four rows of `size` weights of 8 bits of a table, from these numbers on: as `dots` of the widened rows. All
 * are whole numbers of blocks.
 */
export function dots_eight(x: usize, row0: u32, row1: u32, row2: u32, row3: u32, size: u32): v128 {
  let s0 = f32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  for (let first: u32 = 0; first < size; first += 32) {
    const scale0 = load_scale(row0 + first);
    const scale1 = load_scale(row1 + first);
    const scale2 = load_scale(row2 + first);
    const scale3 = load_scale(row3 + first);
    let at = codes + first;
    const end = at + 32;
    do {
      s0 = add_eights(s0, x, at + row0, scale0);
      s1 = add_eights(s1, x, at + row1, scale1);
      s2 = add_eights(s2, x, at + row2, scale2);
      s3 = add_eights(s3, x, at + row3, scale3);
      x += 32;
      at += 8;
    } while (at < end);
  }
  return sum_four(s0, s1, s2, s3);
}

/** Eight elements of x times weights along them, added to c. */
function add_eights(c: v128, x: usize, at: usize, scale: v128): v128 {
  const zero = i32x4.splat(0);
  const code = pairs_low(zero, v128.load64_zero(at));
  c = madd(v128.load(x), scaled(words_low(zero, code), scale), c);
  return madd(v128.load(x, 16), scaled(words_high(zero, code), scale), c);
}
