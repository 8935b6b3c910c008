// The gradients of adapters: dA [r, input] += ddown^T x and dB [width, r] += dy^T down, of one or two matrices.
import { LoraBackward } from "./generated/records";
import { multiply_any, set_output } from "./product";

/** As in src/ops/lora.ts. */
export function lora_backward(p: LoraBackward): void {
  for (let i: u32 = 0; i < p.count; i++) {
    const at: usize = (p.down_at + i * p.r) << 2;
    const grad = p.grad + <usize>((i * p.stride) << 2);
    const dy = p.dy + <usize>((p.column + i * p.step) << 2);
    const row = p.count * p.r;
    gradients(grad, p.a_at, p.b_at, p.down + at, p.ddown + at, row, p.x, p.input, dy, p.dy_row, p.width, p.r, p.rows);
  }
  for (let i: u32 = 0; i < p.count2; i++) {
    const at: usize = (p.down_at2 + i * p.r2) << 2;
    const grad = p.grad + <usize>((i * p.stride2) << 2);
    const dy = p.dy2 + <usize>((p.column2 + i * p.step2) << 2);
    const row = p.count2 * p.r2;
    gradients(
      grad,
      p.a_at2,
      p.b_at2,
      p.down + at,
      p.ddown + at,
      row,
      p.x2,
      p.input2,
      dy,
      p.dy_row2,
      p.width2,
      p.r2,
      p.rows2,
    );
  }
}

/** Of one adapter; `row` is the stride of down and ddown. */
function gradients(
  grad: usize,
  a_at: u32,
  b_at: u32,
  down: usize,
  ddown: usize,
  row: u32,
  x: usize,
  input: u32,
  dy: usize,
  dy_row: u32,
  width: u32,
  r: u32,
  rows: u32,
): void {
  set_output(grad + <usize>(a_at << 2), input << 2, 0, 1, 1);
  multiply_any(ddown, 1, row, x, input, 1, 0, r, input, rows);
  set_output(grad + <usize>(b_at << 2), r << 2, 0, 1, 1);
  multiply_any(dy, 1, dy_row, down, row, 1, 0, width, r, rows);
}
