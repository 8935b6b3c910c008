import { ShapeError } from "../errors.ts";
import { expectShape, type Tensor, VIEW_ALIGN } from "../tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, type Fields, flatGrid } from "./kernel.ts";
import { jobTable, type Shares, type StepUpdate } from "./shares.ts";

const JOB = { member: "u32", at: "u32", count: "u32", rates_at: "u32", clip: "f32" } as const satisfies Fields;

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
    jobs: "read Job",
    shares: "read Share",
  },
  {
    largest: "u32",
    count: "u32",
    slots: "u32",
    slot: "u32",
    beta1: "f32",
    one_minus_beta1: "f32",
    beta2: "f32",
    one_minus_beta2: "f32",
    epsilon: "f32",
  },
  ({ largest, count }) => flatGrid(largest, 256, count),
  "parameters, parameters, parameters, parameters, results 4, members, groups, entries words, entries share_words",
  { job: JOB, jobOffsets: { at: ["param", "m", "v", "grad"], rates_at: ["rates"] } },
);

export interface AdamWConfig {
  betas: readonly [number, number];
  eps: number;
  weight_decay: number;
  /** Largest global gradient norm; 0 turns clipping off. */
  clip: number;
}

/** A member's trained parameters, their gradients and moments, at the same offsets of four buffers. */
export interface AdamWPage {
  /** Default: 0. */
  member?: number;
  param: Tensor;
  m: Tensor;
  v: Tensor;
  grad: Tensor;
  /** A factor of the learning rate for every VIEW_ALIGN elements; null: all are 1. */
  rates: Tensor | null;
  /** The member's: see AdamWConfig. */
  clip: number;
}

/**
 * One AdamW step over pages of the same buffers: param, m, v from grad. Skips members that are stopped, or that their
 * share does not update. metrics [members slots, 4], stopped [members].
 */
export function adamw(
  pages: readonly AdamWPage[],
  metrics: Tensor,
  stopped: Tensor,
  { betas: [beta1, beta2], eps }: Pick<AdamWConfig, "betas" | "eps">,
  { shares, members = 1 }: Shares,
): Dispatch {
  const { param, m, v, grad, rates } = pages[0]!;
  expectShape(`adamw: stopped (${stopped.name})`, stopped.shape, [members]);
  for (const page of pages) {
    for (const one of [page.m, page.v, page.grad]) {
      expectShape(`adamw: ${one.name}`, one.shape, page.param.shape);
      if (one.offset !== page.param.offset)
        throw new ShapeError("buffers-differ", `adamw: ${one.name} is not at the offset of ${page.param.name}`);
    }
    if (page.rates)
      expectShape(`adamw: rates (${page.rates.name})`, page.rates.shape, [ceilDiv(page.param.size, VIEW_ALIGN)]);
    const isElsewhere = (["param", "m", "v", "grad", "rates"] as const).some(
      (key) => page[key]?.root !== pages[0]![key]?.root,
    );
    if (isElsewhere) throw new ShapeError("buffers-differ", "adamw: the pages of a dispatch are in different buffers");
  }
  const jobs = pages.map((page) => ({
    member: page.member ?? 0,
    at: page.param.offset,
    count: page.param.size,
    rates_at: page.rates?.offset ?? 0,
    clip: page.clip,
  }));
  return dispatch(
    adamwKernel,
    {
      param: param.root,
      m: m.root,
      v: v.root,
      grad: grad.root,
      metrics,
      stopped,
      rates: rates?.root,
      jobs: jobTable(adamwKernel, JOB, jobs),
      shares,
    },
    {
      largest: Math.max(...jobs.map(({ count }) => count)),
      count: jobs.length,
      slots: metrics.shape[0]! / members,
      slot: "slot",
      beta1,
      one_minus_beta1: 1 - beta1,
      beta2,
      one_minus_beta2: 1 - beta2,
      epsilon: eps,
    },
  );
}

/** The scalars of a share for AdamW step t (from 1), computed in f64 as in torch.optim.AdamW. */
export function adamwStepValues(config: AdamWConfig, lr: number, t: number): StepUpdate {
  const [beta1, beta2] = config.betas;
  return {
    decay: 1 - lr * config.weight_decay,
    lr_decay: lr * config.weight_decay,
    step_size: lr / (1 - beta1 ** t),
    correction2: Math.sqrt(1 - beta2 ** t),
  };
}
