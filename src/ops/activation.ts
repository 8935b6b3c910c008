import type { Tensor } from "../core/tensor.ts";
import { type Dispatch, defineKernel, dispatch, flatGrid, type Scalar } from "./kernel.ts";

/** The activations of models by their numbers in kernels, where they are a pipeline constant `activation`. */
export const ACTIVATION = { gelu_new: 0, gelu: 1, relu: 2 } as const;
export type ActivationName = keyof typeof ACTIVATION;

export const activationForwardKernel = defineKernel(
  "activation_forward",
  { out: "write", inp: "read" },
  { rows: "u32", cols: "u32", activation: "override" },
  ({ rows, cols }) => flatGrid(rows * cols, 256),
  "rows cols, rows cols",
  { preludes: ["activation"] },
);

/**
 * out [rows, cols] = activation(inp). Only where the backward pass needs the output and no gradient of the input:
 * elsewhere the activation and its derivative are part of `linear`.
 */
export function activationForward(out: Tensor, inp: Tensor, rows: Scalar, by: ActivationName): Dispatch {
  return dispatch(activationForwardKernel, { out, inp }, { rows, cols: inp.shape[1]!, activation: ACTIVATION[by] });
}
