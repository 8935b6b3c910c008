import type { Tensor } from "../tensor.ts";
import { type Dispatch, defineKernel, dispatch, flatGrid, type Scalar } from "./kernel.ts";

export const geluForwardKernel = defineKernel(
  "gelu_forward",
  { out: "write", inp: "read" },
  { rows: "u32", cols: "u32" },
  ({ rows, cols }) => flatGrid(rows * cols, 256),
  "rows cols, rows cols",
);

/**
 * out [rows, cols] = gelu_new(inp). Only where the backward pass needs the output and no gradient of the input: elsewhere GELU and its
 * derivative are part of `linear`.
 */
export function geluForward(out: Tensor, inp: Tensor, rows: Scalar): Dispatch {
  return dispatch(geluForwardKernel, { out, inp }, { rows, cols: inp.shape[1]! });
}
