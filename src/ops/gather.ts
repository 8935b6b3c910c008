/**
 * Rows of a table, or means of rows that follow each other: those at which sequences are classified, so that everything
 * after them runs on B rows instead of N, and a token's row of an adapter.
 */
import type { Tensor } from "../core/tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, type Scalar } from "./kernel.ts";

export const gatherForwardKernel = defineKernel(
  "gather_forward",
  { out: "write", inp: "read", firsts: "read u32", rows: "read u32" },
  { sequences: "u32", cols: "u32" },
  ({ sequences, cols }) => [ceilDiv(cols, 64), sequences, 1],
  "sequences cols, tokens cols, sequences, sequences",
  { work: null },
);

export const gatherBackwardKernel = defineKernel(
  "gather_backward",
  { dinp: "write", dout: "read", selected: "read u32" },
  { tokens: "u32", cols: "u32" },
  ({ tokens, cols }) => [ceilDiv(cols, 64), tokens, 1],
  "tokens cols, sequences cols, tokens 2",
  { work: null },
);

/** out [count, C] = inp [N, C] at rows [count], or the means from firsts [count] to rows. */
export function gatherForward(
  out: Tensor,
  inp: Tensor,
  rows: Tensor,
  firsts = rows,
  count: Scalar = "sequences",
): Dispatch {
  return dispatch(gatherForwardKernel, { out, inp, firsts, rows }, { sequences: count, cols: inp.shape[1]! });
}

/**
 * dinp [N, C] = dout [B, C] at its row, or at each row of its mean, divided by their number; 0 elsewhere. selected
 * [N, 2] is 1 + the sequence, or 0, and that number.
 */
export function gatherBackward(dinp: Tensor, dout: Tensor, selected: Tensor): Dispatch {
  return dispatch(gatherBackwardKernel, { dinp, dout, selected }, { tokens: "tokens", cols: dinp.shape[1]! });
}
