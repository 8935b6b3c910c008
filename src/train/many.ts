/** Several runs on one device. */
import { type CommonArguments, divideRuns, type OwnArguments, trainGroup } from "./group.ts";
import { Pool } from "./pool.ts";
import type { TrainResult } from "./records.ts";
import { train } from "./trainer.ts";

/**
 * Trains runs at the same time where that is faster: on the CPU each on threads of its own, on a GPU those that can share a plan in one
 * batch. The others are trained one after the other. All have the same bits as alone. Each is settled by itself, in the order of `runs`:
 * one that fails leaves the others as they are.
 */
export async function trainMany(
  common: CommonArguments,
  runs: readonly OwnArguments[],
): Promise<PromiseSettledResult<TrainResult>[]> {
  const settled = new Array<PromiseSettledResult<TrainResult>>(runs.length);
  const settle = async (indices: readonly number[], trained: readonly Promise<TrainResult>[]) => {
    for (const [i, one] of (await Promise.allSettled(trained)).entries()) settled[indices[i]!] = one;
  };
  const pool = await Pool.open(common, runs);
  if (pool) {
    try {
      await pool.each([...runs.keys()], (i, trainOnPart) => settle([i], [trainOnPart(runs[i]!)]));
    } finally {
      pool.close();
    }
    return settled;
  }
  for (const { runs: group } of divideRuns(common, runs)) {
    const some = group.map((i) => runs[i]!);
    const trained =
      some.length === 1
        ? [train({ ...common, ...some[0]! })]
        : await trainGroup(common, some).catch((error) => some.map(() => Promise.reject(error)));
    await settle(group, trained);
  }
  return settled;
}
