// GELU in the tanh form of GPT-2, with tanh written as a sigmoid, as in shaders/gelu.prelude.wgsl. References: llm.c gelu_forward,
// gelu_backward.
import { GeluForward } from "./generated/records";
import { slice_begin, slice_end } from "./threads";
import { exp, load_part, madd, store_part } from "./vector";

/** 2 sqrt(2 / pi) and the cubic's factor. */
const SCALE: f32 = 1.5957691216057308;
const CUBIC: f32 = 0.044715;
/** Threads write to separate cache lines. */
const LINE: u32 = 16;

/** e^(-2 u), u = sqrt(2 / pi) (x + 0.044715 x^3), clamped by `exp` so that nothing overflows. */
function decay(x: v128, square: v128): v128 {
  return exp(f32x4.mul(f32x4.mul(f32x4.splat(-SCALE), x), madd(f32x4.splat(CUBIC), square, f32x4.splat(1))));
}

export function gelu(x: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1), decay(x, f32x4.mul(x, x))));
}

/** dout * (s + x s (1 - s) 2 u'), s the sigmoid. 1 - s is computed as e * s, which does not cancel for large x. */
export function gelu_slope(dout: v128, x: v128): v128 {
  const square = f32x4.mul(x, x);
  const e = decay(x, square);
  const s = f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), e));
  const slope = madd(f32x4.splat(SCALE * 3 * CUBIC), square, f32x4.splat(SCALE));
  return f32x4.mul(dout, madd(f32x4.mul(f32x4.mul(x, s), f32x4.mul(e, s)), slope, s));
}

/** out [rows, cols] = gelu(inp). */
export function gelu_forward(p: GeluForward): void {
  const out = p.out;
  const inp = p.inp;
  const rows = p.rows;
  const cols = p.cols;
  const end = slice_end(rows * cols, LINE);
  let i = slice_begin(rows * cols, LINE);
  for (; i + 4 <= end; i += 4) v128.store(out + (i << 2), gelu(v128.load(inp + (i << 2))));
  if (i < end) store_part(out + (i << 2), gelu(load_part(inp + (i << 2), end - i)), end - i);
}
