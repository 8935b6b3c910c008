/** The losses of each score by itself: the squared error, and binary cross-entropy of logits. */
import type { Tensor } from "../core/tensor.ts";
import { type Dispatch, defineKernel, dispatch, flatGrid, type Scalar } from "./kernel.ts";

/** The losses by their numbers in kernels, where they are a pipeline constant `loss`. */
export const LOSS = { squared: 0, binary: 1 } as const;
export type ScoreLoss = keyof typeof LOSS;

export const scorelossForwardKernel = defineKernel(
  "scoreloss_forward",
  { state: "update vec4f", logits: "read", values: "read" },
  { rows: "u32", count: "u32", first: "u32", outputs: "u32", loss: "override" },
  ({ rows }) => [1, rows, 1],
  "rows 4, rows count, rows outputs",
);

export const scorelossBackwardKernel = defineKernel(
  "scoreloss_backward",
  { dlogits: "write", logits: "read", values: "read", weights: "read" },
  { rows: "u32", count: "u32", first: "u32", outputs: "u32", loss_scale: "f32", loss: "override" },
  ({ rows, count }) => flatGrid(rows * count, 256),
  "rows count, rows count, rows outputs, rows",
);

/**
 * Updates state [rows, 4], as `crossentropyLoss` reads it, with logits [rows, count] of the outputs from `first` on,
 * beginning with first = 0. values [rows, outputs]: what each output should be.
 */
export function scorelossForward(
  state: Tensor,
  logits: Tensor,
  values: Tensor,
  rows: Scalar,
  first: number,
  loss: ScoreLoss,
): Dispatch {
  const [count, outputs] = [logits.shape[1]!, values.shape[1]!];
  return dispatch(scorelossForwardKernel, { state, logits, values }, { rows, count, first, outputs, loss: LOSS[loss] });
}

/** dlogits [rows, count] of the outputs from `first` on. */
export function scorelossBackward(
  dlogits: Tensor,
  logits: Tensor,
  { values, weights }: { values: Tensor; weights: Tensor },
  rows: Scalar,
  first: number,
  loss: ScoreLoss,
): Dispatch {
  const [count, outputs] = [logits.shape[1]!, values.shape[1]!];
  return dispatch(
    scorelossBackwardKernel,
    { dlogits, logits, values, weights },
    { rows, count, first, outputs, loss_scale: "loss_scale", loss: LOSS[loss] },
  );
}
