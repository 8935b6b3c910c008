/** SwiGLU (Shazeer 2020), the activation of a gated MLP: silu(gate) * up, silu(x) = x / (1 + exp(-x)). */
import type { Tensor } from "../core/tensor.ts";
import { type Dispatch, defineKernel, dispatch, flatGrid, type Scalar } from "./kernel.ts";

export const swigluForwardKernel = defineKernel(
  "swiglu_forward",
  { out: "write vec4f", gate_up: "read vec4f" },
  { rows: "u32", cols: "u32" },
  ({ rows, cols }) => flatGrid(rows * (cols / 4), 64),
  "rows cols, rows 2cols",
);

export const swigluBackwardKernel = defineKernel(
  "swiglu_backward",
  { dgate_up: "write vec4f", out: "write vec4f", dout: "read vec4f", gate_up: "read vec4f" },
  { rows: "u32", cols: "u32" },
  ({ rows, cols }) => flatGrid(rows * (cols / 4), 64),
  "rows 2cols, rows cols, rows cols, rows 2cols",
);

/** out [rows, I] = silu(gate) * up; gateUp [rows, 2I] has the gate's I columns, a multiple of 4, and then up's. */
export function swigluForward(out: Tensor, gateUp: Tensor, rows: Scalar): Dispatch {
  return dispatch(swigluForwardKernel, { out, gate_up: gateUp }, { rows, cols: out.shape[1]! });
}

/**
 * dgateUp [rows, 2I] = the gradients of gate and up. The output, which the gradients of the next matrix need, is
 * recomputed into `out` [rows, I].
 */
export function swigluBackward(dgateUp: Tensor, out: Tensor, dout: Tensor, gateUp: Tensor, rows: Scalar): Dispatch {
  return dispatch(
    swigluBackwardKernel,
    { dgate_up: dgateUp, out, dout, gate_up: gateUp },
    { rows, cols: out.shape[1]! },
  );
}
