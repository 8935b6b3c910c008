// The inner loops of the matrix product: a tile of a few rows of the left matrix times one panel of the right one, in
// registers. Every element of a tile is one sum in the order of k, whatever the tile's size.
import { PANEL } from "./generated/numbers";
import { load_halves } from "./lanes";
import { madd } from "./vector";

/**
 * Rows of the left matrix per iteration of the inner loop. Twelve accumulators hide the latency of a fused multiply-add
 * and just fit into the registers. Separate products and sums need an extra register each, and eight accumulators are
 * best.
 */
export const ROWS: u32 = ASC_FEATURE_RELAXED_SIMD ? 6 : 4;
/** Eight rows of eight elements; the last rows are unused. */
export const TILE_BYTES: u32 = 256;

/** Rows of the next tile if `rest` are left: eight become two tiles of four. */
export function tile_rows(rest: u32): u32 {
  return min<u32>(rest == 7 || rest == 8 ? 4 : ROWS, rest);
}

/**
 * tile [rows, 8] = the tile at `start` + rows of the left matrix, `row` bytes apart, times a panel [k][8]. It is called
 * in two places to prevent inlining: V8 unrolls nested loops, and then runs out of registers.
 */
export function multiply(tile: usize, start: usize, a: usize, row: usize, rows: u32, panel: usize, k: u32): void {
  if (ASC_FEATURE_RELAXED_SIMD && rows > 4) multiply_six(tile, start, a, row, rows, panel, k);
  else {
    multiply_four(tile, start, a, row, rows, panel, k & ~1);
    if (k & 1) multiply_last(tile, a + ((k - 1) << 2), row, rows, panel + ((k - 1) << 5));
  }
}

/** Adds one step of k to a tile. */
function multiply_last(tile: usize, a: usize, row: usize, rows: u32, panel: usize): void {
  for (const end = tile + (rows << 5); tile < end; tile += 32) {
    const x = v128.load_splat<f32>(a);
    v128.store(tile, madd(x, v128.load(panel), v128.load(tile)));
    v128.store(tile, madd(x, v128.load(panel, 16), v128.load(tile, 16)), 16);
    a += row;
  }
}

/** Four elements of a panel, the lower or the upper half of a row. */
function load_four<T>(at: usize, upper: bool): v128 {
  if (sizeof<T>() == 2) return load_halves(at + (upper ? 8 : 0));
  return v128.load(at + (upper ? 16 : 0));
}

/**
 * One row times four panels of T, f32 or halves (u16), `panel` bytes apart: four panels give enough accumulators, and
 * are read sequentially.
 */
export function multiply_one<T>(tile: usize, a: usize, panels: usize, panel: usize, k: u32): void {
  let p0 = panels;
  let p1 = p0 + panel;
  let p2 = p1 + panel;
  let p3 = p2 + panel;
  const step: usize = PANEL * sizeof<T>();
  const last = p0 + k * step;
  let c00 = f32x4.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  while (p0 < last) {
    const x = v128.load_splat<f32>(a);
    c00 = madd(x, load_four<T>(p0, false), c00);
    c01 = madd(x, load_four<T>(p0, true), c01);
    c10 = madd(x, load_four<T>(p1, false), c10);
    c11 = madd(x, load_four<T>(p1, true), c11);
    c20 = madd(x, load_four<T>(p2, false), c20);
    c21 = madd(x, load_four<T>(p2, true), c21);
    c30 = madd(x, load_four<T>(p3, false), c30);
    c31 = madd(x, load_four<T>(p3, true), c31);
    a += 4;
    p0 += step;
    p1 += step;
    p2 += step;
    p3 += step;
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

/**
 * Up to four rows; if there are fewer, the last is repeated. k is even: two steps per iteration use the registers that
 * eight accumulators leave, which would not suffice if the last step of an odd k were in this function.
 */
function multiply_four(tile: usize, start: usize, a0: usize, row: usize, rows: u32, panel: usize, k: u32): void {
  let a1 = a0 + (rows > 1 ? row : 0);
  let a2 = a1 + (rows > 2 ? row : 0);
  let a3 = a2 + (rows > 3 ? row : 0);
  const last = panel + (k << 5);
  let p = panel;
  let c00 = v128.load(start);
  let c01 = v128.load(start, 16);
  let c10 = v128.load(start, 32);
  let c11 = v128.load(start, 48);
  let c20 = v128.load(start, 64);
  let c21 = v128.load(start, 80);
  let c30 = v128.load(start, 96);
  let c31 = v128.load(start, 112);
  for (; p < last; p += 64) {
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
    const d0 = v128.load(p, 32);
    const d1 = v128.load(p, 48);
    const y0 = v128.load_splat<f32>(a0, 4);
    c00 = madd(y0, d0, c00);
    c01 = madd(y0, d1, c01);
    const y1 = v128.load_splat<f32>(a1, 4);
    c10 = madd(y1, d0, c10);
    c11 = madd(y1, d1, c11);
    const y2 = v128.load_splat<f32>(a2, 4);
    c20 = madd(y2, d0, c20);
    c21 = madd(y2, d1, c21);
    const y3 = v128.load_splat<f32>(a3, 4);
    c30 = madd(y3, d0, c30);
    c31 = madd(y3, d1, c31);
    a0 += 8;
    a1 += 8;
    a2 += 8;
    a3 += 8;
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

/** Five or six rows. */
function multiply_six(tile: usize, start: usize, a0: usize, row: usize, rows: u32, panel: usize, k: u32): void {
  let a1 = a0 + row;
  let a2 = a1 + row;
  let a3 = a2 + row;
  let a4 = a3 + row;
  let a5 = a4 + (rows > 5 ? row : 0);
  const last = panel + (k << 5);
  let p = panel;
  let c00 = v128.load(start);
  let c01 = v128.load(start, 16);
  let c10 = v128.load(start, 32);
  let c11 = v128.load(start, 48);
  let c20 = v128.load(start, 64);
  let c21 = v128.load(start, 80);
  let c30 = v128.load(start, 96);
  let c31 = v128.load(start, 112);
  let c40 = v128.load(start, 128);
  let c41 = v128.load(start, 144);
  let c50 = v128.load(start, 160);
  let c51 = v128.load(start, 176);
  for (; p < last; p += 32) {
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
    const x4 = v128.load_splat<f32>(a4);
    c40 = madd(x4, b0, c40);
    c41 = madd(x4, b1, c41);
    const x5 = v128.load_splat<f32>(a5);
    c50 = madd(x5, b0, c50);
    c51 = madd(x5, b1, c51);
    a0 += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
    a4 += 4;
    a5 += 4;
  }
  v128.store(tile, c00);
  v128.store(tile, c01, 16);
  v128.store(tile, c10, 32);
  v128.store(tile, c11, 48);
  v128.store(tile, c20, 64);
  v128.store(tile, c21, 80);
  v128.store(tile, c30, 96);
  v128.store(tile, c31, 112);
  v128.store(tile, c40, 128);
  v128.store(tile, c41, 144);
  v128.store(tile, c50, 160);
  v128.store(tile, c51, 176);
}
