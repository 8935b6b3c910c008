// The adapters' part of a product's depth. It is added to each tile of the product, in blocks of the depth like the
// product's.

import { Block, Product } from "./arguments";
import { PANEL } from "./generated/numbers";
import { Linear } from "./generated/records";
import { transpose_block } from "./panels";
import { multiply } from "./tile";

/** The adapters of a layer. */
export function set_adapters(p: Product, from: Linear): void {
  p.down = from.down;
  p.up = from.up;
  p.count = from.adapters;
  p.r = from.r;
  p.stride = from.stride;
  p.up_row = from.up_row;
  p.up_col = from.up_col;
  p.column = from.column;
  p.step = from.step;
  p.width = from.width;
  p.skew = from.skew;
}

/** Steps of the depth, of all adapters. */
export function adapter_depth(p: Product): u32 {
  return p.count * p.r;
}

/** The left matrix of out = a b is `down`, which is read in place. */
export function use_down_rows(p: Product, b: Block): void {
  b.down_row = adapter_depth(p) << 2;
  b.down = p.down + b.i * b.down_row + (b.depth << 2);
}

/**
 * The left matrix of out^T = b^T a^T is up^T, of which a block's rows are packed, `to_stride` bytes apart. Its columns
 * are contiguous, and every one of them has all adapters.
 */
export function pack_up_rows(p: Product, b: Block, to: usize, to_stride: usize): void {
  const r = p.r;
  const end = b.depth + b.steps;
  for (let d = b.depth; d < end; ) {
    const first = d % r;
    const some = min<u32>(r - first, end - d);
    const from = p.up + (((d / r) * p.stride + first * p.up_row + b.i) << 2);
    transpose_block(to + ((d - b.depth) << 2), to_stride, from, p.up_row << 2, some, b.m);
    d += some;
  }
  b.down = to;
  b.down_row = to_stride;
}

/** Packs columns j .. j + cols of down^T, the right matrix of out^T = b^T a^T. */
export function pack_down_panel(p: Product, b: Block, to: usize, j: u32, cols: u32): void {
  b.up = to;
  b.up_first = 0;
  b.up_steps = b.steps;
  if (cols < PANEL) memory.fill(to, 0, b.steps << 5);
  const row: usize = adapter_depth(p) << 2;
  transpose_block(to, 32, p.down + j * row + (b.depth << 2), row, cols, b.steps);
}

/** Packs columns j .. j + cols of `up`, of the steps of those adapters that write there. */
export function pack_up_panel(p: Product, b: Block, to: usize, j: u32, cols: u32): void {
  const depth = b.depth;
  const count = p.count;
  const r = p.r;
  let panel_first: u32 = 0;
  let panel_steps: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const own = p.column + i * p.step + (i > 0 ? p.skew : 0);
    const begin = max(j, own);
    const end = min(j + cols, own + p.width + (i > 0 ? 0 : p.skew));
    const first = max(depth, i * r);
    const last = min(depth + b.steps, (i + 1) * r);
    if (begin >= end || first >= last) continue;
    if (panel_steps == 0) panel_first = first - depth;
    const into = to + ((first - depth - panel_first) << 5);
    if (end - begin < PANEL) memory.fill(into, 0, (last - first) << 5);
    const from = p.up + ((i * p.stride + (first - i * r) * p.up_row + (begin - own) * p.up_col) << 2);
    pack(p, into + ((begin - j) << 2), from, end - begin, last - first);
    panel_steps = last - depth - panel_first;
  }
  b.up = to;
  b.up_first = panel_first;
  b.up_steps = panel_steps;
}

/** to[d][c] = from[d * up_row + c * up_col] for c < cols, d < steps. */
function pack(p: Product, to: usize, from: usize, cols: u32, steps: u32): void {
  if (p.up_row == 1) {
    transpose_block(to, 32, from, p.up_col << 2, cols, steps);
    return;
  }
  for (let d: u32 = 0; d < steps; d++) memory.copy(to + (d << 5), from + ((d * p.up_row) << 2), cols << 2);
}

/** Adds the adapters' part to a tile of `rows` rows of the block, from row i on. */
export function add_adapters(b: Block, tile: usize, i: u32, rows: u32): void {
  if (b.up_steps == 0) return;
  multiply(tile, tile, b.down + i * b.down_row + (b.up_first << 2), b.down_row, rows, b.up, b.up_steps);
}
