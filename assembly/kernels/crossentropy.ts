// Softmax cross-entropy with ignored and weighted rows, over logits that may come in pieces of classes. Reference:
// PyTorch cross_entropy.
import { CrossentropyBackward, CrossentropyForward, CrossentropyLoss } from "./generated/records";
import { load_part, store_part } from "./lanes";
import { slice_begin, slice_end } from "./threads";
import { exp, exp_of, max_lanes, sum_lanes } from "./vector";

/** Less than any logit. */
const LOWEST: f32 = -3.0e38;

function largest_of(x: usize, count: u32): f32 {
  let largest = f32x4.splat(LOWEST);
  let c: u32 = 0;
  for (; c + 4 <= count; c += 4) largest = f32x4.max(largest, v128.load(x + (c << 2)));
  let result = max_lanes(largest);
  for (; c < count; c++) result = max<f32>(result, load<f32>(x + (c << 2)));
  return result;
}

function sum_exp(x: usize, count: u32, largest: f32): f32 {
  const top = f32x4.splat(largest);
  let sums = f32x4.splat(0);
  let c: u32 = 0;
  for (; c + 4 <= count; c += 4) sums = f32x4.add(sums, exp(f32x4.sub(v128.load(x + (c << 2)), top)));
  let result = sum_lanes(sums);
  for (; c < count; c++) result += exp_of(load<f32>(x + (c << 2)) - largest);
  return result;
}

/**
 * state [rows, 4] = (max, sum of exp(logits - max), logit of the target, loss) over the classes so far; the piece with
 * first = 0 initializes it. logits [rows, count] are those of classes first .. first + count.
 */
export function crossentropy_forward(p: CrossentropyForward): void {
  const state = p.state;
  const logits = p.logits;
  const targets = p.targets;
  const rows = p.rows;
  const count = p.count;
  const first = p.first;
  const end = slice_end(rows, 1);
  for (let row = slice_begin(rows, 1); row < end; row++) {
    const x = logits + <usize>((row * count) << 2);
    const at = state + (row << 4);
    let largest = largest_of(x, count);
    let sum = sum_exp(x, count, largest);
    let target: f32 = 0;
    if (first > 0) {
      const seen = load<f32>(at);
      const both = max<f32>(seen, largest);
      sum = load<f32>(at, 4) * exp_of(seen - both) + sum * exp_of(largest - both);
      largest = both;
      target = load<f32>(at, 8);
    }
    const label = load<i32>(targets + (row << 2)) - <i32>first;
    if (label >= 0 && label < <i32>count) target = load<f32>(x + (label << 2));
    store<f32>(at, largest);
    store<f32>(at, sum, 4);
    store<f32>(at, target, 8);
    // Subtract the large numbers first: their difference is exact, and the logarithm may be small in comparison.
    store<f32>(at, largest - target + Mathf.log(sum), 12);
  }
}

/** metrics[slot] = (loss_scale * sum of weight * loss, rows whose target has the largest logit, 0, 0), in order. */
export function crossentropy_loss(p: CrossentropyLoss): void {
  if (slice_begin(1, 1) == slice_end(1, 1)) return;
  const state = p.state;
  const targets = p.targets;
  const weights = p.weights;
  const rows = p.rows;
  let loss: f32 = 0;
  let correct: f32 = 0;
  for (let row: u32 = 0; row < rows; row++) {
    if (load<i32>(targets + (row << 2)) < 0) continue;
    const at = state + (row << 4);
    loss += load<f32>(weights + (row << 2)) * load<f32>(at, 12);
    if (load<f32>(at, 8) >= load<f32>(at)) correct += 1;
  }
  const to = p.metrics + (p.slot << 4);
  store<f32>(to, loss * p.loss_scale);
  store<f32>(to, correct, 4);
  store<f32>(to, 0, 8);
  store<f32>(to, 0, 12);
}

/** dlogits [rows, count] = loss_scale * weight * (exp(logits - max) / sum - [class = target]), 0 of ignored rows. */
export function crossentropy_backward(p: CrossentropyBackward): void {
  const dlogits = p.dlogits;
  const logits = p.logits;
  const state = p.state;
  const targets = p.targets;
  const weights = p.weights;
  const count = p.count;
  const first = p.first;
  const end = slice_end(p.rows, 1);
  for (let row = slice_begin(p.rows, 1); row < end; row++) {
    const base: usize = (row * count) << 2;
    const to = dlogits + base;
    const label = load<i32>(targets + (row << 2));
    if (label < 0) {
      memory.fill(to, 0, count << 2);
      continue;
    }
    const largest = v128.load_splat<f32>(state + (row << 4));
    const sum = v128.load_splat<f32>(state + (row << 4), 4);
    const factor = p.loss_scale * load<f32>(weights + (row << 2));
    const scale = f32x4.splat(factor);
    for (let c: u32 = 0; c < count; c += 4) {
      const at: usize = c << 2;
      const rest = count - c;
      const x = rest < 4 ? load_part(logits + base + at, rest) : v128.load(logits + base + at);
      const value = f32x4.mul(f32x4.div(exp(f32x4.sub(x, largest)), sum), scale);
      if (rest < 4) store_part(to + at, value, rest);
      else v128.store(to + at, value);
    }
    const mine = label - <i32>first;
    if (mine >= 0 && mine < <i32>count) store_target(to + (mine << 2), logits + base + (mine << 2), row, state, factor);
  }
}

/** The gradient of the target: 1 is subtracted before scaling, so that it stays exact for a confident, correct row. */
function store_target(to: usize, logit: usize, row: u32, state: usize, factor: f32): void {
  const p = exp_of(load<f32>(logit) - load<f32>(state + (row << 4))) / load<f32>(state + (row << 4), 4);
  store<f32>(to, (p - 1) * factor);
}
