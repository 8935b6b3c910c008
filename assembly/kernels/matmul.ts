// Matrix products, row- or column-major, one a job: out = beta * out + bias + alpha * a b, and the gradient of the bias.
// The loops are in product.ts.

import { begin_product, Product } from "./arguments";
import { is_in_blocks, use_blocks } from "./blocks";
import { multiply_rows } from "./dots";
import { TYPE_F16 } from "./generated/numbers";
import { Matmul, MatmulBiasBackward, MatmulJob } from "./generated/records";
import { entry } from "./jobs";
import { load_part, store_part } from "./lanes";
import { multiply_any, multiply_panels } from "./product";
import { slice_begin, slice_end } from "./threads";

/** How a product is computed. */
const ANY: u32 = 0;
const FEW_ROWS: u32 = 1;
const IN_PANELS: u32 = 2;

/** The product of a job. */
function take_product(p: Matmul, job: MatmulJob): Product {
  const q = begin_product();
  q.out = p.out + ((<usize>job.out_offset) << 2);
  q.out_row = job.out_row << 2;
  q.bias = p.bias;
  q.alpha = job.alpha;
  q.beta = p.beta;
  q.m = p.m;
  q.n = p.n;
  q.k = job.k ? job.k : p.k;
  q.a = p.a + ((<usize>job.a_offset) << 2);
  q.a_row = job.a_row;
  q.a_col = job.a_col;
  q.b = is_in_blocks(p.b_type) ? job.b_offset : p.b + ((<usize>job.b_offset) << (p.b_type == TYPE_F16 ? 1 : 2));
  q.b_row = job.b_row;
  q.b_col = job.b_col;
  q.b_type = p.b_type;
  return q;
}

function products(p: Matmul, how: u32): void {
  for (let i: u32 = 0; i < p.count; i++) {
    const q = take_product(p, entry<MatmulJob>(p.jobs, i));
    if (is_in_blocks(q.b_type)) use_blocks(p.b, q.b_type, p.b_size, q.b_row == 1 ? q.b_col : q.b_row);
    if (how == IN_PANELS) {
      q.b = p.b;
      multiply_panels(q, q.b_col != 1);
    } else if (how == FEW_ROWS && q.b_row == 1 && q.b_col != 1 && q.a_col == 1) multiply_rows(q);
    else multiply_any(q);
  }
}

export function matmul(p: Matmul): void {
  products(p, ANY);
}

/** The same for a few rows: a transposed second factor is read in place, once for all rows. */
export function matmul_gemv(p: Matmul): void {
  products(p, FEW_ROWS);
}

/** The same with b a frozen weight in panels. */
export function matmul_panels(p: Matmul): void {
  products(p, IN_PANELS);
}

/** dbias [cols] += sum of the rows of dout [rows, cols], in order. */
export function matmul_bias_backward(p: MatmulBiasBackward): void {
  const rows = p.rows;
  const cols = p.cols;
  const dout = p.dout;
  const end = slice_end(cols, 16);
  for (let c = slice_begin(cols, 16); c < end; c += 4) {
    const rest = end - c;
    let at = dout + (c << 2);
    let sum = f32x4.splat(0);
    for (let row: u32 = 0; row < rows; row++) {
      sum = f32x4.add(sum, rest < 4 ? load_part(at, rest) : v128.load(at));
      at += cols << 2;
    }
    const to = p.dbias + (c << 2);
    if (rest < 4) store_part(to, f32x4.add(load_part(to, rest), sum), rest);
    else v128.store(to, f32x4.add(v128.load(to), sum));
  }
}
