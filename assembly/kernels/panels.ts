// Packing for the matrix product. A panel is 8 columns of a matrix, stored by rows: [k][8]. Reference: BLIS (Van Zee
// and van de Geijn 2015).
import { PANEL } from "./generated/numbers";
import { load_halves } from "./lanes";

/** Transposes the rows r0 .. r3 of four elements; the result's rows are written to `to`, `stride` bytes apart. */
function transpose(r0: v128, r1: v128, r2: v128, r3: v128, to: usize, stride: usize): void {
  const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
  const high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
  const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
  const high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f32>(low01, low23, 0, 1, 4, 5));
  v128.store(to + stride, v128.shuffle<f32>(low01, low23, 2, 3, 6, 7));
  v128.store(to + 2 * stride, v128.shuffle<f32>(high01, high23, 0, 1, 4, 5));
  v128.store(to + 3 * stride, v128.shuffle<f32>(high01, high23, 2, 3, 6, 7));
}

/**
 * to[j][i] = from[i][j] for i < rows, j < cols. Rows are contiguous; those of `from` are `from_stride` bytes apart,
 * those of `to` `to_stride`.
 */
export function transpose_block(
  to: usize,
  to_stride: usize,
  from: usize,
  from_stride: usize,
  rows: u32,
  cols: u32,
): void {
  let i: u32 = 0;
  for (; i + 4 <= rows; i += 4) {
    const r0 = from + i * from_stride;
    const r1 = r0 + from_stride;
    const r2 = r1 + from_stride;
    const r3 = r2 + from_stride;
    const t = to + (i << 2);
    let j: u32 = 0;
    for (; j + 4 <= cols; j += 4) {
      const at: usize = j << 2;
      transpose(
        v128.load(r0 + at),
        v128.load(r1 + at),
        v128.load(r2 + at),
        v128.load(r3 + at),
        t + j * to_stride,
        to_stride,
      );
    }
    for (; j < cols; j++) {
      const at: usize = j << 2;
      store<f32>(t + j * to_stride, load<f32>(r0 + at));
      store<f32>(t + j * to_stride, load<f32>(r1 + at), 4);
      store<f32>(t + j * to_stride, load<f32>(r2 + at), 8);
      store<f32>(t + j * to_stride, load<f32>(r3 + at), 12);
    }
  }
  for (; i < rows; i++)
    for (let j: u32 = 0; j < cols; j++)
      store<f32>(to + (i << 2) + j * to_stride, load<f32>(from + i * from_stride + (j << 2)));
}

/** Packs consecutive panels [k][8] from a matrix [k, cols] with contiguous rows; missing columns are 0. */
export function pack_rows(to: usize, from: usize, stride: usize, k: u32, cols: u32): void {
  const panel: usize = k << 5;
  // Eight rows at a time: reads are sequential, writes fill whole cache lines.
  for (let first: u32 = 0; first < k; first += 8) {
    const last = min<u32>(first + 8, k);
    let c: u32 = 0;
    let block = to + (first << 5);
    for (; c + PANEL <= cols; c += PANEL) {
      let source = from + first * stride + (c << 2);
      for (let at = block; at < block + ((last - first) << 5); at += 32) {
        v128.store(at, v128.load(source));
        v128.store(at, v128.load(source, 16), 16);
        source += stride;
      }
      block += panel;
    }
    if (c < cols) pack_edge(block, from + first * stride + (c << 2), stride, last - first, cols - c);
  }
}

function pack_edge(to: usize, from: usize, stride: usize, rows: u32, cols: u32): void {
  memory.fill(to, 0, rows << 5);
  for (let i: u32 = 0; i < rows; i++)
    for (let j: u32 = 0; j < cols; j++) store<f32>(to + (i << 5) + (j << 2), load<f32>(from + i * stride + (j << 2)));
}

/** Packs the same panels from a matrix [k, cols] with contiguous columns, `stride` bytes apart. */
export function pack_columns(to: usize, from: usize, stride: usize, k: u32, cols: u32): void {
  const panel: usize = k << 5;
  for (let c: u32 = 0; c < cols; c += PANEL) {
    const count = min<u32>(PANEL, cols - c);
    const at = to + (c / PANEL) * panel;
    if (count < PANEL) memory.fill(at, 0, panel);
    transpose_block(at, 32, from + c * stride, stride, count, k);
  }
}

/**
 * Unpacks rows of `k` floats, `to_stride` bytes apart, from panels [k / 8][rows][8], `stride` bytes apart; with `half`,
 * from panels of f16.
 */
export function unpack_rows(
  to: usize,
  to_stride: usize,
  from: usize,
  stride: usize,
  half: bool,
  k: u32,
  rows: u32,
): void {
  for (let depth: u32 = 0; depth < k; depth += PANEL) {
    let at = to + (depth << 2);
    let source = from;
    for (let row: u32 = 0; row < rows; row++) {
      v128.store(at, half ? load_halves(source) : v128.load(source));
      v128.store(at, half ? load_halves(source + 8) : v128.load(source, 16), 16);
      at += to_stride;
      source += half ? 16 : 32;
    }
    from += stride;
  }
}
