// The matrix product that `matmul`, `linear` and the gradients of adapters share: out = beta * out + bias + alpha * a
// b.
//
// One loop handles every case: rows of a left matrix, read in place, times packed panels of eight columns of a right
// matrix. If the second factor is transposed, out^T = b^T a^T is computed instead; only the store differs. Frozen
// weights may be stored in panels: x W reads them as the right matrix, dy W^T unpacks the rows of the left matrix from
// them. Weights of other types are converted to f32 first, a part at a time, or multiplied in integers (integers.ts).
// Every result is one sum in the order of k, in blocks of KC, and one over the adapters' steps: its bits do not depend on
// slices, tiles or sizes. References: BLIS (Van Zee and van de Geijn 2015); llm.c matmul_backward.

import { activation_backward_rows, activation_rows } from "./activation";
import { adapter_depth, add_adapters, pack_down_panel, pack_up_panel, pack_up_rows, use_down_rows } from "./adapters";
import { Block, BY_COLUMNS, BY_ROWS, current_block, PANELS, Product } from "./arguments";
import { multiply_one_blocks } from "./block-rows";
import { is_in_blocks, use_blocks, widen_panel, widen_runs } from "./blocks";
import {
  EPILOGUE_ACTIVATE,
  EPILOGUE_ACTIVATE_BACKWARD,
  EPILOGUE_ACTIVATE_SAVED,
  EPILOGUE_ADD_SAVED,
  EPILOGUE_NONE,
  PANEL,
  TYPE_F16,
  TYPE_INT16,
} from "./generated/numbers";
import { widen_row, widen_rows } from "./half";
import { INTEGER_ROWS, is_in_integers, multiply_one_pairs, multiply_pairs, take_left, take_right } from "./integers";
import { load_some, store_some } from "./lanes";
import { pack_columns, pack_rows, transpose_block, unpack_rows } from "./panels";
import { add_rows } from "./rows";
import { scratch_memory, slice_begin, slice_end, thread_count } from "./threads";
import { multiply, multiply_one, ROWS, TILE_BYTES, tile_rows } from "./tile";
import { madd } from "./vector";

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

/** With any strides. If b is in blocks, call `use_blocks` before. */
export function multiply_any(p: Product): void {
  // b is transposed and larger than a and the result: transpose these two instead, and read b in place.
  p.is_transposed = p.b_row == 1 && p.b_col != 1 && p.m < min(p.n, p.k);
  if (p.is_transposed) {
    set_left(p, p.b, p.b_col, 1, p.b_type);
    set_right(p, p.a, p.a_col, p.a_row, 0);
  } else {
    set_left(p, p.a, p.a_row, p.a_col, 0);
    set_right(p, p.b, p.b_row, p.b_col, p.b_type);
  }
  product(p);
}

/** With b a whole frozen weight stored in panels: [k, n] or, read transposed, [n, k]. */
export function multiply_panels(p: Product, is_transposed: bool): void {
  const panel: usize = p.b_type == TYPE_F16 || p.b_type == TYPE_INT16 ? 16 : 32;
  if (is_in_blocks(p.b_type)) use_blocks(p.b, p.b_type, p.n * p.k, is_transposed ? p.n : p.k);
  p.is_transposed = is_transposed;
  if (is_transposed) {
    p.left = p.b;
    p.left_form = PANELS;
    p.left_stride = p.n * panel;
    p.left_type = p.b_type;
    set_right(p, p.a, p.a_col, p.a_row, 0);
  } else {
    set_left(p, p.a, p.a_row, p.a_col, 0);
    p.right = p.b;
    p.right_form = PANELS;
    p.right_stride = p.k * panel;
    p.right_type = p.b_type;
  }
  product(p);
}

/** Bytes of a weight, as a shift: 1 for one in blocks, whose place is its number. */
function shift_of(type: u32): u32 {
  return is_in_blocks(type) ? 0 : type == TYPE_F16 ? 1 : 2;
}

/** Strides in elements: of rows, and along k, which is 1 if it is not f32. */
function set_left(p: Product, at: usize, row: u32, depth: u32, type: u32): void {
  p.left = at;
  p.left_form = depth == 1 ? BY_ROWS : BY_COLUMNS;
  p.left_stride = (depth == 1 ? row : depth) << shift_of(type);
  p.left_type = type;
}

/** Strides in elements: along k, and of columns. */
function set_right(p: Product, at: usize, depth: u32, col: u32, type: u32): void {
  p.right = at;
  p.right_form = col == 1 ? BY_ROWS : BY_COLUMNS;
  p.right_stride = (col == 1 ? depth : col) << shift_of(type);
  p.right_type = type;
}

/** This thread's slice of the product: of its columns or its rows, whichever is cheaper including the packing. */
function product(p: Product): void {
  p.in_integers = is_in_integers(p);
  const m = p.is_transposed ? p.n : p.m;
  const n = p.is_transposed ? p.m : p.n;
  const threads = thread_count();
  const columns = ((n + PANEL * threads - 1) / (PANEL * threads)) * PANEL;
  const rows = ((m + ROWS * threads - 1) / (ROWS * threads)) * ROWS;
  // Cost per step of k in multiply-adds; packing an element costs about eight, and rounding it to an integer, too.
  const left_cost: u32 = (p.left_form != BY_ROWS || p.in_integers ? 8 : 0) + (p.left_type != 0 ? 4 : 0);
  const right_cost: u32 = (p.right_form != PANELS ? 8 : 0) + (p.right_type != 0 ? 4 : 0);
  const by_columns: u64 = <u64>m * columns + left_cost * m + right_cost * columns;
  const by_rows: u64 = <u64>rows * n + left_cost * rows + right_cost * n;
  if (by_columns <= by_rows) blocks(p, 0, m, slice_begin(n, PANEL), slice_end(n, PANEL));
  else blocks(p, slice_begin(m, ROWS), slice_end(m, ROWS), 0, n);
}

/** Computes rows i0 .. i1 and columns j0 .. j1 of the product, in blocks that fit into the caches. */
function blocks(p: Product, i0: u32, i1: u32, j0: u32, j1: u32): void {
  if (i0 >= i1 || j0 >= j1) return;
  const k = p.k;
  const left_block = scratch_memory() + 2 * TILE_BYTES;
  const right_block = left_block + LEFT_BYTES;
  const longest = max(k, adapter_depth(p));
  memory.fill(scratch_memory() + SPARE, 0, TILE_BYTES);
  const b = current_block();
  // Rows are rounded to integers once for all panels that are read in place.
  const nc = p.in_integers && p.right_form == PANELS ? 8 * NC : NC;
  for (b.depth = 0; b.depth == 0 || b.depth < longest; b.depth += KC) {
    const depth = b.depth;
    b.k = depth < k ? min<u32>(KC, k - depth) : 0;
    b.steps = depth < adapter_depth(p) ? min<u32>(KC, adapter_depth(p) - depth) : 0;
    for (let jc = j0; jc < j1; jc += nc) {
      b.j = jc;
      b.n = min<u32>(nc, j1 - jc);
      b.panels = p.right + (jc / PANEL) * p.right_stride + (depth << (p.right_type == TYPE_F16 ? 4 : 5));
      b.panel = p.right_stride;
      if (p.in_integers) {
        take_right(p, b, right_block, right_block + RIGHT_BYTES, NC);
      } else if (p.right_form != PANELS) {
        b.panels = right_block;
        b.panel = b.k << 5;
        pack_right(p, b);
      }
      for (let ic = i0; ic < i1; ic += MC) {
        b.i = ic;
        b.m = min<u32>(MC, i1 - ic);
        b.rows = p.left + ic * p.left_stride + (depth << 2);
        b.row = p.left_stride;
        if (p.in_integers) {
          take_left(p, b, left_block, MC);
        } else if (p.left_form != BY_ROWS || p.left_type != 0) {
          b.rows = left_block;
          b.row = LEFT_ROW;
          pack_left(p, b);
        }
        if (b.steps > 0) {
          if (p.is_transposed) pack_up_rows(p, b, scratch_memory() + SPARE + SPARE_PANEL, LEFT_ROW);
          else use_down_rows(p, b);
        }
        block(p, b);
        // For the block as a whole: a tile's few columns would touch every cache line several times.
        if (p.epilogue != EPILOGUE_NONE && depth + KC >= longest) finish(p, b);
      }
    }
  }
}

/** Packs a block's rows of the left matrix as rows of f32, LEFT_ROW bytes apart. */
function pack_left(p: Product, b: Block): void {
  const rows = b.rows;
  const left = p.left;
  const stride = p.left_stride;
  const depth = b.depth;
  const kc = b.k;
  const ic = b.i;
  const mc = b.m;
  if (p.left_form == BY_COLUMNS) {
    transpose_block(rows, LEFT_ROW, left + depth * stride + (ic << 2), stride, kc, mc);
  } else if (p.left_form == PANELS) {
    if (is_in_blocks(p.left_type)) {
      for (let d: u32 = 0; d < kc; d += PANEL) widen_panel(rows + (d << 2), LEFT_ROW, (depth + d) / PANEL, ic, mc);
      return;
    }
    const is_half = p.left_type == TYPE_F16;
    const from = left + (depth / PANEL) * stride + (ic << (is_half ? 4 : 5));
    unpack_rows(rows, LEFT_ROW, from, stride, is_half, kc, mc);
  } else if (is_in_blocks(p.left_type)) {
    widen_runs(rows, LEFT_ROW, <u32>(left + ic * stride + depth), <u32>stride, mc, kc);
  } else {
    widen_rows(rows, LEFT_ROW, left + ic * stride + (depth << 1), stride, mc, kc);
  }
}

/** Packs a block's columns of the right matrix as panels of f32. */
function pack_right(p: Product, b: Block): void {
  const by_rows = p.right_form == BY_ROWS;
  const type = p.right_type;
  const shift = shift_of(type);
  let stride = p.right_stride;
  let from = p.right + (by_rows ? b.depth * stride + (b.j << shift) : b.j * stride + (b.depth << shift));
  if (type != 0) {
    const floats = b.panels + RIGHT_BYTES;
    const count = by_rows ? b.n : b.k;
    const rows = by_rows ? b.k : b.n;
    if (type == TYPE_F16) widen_rows(floats, count << 2, from, stride, rows, count);
    else widen_runs(floats, count << 2, <u32>from, <u32>stride, rows, count);
    stride = count << 2;
    from = floats;
  }
  if (by_rows) pack_rows(b.panels, from, stride, b.k, b.n);
  else pack_columns(b.panels, from, stride, b.k, b.n);
}

/** Computes one block, with the adapters' steps: a panel stays in the L1 cache while all rows are processed. */
function block(p: Product, b: Block): void {
  const rows = b.rows;
  const row = b.row;
  const panels = b.panels;
  const panel = b.panel;
  const m = b.m;
  const n = b.n;
  const k = b.k;
  const steps = b.steps;
  const tile = scratch_memory();
  const turned = tile + TILE_BYTES;
  const spare = tile + SPARE;
  // Panels that are not f32 are converted here, one at a time; other operands were converted when packed.
  const in_integers = p.in_integers;
  const pairs = (k + 1) >> 1;
  const left_scales = b.left_scales;
  const right_scales = b.right_scales;
  const type = p.right_form == PANELS && !in_integers ? p.right_type : 0;
  const floats = tile + 2 * TILE_BYTES + LEFT_BYTES;
  let j: u32 = 0;
  if (m == 1 && !p.is_transposed) {
    for (; j + 4 * PANEL <= n; j += 4 * PANEL) {
      const from = panels + (j / PANEL) * panel;
      if (in_integers) multiply_one_pairs(tile, rows, from, panel, pairs, left_scales, right_scales + (j << 2));
      else if (is_in_blocks(type)) multiply_one_blocks(tile, rows, (b.j + j) / PANEL, b.depth, k);
      else if (type == TYPE_F16) multiply_one<u16>(tile, rows, from, panel, k);
      else multiply_one<f32>(tile, rows, from, panel, k);
      for (let q: u32 = 0; q < 4; q++) {
        let at = tile + (q << 5);
        const column = b.j + j + q * PANEL;
        if (steps > 0) {
          // Moved, because rows that are not used are written, too.
          memory.copy(turned, at, 32);
          at = turned;
          pack_up_panel(p, b, spare + TILE_BYTES, column, PANEL);
          add_adapters(b, at, 0, 1);
        }
        store_tile(p, b, at, b.i, 1, column, PANEL);
      }
    }
  }
  for (; j < n; j += PANEL) {
    let from = panels + (j / PANEL) * panel;
    if (type != 0) {
      if (type == TYPE_F16) widen_row(floats, from, k << 3);
      else widen_panel(floats, 32, (b.j + j) / PANEL, b.depth, k);
      from = floats;
    }
    const cols = min<u32>(PANEL, n - j);
    if (steps > 0) {
      if (p.is_transposed) pack_down_panel(p, b, spare + TILE_BYTES, b.j + j, cols);
      else pack_up_panel(p, b, spare + TILE_BYTES, b.j + j, cols);
    }
    for (let i: u32 = 0; i < m; ) {
      const count = in_integers ? min(INTEGER_ROWS, m - i) : tile_rows(m - i);
      const a = rows + i * row;
      if (in_integers)
        multiply_pairs(tile, a, row, count, from, pairs, left_scales + (i << 2), right_scales + (j << 2));
      else multiply(tile, spare, a, row, count, from, k);
      if (steps > 0) add_adapters(b, tile, i, count);
      if (p.is_transposed) {
        transpose_block(turned, 32, tile, 32, count > 4 ? 8 : 4, PANEL);
        store_tile(p, b, turned, b.j + j, cols, b.i + i, count);
      } else {
        store_tile(p, b, tile, b.i + i, count, b.j + j, cols);
      }
      i += count;
    }
  }
}

/**
 * out[i + r][j + c] = tile[r][c] * alpha + bias[c] + beta * out[i + r][j + c], for r < rows and c < cols. beta and the
 * bias are applied in the first block of the depth.
 */
function store_tile(p: Product, b: Block, tile: usize, i: u32, rows: u32, j: u32, cols: u32): void {
  const is_first = b.depth == 0;
  const alpha = f32x4.splat(p.alpha);
  const factor: f32 = is_first ? p.beta : 1;
  const beta = f32x4.splat(factor);
  const low = min<u32>(cols, 4);
  const high = cols - low;
  let bias0 = f32x4.splat(0);
  let bias1 = bias0;
  if (is_first && p.bias != 0) {
    bias0 = load_some(p.bias + (j << 2), low);
    if (high > 0) bias1 = load_some(p.bias + (j << 2) + 16, high);
  }
  const line = p.out_row;
  let to = p.out + i * line + (j << 2);
  for (const end = tile + (rows << 5); tile < end; tile += 32) {
    let v = madd(v128.load(tile), alpha, bias0);
    if (factor != 0) v = madd(beta, load_some(to, low), v);
    store_some(to, v, low);
    if (high > 0) {
      v = madd(v128.load(tile, 16), alpha, bias1);
      if (factor != 0) v = madd(beta, load_some(to + 16, high), v);
      store_some(to + 16, v, high);
    }
    to += line;
  }
}

/** The epilogue for a block of out. */
function finish(p: Product, b: Block): void {
  const line = p.out_row;
  const rows = p.is_transposed ? b.n : b.m;
  const cols = p.is_transposed ? b.m : b.n;
  const at = (p.is_transposed ? b.j : b.i) * line + ((p.is_transposed ? b.i : b.j) << 2);
  const out = p.out + at;
  const act = p.act + at;
  const inp = p.inp + at;
  if (p.epilogue == EPILOGUE_ACTIVATE) activation_rows(p.activation, out, out, line, rows, cols);
  else if (p.epilogue == EPILOGUE_ACTIVATE_SAVED) activation_rows(p.activation, act, out, line, rows, cols);
  else if (p.epilogue == EPILOGUE_ACTIVATE_BACKWARD)
    activation_backward_rows(p.activation, out, act, inp, line, rows, cols);
  else {
    const to = p.epilogue == EPILOGUE_ADD_SAVED ? act : out;
    for (let row: usize = 0; row < rows * line; row += line) add_rows(to + row, out + row, inp + row, cols);
  }
}
