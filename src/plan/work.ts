/** What a dispatch computes and moves, as far as it follows from the dispatch; the same for every device. */
import { type Dispatch, type Kernel, NO_VALUES, type StepValues, tensorAt } from "../ops/kernel.ts";
import { linearKernel } from "../ops/linear.ts";
import { loraBackwardKernel } from "../ops/lora.ts";
import { matmulKernel } from "../ops/matmul.ts";
import type { Tensor } from "../tensor.ts";
import { resolveDims, type Segment } from "./plan.ts";

/** Null where it depends on the data. */
export interface DispatchWork {
  /** Operations of matrix products: a multiply-add is two. */
  flops: number | null;
  /** Bytes of the tensors, each once, what is updated twice: the least that has to be moved. */
  bytes: number | null;
}

/** Ops that read or write rows by number: how many differ depends on the batch, or is a small part of the tensors. */
const BY_ROW = /^(embedding|gather|cache|prefix)_/;

/** The work of a dispatch. Its tensors count whole, but those of products: exact for a batch that fills the plan's capacity. */
export function workOf(dispatch: Dispatch, values: StepValues): DispatchWork {
  const { kernel, tensors, access } = dispatch;
  const product = PRODUCTS.get(kernel)?.(resolveDims(dispatch, values), dispatch);
  if (product) return product;
  if (BY_ROW.test(kernel.name)) return { flops: null, bytes: null };
  const passes = new Map<Tensor, number>(tensors.map((tensor, i) => [tensor, access[i] === "update" ? 2 : 1]));
  return { flops: null, bytes: [...passes].reduce((sum, [{ bytes }, times]) => sum + times * bytes, 0) };
}

/** Operations in the matrix products of one batch, forward and backward. */
export function flopsOf(segments: readonly Segment[], batch: Pick<StepValues, "tokens" | "sequences">): number {
  const values = { ...NO_VALUES, ...batch };
  const flops = segments.flatMap(({ dispatches }) => dispatches.map((dispatch) => workOf(dispatch, values).flops ?? 0));
  return flops.reduce((sum, one) => sum + one, 0);
}

/** By their sizes: tensors of a product may be columns of wider ones. */
const PRODUCTS = new Map<Kernel, (dims: Record<string, number>, dispatch: Dispatch) => DispatchWork>([
  [
    matmulKernel as unknown as Kernel,
    (dims, dispatch) => {
      const { m, n, k, batch } = dims as Record<"m" | "n" | "k" | "batch", number>;
      const outs = (dispatch.access[0] === "update" ? 8 : 4) * m * n;
      const bytes = 4 * m * k + tensorAt(dispatch, "b").elementBytes * k * n + outs;
      return { flops: 2 * m * n * k * batch, bytes: bytes * batch };
    },
  ],
  [
    linearKernel as unknown as Kernel,
    (dims, dispatch) => {
      const { m, n, k, count, r, width, epilogue } = dims as Record<
        "m" | "n" | "k" | "count" | "r" | "width" | "epilogue",
        number
      >;
      // Beside out: the residual; GELU's output; its input and output; what is added and the sum.
      const others = [0, 1, 0, 1, 2, 2][epilogue]!;
      const weights = tensorAt(dispatch, "b").elementBytes * k * n + 4 * count * r * width;
      return {
        flops: 2 * m * (n * k + count * width * r),
        bytes: 4 * m * (k + count * r + n * (1 + others)) + weights,
      };
    },
  ],
  [
    loraBackwardKernel as unknown as Kernel,
    (dims) => {
      const jobs = ["", "2"].map((end) => {
        const of = (name: string) => dims[`${name}${end}`]!;
        const [rows, sides] = [of("rows"), of("input") + of("width")];
        const [steps, reads] = [of("count") * of("r"), of("input") + of("count") * of("width")];
        return of("count") === 0
          ? { flops: 0, bytes: 0 }
          : { flops: 2 * rows * steps * sides, bytes: 4 * rows * (reads + 2 * steps) + 8 * steps * sides };
      });
      return { flops: jobs[0]!.flops + jobs[1]!.flops, bytes: jobs[0]!.bytes + jobs[1]!.bytes };
    },
  ],
]);
