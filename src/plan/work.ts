/** What a dispatch computes and moves, as far as it follows from the dispatch; the same for every device. */
import {
  boundTensors,
  type Dispatch,
  findTensor,
  NO_VALUES,
  type Product,
  resolveDims,
  type StepValues,
  scalarAt,
  tensorAt,
  totalWork,
  type Work,
} from "../ops/kernel.ts";
import { LARGEST, WHOLE } from "../ops/shares.ts";
import type { Tensor } from "../tensor.ts";
import type { Segment } from "./plan.ts";

/** The work of a dispatch. Except for products whole tensors count: exact if the batch fills the plan's capacity. */
export function dispatchWork(dispatch: Dispatch, values: StepValues): Work {
  const { products, work } = dispatch.kernel;
  if (products) return productWork(products(dispatch), dispatch, values);
  if (work) return work(resolveDims(dispatch, values), dispatch, values);
  if (work === null) return { flops: null, bytes: null };
  const passes = new Map<Tensor, number>(
    boundTensors(dispatch).map(({ tensor, access }) => [tensor, access === "update" ? 2 : 1]),
  );
  return { flops: null, bytes: [...passes].reduce((sum, [{ bytes }, times]) => sum + times * bytes, 0) };
}

/** Of products: by their sizes, as tensors may be columns of wider ones; of a member with the most rows. */
function productWork(products: readonly Product[], dispatch: Dispatch, values: StepValues): Work {
  const { elementBytes } = tensorAt(dispatch, "b");
  const kind = scalarAt(dispatch, "by_sequence") ? "sequences" : "tokens";
  // The epilogue of a layer reads and writes as much.
  const passes =
    (dispatch.access[0] === "update" ? 2 : 1) + ["act", "inp"].filter((one) => findTensor(dispatch, one)).length;
  const weights = new Set<number>();
  return totalWork(
    products.map((one) => {
      const rows = values[one.member === WHOLE ? kind : LARGEST[kind]];
      const [m, n, k] = [one.m || rows, one.n, one.k || rows];
      const { steps = 0, weights: added = 0 } = one;
      // What all members multiply by is read once.
      const own = one.k > 0 && weights.has(one.b_offset) ? 0 : k * n;
      weights.add(one.b_offset);
      return {
        flops: 2 * m * (n * k + added),
        bytes: 4 * m * (k + steps + n * passes) + elementBytes * own + 4 * added,
      };
    }),
  );
}

/** Operations in the matrix products of one batch, forward and backward, of a plan with one member. */
export function countFlops(segments: readonly Segment[], batch: Pick<StepValues, "tokens" | "sequences">): number {
  const values = { ...NO_VALUES, ...batch, share_tokens: batch.tokens, share_sequences: batch.sequences };
  const flops = segments.flatMap(({ dispatches }) =>
    dispatches.map((dispatch) => dispatchWork(dispatch, values).flops ?? 0),
  );
  return flops.reduce((sum, one) => sum + one, 0);
}
