/** The kernels of RMS norms: loaded with the architectures that have them. */
import { rmsnormBackward, rmsnormForward, rmsnormParametersBackward } from "../ops/rmsnorm.ts";
import type { NormKernels } from "./norms.ts";

export const rmsNorm: NormKernels = {
  stats: 1,
  forward: ({ inp, stats, weight }, out, rows, epsilon) => rmsnormForward(out, stats, inp, weight, rows, epsilon),
  backward: ({ inp, stats, weight }, dx, out, dout, rows, add) =>
    rmsnormBackward(dx, out, dout, { inp, rstd: stats, weight }, rows, add),
  parametersBackward: ({ inp, stats }, { weight }, dout, rows) =>
    rmsnormParametersBackward(weight, dout, inp, stats, rows),
};
