import type { Tensor } from "../tensor.ts";
import { type Dispatch, defineKernel, dispatch, flatGrid } from "./kernel.ts";

export const adamwKernel = defineKernel(
  "adamw",
  { param: "update", m: "update", v: "update", grad: "read", metrics: "read vec4f", stopped: "read u32" },
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
    step_size: "f32",
    correction2: "f32",
  },
  ({ count }) => flatGrid(count, 256),
  "count, count, count, count, slots 4, 1",
);

export interface AdamWConfig {
  betas: readonly [number, number];
  eps: number;
  weight_decay: number;
  /** Largest global gradient norm; 0 turns clipping off. */
  clip: number;
}

/** One AdamW step over a page: param, m, v [count] from grad [count], or nothing if stopped [1] is set. */
export function adamw(
  page: { param: Tensor; m: Tensor; v: Tensor; grad: Tensor },
  metrics: Tensor,
  stopped: Tensor,
  config: AdamWConfig,
): Dispatch {
  const [beta1, beta2] = config.betas;
  return dispatch(
    adamwKernel,
    { ...page, metrics, stopped },
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
      step_size: "step_size",
      correction2: "correction2",
    },
  );
}

/** The step values of AdamW for step t (from 1), computed in f64 as torch.optim.AdamW does. */
export function adamwStepValues(config: AdamWConfig, lr: number, t: number) {
  const [beta1, beta2] = config.betas;
  return {
    decay: 1 - lr * config.weight_decay,
    step_size: lr / (1 - beta1 ** t),
    correction2: Math.sqrt(1 - beta2 ** t),
  };
}
