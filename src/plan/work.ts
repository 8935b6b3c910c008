/** What a dispatch computes and moves, as far as it follows from the dispatch; the same for every device. */
import { dropoutBackwardKernel } from "../ops/dropout.ts";
import { type Dispatch, type Kernel, NO_VALUES, resolveDims, type StepValues, tensorAt } from "../ops/kernel.ts";
import { linearKernel } from "../ops/linear.ts";
import { decodeLoraJobs, loraBackwardKernel } from "../ops/lora.ts";
import { decodeMatmulJobs, matmulGroupedKernel, matmulKernel } from "../ops/matmul.ts";
import type { Tensor } from "../tensor.ts";
import type { Segment } from "./plan.ts";

/** Null where it depends on the data. */
interface DispatchWork {
  /** Operations of matrix products: a multiply-add is two. */
  flops: number | null;
  /** Bytes of the tensors, each once, updated ones twice: the least that has to be moved. */
  bytes: number | null;
}

/** The work of a dispatch. Except for products whole tensors count: exact if the batch fills the plan's capacity. */
export function dispatchWork(dispatch: Dispatch, values: StepValues): DispatchWork {
  const { kernel, tensors, access } = dispatch;
  const product = PRODUCTS.get(kernel)?.(resolveDims(dispatch, values), dispatch, values);
  if (product) return product;
  if (kernel.byIndex) return { flops: null, bytes: null };
  const passes = new Map<Tensor, number>(tensors.map((tensor, i) => [tensor, access[i] === "update" ? 2 : 1]));
  return { flops: null, bytes: [...passes].reduce((sum, [{ bytes }, times]) => sum + times * bytes, 0) };
}

/** Operations in the matrix products of one batch, forward and backward, of a plan with one member. */
export function countFlops(segments: readonly Segment[], batch: Pick<StepValues, "tokens" | "sequences">): number {
  const values = { ...NO_VALUES, ...batch, share_tokens: batch.tokens, share_sequences: batch.sequences };
  const flops = segments.flatMap(({ dispatches }) =>
    dispatches.map((dispatch) => dispatchWork(dispatch, values).flops ?? 0),
  );
  return flops.reduce((sum, one) => sum + one, 0);
}

/** Counted by the sizes of the product (of members, by the largest share): its tensors may be columns of wider ones. */
const PRODUCTS = new Map<
  Kernel,
  (dims: Record<string, number>, dispatch: Dispatch, values: StepValues) => DispatchWork
>([
  [
    matmulKernel,
    (dims, dispatch) => {
      const { m, n, k, batch } = dims as Record<"m" | "n" | "k" | "batch", number>;
      const outs = (dispatch.access[0] === "update" ? 8 : 4) * m * n;
      const bytes = 4 * m * k + tensorAt(dispatch, "b").elementBytes * k * n + outs;
      return { flops: 2 * m * n * k * batch, bytes: bytes * batch };
    },
  ],
  [
    linearKernel,
    (dims, dispatch) => {
      const { m, n, k, count, r, width, skew, epilogue } = dims as Record<
        "m" | "n" | "k" | "count" | "r" | "width" | "skew" | "epilogue",
        number
      >;
      const columns = count === 0 ? 0 : count * width + skew;
      // Beside out: the residual; GELU's output; its input and output; what is added and the sum.
      const others = [0, 1, 0, 1, 2, 2][epilogue]!;
      const weights = tensorAt(dispatch, "b").elementBytes * k * n + 4 * r * columns;
      return {
        flops: 2 * m * (n * k + columns * r),
        bytes: 4 * m * (k + count * r + n * (1 + others)) + weights,
      };
    },
  ],
  [
    dropoutBackwardKernel,
    (dims) => {
      const { rows, cols, count, r, activated } = dims as Record<"rows" | "cols" | "count" | "r" | "activated", number>;
      const products = rows * cols * count * r;
      // dx twice, and an activation's input and output; the draws.
      const moved = rows * (cols * (2 + 2 * activated) + count * r + 2) + cols * count * r;
      return { flops: 2 * products, bytes: 4 * moved };
    },
  ],
  [
    matmulGroupedKernel,
    ({ is_depth, by_sequence }, dispatch, { share_tokens, share_sequences }) => {
      const rows = by_sequence ? share_sequences : share_tokens;
      const passes = dispatch.access[0] === "update" ? 2 : 1;
      return total(
        decodeMatmulJobs(dispatch).map((job) => {
          const [m, n, k] = is_depth ? [job.m, job.n, rows] : [rows, job.n, job.k];
          return { flops: 2 * m * n * k, bytes: 4 * (m * k + k * n + passes * m * n) };
        }),
      );
    },
  ],
  [
    loraBackwardKernel,
    (_, dispatch, { share_tokens, share_sequences }) => {
      // The adapters of a member at one matrix have the same x.
      const counted = new Set<string>();
      const jobs = decodeLoraJobs(dispatch).map(({ member, second, by_sequence, r, input, width }) => {
        const rows = by_sequence ? share_sequences : share_tokens;
        const sides = input + width;
        const x = counted.has(`${member} ${second}`) ? 0 : input;
        counted.add(`${member} ${second}`);
        return { flops: 2 * rows * r * sides, bytes: 4 * rows * (x + width + 2 * r) + 8 * r * sides };
      });
      return total(jobs);
    },
  ],
]);

function total(jobs: readonly { flops: number; bytes: number }[]): DispatchWork {
  const sum = (of: (job: { flops: number; bytes: number }) => number) => jobs.reduce((all, job) => all + of(job), 0);
  return { flops: sum(({ flops }) => flops), bytes: sum(({ bytes }) => bytes) };
}
