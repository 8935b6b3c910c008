// A linear layer with its adapters, and what follows it: out = a b + bias + down up, then a residual or the activation.
import { set_adapters } from "./adapters";
import { begin_product, Product } from "./arguments";
import { is_in_blocks, use_blocks } from "./blocks";
import { Linear, LinearJob, Share } from "./generated/records";
import { multiply_any, multiply_panels } from "./product";
import { entry, first_row, row_count } from "./shares";

/** Rows first .. first + rows of a layer, without its adapters. */
function take_rows(p: Linear, first: u32, rows: u32): Product {
  const q = begin_product();
  const at: usize = (<usize>first * p.n) << 2;
  q.out = p.out + at;
  q.out_row = p.n << 2;
  q.bias = p.bias;
  q.m = rows;
  q.n = p.n;
  q.k = p.k;
  q.a = p.a + ((<usize>first * p.k) << 2);
  q.a_row = p.k;
  q.a_col = 1;
  q.b = p.b;
  q.b_row = p.b_row;
  q.b_col = p.b_col;
  q.b_type = p.b_type;
  q.epilogue = p.epilogue;
  q.activation = p.activation;
  q.act = p.act + at;
  q.inp = p.inp + at;
  return q;
}

/** Multiplies with b in the order of its strides or, a frozen weight, in panels. */
function multiply_layer(q: Product, in_panels: bool): void {
  const in_blocks = is_in_blocks(q.b_type);
  // In blocks a weight is stored as [out, in].
  if (in_panels) return multiply_panels(q, (q.b_col == 1) == in_blocks);
  if (in_blocks) {
    use_blocks(q.b, q.b_type, q.n * q.k, q.b_row == 1 ? q.b_col : q.b_row);
    q.b = 0;
  }
  multiply_any(q);
}

/** The rows of each member, with its adapters. */
function layer(p: Linear, in_panels: bool): void {
  for (let i: u32 = 0; i < p.count; i++) {
    const job = entry<LinearJob>(p.jobs, i);
    const share = entry<Share>(p.shares, job.member);
    const rows = job.rows ? job.rows : row_count(share, p.by_sequence);
    if (rows == 0) continue;
    const q = take_rows(p, job.rows ? 0 : first_row(share, p.by_sequence), rows);
    set_adapters(q, job, p.down, p.up);
    multiply_layer(q, in_panels);
  }
}

export function linear(p: Linear): void {
  layer(p, false);
}

export function linear_panels(p: Linear): void {
  layer(p, true);
}
