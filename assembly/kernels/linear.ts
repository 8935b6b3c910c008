// A linear layer with its adapters, and what follows it: out = a b + bias + down up, then a residual or the activation.
import { set_adapters } from "./adapters";
import { is_in_blocks, use_blocks } from "./blocks";
import { Linear } from "./generated/records";
import { multiply_any, multiply_panels, set_epilogue, set_output } from "./product";

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
