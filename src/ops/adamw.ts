import { expectShape, type Tensor, VIEW_ALIGN } from "../core/tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, flatGrid, type StepValues } from "./kernel.ts";

export const adamwKernel = defineKernel(
  "adamw",
  {
    param: "update",
    m: "update",
    v: "update",
    grad: "read",
    metrics: "read vec4f",
    stopped: "read u32",
    rates: "read?",
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
  },
  ({ count }) => flatGrid(count, 256),
  "parameters, parameters, parameters, parameters, results 4, 1, groups",
);

export interface AdamWConfig {
  betas: readonly [number, number];
  eps: number;
  weight_decay: number;
  /** Largest global gradient norm; 0 turns clipping off. */
  clip: number;
}

/** Trained parameters, their gradients and moments, each in a buffer of its own. */
export interface AdamWPage {
  param: Tensor;
  m: Tensor;
  v: Tensor;
  grad: Tensor;
  /** A factor of the learning rate for every VIEW_ALIGN elements; null: all are 1. */
  rates: Tensor | null;
}

/** One AdamW step over a page: param, m, v from grad, unless it is stopped. metrics [slots, 4], stopped [1]. */
export function adamw(
  page: AdamWPage,
  metrics: Tensor,
  stopped: Tensor,
  { betas: [beta1, beta2], eps, clip }: Pick<AdamWConfig, "betas" | "eps" | "clip">,
): Dispatch {
  const { size } = page.param;
  if (page.rates) expectShape(`adamw: rates (${page.rates.name})`, page.rates.shape, [ceilDiv(size, VIEW_ALIGN)]);
  return dispatch(
    adamwKernel,
    { ...page, metrics, stopped },
    {
      count: size,
      slot: "slot",
      clip,
      beta1,
      one_minus_beta1: 1 - beta1,
      beta2,
      one_minus_beta2: 1 - beta2,
      epsilon: eps,
      decay: "decay",
      lr_decay: "lr_decay",
      step_size: "step_size",
      correction2: "correction2",
    },
  );
}

/** The scalars of a step that the update reads. */
export type StepUpdate = Pick<StepValues, "decay" | "lr_decay" | "step_size" | "correction2">;

/** The scalars of AdamW step t (from 1), computed in f64 as in torch.optim.AdamW. */
export function adamwStepValues(config: AdamWConfig, lr: number, t: number): StepUpdate {
  const [beta1, beta2] = config.betas;
  return {
    decay: 1 - lr * config.weight_decay,
    lr_decay: lr * config.weight_decay,
    step_size: lr / (1 - beta1 ** t),
    correction2: Math.sqrt(1 - beta2 ** t),
  };
}
