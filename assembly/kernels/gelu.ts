// GELU in the tanh form of GPT-2, with tanh written as a sigmoid, as in shaders/gelu.prelude.wgsl. References: llm.c gelu_forward,
// gelu_backward.
import { GeluForward } from "./generated/records";
import { slice_begin, slice_end } from "./threads";
import { exp, load_part, load_some, madd, store_part, store_some } from "./vector";

/** 2 sqrt(2 / pi) and the cubic's factor. */
const SCALE: f32 = 1.5957691216057308;
const CUBIC: f32 = 0.044715;
/** Threads write to separate cache lines. */
const LINE: u32 = 16;

/** e^(-2 u), u = sqrt(2 / pi) (x + 0.044715 x^3), clamped by `exp` so that nothing overflows. */
function decay(x: v128, square: v128): v128 {
  return exp(f32x4.mul(f32x4.mul(f32x4.splat(-SCALE), x), madd(f32x4.splat(CUBIC), square, f32x4.splat(1))));
}

/** out = gelu(inp) for rows of `cols` elements, `line` bytes apart. */
export function gelu_rows(out: usize, inp: usize, line: usize, rows: u32, cols: u32): void {
  const gap = line - (cols << 2);
  for (let row: u32 = 0; row < rows; row++) {
    let rest = cols;
    for (; rest >= 4; rest -= 4) {
      const x = v128.load(inp);
      v128.store(out, f32x4.div(x, f32x4.add(f32x4.splat(1), decay(x, f32x4.mul(x, x)))));
      inp += 16;
      out += 16;
    }
    if (rest > 0) {
      const x = load_part(inp, rest);
      store_part(out, f32x4.div(x, f32x4.add(f32x4.splat(1), decay(x, f32x4.mul(x, x)))), rest);
    }
    inp += gap + (rest << 2);
    out += gap + (rest << 2);
  }
}

/**
 * out *= s + x s (1 - s) 2 u', the derivative of GELU at inp, s the sigmoid, and act = gelu(inp); rows as above. 1 - s is computed as
 * e * s, which does not cancel for large x.
 */
export function gelu_backward_rows(out: usize, act: usize, inp: usize, line: usize, rows: u32, cols: u32): void {
  for (let row: u32 = 0; row < rows; row++) {
    for (let c: u32 = 0; c < cols; c += 4) {
      const at = row * line + (c << 2);
      const rest = min<u32>(4, cols - c);
      const x = load_some(inp + at, rest);
      const square = f32x4.mul(x, x);
      const e = decay(x, square);
      const sum = f32x4.add(f32x4.splat(1), e);
      const s = f32x4.div(f32x4.splat(1), sum);
      const slope = madd(f32x4.splat(SCALE * 3 * CUBIC), square, f32x4.splat(SCALE));
      const derivative = madd(f32x4.mul(f32x4.mul(x, s), f32x4.mul(e, s)), slope, s);
      store_some(act + at, f32x4.div(x, sum), rest);
      store_some(out + at, f32x4.mul(load_some(out + at, rest), derivative), rest);
    }
  }
}

/** out [rows, cols] = gelu(inp). */
export function gelu_forward(p: GeluForward): void {
  const begin = slice_begin(p.rows * p.cols, LINE);
  const at: usize = begin << 2;
  gelu_rows(p.out + at, p.inp + at, 0, 1, slice_end(p.rows * p.cols, LINE) - begin);
}
