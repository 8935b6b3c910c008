import { expectShape, type Tensor } from "../core/tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch } from "./kernel.ts";

/** Partial sums of a chunk: the invocations of a workgroup. */
export const LANES = 64;

/** Gradients in a chunk: enough to be worth a workgroup, and enough that there are at most 1024 chunks. */
const chunkSize = (count: number) => Math.max(4096, LANES * ceilDiv(count, 1024 * LANES));

/** Number of partial sums of a page of gradients. */
export const countPartials = ({ size }: Tensor) => LANES * ceilDiv(size, chunkSize(size));

export const gradnormPartialKernel = defineKernel(
  "gradnorm_partial",
  { partial: "update", grad: "read" },
  { count: "u32", first: "u32", chunk: "u32" },
  ({ count, chunk }) => [ceilDiv(count, chunk), 1, 1],
  "partials, count",
);

export const gradnormTotalKernel = defineKernel(
  "gradnorm_total",
  { metrics: "update vec4f", stopped: "update u32", partial: "read" },
  { count: "u32", slot: "u32" },
  () => [1, 1, 1],
  "results 4, 1, count",
);

/**
 * Row `slot` of metrics [slots, 4]: z = the norm of all gradient pages, w = 1 if finite; stopped [1] becomes 1 if the
 * norm or the loss is not finite. partial [sum of countPartials(page)] is scratch.
 */
export function gradnorm(metrics: Tensor, stopped: Tensor, partial: Tensor, pages: readonly Tensor[]): Dispatch[] {
  let first = 0;
  const sums = pages.map((grad) => {
    const { size: count } = grad;
    const partialSum = dispatch(gradnormPartialKernel, { partial, grad }, { count, first, chunk: chunkSize(count) });
    first += countPartials(grad);
    return partialSum;
  });
  expectShape(`gradnorm: partial (${partial.name})`, partial.shape, [first]);
  return [...sums, dispatch(gradnormTotalKernel, { metrics, stopped, partial }, { count: first, slot: "slot" })];
}
