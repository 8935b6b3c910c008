// The losses of each score by itself, over logits that may come in pieces of outputs: the squared error, and binary
// cross-entropy of logits. Reference: PyTorch mse_loss, binary_cross_entropy_with_logits.
import { LOSS_BINARY } from "./generated/numbers";
import { ScorelossBackward, ScorelossForward } from "./generated/records";
import { load_some, store_some } from "./lanes";
import { slice_begin, slice_end } from "./threads";
import { exp } from "./vector";

/** log(1 + e) for 0 <= e <= 1, exact where e is small: Kahan's form, in which the rounding of 1 + e cancels. */
function log1p(e: f32): f32 {
  const sum: f32 = 1 + e;
  const kept: f32 = sum - 1;
  return kept == 0 ? e : Mathf.log(sum) * (e / kept);
}

/** max(x, 0) - x y + log(1 + e^-|x|). */
function binary_loss(x: f32, y: f32): f32 {
  const e = f32x4.extract_lane(exp(f32x4.splat(-abs<f32>(x))), 0);
  return max<f32>(x, 0) - x * y + log1p(e);
}

/**
 * state [rows, 4] = (0, 0, 1 if all outputs so far are on the right side of 0, else -1, sum of the losses so far /
 * outputs), as crossentropy_loss reads it; the piece with first = 0 initializes it. No squared error counts as right.
 */
export function scoreloss_forward(p: ScorelossForward): void {
  const count = p.count;
  const first = p.first;
  const end = slice_end(p.rows, 1);
  for (let row = slice_begin(p.rows, 1); row < end; row++) {
    const at = p.state + (row << 4);
    const logits = p.logits + ((row * count) << 2);
    const values = p.values + ((row * p.outputs + first) << 2);
    let sum: f32 = 0;
    let is_right = p.loss == LOSS_BINARY && (first == 0 || load<f32>(at, 8) > 0);
    for (let c: u32 = 0; c < count; c++) {
      const x = load<f32>(logits + (c << 2));
      const y = load<f32>(values + (c << 2));
      sum += p.loss == LOSS_BINARY ? binary_loss(x, y) : (x - y) * (x - y);
      is_right = is_right && x > 0 == y > 0.5;
    }
    const before: f32 = first == 0 ? 0 : load<f32>(at, 12);
    store<f32>(at, 0);
    store<f32>(at, 0, 4);
    store<f32>(at, is_right ? 1 : -1, 8);
    store<f32>(at, before + sum / <f32>p.outputs, 12);
  }
}

/** dlogits [rows, count] = loss_scale * weight / outputs * (2 (x - y), or 1 / (1 + e^-x) - y). */
export function scoreloss_backward(p: ScorelossBackward): void {
  const count = p.count;
  const one = f32x4.splat(1);
  const end = slice_end(p.rows, 1);
  for (let row = slice_begin(p.rows, 1); row < end; row++) {
    const base: usize = (row * count) << 2;
    const values = p.values + ((row * p.outputs + p.first) << 2);
    const scale = f32x4.splat((p.loss_scale * load<f32>(p.weights + (row << 2))) / <f32>p.outputs);
    for (let c: u32 = 0; c < count; c += 4) {
      const at: usize = c << 2;
      const some = min<u32>(4, count - c);
      const x = load_some(p.logits + base + at, some);
      const y = load_some(values + at, some);
      const slope =
        p.loss == LOSS_BINARY
          ? f32x4.sub(f32x4.div(one, f32x4.add(one, exp(f32x4.neg(x)))), y)
          : f32x4.mul(f32x4.splat(2), f32x4.sub(x, y));
      store_some(p.dlogits + base + at, f32x4.mul(slope, scale), some);
    }
  }
}
