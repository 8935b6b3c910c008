/** Softmax cross-entropy with ignored and weighted rows, over logits that may be split into pieces of classes. */
import type { Tensor } from "../core/tensor.ts";
import { type Dispatch, defineKernel, dispatch, flatGrid, type Scalar } from "./kernel.ts";

/** The target of an ignored row, as in PyTorch. */
export const IGNORE_INDEX = -100;

export const crossentropyForwardKernel = defineKernel(
  "crossentropy_forward",
  { state: "update vec4f", logits: "read", targets: "read i32" },
  { rows: "u32", count: "u32", first: "u32" },
  ({ rows }) => [1, rows, 1],
  "rows 4, rows count, rows",
);

export const crossentropyLossKernel = defineKernel(
  "crossentropy_loss",
  { metrics: "update vec4f", state: "read vec4f", targets: "read i32", weights: "read" },
  { rows: "u32", slot: "u32", loss_scale: "f32" },
  () => [1, 1, 1],
  "results 4, rows 4, rows, rows",
);

export const crossentropyBackwardKernel = defineKernel(
  "crossentropy_backward",
  { dlogits: "write", logits: "read", state: "read vec4f", targets: "read i32", weights: "read" },
  { rows: "u32", count: "u32", first: "u32", loss_scale: "f32" },
  ({ rows, count }) => flatGrid(rows * count, 256),
  "rows count, rows count, rows 4, rows, rows",
);

/** Updates state [rows, 4] with logits [rows, count] of the classes from `first` on, beginning with first = 0. */
export function crossentropyForward(
  state: Tensor,
  logits: Tensor,
  targets: Tensor,
  rows: Scalar,
  first: number,
): Dispatch {
  return dispatch(crossentropyForwardKernel, { state, logits, targets }, { rows, count: logits.shape[1]!, first });
}

/** Row `slot` of metrics [slots, 4] = loss and number of correct rows, from the final state. */
export function crossentropyLoss(
  metrics: Tensor,
  state: Tensor,
  { targets, weights }: { targets: Tensor; weights: Tensor },
  rows: Scalar,
): Dispatch {
  return dispatch(
    crossentropyLossKernel,
    { metrics, state, targets, weights },
    { rows, slot: "slot", loss_scale: "loss_scale" },
  );
}

/** The loss of each row, in nats, from the states after the last piece. */
export function rowLosses(states: Float32Array): Float64Array {
  return Float64Array.from({ length: states.length / 4 }, (_, row) => states[4 * row + 3]!);
}

/** dlogits [rows, count] of the classes from `first` on. */
export function crossentropyBackward(
  dlogits: Tensor,
  logits: Tensor,
  state: Tensor,
  { targets, weights }: { targets: Tensor; weights: Tensor },
  rows: Scalar,
  first: number,
): Dispatch {
  return dispatch(
    crossentropyBackwardKernel,
    { dlogits, logits, state, targets, weights },
    { rows, count: logits.shape[1]!, first, loss_scale: "loss_scale" },
  );
}
