import { expectShape, type Tensor } from "../tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, type Fields } from "./kernel.ts";
import { jobTable } from "./shares.ts";

/** Partial sums of a chunk: the invocations of a workgroup. */
export const LANES = 64;

/** Gradients in a chunk: enough to be worth a workgroup, and enough that there are at most 1024 chunks. */
const chunkSize = (count: number) => Math.max(4096, LANES * ceilDiv(count, 1024 * LANES));

/** Number of partial sums of a page of gradients. */
export const countPartials = ({ size }: Tensor) => LANES * ceilDiv(size, chunkSize(size));

const PARTIAL_JOB = { at: "u32", count: "u32", first: "u32", chunk: "u32" } as const satisfies Fields;

export const gradnormPartialKernel = defineKernel(
  "gradnorm_partial",
  { partial: "update", grad: "read", jobs: "read Job" },
  { chunks: "u32", count: "u32" },
  ({ chunks, count }) => [chunks, 1, count],
  "partials, gradients, entries words",
  { job: PARTIAL_JOB, jobOffsets: { at: ["grad"], first: ["partial"] } },
);

const TOTAL_JOB = { member: "u32", first: "u32", count: "u32" } as const satisfies Fields;

export const gradnormTotalKernel = defineKernel(
  "gradnorm_total",
  { metrics: "update vec4f", stopped: "update u32", partial: "read", jobs: "read Job" },
  { count: "u32", slots: "u32", slot: "u32" },
  ({ count }) => [1, 1, count],
  "results 4, members, partials, entries words",
  { job: TOTAL_JOB, jobOffsets: { first: ["partial"] } },
);

/**
 * Each member's row `slot` of metrics: z = the norm of its gradient pages, w = 1 if finite; stopped [members] becomes 1
 * for a member whose norm or loss is not finite. `pages` lists them by member; metrics [members slots, 4]; partial [sum
 * of countPartials(page)] is scratch.
 */
export function gradnorm(
  metrics: Tensor,
  stopped: Tensor,
  partial: Tensor,
  pages: readonly (readonly Tensor[])[],
): Dispatch[] {
  const sums = new Map<Tensor, Record<keyof typeof PARTIAL_JOB, number>[]>();
  let first = 0;
  const totals = pages.map((own, member) => {
    const begin = first;
    for (const grad of own) {
      const job = { at: grad.offset, count: grad.size, first, chunk: chunkSize(grad.size) };
      sums.set(grad.root, [...(sums.get(grad.root) ?? []), job]);
      first += countPartials(grad);
    }
    return { member, first: begin, count: first - begin };
  });
  expectShape(`gradnorm: partial (${partial.name})`, partial.shape, [first]);
  expectShape(`gradnorm: stopped (${stopped.name})`, stopped.shape, [pages.length]);
  return [
    ...[...sums].map(([grad, jobs]) =>
      dispatch(
        gradnormPartialKernel,
        { partial, grad, jobs: jobTable(gradnormPartialKernel, PARTIAL_JOB, jobs) },
        { chunks: Math.max(...jobs.map(({ count, chunk }) => ceilDiv(count, chunk))), count: jobs.length },
      ),
    ),
    dispatch(
      gradnormTotalKernel,
      { metrics, stopped, partial, jobs: jobTable(gradnormTotalKernel, TOTAL_JOB, totals) },
      { count: totals.length, slots: metrics.shape[0]! / pages.length, slot: "slot" },
    ),
  ];
}
