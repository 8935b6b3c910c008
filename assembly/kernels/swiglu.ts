// SwiGLU, silu(gate) * up with silu(x) = x / (1 + e^-x), and its gradient. Reference: transformers LlamaMLP.
import { SwigluBackward, SwigluForward } from "./generated/records";
import { slice_begin, slice_end } from "./threads";
import { exp, madd } from "./vector";

/** Threads write to separate cache lines. */
const LINE: u32 = 16;

/** out [rows, cols] = silu(gate) * up; gate_up [rows, 2 cols]. */
export function swiglu_forward(p: SwigluForward): void {
  const one = f32x4.splat(1);
  const bytes = p.cols << 2;
  const end = slice_end(p.rows * p.cols, LINE);
  for (let i = slice_begin(p.rows * p.cols, LINE); i < end; ) {
    const row = i / p.cols;
    const stop = min(end, (row + 1) * p.cols);
    // The gate's row lies as far behind the output's element as the rows before it are long.
    const gates = p.gate_up + <usize>row * bytes;
    for (; i < stop; i += 4) {
      const at: usize = i << 2;
      const gate = v128.load(gates + at);
      const silu = f32x4.div(gate, f32x4.add(one, exp(f32x4.neg(gate))));
      v128.store(p.out + at, f32x4.mul(silu, v128.load(gates + bytes + at)));
    }
  }
}

/**
 * dgate_up [rows, 2 cols] = dout up (s + silu (1 - s)), dout silu, s the sigmoid; out [rows, cols], SwiGLU's output.
 */
export function swiglu_backward(p: SwigluBackward): void {
  const one = f32x4.splat(1);
  const bytes = p.cols << 2;
  const end = slice_end(p.rows * p.cols, LINE);
  for (let i = slice_begin(p.rows * p.cols, LINE); i < end; ) {
    const row = i / p.cols;
    const stop = min(end, (row + 1) * p.cols);
    const gates = p.gate_up + <usize>row * bytes;
    const dgates = p.dgate_up + <usize>row * bytes;
    for (; i < stop; i += 4) {
      const at: usize = i << 2;
      const gate = v128.load(gates + at);
      const up = v128.load(gates + bytes + at);
      const d = v128.load(p.dout + at);
      // 1 - s is e * s, which does not cancel where the gate is large.
      const e = exp(f32x4.neg(gate));
      const sum = f32x4.add(one, e);
      const silu = f32x4.div(gate, sum);
      const s = f32x4.div(one, sum);
      v128.store(p.out + at, f32x4.mul(silu, up));
      v128.store(dgates + at, f32x4.mul(f32x4.mul(d, up), madd(silu, f32x4.mul(e, s), s)));
      v128.store(dgates + bytes + at, f32x4.mul(d, silu));
    }
  }
}
