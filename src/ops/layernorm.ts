import type { Tensor } from "../tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, type Scalar } from "./kernel.ts";

export const layernormForwardKernel = defineKernel(
  "layernorm_forward",
  { out: "write", stats: "write vec2f", inp: "read", weight: "read", bias: "read" },
  { rows: "u32", cols: "u32", epsilon: "f32" },
  ({ rows }) => [1, rows, 1],
  "rows cols, rows 2, rows cols, cols, cols",
);

export const layernormBackwardKernel = defineKernel(
  "layernorm_backward",
  { dinp: "update", dout: "read", inp: "read", stats: "read vec2f", weight: "read" },
  { rows: "u32", cols: "u32", beta: "f32" },
  ({ rows }) => [1, rows, 1],
  "rows cols, rows cols, rows cols, rows 2, cols",
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

/** dinp [rows, C] = beta * dinp + the gradient of the input. */
export function layernormBackward(
  dinp: Tensor,
  dout: Tensor,
  inp: Tensor,
  stats: Tensor,
  weight: Tensor,
  rows: Scalar,
  beta: 0 | 1,
): Dispatch {
  return dispatch(layernormBackwardKernel, { dinp, dout, inp, stats, weight }, { rows, cols: weight.size, beta });
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
