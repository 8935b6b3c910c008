// Products with frozen weights in integers (src/core/blocks.ts, int16): the codes of the weights as they are, times the rows
// of the other operand, which are rounded to codes of 12 bits as they are packed, each with a scale of its own in every
// block of the depth. In a block the sum of the codes' products is exact: it is at most 384 * 2047^2, below 2^31.
// Multiplication and addition of the results are rounded as everywhere, never fused: the bits are the same in both
// builds, in every runtime.
//
// Weights have a scale an output. Where outputs are the depth (dy W^T), it is a factor of the rows of dy, before these
// are rounded.

import { Block, BY_COLUMNS, BY_ROWS, PANELS, Product } from "./arguments";
import { codes, inputs, scales, words_high, words_low } from "./blocks";
import { PANEL, TYPE_INT16 } from "./generated/numbers";
import { load_some, nearest } from "./lanes";
import { pack_columns } from "./panels";
import { SCRATCH_BYTES, scratch_memory } from "./threads";

/** The largest code. */
const MOST: f32 = 2047;
/** What is smaller than this becomes 0: its codes' scale could not be inverted. */
const LEAST: f32 = 1e-30;
/** Where a row's numbers are between the two passes over it, in memory that products leave free. */
const FLOATS: u32 = SCRATCH_BYTES - 4096;
/** Stride of packed rows in bytes: 384 codes, an odd number of cache lines. */
const ROW: u32 = 832;
/** Steps of a block of the depth. */
export const INTEGER_DEPTH: u32 = 384;
/** Rows of a tile. */
export const INTEGER_ROWS: u32 = 4;

/** Whether a product is computed in integers: the other operand's rows must be contiguous along the depth. */
export function is_in_integers(p: Product): bool {
  if (p.left_type == TYPE_INT16) return p.right_form == BY_COLUMNS;
  return p.right_type == TYPE_INT16 && p.left_form == BY_ROWS;
}

/** The scales of a table's rows, from that of its weight number `first` on. */
function scales_from(first: usize): usize {
  return scales + ((first / inputs) << 2);
}

/** The factors of `rows` scales that are all 1. */
function ones(at: usize, rows: u32): usize {
  for (let i: u32 = 0; i < rows; i++) store<f32>(at + (i << 2), 1);
  return at;
}

/** Packs a block's rows of the left matrix at `to`, followed by their scales; a table's are read in place. */
export function take_left(p: Product, b: Block, to: usize, most: u32): void {
  const own = to + most * ROW;
  b.left_scales = own;
  b.rows = to;
  b.row = ROW;
  if (p.left_type != TYPE_INT16) {
    // In a table that is read by its rows, these are the depth.
    const factors = p.right_form == BY_ROWS ? scales_from(p.right + b.depth * p.right_stride) : 0;
    const from = p.left + b.i * p.left_stride + (b.depth << 2);
    quantize_rows(to, from, p.left_stride, factors, b.k, b.m, own);
  } else if (p.left_form == PANELS) {
    unpack_pairs(to, codes + (b.depth / PANEL) * p.left_stride + (b.i << 4), p.left_stride, b.k, b.m);
    ones(own, b.m);
  } else {
    const first = p.left + b.i * p.left_stride;
    b.rows = codes + ((first + b.depth) << 1);
    b.row = p.left_stride << 1;
    b.left_scales = scales_from(first);
  }
}

/** Packs a block's panels of the right matrix at `to`; with `spare` bytes behind them, for as many rows and scales. */
export function take_right(p: Product, b: Block, to: usize, spare: usize, most: u32): void {
  const own = spare + most * ROW;
  const pairs = (b.k + 1) >> 1;
  b.right_scales = own;
  if (p.right_form == PANELS) {
    b.panels = codes + (b.j / PANEL) * p.right_stride + (b.depth << 4);
    b.panel = p.right_stride;
    b.right_scales = scales + (b.j << 2);
    return;
  }
  b.panels = to;
  b.panel = pairs << 5;
  if (p.right_type != TYPE_INT16) {
    const factors = p.left_form == PANELS ? scales + (b.depth << 2) : 0;
    quantize_rows(spare, p.right + b.j * p.right_stride + (b.depth << 2), p.right_stride, factors, b.k, b.n, own);
    pack_columns(to, spare, ROW, pairs, b.n);
  } else if (p.right_form == BY_COLUMNS) {
    const first = p.right + b.j * p.right_stride;
    pack_columns(to, codes + ((first + b.depth) << 1), p.right_stride << 1, pairs, b.n);
    b.right_scales = scales_from(first);
  } else {
    pack_pairs(to, codes + ((p.right + b.depth * p.right_stride + b.j) << 1), p.right_stride << 1, b.k, b.n);
    ones(own, b.n);
  }
}

/** Rounds rows of `count` numbers to codes, ROW bytes apart; their scales are written to `own`. */
function quantize_rows(to: usize, from: usize, stride: usize, factors: usize, count: u32, rows: u32, own: usize): void {
  for (let i: u32 = 0; i < rows; i++) {
    store<f32>(own + (i << 2), quantize_row(to, from, factors, count));
    to += ROW;
    from += stride;
  }
}

/**
 * Writes a row's codes, and zeros up to a multiple of eight, for one block of the depth; returns their scale: NaN if a
 * number is not finite.
 */
export function quantize_row(to: usize, from: usize, factors: usize, count: u32): f32 {
  const floats = scratch_memory() + FLOATS;
  // The bits of magnitudes are ordered like these; those of a NaN are the largest.
  const magnitude = i32x4.splat(0x7fffffff);
  let largest = i32x4.splat(0);
  for (let i: u32 = 0; i < count; i += 4) {
    const some = min<u32>(4, count - i);
    let v = load_some(from + (i << 2), some);
    if (factors != 0) v = f32x4.mul(v, load_some(factors + (i << 2), some));
    v128.store(floats + (i << 2), v);
    largest = i32x4.max_s(largest, v128.and(v, magnitude));
  }
  v128.store(floats + (((count + 3) & ~3) << 2), i32x4.splat(0));
  largest = i32x4.max_s(largest, v128.shuffle<i32>(largest, largest, 2, 3, 0, 1));
  const most = reinterpret<f32>(max(i32x4.extract_lane(largest, 0), i32x4.extract_lane(largest, 1)));
  const inverse = f32x4.splat(most < LEAST ? 0 : MOST / most);
  for (let i: u32 = 0; i < count; i += 8) {
    const at = floats + (i << 2);
    const codes = i16x8.narrow_i32x4_s(nearest(v128.load(at), inverse), nearest(v128.load(at, 16), inverse));
    v128.store(to + (i << 1), codes);
  }
  return most < LEAST ? 0 : most < Infinity ? most / MOST : NaN;
}

/** Rows of codes from panels [depth / 8][rows / 2][8][2], `stride` bytes apart; both numbers are even. */
function unpack_pairs(to: usize, from: usize, stride: usize, depth: u32, rows: u32): void {
  for (let d: u32 = 0; d < depth; d += PANEL) {
    let at = to + (d << 1);
    let source = from;
    for (let row: u32 = 0; row < rows; row += 2) {
      const low = v128.load(source);
      const high = v128.load(source, 16);
      v128.store(at, v128.shuffle<i16>(low, high, 0, 2, 4, 6, 8, 10, 12, 14));
      v128.store(at + ROW, v128.shuffle<i16>(low, high, 1, 3, 5, 7, 9, 11, 13, 15));
      at += 2 * ROW;
      source += 32;
    }
    from += stride;
  }
}

/** Panels [k / 2][8][2] of a matrix [k, cols] of codes with contiguous rows; a row that is missing is 0. */
function pack_pairs(to: usize, from: usize, stride: usize, k: u32, cols: u32): void {
  for (let c: u32 = 0; c < cols; c += PANEL) {
    let source = from + (c << 1);
    for (let i: u32 = 0; i < k; i += 2) {
      const one = v128.load(source);
      const two = i + 1 < k ? v128.load(source + stride) : i32x4.splat(0);
      v128.store(to, words_low(one, two));
      v128.store(to, words_high(one, two), 16);
      source += 2 * stride;
      to += 32;
    }
  }
}

/** c plus the products of two steps of k. */
export function add_pairs(c: v128, x: v128, y: v128): v128 {
  return i32x4.add(i32x4.dot_i16x8_s(x, y), c);
}

/** The sums of four elements as floats, times the product of the scales of their row and their columns. */
function scaled(sums: v128, row: v128, columns: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(sums), f32x4.mul(row, columns));
}

/**
 * tile [rows, 8] = up to four rows of codes, `row` bytes apart, times a panel of `pairs` of steps; if there are fewer
 * rows, the last is repeated. It is called in two places, like `multiply`.
 */
export function multiply_pairs(
  tile: usize,
  a0: usize,
  row: usize,
  rows: u32,
  panel: usize,
  pairs: u32,
  left: usize,
  right: usize,
): void {
  let a1 = a0 + (rows > 1 ? row : 0);
  let a2 = a1 + (rows > 2 ? row : 0);
  let a3 = a2 + (rows > 3 ? row : 0);
  const last = panel + (pairs << 5);
  const zero = i32x4.splat(0);
  unroll: for (let q = 0; q < 4; q++) {
    let c$q0 = zero;
    let c$q1 = zero;
  }
  for (let p = panel; p < last; p += 32) {
    const b0 = v128.load(p);
    const b1 = v128.load(p, 16);
    unroll: for (let q = 0; q < 4; q++) {
      const x$q = v128.load_splat<f32>(a$q);
      c$q0 = add_pairs(c$q0, x$q, b0);
      c$q1 = add_pairs(c$q1, x$q, b1);
    }
    unroll: for (let q = 0; q < 4; q++) {
      a$q += 4;
    }
  }
  const s0 = v128.load(right);
  const s1 = v128.load(right, 16);
  unroll: for (let q = 0; q < 4; q++) {
    const r$q = v128.load_splat<f32>(left, 4 * q);
    v128.store(tile, scaled(c$q0, r$q, s0), 32 * q);
    v128.store(tile, scaled(c$q1, r$q, s1), 32 * q + 16);
    if (rows == q + 1) return;
  }
}

/** One row times four panels, `panel` bytes apart: as `multiply_pairs` of each. */
export function multiply_one_pairs(
  tile: usize,
  a: usize,
  panels: usize,
  panel: usize,
  pairs: u32,
  left: usize,
  right: usize,
): void {
  let p0 = panels;
  let p1 = p0 + panel;
  let p2 = p1 + panel;
  let p3 = p2 + panel;
  const last = p0 + (pairs << 5);
  const zero = i32x4.splat(0);
  unroll: for (let q = 0; q < 4; q++) {
    let c$q0 = zero;
    let c$q1 = zero;
  }
  while (p0 < last) {
    const x = v128.load_splat<f32>(a);
    unroll: for (let q = 0; q < 4; q++) {
      c$q0 = add_pairs(c$q0, x, v128.load(p$q));
      c$q1 = add_pairs(c$q1, x, v128.load(p$q, 16));
    }
    a += 4;
    unroll: for (let q = 0; q < 4; q++) {
      p$q += 32;
    }
  }
  const row = v128.load_splat<f32>(left);
  unroll: for (let q = 0; q < 4; q++) {
    v128.store(tile, scaled(c$q0, row, v128.load(right, 32 * q)), 32 * q);
    v128.store(tile, scaled(c$q1, row, v128.load(right, 32 * q + 16)), 32 * q + 16);
  }
}
