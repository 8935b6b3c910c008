// A linear layer with its adapters, and what follows it: out = a b + bias + down up, then a residual or the activation.
import { set_adapters, set_member_adapters } from "./adapters";
import { is_in_blocks, use_blocks } from "./blocks";
import { Linear, LinearGrouped, LinearGroupedJob, Share } from "./generated/records";
import { multiply_any, multiply_panels, set_epilogue, set_output } from "./product";
import { entry, first_row, row_count } from "./shares";

function begin(p: Linear): void {
  set_output(p.out, p.n << 2, p.has_bias ? p.bias : 0, 1, 0);
  set_epilogue(p.epilogue, p.activation, p.act, p.inp);
  set_adapters(p);
}

export function linear(p: Linear): void {
  begin(p);
  let b = p.b;
  if (is_in_blocks(p.b_type)) {
    use_blocks(b, p.b_type, p.n * p.k, 0);
    b = 0;
  }
  multiply_any(p.a, p.k, 1, b, p.b_row, p.b_col, p.b_type, p.m, p.n, p.k);
}

/** The same with b a frozen weight in panels. */
export function linear_panels(p: Linear): void {
  begin(p);
  // In blocks a weight is stored as [out, in].
  const is_transposed = (p.b_col == 1) == is_in_blocks(p.b_type);
  multiply_panels(p.a, p.k, 1, p.b, is_transposed, p.b_type, p.m, p.n, p.k);
}

/** The rows of each member, with its adapters. */
export function linear_grouped(p: LinearGrouped): void {
  if (is_in_blocks(p.b_type)) use_blocks(p.b, p.b_type, p.n * p.k, 0);
  const b = is_in_blocks(p.b_type) ? 0 : p.b;
  for (let i: u32 = 0; i < p.batch; i++) {
    const rows = begin_member(p, i);
    if (rows == 0) continue;
    multiply_any(a_of_member(p), p.k, 1, b, p.b_row, p.b_col, p.b_type, rows, p.n, p.k);
  }
}

/** The same with b a frozen weight in panels. */
export function linear_grouped_panels(p: LinearGrouped): void {
  const is_transposed = (p.b_col == 1) == is_in_blocks(p.b_type);
  for (let i: u32 = 0; i < p.batch; i++) {
    const rows = begin_member(p, i);
    if (rows == 0) continue;
    multiply_panels(a_of_member(p), p.k, 1, p.b, is_transposed, p.b_type, rows, p.n, p.k);
  }
}

/** The first row of the current member. */
let first: usize = 0;

/** Returns the number of the member's rows. */
function begin_member(p: LinearGrouped, i: u32): u32 {
  const job = entry<LinearGroupedJob>(p.jobs, i);
  const share = entry<Share>(p.shares, job.member);
  first = first_row(share, p.by_sequence);
  const at = (first * p.n) << 2;
  set_output(p.out + at, p.n << 2, p.has_bias ? p.bias : 0, 1, 0);
  set_epilogue(p.epilogue, p.activation, p.act + at, p.inp + at);
  set_member_adapters(p, job);
  return row_count(share, p.by_sequence);
}

function a_of_member(p: LinearGrouped): usize {
  return p.a + ((first * p.k) << 2);
}
