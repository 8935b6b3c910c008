import { expectShape, type Tensor, VIEW_ALIGN } from "../tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, flatGrid } from "./kernel.ts";

export const adamwKernel = defineKernel(
  "adamw",
  {
    param: "update",
    m: "update",
    v: "update",
    grad: "read",
    metrics: "read vec4f",
    stopped: "read u32",
    rates: "read",
  },
  {
    count: "u32",
    slot: "u32",
    clip: "f32",
    beta1: "f32",
    one_minus_beta1: "f32",
    beta2: "f32",
    one_minus_beta2: "f32",
    epsilon: "f32",
    decay: "f32",
    lr_decay: "f32",
    step_size: "f32",
    correction2: "f32",
    has_rates: "override",
  },
  ({ count }) => flatGrid(count, 256),
  "count, count, count, count, slots 4, 1, groups",
);

export interface AdamWConfig {
  betas: readonly [number, number];
  eps: number;
  weight_decay: number;
  /** Largest global gradient norm; 0 turns clipping off. */
  clip: number;
}

/**
 * One AdamW step over a page: param, m, v [count] from grad [count], or nothing if stopped [1] is set. `rates` has a factor of the
 * learning rate for every VIEW_ALIGN elements; null: all are 1.
 */
export function adamw(
  { rates, ...page }: { param: Tensor; m: Tensor; v: Tensor; grad: Tensor; rates: Tensor | null },
  metrics: Tensor,
  stopped: Tensor,
  config: AdamWConfig,
): Dispatch {
  const [beta1, beta2] = config.betas;
  if (rates) expectShape(`adamw: rates (${rates.name})`, rates.shape, [ceilDiv(page.param.size, VIEW_ALIGN)]);
  return dispatch(
    adamwKernel,
    // The number of bindings is fixed: without rates, the gradient is bound in their place and not read.
    { ...page, metrics, stopped, rates: rates ?? page.grad },
    {
      count: page.param.size,
      slot: "slot",
      clip: config.clip,
      beta1,
      one_minus_beta1: 1 - beta1,
      beta2,
      one_minus_beta2: 1 - beta2,
      epsilon: config.eps,
      decay: "decay",
      lr_decay: "lr_decay",
      step_size: "step_size",
      correction2: "correction2",
      has_rates: rates ? 1 : 0,
    },
  );
}

/** The step values of AdamW for step t (from 1), computed in f64 as torch.optim.AdamW does. */
export function adamwStepValues(config: AdamWConfig, lr: number, t: number) {
  const [beta1, beta2] = config.betas;
  return {
    decay: 1 - lr * config.weight_decay,
    lr_decay: lr * config.weight_decay,
    step_size: lr / (1 - beta1 ** t),
    correction2: Math.sqrt(1 - beta2 ** t),
  };
}
