import type { Tensor } from "../tensor.ts";
import { type Dispatch, defineKernel, dispatch, flatGrid, type Scalar } from "./kernel.ts";

const DIMS = { rows: "u32", cols: "u32" } as const;
const grid = ({ rows, cols }: Record<keyof typeof DIMS, number>) => flatGrid(rows * cols, 256);

export const tanhForwardKernel = defineKernel(
  "tanh_forward",
  { out: "write", inp: "read" },
  DIMS,
  grid,
  "rows cols, rows cols",
  { loads: "method" },
);

export const tanhBackwardKernel = defineKernel(
  "tanh_backward",
  { dinp: "write", dout: "read", out: "read" },
  DIMS,
  grid,
  "rows cols, rows cols, rows cols",
  { loads: "method" },
);

/** out [rows, cols] = tanh(inp). */
export function tanhForward(out: Tensor, inp: Tensor, rows: Scalar): Dispatch {
  return dispatch(tanhForwardKernel, { out, inp }, { rows, cols: inp.shape[1]! });
}

/** dinp [rows, cols] = dout (1 - out^2), from the forward pass's output. */
export function tanhBackward(dinp: Tensor, dout: Tensor, out: Tensor, rows: Scalar): Dispatch {
  return dispatch(tanhBackwardKernel, { dinp, dout, out }, { rows, cols: out.shape[1]! });
}
