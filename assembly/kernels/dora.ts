// DoRA: the norms of a matrix with its adapters, the scaling of its outputs, and their gradients, as in
// src/ops/dora.ts.

import { is_in_blocks, use_blocks, widen_panel } from "./blocks";
import { PANEL, TYPE_F16 } from "./generated/numbers";
import { DoraBackward, DoraForward, DoraNorm } from "./generated/records";
import { load_halves } from "./lanes";
import { transpose_block } from "./panels";
import { scratch_memory, slice_begin, slice_end } from "./threads";
import { madd } from "./vector";

/** Threads write to separate cache lines. */
const LINE: u32 = 16;

/** Inputs of a weight in blocks that are widened at a time. */
const WIDENED: u32 = 256;

/** Where four outputs of a weight are: the first input's, and the bytes to the next. */
let weights: usize = 0;
let weights_row: usize = 0;
let is_half: bool = false;

/** The adapter of four outputs: A, the bytes of its rows, and B [r][4]. r is 0 without one. */
let a: usize = 0;
let a_row: usize = 0;
let b: usize = 0;
let r: u32 = 0;

/** Takes the adapter that writes an output, and its B for four of them. */
function use_adapter(p: DoraNorm, output: u32): void {
  r = 0;
  for (let i: u32 = 0; i < p.count; i++) {
    const begin = p.column + i * p.step + (i > 0 ? p.skew : 0);
    if (output < begin || output >= begin + p.width + (i > 0 ? 0 : p.skew)) continue;
    r = p.r;
    a = p.A + ((<usize>i * p.stride) << 2);
    a_row = p.inputs << 2;
    transpose_block(b, 16, p.B + ((<usize>i * p.stride + (output - begin) * r) << 2), r << 2, 4, r);
  }
}

function load_weights(i: u32): v128 {
  const at = weights + i * weights_row;
  return is_half ? load_halves(at) : v128.load(at);
}

/**
 * Adds (w + scale B A)^2 of four outputs to four sums at `sums`, one of each fourth input: those from `first` on.
 * `weights` begins with the first.
 */
function add_squares(sums: usize, first: u32, inputs: u32, scale: v128): void {
  let s0 = v128.load(sums);
  let s1 = v128.load(sums, 16);
  let s2 = v128.load(sums, 32);
  let s3 = v128.load(sums, 48);
  for (let i: u32 = 0; i < inputs; i += 4) {
    let c0 = f32x4.splat(0);
    let c1 = c0;
    let c2 = c0;
    let c3 = c0;
    let from = a + ((first + i) << 2);
    for (let k: u32 = 0; k < r; k++) {
      const x = v128.load(from);
      const y = v128.load(b + (k << 4));
      c0 = madd(v128.shuffle<i32>(x, x, 0, 0, 0, 0), y, c0);
      c1 = madd(v128.shuffle<i32>(x, x, 1, 1, 1, 1), y, c1);
      c2 = madd(v128.shuffle<i32>(x, x, 2, 2, 2, 2), y, c2);
      c3 = madd(v128.shuffle<i32>(x, x, 3, 3, 3, 3), y, c3);
      from += a_row;
    }
    const v0 = madd(scale, c0, load_weights(i));
    const v1 = madd(scale, c1, load_weights(i + 1));
    const v2 = madd(scale, c2, load_weights(i + 2));
    const v3 = madd(scale, c3, load_weights(i + 3));
    s0 = madd(v0, v0, s0);
    s1 = madd(v1, v1, s1);
    s2 = madd(v2, v2, s2);
    s3 = madd(v3, v3, s3);
  }
  v128.store(sums, s0);
  v128.store(sums, s1, 16);
  v128.store(sums, s2, 32);
  v128.store(sums, s3, 48);
}

function norms(p: DoraNorm, in_panels: bool): void {
  const sums = scratch_memory();
  const widened = sums + 64;
  b = widened + WIDENED * PANEL * 4;
  is_half = p.w_type == TYPE_F16;
  const shift: u32 = is_half ? 1 : 2;
  const in_blocks = is_in_blocks(p.w_type);
  // The outputs of one in blocks are a multiple of those of a panel.
  if (in_blocks) use_blocks(p.w, p.w_type, p.inputs * p.outputs, p.inputs);
  const scale = f32x4.splat(p.scale);
  const count = p.end - p.first;
  const end = p.first + slice_end(count, LINE);
  for (let output = p.first + slice_begin(count, LINE); output < end; output += 4) {
    use_adapter(p, output);
    memory.fill(sums, 0, 64);
    const panel = output / PANEL;
    const within: usize = output % PANEL;
    weights_row = (in_panels ? PANEL : p.outputs) << shift;
    weights = p.w + ((in_panels ? panel * p.inputs * PANEL + within : output) << shift);
    const most = in_blocks ? WIDENED : p.inputs;
    for (let i: u32 = 0; i < p.inputs; i += most) {
      const some = min(most, p.inputs - i);
      if (in_blocks) {
        widen_panel(widened, PANEL * 4, panel, i, some);
        weights = widened + (within << 2);
      }
      add_squares(sums, i, some, scale);
    }
    const total = f32x4.add(
      f32x4.add(v128.load(sums), v128.load(sums, 16)),
      f32x4.add(v128.load(sums, 32), v128.load(sums, 48)),
    );
    v128.store(p.norm + (output << 2), f32x4.sqrt(total));
  }
}

export function dora_norm(p: DoraNorm): void {
  norms(p, false);
}

/** The same with a frozen weight in panels. */
export function dora_norm_panels(p: DoraNorm): void {
  norms(p, true);
}

/** magnitude / norm of four columns; 1 where they have no magnitude. */
function factor_of(magnitude: usize, norm: usize, is_scaled: bool): v128 {
  return is_scaled ? f32x4.div(v128.load(magnitude), v128.load(norm)) : f32x4.splat(1);
}

/** Columns first .. end of out [rows, cols] = factor * z [+ bias] [+ residual]. */
export function dora_forward(p: DoraForward): void {
  const end = slice_end(p.rows, 1);
  for (let row = slice_begin(p.rows, 1); row < end; row++) {
    const base: usize = (row * p.cols) << 2;
    for (let c = p.first; c < p.end; c += 4) {
      const at: usize = c << 2;
      const own = c - p.first;
      const factor = factor_of(p.magnitude + ((p.at + own) << 2), p.norm + at, own < p.width);
      const bias = p.bias ? v128.load(p.bias + at) : f32x4.splat(0);
      let value = madd(factor, v128.load(p.z + base + at), bias);
      if (p.residual) value = f32x4.add(value, v128.load(p.residual + base + at));
      v128.store(p.out + base + at, value);
    }
  }
}

/** Of columns first .. end dz [rows, cols] = factor * dy; dmagnitude += the sums of dy * z, row by row, / norm. */
export function dora_backward(p: DoraBackward): void {
  const count = p.end - p.first;
  const end = slice_end(count, LINE);
  for (let own = slice_begin(count, LINE); own < end; own += 4) {
    const c = p.first + own;
    const place: usize = (p.at + own) << 2;
    const norm = p.norm + (c << 2);
    const factor = factor_of(p.magnitude + place, norm, own < p.width);
    let sum = f32x4.splat(0);
    for (let row: u32 = 0; row < p.rows; row++) {
      const at: usize = (row * p.cols + c) << 2;
      const d = v128.load(p.dy + at);
      sum = madd(d, v128.load(p.z + at), sum);
      v128.store(p.dz + at, f32x4.mul(factor, d));
    }
    if (own >= p.width) continue;
    const to = p.dmagnitude + place;
    v128.store(to, f32x4.add(v128.load(to), f32x4.div(sum, v128.load(norm))));
  }
}
