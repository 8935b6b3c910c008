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
  const zero = f32x4.splat(0);
  unroll: for (let q = 0; q < 4; q++) {
    let c$q0 = zero;
    let c$q1 = zero;
  }
  while (p0 < last) {
    const x = v128.load_splat<f32>(a);
    unroll: for (let q = 0; q < 4; q++) {
      c$q0 = madd(x, load_four<T>(p$q, false), c$q0);
      c$q1 = madd(x, load_four<T>(p$q, true), c$q1);
    }
    a += 4;
    unroll: for (let q = 0; q < 4; q++) {
      p$q += step;
    }
  }
  unroll: for (let q = 0; q < 4; q++) {
    v128.store(tile, c$q0, 32 * q);
    v128.store(tile, c$q1, 32 * q + 16);
  }
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
  unroll: for (let q = 0; q < 4; q++) {
    let c$q0 = v128.load(start, 32 * q);
    let c$q1 = v128.load(start, 32 * q + 16);
  }
  for (; p < last; p += 64) {
    const b0 = v128.load(p);
    const b1 = v128.load(p, 16);
    unroll: for (let q = 0; q < 4; q++) {
      const x$q = v128.load_splat<f32>(a$q);
      c$q0 = madd(x$q, b0, c$q0);
      c$q1 = madd(x$q, b1, c$q1);
    }
    const d0 = v128.load(p, 32);
    const d1 = v128.load(p, 48);
    unroll: for (let q = 0; q < 4; q++) {
      const y$q = v128.load_splat<f32>(a$q, 4);
      c$q0 = madd(y$q, d0, c$q0);
      c$q1 = madd(y$q, d1, c$q1);
    }
    unroll: for (let q = 0; q < 4; q++) {
      a$q += 8;
    }
  }
  unroll: for (let q = 0; q < 4; q++) {
    v128.store(tile, c$q0, 32 * q);
    v128.store(tile, c$q1, 32 * q + 16);
  }
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
  unroll: for (let q = 0; q < 6; q++) {
    let c$q0 = v128.load(start, 32 * q);
    let c$q1 = v128.load(start, 32 * q + 16);
  }
  for (; p < last; p += 32) {
    const b0 = v128.load(p);
    const b1 = v128.load(p, 16);
    unroll: for (let q = 0; q < 6; q++) {
      const x$q = v128.load_splat<f32>(a$q);
      c$q0 = madd(x$q, b0, c$q0);
      c$q1 = madd(x$q, b1, c$q1);
    }
    unroll: for (let q = 0; q < 6; q++) {
      a$q += 4;
    }
  }
  unroll: for (let q = 0; q < 6; q++) {
    v128.store(tile, c$q0, 32 * q);
    v128.store(tile, c$q1, 32 * q + 16);
  }
}
