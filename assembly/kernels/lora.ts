// The gradients of adapters: dA [r, input] += ddown^T x and dB [width, r] += dy^T down.
import { begin_product, Product } from "./arguments";
import { LoraBackward, LoraBackwardJob } from "./generated/records";
import { entry } from "./jobs";
import { multiply_any } from "./product";

/** As in src/ops/lora.ts. */
export function lora_backward(p: LoraBackward): void {
  for (let i: u32 = 0; i < p.count; i++) {
    const job = entry<LoraBackwardJob>(p.jobs, i);
    const rows = job.second ? p.rows2 : p.rows;
    const x = job.second ? p.x2 : p.x;
    const dy = (job.second ? p.dy2 : p.dy) + ((<usize>job.column) << 2);
    const down = p.down + ((<usize>job.down_at) << 2);
    const ddown = p.ddown + ((<usize>job.down_at) << 2);

    const a = begin_gradient(p.grad + ((<usize>job.a_at) << 2), job.r, job.input, rows);
    a.a = ddown;
    a.a_col = job.down_row;
    a.b = x;
    a.b_row = job.input;
    multiply_any(a);

    const b = begin_gradient(p.grad + ((<usize>job.b_at) << 2), job.width, job.r, rows);
    b.a = dy;
    b.a_col = job.dy_row;
    b.b = down;
    b.b_row = job.down_row;
    multiply_any(b);
  }
}

/** grad [m, n] += a^T b over `rows` rows of a and b. */
function begin_gradient(grad: usize, m: u32, n: u32, rows: u32): Product {
  const q = begin_product();
  q.out = grad;
  q.out_row = n << 2;
  q.beta = 1;
  q.m = m;
  q.n = n;
  q.k = rows;
  q.a_row = 1;
  q.b_col = 1;
  return q;
}
