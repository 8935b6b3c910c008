// The matrix product that `matmul`, `linear` and the gradients of adapters share: out = beta * out + bias + alpha * a
// b.
//
// One loop handles every case: rows of a left matrix, read in place, times packed panels of eight columns of a right
// matrix. If the second factor is transposed, out^T = b^T a^T is computed instead; only the store differs. Frozen
// weights may be stored in panels: x W reads them as the right matrix, dy W^T unpacks the rows of the left matrix from
// them. Weights of other types are converted to f32 first, a part at a time. Every result is one sum in the order of k,
// in blocks of KC, and one over the adapters' steps: its bits do not depend on slices, tiles or sizes. References: BLIS
// (Van Zee and van de Geijn 2015); llm.c matmul_backward.

import { activation_backward_rows, activation_rows } from "./activation";
import {
  adapter_depth,
  add_adapters,
  clear_adapters,
  pack_down_panel,
  pack_up_panel,
  pack_up_rows,
  use_down_rows,
} from "./adapters";
import { F16, is_in_blocks, multiply_one_blocks, use_blocks, widen_panel, widen_runs } from "./blocks";
import { widen_row, widen_rows } from "./half";
import { PANEL, pack_columns, pack_rows, transpose_block, unpack_rows } from "./panels";
import { add_rows } from "./rows";
import { scratch_memory, slice_begin, slice_end, thread_count } from "./threads";
import { multiply, multiply_one, ROWS, TILE_BYTES, tile_rows } from "./tile";
import { load_some, madd, store_some } from "./vector";

/** Depth of a block: a panel of 12 KiB and six rows of 9 KiB fit into the L1 cache. A multiple of 8. */
const KC: u32 = 384;
/** Rows of a block of the left matrix, which fits into the L2 cache. */
const MC: u32 = 252;
/** Columns of a block of the right matrix. */
const NC: u32 = 512;

/** Stride of a packed block's rows in bytes: an odd number of cache lines, so that rows do not evict each other. */
const LEFT_ROW: u32 = KC * 4 + 64;
const LEFT_BYTES: u32 = MC * LEFT_ROW;
const RIGHT_BYTES: u32 = NC * KC * 4;

/** Behind the product's scratch memory: a tile of zeros; then the adapters' panel, and rows of their left matrix. */
const SPARE: u32 = 2 * TILE_BYTES + LEFT_BYTES + 2 * RIGHT_BYTES;
const SPARE_PANEL: u32 = TILE_BYTES + KC * 32;

/** The output of the current product: strides in bytes, the bias's address (0: none) and whether it runs along rows. */
let out_at: usize = 0;
let out_line: usize = 0;
let is_transposed: bool = false;
let bias_at: usize = 0;
let alpha_now: f32 = 1;
let beta_now: f32 = 0;

/** The layout of an operand: panels, or a matrix with contiguous rows or columns. */
const PANELS: u32 = 0;
const BY_ROWS: u32 = 1;
const BY_COLUMNS: u32 = 2;

/**
 * The left matrix: its stride in bytes (of rows, columns or rows of panels), and its type. Unless it is f32 with
 * contiguous rows, parts of it are packed to that layout. If it is in blocks, `left` is its first weight's number, and
 * the stride is in weights.
 */
let left: usize = 0;
let left_form: u32 = BY_ROWS;
let left_stride: usize = 0;
let left_type: u32 = 0;
/** The right matrix: its stride in bytes (of rows, columns or panels). It is packed unless it is f32 in panels. */
let right: usize = 0;
let right_form: u32 = PANELS;
let right_stride: usize = 0;
let right_type: u32 = 0;

/** What follows the product, as in src/ops/linear.ts. */
const NONE: u32 = 0;
const ACTIVATE: u32 = 2;
const ACTIVATE_SAVED: u32 = 3;
const ACTIVATE_BACKWARD: u32 = 4;
const ADD_SAVED: u32 = 5;
let epilogue: u32 = NONE;
let activation: u32 = 0;
/** The addresses of act and inp, with the layout of out. */
let act_at: usize = 0;
let inp_at: usize = 0;

/** Sets the output of a plain product: strides in bytes; `bias` is 0 if there is none. */
export function set_output(out: usize, line: usize, bias: usize, alpha: f32, beta: f32): void {
  out_at = out;
  out_line = line;
  bias_at = bias;
  alpha_now = alpha;
  beta_now = beta;
  epilogue = NONE;
  clear_adapters();
}

/** Sets what follows the product. */
export function set_epilogue(kind: u32, by: u32, act: usize, inp: usize): void {
  epilogue = kind;
  activation = by;
  act_at = act;
  inp_at = inp;
}

/** a b with any strides, in elements. If b is in blocks, `b` is its first weight's number; call `use_blocks` before. */
export function multiply_any(
  a: usize,
  a_row: u32,
  a_col: u32,
  b: usize,
  b_row: u32,
  b_col: u32,
  type: u32,
  m: u32,
  n: u32,
  k: u32,
): void {
  // b is transposed and larger than a and the result: transpose these two instead, and read b in place.
  is_transposed = b_row == 1 && b_col != 1 && m < min(n, k);
  if (is_transposed) {
    set_left(b, b_col, 1, type);
    set_right(a, a_col, a_row, 0);
    product(n, m, k);
  } else {
    set_left(a, a_row, a_col, 0);
    set_right(b, b_row, b_col, type);
    product(m, n, k);
  }
}

/**
 * The same with b a whole frozen weight stored in panels: [k, n] or, read transposed, [n, k]. In blocks, `size`
 * weights.
 */
export function multiply_panels(
  a: usize,
  a_row: u32,
  a_col: u32,
  b: usize,
  transposed: bool,
  type: u32,
  m: u32,
  n: u32,
  k: u32,
): void {
  const panel: usize = type == F16 ? 16 : 32;
  if (is_in_blocks(type)) use_blocks(b, type, n * k, transposed ? n : k);
  is_transposed = transposed;
  if (is_transposed) {
    left = b;
    left_form = PANELS;
    left_stride = n * panel;
    left_type = type;
    set_right(a, a_col, a_row, 0);
    product(n, m, k);
  } else {
    set_left(a, a_row, a_col, 0);
    right = b;
    right_form = PANELS;
    right_stride = k * panel;
    right_type = type;
    product(m, n, k);
  }
}

/** Bytes of a weight, as a shift: 1 for one in blocks, whose place is its number. */
function shift_of(type: u32): u32 {
  return is_in_blocks(type) ? 0 : type == F16 ? 1 : 2;
}

/** Strides in elements: of rows, and along k, which is 1 if it is not f32. */
function set_left(at: usize, row: u32, depth: u32, type: u32): void {
  left = at;
  left_form = depth == 1 ? BY_ROWS : BY_COLUMNS;
  left_stride = (depth == 1 ? row : depth) << shift_of(type);
  left_type = type;
}

/** Strides in elements: along k, and of columns. */
function set_right(at: usize, depth: u32, col: u32, type: u32): void {
  right = at;
  right_form = col == 1 ? BY_ROWS : BY_COLUMNS;
  right_stride = (col == 1 ? depth : col) << shift_of(type);
  right_type = type;
}

/** This thread's slice of the product: of its columns or its rows, whichever is cheaper including the packing. */
function product(m: u32, n: u32, k: u32): void {
  const threads = thread_count();
  const columns = ((n + PANEL * threads - 1) / (PANEL * threads)) * PANEL;
  const rows = ((m + ROWS * threads - 1) / (ROWS * threads)) * ROWS;
  // Cost per step of k in multiply-adds; packing an element costs about eight.
  const left_cost: u32 = (left_form != BY_ROWS ? 8 : 0) + (left_type != 0 ? 4 : 0);
  const right_cost: u32 = (right_form != PANELS ? 8 : 0) + (right_type != 0 ? 4 : 0);
  const by_columns: u64 = <u64>m * columns + left_cost * m + right_cost * columns;
  const by_rows: u64 = <u64>rows * n + left_cost * rows + right_cost * n;
  if (by_columns <= by_rows) blocks(0, m, slice_begin(n, PANEL), slice_end(n, PANEL), k);
  else blocks(slice_begin(m, ROWS), slice_end(m, ROWS), 0, n, k);
}

/** Computes rows i0 .. i1 and columns j0 .. j1 of the product, in blocks that fit into the caches. */
function blocks(i0: u32, i1: u32, j0: u32, j1: u32, k: u32): void {
  if (i0 >= i1 || j0 >= j1) return;
  const left_block = scratch_memory() + 2 * TILE_BYTES;
  const right_block = left_block + LEFT_BYTES;
  const longest = max(k, adapter_depth());
  memory.fill(scratch_memory() + SPARE, 0, TILE_BYTES);
  let depth: u32 = 0;
  do {
    const kc = depth < k ? min<u32>(KC, k - depth) : 0;
    const steps = depth < adapter_depth() ? min<u32>(KC, adapter_depth() - depth) : 0;
    for (let jc = j0; jc < j1; jc += NC) {
      const nc = min<u32>(NC, j1 - jc);
      let panels = right + (jc / PANEL) * right_stride + (depth << (right_type == F16 ? 4 : 5));
      let panel = right_stride;
      if (right_form != PANELS) {
        panels = right_block;
        panel = kc << 5;
        pack_right(panels, jc, nc, depth, kc);
      }
      for (let ic = i0; ic < i1; ic += MC) {
        const mc = min<u32>(MC, i1 - ic);
        let rows = left + ic * left_stride + (depth << 2);
        let row = left_stride;
        if (left_form != BY_ROWS || left_type != 0) {
          rows = left_block;
          row = LEFT_ROW;
          pack_left(rows, ic, mc, depth, kc);
        }
        if (steps > 0) {
          if (is_transposed) pack_up_rows(scratch_memory() + SPARE + SPARE_PANEL, LEFT_ROW, ic, mc, depth, steps);
          else use_down_rows(ic, depth);
        }
        block(rows, row, panels, panel, ic, mc, jc, nc, kc, depth, steps);
        if (epilogue == NONE || depth + KC < longest) continue;
        // For the block as a whole: a tile's few columns would touch every cache line several times.
        if (is_transposed) finish(jc, nc, ic, mc);
        else finish(ic, mc, jc, nc);
      }
    }
    depth += KC;
  } while (depth < longest);
}

/** Packs rows ic .. ic + mc of the left matrix, depth .. depth + kc, as rows of f32, LEFT_ROW bytes apart. */
function pack_left(rows: usize, ic: u32, mc: u32, depth: u32, kc: u32): void {
  if (left_form == BY_COLUMNS) {
    transpose_block(rows, LEFT_ROW, left + depth * left_stride + (ic << 2), left_stride, kc, mc);
  } else if (left_form == PANELS) {
    if (is_in_blocks(left_type)) {
      for (let d: u32 = 0; d < kc; d += PANEL) widen_panel(rows + (d << 2), LEFT_ROW, (depth + d) / PANEL, ic, mc);
      return;
    }
    const is_half = left_type == F16;
    const from = left + (depth / PANEL) * left_stride + (ic << (is_half ? 4 : 5));
    unpack_rows(rows, LEFT_ROW, from, left_stride, is_half, kc, mc);
  } else if (is_in_blocks(left_type)) {
    widen_runs(rows, LEFT_ROW, <u32>(left + ic * left_stride + depth), <u32>left_stride, mc, kc);
  } else {
    widen_rows(rows, LEFT_ROW, left + ic * left_stride + (depth << 1), left_stride, mc, kc);
  }
}

/** Packs columns jc .. jc + nc of the right matrix, depth .. depth + kc, as panels of f32. */
function pack_right(panels: usize, jc: u32, nc: u32, depth: u32, kc: u32): void {
  const by_rows = right_form == BY_ROWS;
  const shift = shift_of(right_type);
  let from = right + (by_rows ? depth * right_stride + (jc << shift) : jc * right_stride + (depth << shift));
  let stride = right_stride;
  if (right_type != 0) {
    const floats = panels + RIGHT_BYTES;
    const count = by_rows ? nc : kc;
    const rows = by_rows ? kc : nc;
    stride = count << 2;
    if (right_type == F16) widen_rows(floats, stride, from, right_stride, rows, count);
    else widen_runs(floats, stride, <u32>from, <u32>right_stride, rows, count);
    from = floats;
  }
  if (by_rows) pack_rows(panels, from, stride, kc, nc);
  else pack_columns(panels, from, stride, kc, nc);
}

/** Computes one block, with `steps` of the adapters: a panel stays in the L1 cache while all rows are processed. */
function block(
  rows: usize,
  row: usize,
  panels: usize,
  panel: usize,
  i0: u32,
  m: u32,
  j0: u32,
  n: u32,
  k: u32,
  depth: u32,
  steps: u32,
): void {
  const tile = scratch_memory();
  const turned = tile + TILE_BYTES;
  const spare = tile + SPARE;
  const is_first = depth == 0;
  // Panels that are not f32 are converted here, one at a time; other operands were converted when packed.
  const type = right_form == PANELS ? right_type : 0;
  const floats = tile + 2 * TILE_BYTES + LEFT_BYTES;
  let j: u32 = 0;
  if (m == 1 && !is_transposed) {
    for (; j + 4 * PANEL <= n; j += 4 * PANEL) {
      const p = panels + (j / PANEL) * panel;
      if (is_in_blocks(type)) {
        multiply_one_blocks(tile, rows, (j0 + j) / PANEL, depth, k);
        multiply_one_blocks(tile + 64, rows, (j0 + j) / PANEL + 2, depth, k);
      } else if (type == F16) multiply_one<u16>(tile, rows, p, panel, k);
      else multiply_one<f32>(tile, rows, p, panel, k);
      for (let q: u32 = 0; q < 4; q++) {
        let at = tile + (q << 5);
        const column = j0 + j + q * PANEL;
        if (steps > 0) {
          // Moved, because rows that are not used are written, too.
          memory.copy(turned, at, 32);
          at = turned;
          pack_up_panel(spare + TILE_BYTES, column, PANEL, depth, steps);
          add_adapters(at, 0, 1);
        }
        store_tile(at, i0, 1, column, PANEL, is_first);
      }
    }
  }
  for (; j < n; j += PANEL) {
    let p = panels + (j / PANEL) * panel;
    if (type != 0) {
      if (type == F16) widen_row(floats, p, k << 3);
      else widen_panel(floats, 32, (j0 + j) / PANEL, depth, k);
      p = floats;
    }
    const cols = min<u32>(PANEL, n - j);
    if (steps > 0) {
      if (is_transposed) pack_down_panel(spare + TILE_BYTES, j0 + j, cols, depth, steps);
      else pack_up_panel(spare + TILE_BYTES, j0 + j, cols, depth, steps);
    }
    for (let i: u32 = 0; i < m; ) {
      const rest = m - i;
      const count = tile_rows(rest);
      multiply(tile, spare, rows + i * row, row, count, p, k);
      if (steps > 0) add_adapters(tile, i, count);
      if (is_transposed) {
        transpose_block(turned, 32, tile, 32, 8, PANEL);
        store_tile(turned, j0 + j, cols, i0 + i, count, is_first);
      } else {
        store_tile(tile, i0 + i, count, j0 + j, cols, is_first);
      }
      i += count;
    }
  }
}

/**
 * out[i + r][j + c] = tile[r][c] * alpha + bias[c] + beta * out[i + r][j + c], for r < rows and c < cols. beta and the
 * bias are applied in the first block of the depth.
 */
function store_tile(tile: usize, i: u32, rows: u32, j: u32, cols: u32, is_first: bool): void {
  const alpha = f32x4.splat(alpha_now);
  const factor: f32 = is_first ? beta_now : 1;
  const beta = f32x4.splat(factor);
  const low = min<u32>(cols, 4);
  const high = cols - low;
  let bias0 = f32x4.splat(0);
  let bias1 = bias0;
  if (is_first && bias_at != 0) {
    bias0 = load_some(bias_at + (j << 2), low);
    if (high > 0) bias1 = load_some(bias_at + (j << 2) + 16, high);
  }
  let to = out_at + i * out_line + (j << 2);
  for (const end = tile + (rows << 5); tile < end; tile += 32) {
    let v = madd(v128.load(tile), alpha, bias0);
    if (factor != 0) v = madd(beta, load_some(to, low), v);
    store_some(to, v, low);
    if (high > 0) {
      v = madd(v128.load(tile, 16), alpha, bias1);
      if (factor != 0) v = madd(beta, load_some(to + 16, high), v);
      store_some(to + 16, v, high);
    }
    to += out_line;
  }
}

/** The epilogue for rows i .. i + rows and columns j .. j + cols of out. */
function finish(i: u32, rows: u32, j: u32, cols: u32): void {
  const at = i * out_line + (j << 2);
  const out = out_at + at;
  const inp = inp_at + at;
  if (epilogue == ACTIVATE) activation_rows(activation, out, out, out_line, rows, cols);
  else if (epilogue == ACTIVATE_SAVED) activation_rows(activation, act_at + at, out, out_line, rows, cols);
  else if (epilogue == ACTIVATE_BACKWARD)
    activation_backward_rows(activation, out, act_at + at, inp, out_line, rows, cols);
  else {
    const to = epilogue == ADD_SAVED ? act_at + at : out;
    for (let row: usize = 0; row < rows * out_line; row += out_line) add_rows(to + row, out + row, inp + row, cols);
  }
}
