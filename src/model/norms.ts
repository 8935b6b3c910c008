/** The kernels of an architecture's norms. */
import type { Dispatch, Scalar } from "../ops/kernel.ts";
import { layernormBackward, layernormForward, layernormParametersBackward } from "../ops/layernorm.ts";
import type { Tensor } from "../tensor.ts";

/** What a norm reads, and its statistics: mean and 1 / deviation [rows, 2], or of an RMS norm 1 / RMS [rows, 1]. */
interface NormTensors {
  inp: Tensor;
  stats: Tensor;
  weight: Tensor;
  /** Absent in an RMS norm. */
  bias: Tensor | undefined;
}

export interface NormKernels {
  /** Statistics of a row. */
  stats: number;
  forward(norm: NormTensors, out: Tensor, rows: Scalar, epsilon: number): Dispatch;
  /** dx = the gradient of the input, plus `add`; the output is written to `out` again. */
  backward(norm: NormTensors, dx: Tensor, out: Tensor, dout: Tensor, rows: Scalar, add?: Tensor): Dispatch;
  /** The gradients of all parameters. */
  parametersBackward(
    norm: NormTensors,
    grads: Pick<NormTensors, "weight" | "bias">,
    dout: Tensor,
    rows: Scalar,
  ): Dispatch;
}

export const layerNorm: NormKernels = {
  stats: 2,
  forward: ({ inp, stats, weight, bias }, out, rows, epsilon) =>
    layernormForward(out, stats, inp, weight, bias!, rows, epsilon),
  backward: ({ bias, ...norm }, dx, out, dout, rows, add) =>
    layernormBackward(dx, out, dout, { ...norm, bias: bias! }, rows, add),
  parametersBackward: ({ inp, stats }, { weight, bias }, dout, rows) =>
    layernormParametersBackward(weight, bias!, dout, inp, stats, rows),
};
