// An activation and its derivative, as in shaders/activation.prelude.wgsl. References: llm.c gelu_forward,
// gelu_backward; Hastings' form of the normal distribution (Abramowitz and Stegun 7.1.26) with coefficients of a
// minimax fit.
import { ACTIVATION_GELU, ACTIVATION_RELU } from "./generated/numbers";
import { ActivationForward } from "./generated/records";
import { load_part, load_some, store_part, store_some } from "./lanes";
import { slice_begin, slice_end } from "./threads";
import { exp, madd } from "./vector";

/** 2 sqrt(2 / pi) and the cubic's factor. */
const SCALE: f32 = 1.5957691216057308;
const CUBIC: f32 = 0.044715;
/** Threads write to separate cache lines. */
const LINE: u32 = 16;

/** e^(-2 u), u = sqrt(2 / pi) (x + 0.044715 x^3), clamped by `exp` so that nothing overflows. */
function decay(x: v128, square: v128): v128 {
  return exp(f32x4.mul(f32x4.mul(f32x4.splat(-SCALE), x), madd(f32x4.splat(CUBIC), square, f32x4.splat(1))));
}

/** e^(-x^2 / 2). */
function normal_decay(x: v128): v128 {
  return exp(f32x4.mul(f32x4.mul(f32x4.splat(-0.5), x), x));
}

/** The normal distribution at x, from e = e^(-x^2 / 2). */
function normal(x: v128, e: v128): v128 {
  const one = f32x4.splat(1);
  const t = f32x4.div(one, madd(f32x4.splat(0.35), f32x4.abs(x), one));
  let p = madd(f32x4.splat(-0.02914178862), t, f32x4.splat(0.1439511681));
  p = madd(p, t, f32x4.splat(-0.2556709759));
  p = madd(p, t, f32x4.splat(0.1591236276));
  p = madd(p, t, f32x4.splat(-0.02307420382));
  p = madd(p, t, f32x4.splat(0.1054925209));
  p = madd(p, t, f32x4.splat(0.1198369021));
  p = madd(p, t, f32x4.splat(0.1398612954));
  p = madd(p, t, f32x4.splat(0.1396214384));
  const tail = f32x4.mul(e, f32x4.mul(t, p));
  return v128.bitselect(tail, f32x4.sub(one, tail), f32x4.lt(x, f32x4.splat(0)));
}

function activate(kind: u32, x: v128): v128 {
  if (kind == ACTIVATION_GELU) return f32x4.mul(x, normal(x, normal_decay(x)));
  if (kind == ACTIVATION_RELU) return f32x4.max(x, f32x4.splat(0));
  return f32x4.div(x, f32x4.add(f32x4.splat(1), decay(x, f32x4.mul(x, x))));
}

/** out = activation(inp) for rows of `cols` elements, `line` bytes apart. */
export function activation_rows(kind: u32, out: usize, inp: usize, line: usize, rows: u32, cols: u32): void {
  const gap = line - (cols << 2);
  for (let row: u32 = 0; row < rows; row++) {
    let rest = cols;
    for (; rest >= 4; rest -= 4) {
      v128.store(out, activate(kind, v128.load(inp)));
      inp += 16;
      out += 16;
    }
    if (rest > 0) store_part(out, activate(kind, load_part(inp, rest)), rest);
    inp += gap + (rest << 2);
    out += gap + (rest << 2);
  }
}

/**
 * out *= the derivative at inp, and act = activation(inp); rows as above. gelu_new: s + x s (1 - s) 2 u', s the
 * sigmoid; 1 - s is computed as e * s, which does not cancel for large x. gelu: the normal distribution + x
 * e^(-x^2 / 2) / sqrt(2 pi).
 */
export function activation_backward_rows(
  kind: u32,
  out: usize,
  act: usize,
  inp: usize,
  line: usize,
  rows: u32,
  cols: u32,
): void {
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  for (let row: u32 = 0; row < rows; row++) {
    for (let c: u32 = 0; c < cols; c += 4) {
      const at = row * line + (c << 2);
      const rest = min<u32>(4, cols - c);
      const x = load_some(inp + at, rest);
      let y = zero;
      let derivative = zero;
      if (kind == ACTIVATION_GELU) {
        const e = normal_decay(x);
        const below = normal(x, e);
        y = f32x4.mul(x, below);
        derivative = madd(f32x4.mul(f32x4.splat(0.3989422804014327), x), e, below);
      } else if (kind == ACTIVATION_RELU) {
        y = f32x4.max(x, zero);
        derivative = v128.and(f32x4.gt(x, zero), one);
      } else {
        const square = f32x4.mul(x, x);
        const e = decay(x, square);
        const sum = f32x4.add(one, e);
        const s = f32x4.div(one, sum);
        const slope = madd(f32x4.splat(SCALE * 3 * CUBIC), square, f32x4.splat(SCALE));
        y = f32x4.div(x, sum);
        derivative = madd(f32x4.mul(f32x4.mul(x, s), f32x4.mul(e, s)), slope, s);
      }
      store_some(act + at, y, rest);
      store_some(out + at, f32x4.mul(load_some(out + at, rest), derivative), rest);
    }
  }
}

/** out [rows, cols] = activation(inp). */
export function activation_forward(p: ActivationForward): void {
  const begin = slice_begin(p.rows * p.cols, LINE);
  const at: usize = begin << 2;
  activation_rows(p.activation, p.out + at, p.inp + at, 0, 1, slice_end(p.rows * p.cols, LINE) - begin);
}
