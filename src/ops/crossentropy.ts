/** Softmax cross-entropy with ignored and weighted rows, over logits that may be split into pieces of classes. */
import type { Tensor } from "../tensor.ts";
import { type Dispatch, defineKernel, dispatch, flatGrid, type Scalar } from "./kernel.ts";
import { bySequence, LARGEST, type ShareRows, type Shares } from "./shares.ts";

/** The target of an ignored row, as in PyTorch. */
export const IGNORE_INDEX = -100;

export const crossentropyForwardKernel = defineKernel(
  "crossentropy_forward",
  { state: "update vec4f", logits: "read", targets: "read i32" },
  { rows: "u32", count: "u32", first: "u32" },
  ({ rows }) => [1, rows, 1],
  "rows 4, rows count, rows",
  { loads: "page" },
);

export const crossentropyLossKernel = defineKernel(
  "crossentropy_loss",
  { metrics: "update vec4f", state: "read vec4f", targets: "read i32", weights: "read", shares: "read Share" },
  { by_sequence: "u32", members: "u32", slots: "u32", slot: "u32" },
  ({ members }) => [1, 1, members],
  "results 4, rows 4, rows, rows, entries words",
  { preludes: ["shares"], loads: "page" },
);

export const crossentropyBackwardKernel = defineKernel(
  "crossentropy_backward",
  {
    dlogits: "write",
    logits: "read",
    state: "read vec4f",
    targets: "read i32",
    weights: "read",
    shares: "read Share",
  },
  { by_sequence: "u32", largest: "u32", members: "u32", count: "u32", first: "u32" },
  ({ largest, members, count }) => flatGrid(largest * count, 256, members),
  "rows count, rows count, rows 4, rows, rows, entries words",
  { preludes: ["shares"] },
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

/** Each member's row `slot` of metrics [members slots, 4] = loss and number of correct rows, from the final state. */
export function crossentropyLoss(
  metrics: Tensor,
  state: Tensor,
  { targets, weights }: { targets: Tensor; weights: Tensor },
  rows: ShareRows,
  { shares, members = 1 }: Shares,
): Dispatch {
  return dispatch(
    crossentropyLossKernel,
    { metrics, state, targets, weights, shares },
    { by_sequence: bySequence(rows), members, slots: metrics.shape[0]! / members, slot: "slot" },
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
  rows: ShareRows,
  first: number,
  { shares, members = 1 }: Shares,
): Dispatch {
  return dispatch(
    crossentropyBackwardKernel,
    { dlogits, logits, state, targets, weights, shares },
    { by_sequence: bySequence(rows), largest: LARGEST[rows], members, count: logits.shape[1]!, first },
  );
}
