/** LayerNorm, and RMS norm, which is the same around 0 instead of the row's mean, and without a bias. */
import type { Tensor } from "../core/tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, type Scalar } from "./kernel.ts";

export const normForwardKernel = defineKernel(
  "norm_forward",
  { out: "write", stats: "write vec2f", inp: "read", weight: "read", bias: "read?" },
  { rows: "u32", cols: "u32", epsilon: "f32", centred: "override" },
  ({ rows }) => [1, rows, 1],
  "rows cols, rows 2, rows cols, cols, cols",
);

export const normBackwardKernel = defineKernel(
  "norm_backward",
  {
    dinp: "write",
    out: "write",
    dout: "read",
    inp: "read",
    stats: "read vec2f",
    weight: "read",
    bias: "read?",
    add: "read?",
  },
  { rows: "u32", cols: "u32", centred: "override" },
  ({ rows }) => [1, rows, 1],
  "rows cols, rows cols, rows cols, rows cols, rows 2, cols, cols, rows cols",
);

export const normParametersBackwardKernel = defineKernel(
  "norm_parameters_backward",
  { dweight: "update", dbias: "update?", dout: "read", inp: "read", stats: "read vec2f" },
  { rows: "u32", cols: "u32", centred: "override" },
  ({ cols }) => [ceilDiv(cols, 16), 1, 1],
  "cols, cols, rows cols, rows cols, rows 2",
  { preludes: ["column_sum"] },
);

interface Norm {
  /** [rows, C]. */
  inp: Tensor;
  /** [rows, 2]: mean, or 0, and rstd, which the forward pass saves. */
  stats: Tensor;
  /** [C]. */
  weight: Tensor;
  bias?: Tensor | undefined;
  /** Whether a row's mean is subtracted: LayerNorm; else RMS norm. */
  centred: boolean;
}

/** out [rows, C] = the norm of inp; writes stats. */
export function normForward(out: Tensor, { centred, ...norm }: Norm, rows: Scalar, epsilon: number): Dispatch {
  const dims = { rows, cols: norm.weight.size, epsilon, centred: Number(centred) };
  return dispatch(normForwardKernel, { out, ...norm }, dims);
}

/**
 * dinp [rows, C] = the gradient of the input, plus `add` [rows, C] if given: that of the residual stream. The norm's
 * output, which the gradients of the next matrix need, is recomputed into `out` [rows, C].
 */
export function normBackward(
  dinp: Tensor,
  out: Tensor,
  dout: Tensor,
  { centred, ...norm }: Norm,
  rows: Scalar,
  add?: Tensor,
): Dispatch {
  const dims = { rows, cols: norm.weight.size, centred: Number(centred) };
  return dispatch(normBackwardKernel, { dinp, out, dout, ...norm, add }, dims);
}

/** dweight [C], and dbias [C] where there is a bias, += their gradients. */
export function normParametersBackward(
  dweight: Tensor,
  dbias: Tensor | undefined,
  dout: Tensor,
  { centred, inp, stats }: Omit<Norm, "weight" | "bias">,
  rows: Scalar,
): Dispatch {
  const dims = { rows, cols: dweight.size, centred: Number(centred) };
  return dispatch(normParametersBackwardKernel, { dweight, dbias, dout, inp, stats }, dims);
}
