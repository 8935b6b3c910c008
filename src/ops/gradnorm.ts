import { expectShape, type Tensor } from "../tensor.ts";
import { type Dispatch, defineKernel, dispatch } from "./kernel.ts";

/** Partial sums that one page of gradients makes. */
export const PARTIALS_PER_PAGE = 256;

export const gradnormPartialKernel = defineKernel(
  "gradnorm_partial",
  { partial: "update", grad: "read" },
  { count: "u32", first: "u32" },
  () => [4, 1, 1],
  "partials, count",
);

export const gradnormTotalKernel = defineKernel(
  "gradnorm_total",
  { metrics: "update", stopped: "update", partial: "read" },
  { count: "u32", slot: "u32" },
  () => [1, 1, 1],
  "slots 4, 1, count",
);

/**
 * metrics[slot].z = the norm of all gradient pages; stopped [1] becomes 1 where it or the loss is not finite.
 * partial [pages * 256] is scratch.
 */
export function gradnorm(metrics: Tensor, stopped: Tensor, partial: Tensor, pages: Tensor[]): Dispatch[] {
  expectShape(`gradnorm: partial (${partial.name})`, partial.shape, [pages.length * PARTIALS_PER_PAGE]);
  return [
    ...pages.map((grad, i) =>
      dispatch(gradnormPartialKernel, { partial, grad }, { count: grad.size, first: i * PARTIALS_PER_PAGE }),
    ),
    dispatch(gradnormTotalKernel, { metrics, stopped, partial }, { count: partial.size, slot: "slot" }),
  ];
}
