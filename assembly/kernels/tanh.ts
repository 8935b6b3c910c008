// tanh = (1 - e) / (1 + e) with e = exp(-2 |x|), and the sign of x, as in shaders/tanh_forward.wgsl. References:
// PyTorch tanh and tanh_backward.
import { TanhBackward, TanhForward } from "./generated/records";
import { slice_begin, slice_end } from "./threads";
import { exp, load_some, store_some } from "./vector";

/** Threads write to separate cache lines. */
const LINE: u32 = 16;
const SIGN: u32 = 0x80000000;

/** out [rows, cols] = tanh(inp). */
export function tanh_forward(p: TanhForward): void {
  const one = f32x4.splat(1);
  const end = slice_end(p.rows * p.cols, LINE);
  for (let i = slice_begin(p.rows * p.cols, LINE); i < end; i += 4) {
    const rest = min<u32>(4, end - i);
    const x = load_some(p.inp + (i << 2), rest);
    const e = exp(f32x4.mul(f32x4.splat(-2), f32x4.abs(x)));
    const size = f32x4.div(f32x4.sub(one, e), f32x4.add(one, e));
    store_some(p.out + (i << 2), v128.or(size, v128.and(x, i32x4.splat(SIGN))), rest);
  }
}

/** dinp [rows, cols] = dout (1 - out^2). */
export function tanh_backward(p: TanhBackward): void {
  const end = slice_end(p.rows * p.cols, LINE);
  for (let i = slice_begin(p.rows * p.cols, LINE); i < end; i += 4) {
    const rest = min<u32>(4, end - i);
    const out = load_some(p.out + (i << 2), rest);
    const slope = f32x4.sub(f32x4.splat(1), f32x4.mul(out, out));
    store_some(p.dinp + (i << 2), f32x4.mul(load_some(p.dout + (i << 2), rest), slope), rest);
  }
}
