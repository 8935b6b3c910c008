// The norm of all gradients, and the flag that stops updates. Reference: torch.nn.utils.clip_grad_norm_.
import { GRADNORM_LANES } from "./generated/numbers";
import { GradnormPartial, GradnormTotal } from "./generated/records";
import { slice_begin, slice_end } from "./threads";
import { madd, sum_lanes } from "./vector";

/** Partial sums that are computed together. */
const GROUP: u32 = 16;
const EXPONENT: u32 = 0x7f800000;

/** partial[first + 64 g + i] = sum of grad[j]^2, j = g * chunk + i, + 64, ... < min(count, (g + 1) * chunk). */
export function gradnorm_partial(p: GradnormPartial): void {
  const partial = p.partial;
  const grad = p.grad;
  const count = p.count;
  const first = p.first;
  const chunk = p.chunk;
  const partials = ((count + chunk - 1) / chunk) * GRADNORM_LANES;
  const end = slice_end(partials, GROUP);
  for (let i = slice_begin(partials, GROUP); i < end; i += GROUP) {
    const begin = (i / GRADNORM_LANES) * chunk;
    const stop = min(count, begin + chunk);
    let a = f32x4.splat(0);
    let b = a;
    let c = a;
    let d = a;
    let j = begin + (i % GRADNORM_LANES);
    for (; j + GROUP <= stop; j += GRADNORM_LANES) {
      const at = grad + (j << 2);
      a = madd(v128.load(at), v128.load(at), a);
      b = madd(v128.load(at, 16), v128.load(at, 16), b);
      c = madd(v128.load(at, 32), v128.load(at, 32), c);
      d = madd(v128.load(at, 48), v128.load(at, 48), d);
    }
    const to = partial + ((first + i) << 2);
    v128.store(to, a);
    v128.store(to, b, 16);
    v128.store(to, c, 32);
    v128.store(to, d, 48);
    for (let lane: u32 = 0; j + lane < stop && lane < GROUP; lane++) {
      const g = load<f32>(grad + ((j + lane) << 2));
      store<f32>(to + (lane << 2), load<f32>(to + (lane << 2)) + g * g);
    }
  }
}

/**
 * metrics[slot].z = sqrt(sum of partial [count]); stopped = 1 if that or the loss is not finite; metrics[slot].w = 1 if
 * updates continue.
 */
export function gradnorm_total(p: GradnormTotal): void {
  if (slice_begin(1, 1) == slice_end(1, 1)) return;
  const stopped = p.stopped;
  const partial = p.partial;
  const count = p.count;
  let sums = f32x4.splat(0);
  for (let i: u32 = 0; i < count; i += 4) sums = f32x4.add(sums, v128.load(partial + (i << 2)));
  const sum = sum_lanes(sums);
  const at = p.metrics + (p.slot << 4);
  const loss = load<u32>(at) & EXPONENT;
  if (loss == EXPONENT || (reinterpret<u32>(sum) & EXPONENT) == EXPONENT) store<u32>(stopped, 1);
  store<f32>(at, sqrt<f32>(sum), 8);
  store<f32>(at, load<u32>(stopped) == 0 ? 1 : 0, 12);
}
