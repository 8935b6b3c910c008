// Weights in blocks of 8 or 4 bits, widened to floats as src/blocks.ts describes. A matrix is in panels of eight
// outputs (src/backend/block-panels.ts), a table in rows. One such operand at a time: `use_blocks` says which.
import { load_half, load_halves } from "./half";
import { PANEL } from "./panels";
import { madd, sum_four } from "./vector";

/** Types of a weight: those of src/ops/kernel.ts. */
export const F16: u32 = 1;
export const Q8: u32 = 2;
export const Q4: u32 = 3;

/**
 * The operand: its codes, and the scales or the codes of maxima; then those of q4 alone: maxima of blocks, mean,
 * tables.
 */
let codes: usize = 0;
let scales: usize = 0;
let nested: usize = 0;
let mean: f32 = 0;
let maxima: usize = 0;
let is_four: bool = false;
/** The number of blocks of an output of a matrix. */
let blocks: u32 = 0;
let inputs: u32 = 0;

/** Bytes 0, 1, 2 and 3 of the 16 values that a code of 4 bits stands for. */
let plane0: v128 = i32x4.splat(0);
let plane1: v128 = i32x4.splat(0);
let plane2: v128 = i32x4.splat(0);
let plane3: v128 = i32x4.splat(0);

/** Whether a weight of this type is in blocks. */
export function is_in_blocks(type: u32): bool {
  return type >= Q8;
}

/** Makes a tensor of `size` weights the operand; `depth` is the number of inputs of a matrix. */
export function use_blocks(at: usize, type: u32, size: u32, depth: u32): void {
  codes = at;
  is_four = type == Q4;
  inputs = depth;
  blocks = depth >> (is_four ? 6 : 5);
  scales = at + (is_four ? size >> 1 : size);
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
function maximum(block: u32, code: u32): f32 {
  return load<f32>(maxima + (code << 2)) * load<f32>(nested + ((block >> 8) << 2)) + mean;
}

/** The maxima of block `b` of outputs `first` to first + 3. */
function four_maxima(panel: u32, first: u32, b: u32): v128 {
  const at = scales + (panel * blocks + b) * PANEL + first;
  const output = panel * PANEL + first;
  let v = f32x4.splat(maximum(output * blocks + b, load<u8>(at)));
  v = f32x4.replace_lane(v, 1, maximum((output + 1) * blocks + b, load<u8>(at, 1)));
  v = f32x4.replace_lane(v, 2, maximum((output + 2) * blocks + b, load<u8>(at, 2)));
  return f32x4.replace_lane(v, 3, maximum((output + 3) * blocks + b, load<u8>(at, 3)));
}

/** Widens rows first .. first + rows of a panel [inputs][8] to rows `stride` bytes apart. */
export function widen_panel(to: usize, stride: usize, panel: u32, first: u32, rows: u32): void {
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
      widen_eight(to, stride, at, load_halves(own), load_halves(own + 8), count);
    }
    to += count * stride;
    first += count;
  }
}

function widen_eight(to: usize, stride: usize, at: usize, low: v128, high: v128, rows: u32): void {
  for (const end = at + (rows << 3); at < end; at += 8) {
    const v = v128.load_ext<i8>(at);
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(v)), low));
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(v)), high), 16);
    to += stride;
  }
}

/** Four rows at a time; what is read beyond the last is not stored. */
function widen_four(to: usize, stride: usize, at: usize, low: v128, high: v128, rows: u32): void {
  for (; rows >= 4; rows -= 4) {
    const v = v128.load(at);
    let index = i8x16.shr_u(v, 4);
    let low01 = pairs_low(look_up(plane0, index), look_up(plane1, index));
    let low23 = pairs_low(look_up(plane2, index), look_up(plane3, index));
    let high01 = pairs_high(look_up(plane0, index), look_up(plane1, index));
    let high23 = pairs_high(look_up(plane2, index), look_up(plane3, index));
    const second = to + stride;
    const third = second + stride;
    const fourth = third + stride;
    v128.store(to, f32x4.mul(words_low(low01, low23), low));
    v128.store(second, f32x4.mul(words_high(low01, low23), low));
    v128.store(third, f32x4.mul(words_low(high01, high23), low));
    v128.store(fourth, f32x4.mul(words_high(high01, high23), low));
    index = v128.and(v, i8x16.splat(15));
    low01 = pairs_low(look_up(plane0, index), look_up(plane1, index));
    low23 = pairs_low(look_up(plane2, index), look_up(plane3, index));
    high01 = pairs_high(look_up(plane0, index), look_up(plane1, index));
    high23 = pairs_high(look_up(plane2, index), look_up(plane3, index));
    v128.store(to, f32x4.mul(words_low(low01, low23), high), 16);
    v128.store(second, f32x4.mul(words_high(low01, low23), high), 16);
    v128.store(third, f32x4.mul(words_low(high01, high23), high), 16);
    v128.store(fourth, f32x4.mul(words_high(high01, high23), high), 16);
    at += 16;
    to += 4 * stride;
  }
  for (; rows > 0; rows--) {
    const v = v128.load32_zero(at);
    v128.store(to, f32x4.mul(four_values(i8x16.shr_u(v, 4)), low));
    v128.store(to, f32x4.mul(four_values(v128.and(v, i8x16.splat(15))), high), 16);
    at += 4;
    to += stride;
  }
}

/**
 * One row times panels `panel` and panel + 1, rows first .. first + k of them, in the order of k: as `multiply_one` of
 * the widened panels. Weights are widened in registers.
 */
export function multiply_one_blocks(tile: usize, a: usize, panel: u32, first: u32, k: u32): void {
  memory.fill(tile, 0, 64);
  const last = first + k;
  const shift: u32 = is_four ? 6 : 5;
  while (first < last) {
    const b = first >> shift;
    const count = min(last, (b + 1) << shift) - first;
    if (is_four) {
      for (let p = panel; p < panel + 2; p++) {
        const at = codes + ((p * inputs + first) << 2);
        multiply_fours(tile + ((p - panel) << 5), a, at, four_maxima(p, 0, b), four_maxima(p, 4, b), count);
      }
    } else {
      const own = scales + (panel * blocks + b) * (PANEL * 2);
      multiply_eights(tile, a, codes + ((panel * inputs + first) << 3), own, own + blocks * (PANEL * 2), count);
    }
    a += count << 2;
    first += count;
  }
}

/** Two panels give enough accumulators to hide the latency of a multiply-add. */
function multiply_eights(tile: usize, a: usize, at: usize, scales0: usize, scales1: usize, rows: u32): void {
  const next: usize = inputs << 3;
  const s00 = load_halves(scales0);
  const s01 = load_halves(scales0 + 8);
  const s10 = load_halves(scales1);
  const s11 = load_halves(scales1 + 8);
  let c00 = v128.load(tile);
  let c01 = v128.load(tile, 16);
  let c10 = v128.load(tile, 32);
  let c11 = v128.load(tile, 48);
  for (const end = at + (rows << 3); at < end; at += 8) {
    const x = v128.load_splat<f32>(a);
    const v = v128.load_ext<i8>(at);
    c00 = madd(x, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(v)), s00), c00);
    c01 = madd(x, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(v)), s01), c01);
    const w = v128.load_ext<i8>(at + next);
    c10 = madd(x, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(w)), s10), c10);
    c11 = madd(x, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(w)), s11), c11);
    a += 4;
  }
  v128.store(tile, c00);
  v128.store(tile, c01, 16);
  v128.store(tile, c10, 32);
  v128.store(tile, c11, 48);
}

/** One panel, four rows at a time: a block has 64, and a panel is a whole number of blocks. */
function multiply_fours(tile: usize, a: usize, at: usize, low: v128, high: v128, rows: u32): void {
  let c0 = v128.load(tile);
  let c1 = v128.load(tile, 16);
  for (const end = at + (rows << 2); at < end; at += 16) {
    const v = v128.load(at);
    const x = v128.load(a);
    const x0 = v128.shuffle<i32>(x, x, 0, 0, 0, 0);
    const x1 = v128.shuffle<i32>(x, x, 1, 1, 1, 1);
    const x2 = v128.shuffle<i32>(x, x, 2, 2, 2, 2);
    const x3 = v128.shuffle<i32>(x, x, 3, 3, 3, 3);
    let index = i8x16.shr_u(v, 4);
    let b0 = look_up(plane0, index);
    let b1 = look_up(plane1, index);
    let b2 = look_up(plane2, index);
    let b3 = look_up(plane3, index);
    c0 = madd(x0, f32x4.mul(words_low(pairs_low(b0, b1), pairs_low(b2, b3)), low), c0);
    c0 = madd(x1, f32x4.mul(words_high(pairs_low(b0, b1), pairs_low(b2, b3)), low), c0);
    c0 = madd(x2, f32x4.mul(words_low(pairs_high(b0, b1), pairs_high(b2, b3)), low), c0);
    c0 = madd(x3, f32x4.mul(words_high(pairs_high(b0, b1), pairs_high(b2, b3)), low), c0);
    index = v128.and(v, i8x16.splat(15));
    b0 = look_up(plane0, index);
    b1 = look_up(plane1, index);
    b2 = look_up(plane2, index);
    b3 = look_up(plane3, index);
    c1 = madd(x0, f32x4.mul(words_low(pairs_low(b0, b1), pairs_low(b2, b3)), high), c1);
    c1 = madd(x1, f32x4.mul(words_high(pairs_low(b0, b1), pairs_low(b2, b3)), high), c1);
    c1 = madd(x2, f32x4.mul(words_low(pairs_high(b0, b1), pairs_high(b2, b3)), high), c1);
    c1 = madd(x3, f32x4.mul(words_high(pairs_high(b0, b1), pairs_high(b2, b3)), high), c1);
    a += 16;
  }
  v128.store(tile, c0);
  v128.store(tile, c1, 16);
}

/** The values of the first four codes. */
function four_values(index: v128): v128 {
  return words_low(
    pairs_low(look_up(plane0, index), look_up(plane1, index)),
    pairs_low(look_up(plane2, index), look_up(plane3, index)),
  );
}

/** Bytes of x and y in turns: of the first eight, or of the last. */
function pairs_low(x: v128, y: v128): v128 {
  return v128.shuffle<i8>(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

function pairs_high(x: v128, y: v128): v128 {
  return v128.shuffle<i8>(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/** Pairs of bytes of x and y in turns. */
function words_low(x: v128, y: v128): v128 {
  return v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
}

function words_high(x: v128, y: v128): v128 {
  return v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** Widens `count` weights of a table from number `first` on; both are multiples of 8. */
export function widen_run(to: usize, first: u32, count: u32): void {
  const last = first + count;
  const shift: u32 = is_four ? 6 : 5;
  while (first < last) {
    const b = first >> shift;
    const end = min(last, (b + 1) << shift);
    if (is_four) {
      const most = f32x4.splat(maximum(b, load<u8>(scales + b)));
      for (; first < end; first += 8) {
        const v = v128.load32_zero(codes + (first >> 1));
        const index = pairs_low(i8x16.shr_u(v, 4), v128.and(v, i8x16.splat(15)));
        const low = pairs_low(look_up(plane0, index), look_up(plane1, index));
        const high = pairs_low(look_up(plane2, index), look_up(plane3, index));
        v128.store(to, f32x4.mul(words_low(low, high), most));
        v128.store(to, f32x4.mul(words_high(low, high), most), 16);
        to += 32;
      }
    } else {
      const scale = scale_of(b << 5);
      widen_eight(to, 32, codes + first, scale, scale, (end - first) >> 3);
      to += (end - first) << 2;
      first = end;
    }
  }
}

/** Whether `dots_eight` can be used. */
export function is_eight(): bool {
  return !is_four;
}

/**
 * x . row for four rows of `size` weights of 8 bits, from these numbers on: as `dots` of the widened rows, in
 * registers.
 */
export function dots_eight(x: usize, row0: u32, row1: u32, row2: u32, row3: u32, size: u32): v128 {
  let s0 = f32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  for (let first: u32 = 0; first < size; first += 32) {
    const scale0 = scale_of(row0 + first);
    const scale1 = scale_of(row1 + first);
    const scale2 = scale_of(row2 + first);
    const scale3 = scale_of(row3 + first);
    for (let at = codes + first; at < codes + first + 32; at += 8) {
      const low = v128.load(x);
      const high = v128.load(x, 16);
      s0 = add_eight(s0, at + row0, scale0, low, high);
      s1 = add_eight(s1, at + row1, scale1, low, high);
      s2 = add_eight(s2, at + row2, scale2, low, high);
      s3 = add_eight(s3, at + row3, scale3, low, high);
      x += 32;
    }
  }
  return sum_four(s0, s1, s2, s3);
}

function add_eight(sum: v128, at: usize, scale: v128, low: v128, high: v128): v128 {
  const v = v128.load_ext<i8>(at);
  sum = madd(low, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(v)), scale), sum);
  return madd(high, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(v)), scale), sum);
}

/** The scale of the block that begins with a weight. */
function scale_of(first: u32): v128 {
  return f32x4.splat(load_half(scales + (first >> 4)));
}

/**
 * Widens rows of `count` weights each, the first at number `first`, `stride` apart, to rows `to_stride` bytes apart.
 */
export function widen_runs(to: usize, to_stride: usize, first: u32, stride: u32, rows: u32, count: u32): void {
  for (let i: u32 = 0; i < rows; i++) widen_run(to + i * to_stride, first + i * stride, count);
}
