// The adapters' part of a product's depth: down [m, count * r] times `up`, of which adapter i has r steps and writes
// the columns from column + i * step on, `width` of them. It is added to each tile of the product, in blocks of the
// depth like the product's.
import { Linear, LinearGrouped, LinearGroupedJob } from "./generated/records";
import { PANEL, transpose_block } from "./panels";
import { multiply } from "./tile";

let down: usize = 0;
let up: usize = 0;
let count: u32 = 0;
let r: u32 = 0;
let stride: u32 = 0;
let up_row: u32 = 0;
let up_col: u32 = 0;
let column: u32 = 0;
let step: u32 = 0;
let width: u32 = 0;

/** The rows of the left matrix for the current block: address and stride in bytes. */
let rows_at: usize = 0;
let rows_stride: usize = 0;
/** The current panel of the right matrix, its first step in the block, and its number of steps. */
let panel: usize = 0;
let panel_first: u32 = 0;
let panel_steps: u32 = 0;

export function set_adapters(p: Linear): void {
  down = p.down;
  up = p.up;
  set_sizes(p);
}

/** Those of a member. */
export function set_member_adapters(p: LinearGrouped, job: LinearGroupedJob): void {
  down = p.down + ((<usize>job.down_offset) << 2);
  up = p.up + ((<usize>job.up_offset) << 2);
  set_sizes(job);
}

function set_sizes<T>(p: T): void {
  count = p.count;
  r = p.r;
  stride = p.stride;
  up_row = p.up_row;
  up_col = p.up_col;
  column = p.column;
  step = p.step;
  width = p.width;
}

export function clear_adapters(): void {
  count = 0;
}

/** Steps of the depth, of all adapters. */
export function adapter_depth(): u32 {
  return count * r;
}

/** The left matrix of out = a b is `down`, which is read in place. */
export function use_down_rows(i: u32, depth: u32): void {
  rows_stride = adapter_depth() << 2;
  rows_at = down + i * rows_stride + (depth << 2);
}

/**
 * The left matrix of out^T = b^T a^T is up^T, of which rows i .. i + m are packed, `to_stride` bytes apart. Its columns
 * are contiguous, and every one of them has all adapters.
 */
export function pack_up_rows(to: usize, to_stride: usize, i: u32, m: u32, depth: u32, steps: u32): void {
  for (let d = depth; d < depth + steps; ) {
    const first = d % r;
    const some = min<u32>(r - first, depth + steps - d);
    const from = up + (((d / r) * stride + first * up_row + i) << 2);
    transpose_block(to + ((d - depth) << 2), to_stride, from, up_row << 2, some, m);
    d += some;
  }
  rows_at = to;
  rows_stride = to_stride;
}

/** Packs columns j .. j + cols of down^T, the right matrix of out^T = b^T a^T. */
export function pack_down_panel(to: usize, j: u32, cols: u32, depth: u32, steps: u32): void {
  panel = to;
  panel_first = 0;
  panel_steps = steps;
  if (cols < PANEL) memory.fill(to, 0, steps << 5);
  const row: usize = adapter_depth() << 2;
  transpose_block(to, 32, down + j * row + (depth << 2), row, cols, steps);
}

/** Packs columns j .. j + cols of `up`, of the steps of those adapters that write there. */
export function pack_up_panel(to: usize, j: u32, cols: u32, depth: u32, steps: u32): void {
  panel = to;
  panel_steps = 0;
  for (let i: u32 = 0; i < count; i++) {
    const own = column + i * step;
    const begin = max(j, own);
    const end = min(j + cols, own + width);
    const first = max(depth, i * r);
    const last = min(depth + steps, (i + 1) * r);
    if (begin >= end || first >= last) continue;
    if (panel_steps == 0) panel_first = first - depth;
    const into = to + ((first - depth - panel_first) << 5);
    if (end - begin < PANEL) memory.fill(into, 0, (last - first) << 5);
    const from = up + ((i * stride + (first - i * r) * up_row + (begin - own) * up_col) << 2);
    pack(into + ((begin - j) << 2), from, end - begin, last - first);
    panel_steps = last - depth - panel_first;
  }
}

/** to[d][c] = from[d * up_row + c * up_col] for c < cols, d < steps. */
function pack(to: usize, from: usize, cols: u32, steps: u32): void {
  if (up_row == 1) {
    transpose_block(to, 32, from, up_col << 2, cols, steps);
    return;
  }
  for (let d: u32 = 0; d < steps; d++) memory.copy(to + (d << 5), from + ((d * up_row) << 2), cols << 2);
}

/** Adds the adapters' part to a tile of `rows` rows of the block, from row i on. */
export function add_adapters(tile: usize, i: u32, rows: u32): void {
  if (panel_steps == 0) return;
  multiply(tile, tile, rows_at + i * rows_stride + (panel_first << 2), rows_stride, rows, panel, panel_steps);
}
