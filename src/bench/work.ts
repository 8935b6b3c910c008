/** What a dispatch computes and moves, as far as it follows from the dispatch; the same for every device. */
import { type Dispatch, type StepValues, tensorAt } from "../ops/kernel.ts";
import { matmulKernel } from "../ops/matmul.ts";
import { resolveDims } from "../plan/plan.ts";
import type { Tensor } from "../tensor.ts";

/** Null where it depends on the data. */
export interface DispatchWork {
  /** Operations of a matrix product: a multiply-add is two. */
  flops: number | null;
  /** Bytes of the tensors, each once, what is updated twice: the least that has to be moved. */
  bytes: number | null;
}

/** Ops that read or write rows by number: how many differ depends on the batch. */
const BY_ROW = /^(embedding|gather|cache)_/;

/** The work of a dispatch. Its tensors count whole: exact for a batch that fills the plan's capacity. */
export function workOf(dispatch: Dispatch, values: StepValues): DispatchWork {
  const { kernel, tensors, access } = dispatch;
  if (kernel === matmulKernel) return productWork(dispatch, values);
  if (BY_ROW.test(kernel.name)) return { flops: null, bytes: null };
  const passes = new Map<Tensor, number>(tensors.map((tensor, i) => [tensor, access[i] === "update" ? 2 : 1]));
  return { flops: null, bytes: [...passes].reduce((sum, [{ bytes }, times]) => sum + times * bytes, 0) };
}

/** Of a product, by its sizes: its tensors may be columns of wider ones. */
function productWork(dispatch: Dispatch, values: StepValues): DispatchWork {
  const { m, n, k } = resolveDims(dispatch, values) as Record<"m" | "n" | "k", number>;
  const isUpdated = dispatch.access[0] === "update";
  const bytes = 4 * m * k + tensorAt(dispatch, "b").elementBytes * k * n + (isUpdated ? 8 : 4) * m * n;
  return { flops: 2 * m * n * k, bytes };
}
