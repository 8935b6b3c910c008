// Matrix products of general strides: out = beta * out + bias + alpha * a b, and the gradient of the bias.
//
// One loop serves every case: rows of a left matrix, read where they are, against panels of eight columns of a right matrix,
// packed. Where the second factor lies transposed, out^T = b^T a^T is made instead, and only the store turns around. A
// frozen weight may be kept in panels for good (`matmul_panels`): x W reads them as the right matrix, dy W^T as the left one,
// whose rows then come in pieces of eight. A weight in f16, in panels or not, is made f32 block by block. Every result is one sum in the order of k, in blocks of KC: the same bits for
// every slice and every size. References: BLIS (Van Zee and van de Geijn 2015); llm.c matmul_backward.
import { widen_rows } from "./half";
import { PANEL, pack_columns, pack_rows, transpose_block } from "./panels";
import { scratch_memory, slice_begin, slice_end, thread_count } from "./threads";
import { load_part, madd, store_part } from "./vector";

/** Rows of the left matrix that the kernel works on at a time. */
const ROWS: u32 = 4;
/** Depth of a block: a panel of 12 KiB and four rows of 6 KiB stay in the first-level cache. A multiple of 8. */
const KC: u32 = 384;
/** Rows of a block of the left matrix, which stays in the second-level cache. */
const MC: u32 = 128;
/** Columns of a block of the right matrix. */
const NC: u32 = 512;

/** A tile, and the same turned around. */
const TILE_BYTES: u32 = 128;
const LEFT_BYTES: u32 = MC * KC * 4;
const RIGHT_BYTES: u32 = NC * KC * 4;

/** Where the product at hand is written: strides in bytes, the bias's address (0: none) and whether it lies along rows. */
let out_at: usize = 0;
let out_line: usize = 0;
let is_transposed: bool = false;
let bias_at: usize = 0;
let alpha_now: f32 = 1;
let beta_now: f32 = 0;

/**
 * The operands: left element (i, k) at left + i * left_row + (k / 8) * left_piece + (k % 8) * 4 (or * 2 for a half) unless it
 * is packed first.
 */
let left: usize = 0;
let left_row: usize = 0;
let left_piece: usize = 32;
/** Bytes from one k to the next where the left matrix has to be packed, else 0. */
let left_depth: usize = 0;
/** The right matrix: its panels and their length in bytes, or where it is packed from. */
let right: usize = 0;
let right_panel: usize = 0;
let right_stride: usize = 0;
/** 0: in panels already; 1: rows side by side; 2: columns side by side. */
let right_form: u32 = 0;
/** Whether an operand is in f16: then its numbers have two bytes, and each block of it is made f32 first. */
let left_half: bool = false;
let right_half: bool = false;

export function matmul_wide(
  out: usize,
  a: usize,
  b: usize,
  bias: usize,
  m: u32,
  n: u32,
  k: u32,
  out_offset: u32,
  out_row: u32,
  a_offset: u32,
  a_row: u32,
  a_col: u32,
  b_offset: u32,
  b_row: u32,
  b_col: u32,
  alpha: f32,
  beta: f32,
  has_bias: u32,
  b_half: u32,
): void {
  set_output(out + (out_offset << 2), out_row, has_bias ? bias : 0, alpha, beta);
  const a_at = a + (a_offset << 2);
  const b_at = b + (b_offset << (b_half ? 1 : 2));
  // Transposed where that saves packing the larger matrix, or packs the smaller one.
  if (b_row == 1 && b_col != 1 && m < n) {
    is_transposed = true;
    set_left(b_at, b_col, 1, b_half);
    set_right(a_at, a_col, a_row, 0);
    product(n, m, k);
  } else {
    set_left(a_at, a_row, a_col, 0);
    set_right(b_at, b_row, b_col, b_half);
    product(m, n, k);
  }
}

/** The same: narrow results need no kernel of their own here. */
export function matmul_tall(
  out: usize,
  a: usize,
  b: usize,
  bias: usize,
  m: u32,
  n: u32,
  k: u32,
  out_offset: u32,
  out_row: u32,
  a_offset: u32,
  a_row: u32,
  a_col: u32,
  b_offset: u32,
  b_row: u32,
  b_col: u32,
  alpha: f32,
  beta: f32,
  has_bias: u32,
  b_half: u32,
): void {
  matmul_wide(
    out,
    a,
    b,
    bias,
    m,
    n,
    k,
    out_offset,
    out_row,
    a_offset,
    a_row,
    a_col,
    b_offset,
    b_row,
    b_col,
    alpha,
    beta,
    has_bias,
    b_half,
  );
}

/**
 * The same with b a whole frozen weight that is kept in panels: [k, n] (b_col = 1) or, read transposed, [n, k] (b_row = 1).
 */
export function matmul_panels(
  out: usize,
  a: usize,
  b: usize,
  bias: usize,
  m: u32,
  n: u32,
  k: u32,
  out_offset: u32,
  out_row: u32,
  a_offset: u32,
  a_row: u32,
  a_col: u32,
  b_offset: u32,
  b_row: u32,
  b_col: u32,
  alpha: f32,
  beta: f32,
  has_bias: u32,
  b_half: u32,
): void {
  set_output(out + (out_offset << 2), out_row, has_bias ? bias : 0, alpha, beta);
  const a_at = a + (a_offset << 2);
  if (b_col == 1) {
    set_left(a_at, a_row, a_col, 0);
    right = b;
    right_panel = k << (b_half ? 4 : 5);
    right_form = 0;
    right_half = b_half != 0;
    product(m, n, k);
  } else {
    is_transposed = true;
    left = b;
    left_row = b_half ? 16 : 32;
    left_piece = n << (b_half ? 4 : 5);
    left_depth = 0;
    left_half = b_half != 0;
    set_right(a_at, a_col, a_row, 0);
    product(n, m, k);
  }
}

function set_output(out: usize, stride: u32, bias: usize, alpha: f32, beta: f32): void {
  out_at = out;
  out_line = stride << 2;
  is_transposed = false;
  bias_at = bias;
  alpha_now = alpha;
  beta_now = beta;
}

/** Strides in elements: from row to row, and along k, which is 1 for halves. */
function set_left(at: usize, row: u32, depth: u32, half: u32): void {
  left = at;
  left_row = row << (half ? 1 : 2);
  left_piece = half ? 16 : 32;
  left_depth = depth == 1 ? 0 : depth << 2;
  left_half = half != 0;
}

/** Strides in elements: along k, and from column to column. */
function set_right(at: usize, depth: u32, col: u32, half: u32): void {
  right = at;
  right_form = col == 1 ? 1 : 2;
  right_stride = (col == 1 ? depth : col) << (half ? 1 : 2);
  right_half = half != 0;
}

/** This thread's slice of the product: of its columns or of its rows, whichever costs less with what each has to pack. */
function product(m: u32, n: u32, k: u32): void {
  const threads = thread_count();
  const columns = ((n + PANEL * threads - 1) / (PANEL * threads)) * PANEL;
  const rows = ((m + ROWS * threads - 1) / (ROWS * threads)) * ROWS;
  // In multiply-adds a step of k; to pack a number costs about as much as eight.
  const left_cost: u32 = left_depth != 0 ? 8 : left_half ? 4 : 0;
  const right_cost: u32 = (right_form != 0 ? 8 : 0) + (right_half ? 4 : 0);
  const by_columns: u64 = <u64>m * columns + left_cost * m + right_cost * columns;
  const by_rows: u64 = <u64>rows * n + left_cost * rows + right_cost * n;
  if (by_columns <= by_rows) blocks(0, m, slice_begin(n, PANEL), slice_end(n, PANEL), k);
  else blocks(slice_begin(m, ROWS), slice_end(m, ROWS), 0, n, k);
}

/** Rows i0 .. i1 and columns j0 .. j1 of the product, in blocks that fit the caches. */
function blocks(i0: u32, i1: u32, j0: u32, j1: u32, k: u32): void {
  if (i0 >= i1 || j0 >= j1) return;
  const left_block = scratch_memory() + 2 * TILE_BYTES;
  const right_block = left_block + LEFT_BYTES;
  let depth: u32 = 0;
  do {
    const kc = min<u32>(KC, k - depth);
    for (let jc = j0; jc < j1; jc += NC) {
      const nc = min<u32>(NC, j1 - jc);
      let panels = right + (jc / PANEL) * right_panel + (depth << 5);
      let panel = right_panel;
      if (right_form != 0 || right_half) {
        panels = right_block;
        panel = kc << 5;
        pack_right(panels, jc, nc, depth, kc);
      }
      for (let ic = i0; ic < i1; ic += MC) {
        const mc = min<u32>(MC, i1 - ic);
        let rows = left + ic * left_row + (depth >> 3) * left_piece;
        let row = left_row;
        let piece = left_piece;
        if (left_depth != 0) {
          transpose_block(left_block, KC << 2, left + ic * left_row + depth * left_depth, left_depth, kc, mc);
          rows = left_block;
          row = KC << 2;
          piece = 32;
        } else if (left_half) {
          // Pieces stay what they are, in rows or in panels, with the rows of the block side by side.
          row = left_piece == 16 ? KC << 2 : 32;
          piece = left_piece == 16 ? 32 : mc << 5;
          if (left_piece == 16) widen_rows(left_block, row, rows, left_row, mc, kc);
          else widen_rows(left_block, piece, rows, left_piece, (kc + 7) >> 3, mc << 3);
          rows = left_block;
        }
        block(rows, row, piece, panels, panel, ic, mc, jc, nc, kc, depth == 0);
      }
    }
    depth += KC;
  } while (depth < k);
}

/** Columns jc .. jc + nc of the right matrix, depth .. depth + kc, as panels of f32. */
function pack_right(panels: usize, jc: u32, nc: u32, depth: u32, kc: u32): void {
  if (right_form == 0)
    return widen_rows(
      panels,
      kc << 5,
      right + (jc / PANEL) * right_panel + (depth << 4),
      right_panel,
      (nc + 7) / PANEL,
      kc << 3,
    );
  const step: u32 = right_half ? 1 : 2;
  let from =
    right_form == 1 ? right + depth * right_stride + (jc << step) : right + jc * right_stride + (depth << step);
  let stride = right_stride;
  if (right_half) {
    const floats = panels + RIGHT_BYTES;
    const rows = right_form == 1 ? kc : nc;
    const count = right_form == 1 ? nc : kc;
    stride = count << 2;
    widen_rows(floats, stride, from, right_stride, rows, count);
    from = floats;
  }
  if (right_form == 1) pack_rows(panels, from, stride, kc, nc);
  else pack_columns(panels, from, stride, kc, nc);
}

/** One block: every panel stays in the first-level cache while the rows pass by. */
function block(
  rows: usize,
  row: usize,
  piece: usize,
  panels: usize,
  panel: usize,
  i0: u32,
  m: u32,
  j0: u32,
  n: u32,
  k: u32,
  is_first: bool,
): void {
  const tile = scratch_memory();
  for (let j: u32 = 0; j < n; j += PANEL) {
    const p = panels + (j / PANEL) * panel;
    const cols = min<u32>(PANEL, n - j);
    for (let i: u32 = 0; i < m; i += ROWS) {
      const count = min<u32>(ROWS, m - i);
      multiply(tile, rows + i * row, row, piece, count, p, k);
      if (is_transposed) store_turned(tile, i0 + i, count, j0 + j, cols, is_first);
      else store_tile(tile, i0 + i, count, j0 + j, cols, is_first);
    }
  }
}

/**
 * tile [4, 8] = four rows times a panel. Rows come in pieces of eight numbers, `piece` bytes apart; of fewer than four rows
 * the last is used again. 8 accumulators: more would not stay in registers.
 */
function multiply(tile: usize, a0: usize, row: usize, piece: usize, rows: u32, panel: usize, k: u32): void {
  let a1 = a0 + (rows > 1 ? row : 0);
  let a2 = a1 + (rows > 2 ? row : 0);
  let a3 = a2 + (rows > 3 ? row : 0);
  const step = piece - 32;
  const last = panel + (k << 5);
  let p = panel;
  let c00 = f32x4.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  while (p < last) {
    const end = min<usize>(p + 256, last);
    for (; p < end; p += 32) {
      const b0 = v128.load(p);
      const b1 = v128.load(p, 16);
      const x0 = v128.load_splat<f32>(a0);
      c00 = madd(x0, b0, c00);
      c01 = madd(x0, b1, c01);
      const x1 = v128.load_splat<f32>(a1);
      c10 = madd(x1, b0, c10);
      c11 = madd(x1, b1, c11);
      const x2 = v128.load_splat<f32>(a2);
      c20 = madd(x2, b0, c20);
      c21 = madd(x2, b1, c21);
      const x3 = v128.load_splat<f32>(a3);
      c30 = madd(x3, b0, c30);
      c31 = madd(x3, b1, c31);
      a0 += 4;
      a1 += 4;
      a2 += 4;
      a3 += 4;
    }
    a0 += step;
    a1 += step;
    a2 += step;
    a3 += step;
  }
  v128.store(tile, c00);
  v128.store(tile, c01, 16);
  v128.store(tile, c10, 32);
  v128.store(tile, c11, 48);
  v128.store(tile, c20, 64);
  v128.store(tile, c21, 80);
  v128.store(tile, c30, 96);
  v128.store(tile, c31, 112);
}

/** Rows i .. i + rows, columns j .. j + cols of out from the tile's. The first block of k brings beta and the bias. */
function store_tile(tile: usize, i: u32, rows: u32, j: u32, cols: u32, is_first: bool): void {
  const beta: f32 = is_first ? beta_now : 1;
  const bias = is_first && bias_at != 0 ? bias_at + (j << 2) : 0;
  for (let r: u32 = 0; r < rows; r++) {
    const to = out_at + (i + r) * out_line + (j << 2);
    const from = tile + (r << 5);
    for (let c: u32 = 0; c < cols; c += 4) {
      const at: usize = c << 2;
      const rest = cols - c;
      if (rest >= 4) {
        let v = f32x4.mul(v128.load(from + at), f32x4.splat(alpha_now));
        if (bias != 0) v = f32x4.add(v, v128.load(bias + at));
        if (beta != 0) v = madd(f32x4.splat(beta), v128.load(to + at), v);
        v128.store(to + at, v);
      } else {
        let v = f32x4.mul(v128.load(from + at), f32x4.splat(alpha_now));
        if (bias != 0) v = f32x4.add(v, load_part(bias + at, rest));
        if (beta != 0) v = madd(f32x4.splat(beta), load_part(to + at, rest), v);
        store_part(to + at, v, rest);
      }
    }
  }
}

/** The same where the tile's rows are out's columns: j counts rows of out, i columns. */
function store_turned(tile: usize, i: u32, rows: u32, j: u32, cols: u32, is_first: bool): void {
  const turned = tile + TILE_BYTES;
  transpose_block(turned, 16, tile, 32, ROWS, PANEL);
  const beta: f32 = is_first ? beta_now : 1;
  const bias = is_first && bias_at != 0 ? bias_at + (i << 2) : 0;
  for (let c: u32 = 0; c < cols; c++) {
    const to = out_at + (j + c) * out_line + (i << 2);
    let v = f32x4.mul(v128.load(turned + (c << 4)), f32x4.splat(alpha_now));
    if (bias != 0) v = f32x4.add(v, rows == 4 ? v128.load(bias) : load_part(bias, rows));
    if (beta != 0) v = madd(f32x4.splat(beta), rows == 4 ? v128.load(to) : load_part(to, rows), v);
    if (rows == 4) v128.store(to, v);
    else store_part(to, v, rows);
  }
}

/** dbias [cols] += sum over rows of dout, element (i, j) at dout_offset + i * dout_row + j; rows in order. */
export function matmul_bias_backward(
  dbias: usize,
  dout: usize,
  rows: u32,
  cols: u32,
  dout_offset: u32,
  dout_row: u32,
): void {
  const end = slice_end(cols, 16);
  for (let c = slice_begin(cols, 16); c < end; c += 4) {
    const rest = end - c;
    let at = dout + ((dout_offset + c) << 2);
    let sum = f32x4.splat(0);
    for (let row: u32 = 0; row < rows; row++) {
      sum = f32x4.add(sum, rest < 4 ? load_part(at, rest) : v128.load(at));
      at += dout_row << 2;
    }
    const to = dbias + (c << 2);
    if (rest < 4) store_part(to, f32x4.add(load_part(to, rest), sum), rest);
    else v128.store(to, f32x4.add(v128.load(to), sum));
  }
}
