import type { Tensor } from "../tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, type Scalar } from "./kernel.ts";

export const layernormForwardKernel = defineKernel(
  "layernorm_forward",
  { out: "write", stats: "write vec2f", inp: "read", weight: "read", bias: "read" },
  { rows: "u32", cols: "u32", epsilon: "f32" },
  ({ rows }) => [1, rows, 1],
  "rows cols, rows 2, rows cols, cols, cols",
  { loads: "page" },
);

export const layernormBackwardKernel = defineKernel(
  "layernorm_backward",
  {
    dinp: "write",
    out: "write",
    dout: "read",
    inp: "read",
    stats: "read vec2f",
    weight: "read",
    bias: "read",
    add: "read?",
  },
  { rows: "u32", cols: "u32" },
  ({ rows }) => [1, rows, 1],
  "rows cols, rows cols, rows cols, rows cols, rows 2, cols, cols, rows cols",
);

export const layernormParametersBackwardKernel = defineKernel(
  "layernorm_parameters_backward",
  { dweight: "update", dbias: "update", dout: "read", inp: "read", stats: "read vec2f" },
  { rows: "u32", cols: "u32" },
  ({ cols }) => [ceilDiv(cols, 16), 1, 1],
  "cols, cols, rows cols, rows cols, rows 2",
);

/** out [rows, C] = layer norm of inp; stats [rows, 2] = mean and rstd. */
export function layernormForward(
  out: Tensor,
  stats: Tensor,
  inp: Tensor,
  weight: Tensor,
  bias: Tensor,
  rows: Scalar,
  epsilon: number,
): Dispatch {
  return dispatch(layernormForwardKernel, { out, stats, inp, weight, bias }, { rows, cols: weight.size, epsilon });
}

/**
 * dinp [rows, C] = the gradient of the input, plus `add` [rows, C] if given: that of the residual stream. The norm's
 * output, which the gradients of the next matrix need, is recomputed into `out` [rows, C].
 */
export function layernormBackward(
  dinp: Tensor,
  out: Tensor,
  dout: Tensor,
  norm: { inp: Tensor; stats: Tensor; weight: Tensor; bias: Tensor },
  rows: Scalar,
  add?: Tensor,
): Dispatch {
  return dispatch(layernormBackwardKernel, { dinp, out, dout, ...norm, add }, { rows, cols: norm.weight.size });
}

/** dweight [C], dbias [C] += the gradients of weight and bias. */
export function layernormParametersBackward(
  dweight: Tensor,
  dbias: Tensor,
  dout: Tensor,
  inp: Tensor,
  stats: Tensor,
  rows: Scalar,
): Dispatch {
  return dispatch(
    layernormParametersBackwardKernel,
    { dweight, dbias, dout, inp, stats },
    { rows, cols: dweight.size },
  );
}
