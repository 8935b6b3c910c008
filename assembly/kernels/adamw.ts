// One step of AdamW over a page of parameters, with clipping by the norm. Reference: torch.optim.AdamW.
import { VIEW_ALIGN } from "./generated/numbers";
import { Adamw } from "./generated/records";
import { load_part, store_part } from "./lanes";
import { slice_begin, slice_end } from "./threads";
import { madd } from "./vector";

/**
 * g = grad * min(1, clip / (norm + 1e-6));  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 * param = param * (1 - q lr_decay) - q step_size * m / (sqrt(v) / correction2 + epsilon); nothing if stopped != 0.
 */
export function adamw(p: Adamw): void {
  if (load<u32>(p.stopped) != 0) return;
  const norm = load<f32>(p.metrics + (p.slot << 4), 8);
  const factor: f32 = p.clip > 0 ? min<f32>(1, p.clip / (norm + 1e-6)) : 1;
  const end = slice_end(p.count, VIEW_ALIGN);
  // Without rates in one call.
  const size = p.rates ? VIEW_ALIGN : p.count;
  for (let i = slice_begin(p.count, VIEW_ALIGN); i < end; i += size) {
    const q = p.rates ? load<f32>(p.rates + ((i / VIEW_ALIGN) << 2)) : 1;
    const decay = q == 1 ? p.decay : 1 - q * p.lr_decay;
    update(p, factor, decay, q * p.step_size, p.correction2, i, min(i + size, end));
  }
}

/** Parameters begin .. end, which have one rate. */
function update(p: Adamw, factor: f32, decay: f32, step_size: f32, correction2: f32, begin: u32, end: u32): void {
  const param = p.param;
  const m = p.m;
  const v = p.v;
  const grad = p.grad;
  const beta1 = p.beta1;
  const one_minus_beta1 = p.one_minus_beta1;
  const beta2 = p.beta2;
  const one_minus_beta2 = p.one_minus_beta2;
  const epsilon = p.epsilon;
  for (let i = begin; i < end; i += 4) {
    const at: usize = i << 2;
    const rest = end - i;
    const part = rest < 4;
    const g = f32x4.mul(part ? load_part(grad + at, rest) : v128.load(grad + at), f32x4.splat(factor));
    const m_old = part ? load_part(m + at, rest) : v128.load(m + at);
    const v_old = part ? load_part(v + at, rest) : v128.load(v + at);
    const p_old = part ? load_part(param + at, rest) : v128.load(param + at);
    const m_new = madd(f32x4.splat(beta1), m_old, f32x4.mul(f32x4.splat(one_minus_beta1), g));
    const v_new = madd(f32x4.splat(beta2), v_old, f32x4.mul(f32x4.mul(f32x4.splat(one_minus_beta2), g), g));
    const root = f32x4.add(f32x4.div(f32x4.sqrt(v_new), f32x4.splat(correction2)), f32x4.splat(epsilon));
    const move = f32x4.div(f32x4.mul(f32x4.splat(step_size), m_new), root);
    const p_new = f32x4.sub(f32x4.mul(p_old, f32x4.splat(decay)), move);
    if (part) {
      store_part(m + at, m_new, rest);
      store_part(v + at, v_new, rest);
      store_part(param + at, p_new, rest);
    } else {
      v128.store(m + at, m_new);
      v128.store(v + at, v_new);
      v128.store(param + at, p_new);
    }
  }
}
