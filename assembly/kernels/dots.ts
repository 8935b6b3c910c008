// Products of a few rows with a matrix whose rows are contiguous: nothing is packed, and every row of the matrix is
// read once.
// Reference: BLAS gemv.

import { Product } from "./arguments";
import { dots_eight } from "./block-rows";
import { codes, inputs, is_in_blocks, scales, widen_runs } from "./blocks";
import { TYPE_F16, TYPE_INT16, TYPE_Q8 } from "./generated/numbers";
import { load_part_halves } from "./half";
import { add_pairs, INTEGER_DEPTH, quantize_row } from "./integers";
import { load_halves, load_part, load_some, store_part, store_some } from "./lanes";
import { scratch_memory, slice_begin, slice_end } from "./threads";
import { madd, sum_four, sum_four_integers } from "./vector";

/** x . row for four rows of `size` floats. */
function dots(x: usize, row0: usize, row1: usize, row2: usize, row3: usize, size: u32): v128 {
  let s0 = f32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  const whole: usize = (size & ~3) << 2;
  for (let at: usize = 0; at < whole; at += 16) {
    const v = v128.load(x + at);
    s0 = madd(v, v128.load(row0 + at), s0);
    s1 = madd(v, v128.load(row1 + at), s1);
    s2 = madd(v, v128.load(row2 + at), s2);
    s3 = madd(v, v128.load(row3 + at), s3);
  }
  const rest = size & 3;
  if (rest != 0) {
    const v = load_part(x + whole, rest);
    s0 = madd(v, load_part(row0 + whole, rest), s0);
    s1 = madd(v, load_part(row1 + whole, rest), s1);
    s2 = madd(v, load_part(row2 + whole, rest), s2);
    s3 = madd(v, load_part(row3 + whole, rest), s3);
  }
  return sum_four(s0, s1, s2, s3);
}

/** The same for rows of halves. */
function dots_half(x: usize, row0: usize, row1: usize, row2: usize, row3: usize, size: u32): v128 {
  let s0 = f32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  const whole: usize = (size & ~3) << 1;
  for (let at: usize = 0; at < whole; at += 8) {
    const v = v128.load(x + (at << 1));
    s0 = madd(v, load_halves(row0 + at), s0);
    s1 = madd(v, load_halves(row1 + at), s1);
    s2 = madd(v, load_halves(row2 + at), s2);
    s3 = madd(v, load_halves(row3 + at), s3);
  }
  const rest = size & 3;
  if (rest != 0) {
    const v = load_part(x + (whole << 1), rest);
    s0 = madd(v, load_part_halves(row0 + whole, rest), s0);
    s1 = madd(v, load_part_halves(row1 + whole, rest), s1);
    s2 = madd(v, load_part_halves(row2 + whole, rest), s2);
    s3 = madd(v, load_part_halves(row3 + whole, rest), s3);
  }
  return sum_four(s0, s1, s2, s3);
}

/**
 * A product whose b is transposed, computed in this thread's slice of its columns. Four columns of b stay in the L1
 * cache while all rows of a are processed. If b is in blocks, they are widened first.
 */
export function multiply_rows(p: Product): void {
  if (p.b_type == TYPE_INT16) {
    multiply_rows_integers(p);
    return;
  }
  // Read once: the compiler cannot know that what is stored is not the record.
  const out = p.out;
  const out_row = p.out_row;
  const a = p.a;
  const a_row: usize = p.a_row << 2;
  const b = p.b;
  const b_row = p.b_col;
  const bias = p.bias;
  const m = p.m;
  const k = p.k;
  const alpha = p.alpha;
  const beta = p.beta;
  const wide = is_in_blocks(p.b_type);
  const half = p.b_type == TYPE_F16;
  // One row uses a weight once.
  const direct = p.b_type == TYPE_Q8 && m == 1;
  const stride: usize = wide ? k << 2 : b_row << (half ? 1 : 2);
  const end = slice_end(p.n, 16);
  for (let j = slice_begin(p.n, 16); j < end; j += 4) {
    const count = min<u32>(4, end - j);
    const row0 = wide ? scratch_memory() : b + j * stride;
    if (wide && !direct) widen_runs(row0, stride, <u32>(b + j * b_row), b_row, count, k);
    const row1 = row0 + (count > 1 ? stride : 0);
    const row2 = row1 + (count > 2 ? stride : 0);
    const row3 = row2 + (count > 3 ? stride : 0);
    for (let i: u32 = 0; i < m; i++) {
      const x = a + i * a_row;
      let sums: v128;
      if (direct) {
        const first = <u32>(b + j * b_row);
        const second = first + (count > 1 ? b_row : 0);
        const third = second + (count > 2 ? b_row : 0);
        sums = dots_eight(x, first, second, third, third + (count > 3 ? b_row : 0), k);
      } else sums = half ? dots_half(x, row0, row1, row2, row3, k) : dots(x, row0, row1, row2, row3, k);
      const to = out + i * out_row + (j << 2);
      let v = f32x4.mul(sums, f32x4.splat(alpha));
      if (bias != 0) v = f32x4.add(v, count < 4 ? load_part(bias + (j << 2), count) : v128.load(bias + (j << 2)));
      if (beta != 0) v = madd(f32x4.splat(beta), count < 4 ? load_part(to, count) : v128.load(to), v);
      if (count < 4) store_part(to, v, count);
      else v128.store(to, v);
    }
  }
}

/** x . row for four rows of `size` codes, a multiple of eight. */
function dots_integers(x: usize, row0: usize, row1: usize, row2: usize, row3: usize, size: u32): v128 {
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  for (const end = x + (size << 1); x < end; x += 16) {
    const v = v128.load(x);
    s0 = add_pairs(s0, v, v128.load(row0));
    s1 = add_pairs(s1, v, v128.load(row1));
    s2 = add_pairs(s2, v, v128.load(row2));
    s3 = add_pairs(s3, v, v128.load(row3));
    row0 += 16;
    row1 += 16;
    row2 += 16;
    row3 += 16;
  }
  return sum_four_integers(s0, s1, s2, s3);
}

/** The same in integers, to the bits of such products of any number of rows (integers.ts). */
function multiply_rows_integers(p: Product): void {
  const out = p.out;
  const k = p.k;
  const m = p.m;
  const stride: usize = p.b_col << 1;
  const parts = (k + INTEGER_DEPTH - 1) / INTEGER_DEPTH;
  // Of each row of a, the codes of all blocks of the depth and their scales.
  const rounded = scratch_memory();
  const own = rounded + ((m * k) << 1);
  for (let i: u32 = 0; i < m; i++)
    for (let part: u32 = 0; part < parts; part++) {
      const d = part * INTEGER_DEPTH;
      const from = p.a + ((i * p.a_row + d) << 2);
      const scale = quantize_row(rounded + ((i * k + d) << 1), from, 0, min(INTEGER_DEPTH, k - d));
      store<f32>(own + ((i * parts + part) << 2), scale);
    }
  const end = slice_end(p.n, 16);
  for (let j = slice_begin(p.n, 16); j < end; j += 4) {
    const count = min<u32>(4, end - j);
    const first = p.b + j * p.b_col;
    const weight_scales = load_some(scales + ((first / inputs) << 2), count);
    const bias = p.bias == 0 ? f32x4.splat(0) : load_some(p.bias + (j << 2), count);
    for (let i: u32 = 0; i < m; i++) {
      const to = out + i * p.out_row + (j << 2);
      let v = bias;
      for (let part: u32 = 0; part < parts; part++) {
        const d = part * INTEGER_DEPTH;
        const row0 = codes + ((first + d) << 1);
        const row1 = row0 + (count > 1 ? stride : 0);
        const row2 = row1 + (count > 2 ? stride : 0);
        const row3 = row2 + (count > 3 ? stride : 0);
        const sums = dots_integers(rounded + ((i * k + d) << 1), row0, row1, row2, row3, min(INTEGER_DEPTH, k - d));
        const scale = f32x4.mul(v128.load_splat<f32>(own + ((i * parts + part) << 2)), weight_scales);
        v = madd(f32x4.mul(f32x4.convert_i32x4_s(sums), scale), f32x4.splat(p.alpha), v);
        if (part == 0 && p.beta != 0) v = madd(f32x4.splat(p.beta), load_some(to, count), v);
      }
      store_some(to, v, count);
    }
  }
}
