/** Operations and bytes of a dispatch, as far as they follow from the dispatch; the same for every device. */

import type { Tensor } from "../core/tensor.ts";
import {
  boundTensors,
  type Dispatch,
  findTensor,
  NO_VALUES,
  type Product,
  resolveDims,
  type StepValues,
  tensorAt,
  totalWork,
  type Work,
} from "../ops/kernel.ts";
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

/** Of products: by their sizes, as tensors may be columns of wider ones. */
function productWork(products: readonly Product[], dispatch: Dispatch, values: StepValues): Work {
  const { elementBytes } = tensorAt(dispatch, "b");
  const dims = resolveDims(dispatch, values);
  const [m, n] = [dims.m!, dims.n!];
  // The epilogue of a layer reads and writes as much.
  const passes =
    (dispatch.access[0] === "update" ? 2 : 1) + ["act", "inp"].filter((name) => findTensor(dispatch, name)).length;
  return totalWork(
    products.map(({ k, steps = 0, weights: added = 0 }) => {
      const depth = k || dims.k!;
      return {
        flops: 2 * m * (n * depth + added),
        bytes: 4 * m * (depth + steps + n * passes) + elementBytes * depth * n + 4 * added,
      };
    }),
  );
}

/** Operations in the matrix products of one batch, forward and backward. */
export function countFlops(segments: readonly Segment[], batch: Pick<StepValues, "tokens" | "sequences">): number {
  const values = { ...NO_VALUES, ...batch };
  const flops = segments.flatMap(({ dispatches }) =>
    dispatches.map((dispatch) => dispatchWork(dispatch, values).flops ?? 0),
  );
  return flops.reduce((sum, count) => sum + count, 0);
}
