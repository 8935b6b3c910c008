// Weights in blocks of 16, 8 or 4 bits, widened to floats as src/core/blocks.ts describes. A matrix is in panels of eight
// outputs (src/backend/block-panels.ts), a table in rows. One such operand at a time: `use_blocks` says which.
import { PANEL, TYPE_INT16, TYPE_Q4, TYPE_Q8 } from "./generated/numbers";
import { load_half } from "./half";
import { load_halves } from "./lanes";

/**
 * The operand: its codes, and the scales or the codes of maxima; then those of q4 alone: maxima of blocks, mean,
 * tables.
 */
export let codes: usize = 0;
export let scales: usize = 0;
let nested: usize = 0;
let mean: f32 = 0;
let maxima: usize = 0;
export let is_four: bool = false;
let is_sixteen: bool = false;
/** The number of blocks of an output of a matrix. */
export let blocks: u32 = 0;
/** The length of a row. */
export let inputs: u32 = 0;

/** Bytes 0, 1, 2 and 3 of the 16 values that a code of 4 bits stands for. */
export let plane0: v128 = i32x4.splat(0);
export let plane1: v128 = i32x4.splat(0);
export let plane2: v128 = i32x4.splat(0);
export let plane3: v128 = i32x4.splat(0);

/** Whether a weight of this type is in blocks. */
export function is_in_blocks(type: u32): bool {
  return type >= TYPE_Q8;
}

/**
 * A code of 8 bits becomes the upper byte of an integer, by interleaving with zeros: 2^24 times the code, exactly as a
 * float. Its scale is divided by that, also exactly.
 */
const CODE: f32 = reinterpret<f32>(0x33800000);

/** The scale of the block of a weight of a table. */
export function load_scale(first: u32): v128 {
  return f32x4.splat(load_half(scales + ((first >> 5) << 1)) * CODE);
}

/** Scales of four outputs. */
export function load_scales(at: usize): v128 {
  return f32x4.mul(load_halves(at), f32x4.splat(CODE));
}

/** Makes a tensor of `size` weights the operand; `depth` is the length of its rows, the number of inputs of a matrix. */
export function use_blocks(at: usize, type: u32, size: u32, depth: u32): void {
  codes = at;
  is_four = type == TYPE_Q4;
  is_sixteen = type == TYPE_INT16;
  inputs = depth;
  blocks = depth >> (is_four ? 6 : 5);
  scales = at + (is_four ? size >> 1 : is_sixteen ? size << 1 : size);
  if (!is_four) return;
  const count = size >> 6;
  nested = (scales + count + 3) & ~3;
  const rest = nested + (((count + 255) >> 8) << 2);
  mean = load<f32>(rest);
  maxima = rest + 4;
  use_table(maxima + 1024);
}

/** Takes the table of 16 values apart into bytes. */
function use_table(at: usize): void {
  // Bytes 0 of all, bytes 1 of all: first of each four values, then of all 16.
  const a = turn(v128.load(at));
  const b = turn(v128.load(at, 16));
  const c = turn(v128.load(at, 32));
  const d = turn(v128.load(at, 48));
  const ab01 = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const ab23 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const cd01 = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const cd23 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  plane0 = v128.shuffle<i64>(ab01, cd01, 0, 2);
  plane1 = v128.shuffle<i64>(ab01, cd01, 1, 3);
  plane2 = v128.shuffle<i64>(ab23, cd23, 0, 2);
  plane3 = v128.shuffle<i64>(ab23, cd23, 1, 3);
}

/** Four words as four groups of bytes of the same place. */
function turn(v: v128): v128 {
  return v128.shuffle<i8>(v, v, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}

/** Bytes of the table for 16 codes. */
function look_up(plane: v128, index: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(plane, index) : i8x16.swizzle(plane, index);
}

/** The maximum of a block, by its place in the tensor's own order and its code. */
export function maximum(block: u32, code: u32): f32 {
  return load<f32>(maxima + (code << 2)) * load<f32>(nested + ((block >> 8) << 2)) + mean;
}

/** The maxima of block `b` of outputs `first` to first + 3. */
export function four_maxima(panel: u32, first: u32, b: u32): v128 {
  const at = scales + (panel * blocks + b) * PANEL + first;
  const output = panel * PANEL + first;
  let v = f32x4.splat(maximum(output * blocks + b, load<u8>(at)));
  v = f32x4.replace_lane(v, 1, maximum((output + 1) * blocks + b, load<u8>(at, 1)));
  v = f32x4.replace_lane(v, 2, maximum((output + 2) * blocks + b, load<u8>(at, 2)));
  return f32x4.replace_lane(v, 3, maximum((output + 3) * blocks + b, load<u8>(at, 3)));
}

/** Widens rows first .. first + rows of a panel [inputs][8] to rows `stride` bytes apart. */
export function widen_panel(to: usize, stride: usize, panel: u32, first: u32, rows: u32): void {
  if (is_sixteen) return widen_pairs(to, stride, panel, first, rows);
  const last = first + rows;
  const shift: u32 = is_four ? 6 : 5;
  while (first < last) {
    const b = first >> shift;
    const count = min(last, (b + 1) << shift) - first;
    if (is_four) {
      const at = codes + ((panel * inputs + first) << 2);
      widen_four(to, stride, at, four_maxima(panel, 0, b), four_maxima(panel, 4, b), count);
    } else {
      const at = codes + ((panel * inputs + first) << 3);
      const own = scales + (panel * blocks + b) * (PANEL * 2);
      widen_eight(to, stride, at, load_scales(own), load_scales(own + 8), count);
    }
    to += count * stride;
    first += count;
  }
}

/** In int16 two rows stand in pairs; `first` is even. */
function widen_pairs(to: usize, stride: usize, panel: u32, first: u32, rows: u32): void {
  const low = v128.load(scales + (panel << 5));
  const high = v128.load(scales + (panel << 5), 16);
  let at = codes + ((panel * inputs + first) << 4);
  for (; rows > 0; rows -= min<u32>(2, rows)) {
    const v = v128.load(at);
    const w = v128.load(at, 16);
    v128.store(to, scaled(i32x4.shr_s(i32x4.shl(v, 16), 16), low));
    v128.store(to, scaled(i32x4.shr_s(i32x4.shl(w, 16), 16), high), 16);
    if (rows == 1) break;
    v128.store(to + stride, scaled(i32x4.shr_s(v, 16), low));
    v128.store(to + stride, scaled(i32x4.shr_s(w, 16), high), 16);
    at += 32;
    to += 2 * stride;
  }
}

/** Two rows at a time, of scales as from `load_scales`. */
function widen_eight(to: usize, stride: usize, at: usize, low: v128, high: v128, rows: u32): void {
  const zero = i32x4.splat(0);
  for (; rows > 0; rows -= min<u32>(2, rows)) {
    const v = v128.load(at);
    let code = pairs_low(zero, v);
    v128.store(to, scaled(words_low(zero, code), low));
    v128.store(to, scaled(words_high(zero, code), high), 16);
    if (rows == 1) break;
    code = pairs_high(zero, v);
    v128.store(to + stride, scaled(words_low(zero, code), low));
    v128.store(to + stride, scaled(words_high(zero, code), high), 16);
    at += 16;
    to += 2 * stride;
  }
}

/** Four weights. */
export function scaled(code: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(code), scale);
}

/** Four rows at a time; what is read beyond the last is not stored. */
function widen_four(to: usize, stride: usize, at: usize, low: v128, high: v128, rows: u32): void {
  for (; rows > 0; rows -= min<u32>(4, rows)) {
    const v = v128.load(at);
    for (let half: usize = 0; half < 32; half += 16) {
      const index = half > 0 ? lower(v) : upper(v);
      const most = half > 0 ? high : low;
      let bytes01 = bytes_low(plane0, plane1, index);
      let bytes23 = bytes_low(plane2, plane3, index);
      let row = to + half;
      v128.store(row, f32x4.mul(words_low(bytes01, bytes23), most));
      if (rows == 1) continue;
      row += stride;
      v128.store(row, f32x4.mul(words_high(bytes01, bytes23), most));
      if (rows == 2) continue;
      bytes01 = bytes_high(plane0, plane1, index);
      bytes23 = bytes_high(plane2, plane3, index);
      row += stride;
      v128.store(row, f32x4.mul(words_low(bytes01, bytes23), most));
      if (rows > 3) v128.store(row + stride, f32x4.mul(words_high(bytes01, bytes23), most));
    }
    at += 16;
    to += 4 * stride;
  }
}

/** The first codes of 4 bits in each byte, and the second. In V8 `i8x16.shr_u` is five instructions. */
export function upper(v: v128): v128 {
  return v128.and(i16x8.shr_u(v, 4), i8x16.splat(15));
}

export function lower(v: v128): v128 {
  return v128.and(v, i8x16.splat(15));
}

/** Two bytes of the values of the first eight codes, and of the last. */
export function bytes_low(plane: v128, next: v128, index: v128): v128 {
  return pairs_low(look_up(plane, index), look_up(next, index));
}

export function bytes_high(plane: v128, next: v128, index: v128): v128 {
  return pairs_high(look_up(plane, index), look_up(next, index));
}

/** Bytes of x and y in turns: of the first eight, or of the last. */
export function pairs_low(x: v128, y: v128): v128 {
  return v128.shuffle<i8>(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

export function pairs_high(x: v128, y: v128): v128 {
  return v128.shuffle<i8>(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/** Pairs of bytes of x and y in turns. */
export function words_low(x: v128, y: v128): v128 {
  return v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
}

export function words_high(x: v128, y: v128): v128 {
  return v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** Widens 16 weights of 4 bits, or the first eight; returns the address behind them. */
function widen_along(to: usize, index: v128, most: v128, count: u32): usize {
  let low = bytes_low(plane0, plane1, index);
  let high = bytes_low(plane2, plane3, index);
  v128.store(to, f32x4.mul(words_low(low, high), most));
  v128.store(to, f32x4.mul(words_high(low, high), most), 16);
  if (count == 8) return to + 32;
  low = bytes_high(plane0, plane1, index);
  high = bytes_high(plane2, plane3, index);
  v128.store(to, f32x4.mul(words_low(low, high), most), 32);
  v128.store(to, f32x4.mul(words_high(low, high), most), 48);
  return to + 64;
}

/** Widens `count` weights of a table from number `first` on; both are multiples of 8. */
export function widen_run(to: usize, first: u32, count: u32): void {
  const last = first + count;
  if (is_sixteen) {
    const scale = v128.load_splat<f32>(scales + ((first / inputs) << 2));
    for (; first < last; first += 4) {
      v128.store(to, scaled(v128.load_ext<i16>(codes + (first << 1)), scale));
      to += 16;
    }
    return;
  }
  const shift: u32 = is_four ? 6 : 5;
  while (first < last) {
    const b = first >> shift;
    const end = min(last, (b + 1) << shift);
    if (is_four) {
      const most = f32x4.splat(maximum(b, load<u8>(scales + b)));
      while (first < end) {
        // What is read beyond the last is not stored.
        const v = v128.load(codes + (first >> 1));
        to = widen_along(to, pairs_low(upper(v), lower(v)), most, min<u32>(16, end - first));
        first += 16;
        if (first < end) to = widen_along(to, pairs_high(upper(v), lower(v)), most, min<u32>(16, end - first));
        first += 16;
      }
      first = end;
    } else {
      const scale = load_scale(first);
      widen_eight(to, 32, codes + first, scale, scale, (end - first) >> 3);
      to += (end - first) << 2;
      first = end;
    }
  }
}

/**
 * Widens rows of `count` weights each, the first at number `first`, `stride` apart, to rows `to_stride` bytes apart.
 */
export function widen_runs(to: usize, to_stride: usize, first: u32, stride: u32, rows: u32, count: u32): void {
  for (let i: u32 = 0; i < rows; i++) widen_run(to + i * to_stride, first + i * stride, count);
}
