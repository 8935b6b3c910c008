import type { Tensor } from "../tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, type Scalar } from "./kernel.ts";

export const rmsnormForwardKernel = defineKernel(
  "rmsnorm_forward",
  { out: "write", rstd: "write", inp: "read", weight: "read" },
  { rows: "u32", cols: "u32", epsilon: "f32" },
  ({ rows }) => [1, rows, 1],
  "rows cols, rows 1, rows cols, cols",
  { loads: "method" },
);

export const rmsnormBackwardKernel = defineKernel(
  "rmsnorm_backward",
  { dinp: "write", out: "write", dout: "read", inp: "read", rstd: "read", weight: "read", add: "read?" },
  { rows: "u32", cols: "u32" },
  ({ rows }) => [1, rows, 1],
  "rows cols, rows cols, rows cols, rows cols, rows 1, cols, rows cols",
  { loads: "method" },
);

export const rmsnormParametersBackwardKernel = defineKernel(
  "rmsnorm_parameters_backward",
  { dweight: "update", dout: "read", inp: "read", rstd: "read" },
  { rows: "u32", cols: "u32" },
  ({ cols }) => [ceilDiv(cols, 16), 1, 1],
  "cols, rows cols, rows cols, rows 1",
  { loads: "method" },
);

/** out [rows, C] = inp * rstd * weight; rstd [rows, 1] = 1 / the root mean square of the row. */
export function rmsnormForward(
  out: Tensor,
  rstd: Tensor,
  inp: Tensor,
  weight: Tensor,
  rows: Scalar,
  epsilon: number,
): Dispatch {
  return dispatch(rmsnormForwardKernel, { out, rstd, inp, weight }, { rows, cols: weight.size, epsilon });
}

/**
 * dinp [rows, C] = the gradient of the input, plus `add` [rows, C] if given: that of the residual stream. The norm's
 * output, which the gradients of the next matrix need, is recomputed into `out` [rows, C].
 */
export function rmsnormBackward(
  dinp: Tensor,
  out: Tensor,
  dout: Tensor,
  norm: { inp: Tensor; rstd: Tensor; weight: Tensor },
  rows: Scalar,
  add?: Tensor,
): Dispatch {
  return dispatch(rmsnormBackwardKernel, { dinp, out, dout, ...norm, add }, { rows, cols: norm.weight.size });
}

/** dweight [C] += the gradient of the weight. */
export function rmsnormParametersBackward(
  dweight: Tensor,
  dout: Tensor,
  inp: Tensor,
  rstd: Tensor,
  rows: Scalar,
): Dispatch {
  return dispatch(rmsnormParametersBackwardKernel, { dweight, dout, inp, rstd }, { rows, cols: dweight.size });
}
