// The arguments of a matrix product: out = beta * out + bias + alpha * (a b + down up), and what follows it.
import { SCRATCH_BYTES, scratch_memory } from "./threads";

/** The layout of an operand: panels, or a matrix with contiguous rows or columns. */
export const PANELS: u32 = 0;
export const BY_ROWS: u32 = 1;
export const BY_COLUMNS: u32 = 2;

@unmanaged
export class Product {
  /** [m, n], rows `out_row` bytes apart. */
  out: usize;
  out_row: usize;
  /** [n]; 0: none. */
  bias: usize;
  alpha: f32;
  beta: f32;
  m: u32;
  n: u32;
  k: u32;
  /** [m, k], strides in elements. */
  a: usize;
  a_row: u32;
  a_col: u32;
  /** [k, n], strides in elements. If it is in blocks but not in panels, `b` is its first weight's number. */
  b: usize;
  b_row: u32;
  b_col: u32;
  b_type: u32;

  /** What follows, as in src/ops/linear.ts; the addresses of act and inp, which are laid out like out. */
  epilogue: u32;
  activation: u32;
  act: usize;
  inp: usize;

  /**
   * The adapters' part of the depth: down [m, count * r] times `up`, of which adapter i has r steps and writes the
   * columns from column + i * step on, `width` of them. The first is `skew` wider; the others begin so much later.
   */
  down: usize;
  up: usize;
  count: u32;
  r: u32;
  stride: u32;
  up_row: u32;
  up_col: u32;
  column: u32;
  step: u32;
  width: u32;
  skew: u32;

  /** Whether out^T = b^T a^T is computed instead: then these are its factors. */
  is_transposed: bool;
  /**
   * The left matrix: its form, stride in bytes (of rows, columns or rows of panels), and type. Unless it is f32 with
   * contiguous rows, parts of it are packed to that layout. If it is in blocks, the stride is in weights.
   */
  left: usize;
  left_form: u32;
  left_stride: usize;
  left_type: u32;
  /** The right matrix: its stride in bytes (of rows, columns or panels). It is packed unless it is f32 in panels. */
  right: usize;
  right_form: u32;
  right_stride: usize;
  right_type: u32;
  /** Whether it is computed in integers. */
  in_integers: bool;
}

/** The part of a product that is computed at a time: some rows and columns of the result, some steps of the depth. */
@unmanaged
export class Block {
  i: u32;
  m: u32;
  j: u32;
  n: u32;
  /** The first step; the steps of the product and those of the adapters. */
  depth: u32;
  k: u32;
  steps: u32;
  /** The rows of the left matrix and the panels of the right one, each with its stride in bytes. */
  rows: usize;
  row: usize;
  panels: usize;
  panel: usize;
  /** The adapters' rows of the left matrix, with their stride; a panel of the right one, of some of the steps. */
  down: usize;
  down_row: usize;
  up: usize;
  up_first: u32;
  up_steps: u32;
  /** In integers: the scales of the rows and of the columns. */
  left_scales: usize;
  right_scales: usize;
}

/** Both are at the end of this thread's scratch memory. */
const PRODUCT: u32 = SCRATCH_BYTES - 512;
const BLOCK: u32 = SCRATCH_BYTES - 256;

/** A new product, without bias, epilogue and adapters: alpha is 1, all else is 0. */
export function begin_product(): Product {
  memory.fill(scratch_memory() + PRODUCT, 0, offsetof<Product>());
  const p = changetype<Product>(scratch_memory() + PRODUCT);
  p.alpha = 1;
  return p;
}

export function current_block(): Block {
  return changetype<Block>(scratch_memory() + BLOCK);
}
