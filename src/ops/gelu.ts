import type { Tensor } from "../tensor.ts";
import { type Dispatch, defineKernel, dispatch, flatGrid, type Scalar } from "./kernel.ts";

const DIMS = { rows: "u32", cols: "u32" } as const;

export const geluForwardKernel = defineKernel(
  "gelu_forward",
  { out: "write", inp: "read" },
  DIMS,
  ({ rows, cols }) => flatGrid(rows * cols, 256),
  "rows cols, rows cols",
);

export const geluBackwardKernel = defineKernel(
  "gelu_backward",
  { dinp: "update", inp: "read" },
  DIMS,
  ({ rows, cols }) => flatGrid(rows * cols, 256),
  "rows cols, rows cols",
);

/** out [rows, cols] = gelu_new(inp). */
export function geluForward(out: Tensor, inp: Tensor, rows: Scalar): Dispatch {
  return dispatch(geluForwardKernel, { out, inp }, { rows, cols: inp.shape[1]! });
}

/** In place: dinp [rows, cols] holds the gradient of the output before, of the input after. */
export function geluBackward(dinp: Tensor, inp: Tensor, rows: Scalar): Dispatch {
  return dispatch(geluBackwardKernel, { dinp, inp }, { rows, cols: inp.shape[1]! });
}
