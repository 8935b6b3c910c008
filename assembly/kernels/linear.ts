// A linear layer with its adapters, and what follows it: out = a b + bias + down up, then a residual or the activation.
import { set_adapters } from "./adapters";
import { begin_product, Product } from "./arguments";
import { is_in_blocks, use_blocks } from "./blocks";
import { Linear } from "./generated/records";
import { multiply_any, multiply_panels } from "./product";

/** The product of a layer, without its adapters. */
function take_layer(p: Linear): Product {
  const q = begin_product();
  q.out = p.out;
  q.out_row = p.n << 2;
  q.bias = p.bias;
  q.m = p.m;
  q.n = p.n;
  q.k = p.k;
  q.a = p.a;
  q.a_row = p.k;
  q.a_col = 1;
  q.b = p.b;
  q.b_row = p.b_row;
  q.b_col = p.b_col;
  q.b_type = p.b_type;
  q.epilogue = p.epilogue;
  q.activation = p.activation;
  q.act = p.act;
  q.inp = p.inp;
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

function layer(p: Linear, in_panels: bool): void {
  const q = take_layer(p);
  set_adapters(q, p);
  multiply_layer(q, in_panels);
}

export function linear(p: Linear): void {
  layer(p, false);
}

export function linear_panels(p: Linear): void {
  layer(p, true);
}
