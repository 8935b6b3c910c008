/** What a dispatch computes and moves, as far as it follows from the dispatch; the same for every device. */
import { boundTensors, type Dispatch, NO_VALUES, resolveDims, type StepValues, type Work } from "../ops/kernel.ts";
import type { Tensor } from "../tensor.ts";
import type { Segment } from "./plan.ts";

/** The work of a dispatch. Except for products whole tensors count: exact if the batch fills the plan's capacity. */
export function dispatchWork(dispatch: Dispatch, values: StepValues): Work {
  const { work } = dispatch.kernel;
  if (work) return work(resolveDims(dispatch, values), dispatch, values);
  if (work === null) return { flops: null, bytes: null };
  const passes = new Map<Tensor, number>(
    boundTensors(dispatch).map(({ tensor, access }) => [tensor, access === "update" ? 2 : 1]),
  );
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
