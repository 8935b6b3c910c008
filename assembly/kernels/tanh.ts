// Hyperbolic tangent, as in shaders/tanh_forward.wgsl.
import { TanhBackward, TanhForward } from "./generated/records";
import { slice_begin, slice_end } from "./threads";
import { exp, load_some, store_some } from "./vector";

/** Threads write to separate cache lines. */
const LINE: u32 = 16;

/** out [rows, cols] = tanh(inp) = sign(x) (1 - e) / (1 + e), e = exp(-2 |x|). */
export function tanh_forward(p: TanhForward): void {
  const end = slice_end(p.rows * p.cols, LINE);
  const one = f32x4.splat(1);
  const sign = f32x4.splat(-0.0);
  for (let i = slice_begin(p.rows * p.cols, LINE); i < end; i += 4) {
    const at: usize = i << 2;
    const rest = min<u32>(4, end - i);
    const x = load_some(p.inp + at, rest);
    const e = exp(f32x4.mul(f32x4.splat(-2), f32x4.abs(x)));
    const size = f32x4.div(f32x4.sub(one, e), f32x4.add(one, e));
    store_some(p.out + at, v128.or(size, v128.and(x, sign)), rest);
  }
}

/** dinp [rows, cols] = dout (1 - out^2). */
export function tanh_backward(p: TanhBackward): void {
  const end = slice_end(p.rows * p.cols, LINE);
  for (let i = slice_begin(p.rows * p.cols, LINE); i < end; i += 4) {
    const at: usize = i << 2;
    const rest = min<u32>(4, end - i);
    const y = load_some(p.out + at, rest);
    const slope = f32x4.sub(f32x4.splat(1), f32x4.mul(y, y));
    store_some(p.dinp + at, f32x4.mul(load_some(p.dout + at, rest), slope), rest);
  }
}
