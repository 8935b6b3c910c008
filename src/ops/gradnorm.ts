import { expectShape, type Tensor } from "../tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch } from "./kernel.ts";

/** Partial sums of a chunk: the invocations of a workgroup. */
export const LANES = 64;

/** Gradients in a chunk: enough to be worth a workgroup, and enough that there are at most 1024 chunks. */
const chunkOf = (count: number) => Math.max(4096, LANES * ceilDiv(count, 1024 * LANES));

/** Number of partial sums of a page of gradients. */
export const partialsOf = ({ size }: Tensor) => LANES * ceilDiv(size, chunkOf(size));

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
  "slots 4, 1, count",
);

/**
 * metrics[slot].z = the norm of all gradient pages; stopped [1] becomes 1 if it or the loss is not finite.
 * partial [sum of partialsOf(page)] is scratch.
 */
export function gradnorm(metrics: Tensor, stopped: Tensor, partial: Tensor, pages: Tensor[]): Dispatch[] {
  let first = 0;
  const sums = pages.map((grad) => {
    const scalars = { count: grad.size, first, chunk: chunkOf(grad.size) };
    first += partialsOf(grad);
    return dispatch(gradnormPartialKernel, { partial, grad }, scalars);
  });
  expectShape(`gradnorm: partial (${partial.name})`, partial.shape, [first]);
  return [...sums, dispatch(gradnormTotalKernel, { metrics, stopped, partial }, { count: partial.size, slot: "slot" })];
}
