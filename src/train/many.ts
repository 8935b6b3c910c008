/** Several runs on one device. All have the same bits as alone. */
import { type CommonArguments, divideRuns, type OwnArguments, trainGroup } from "./group.ts";
import { Pool } from "./pool.ts";
import type { TrainResult } from "./records.ts";
import { train } from "./trainer.ts";

/**
 * Trains runs at the same time where that is faster: on the CPU each on threads of its own, on WebGPU those that can share a plan in one
 * batch. The others are trained one after the other. Each is settled by itself, in the order of `runs`: one that fails leaves the others as
 * they are.
 */
export async function trainMany(
  common: CommonArguments,
  runs: readonly OwnArguments[],
): Promise<PromiseSettledResult<TrainResult>[]> {
  const pool = await Pool.open(common, runs);
  if (pool)
    try {
      return await Promise.allSettled(runs.map((run) => pool.turn((trainOnPart) => trainOnPart(run))));
    } finally {
      pool.close();
    }
  const settled = new Array<PromiseSettledResult<TrainResult>>(runs.length);
  for (const { runs: group } of divideRuns(common, runs)) {
    const some = group.map((i) => runs[i]!);
    const trained =
      some.length === 1
        ? [train({ ...common, ...some[0]! })]
        : await trainGroup(common, some).catch((error) => some.map(() => Promise.reject(error)));
    for (const [i, one] of (await Promise.allSettled(trained)).entries()) settled[group[i]!] = one;
  }
  return settled;
}

/** Which runs are trained at the same time as the first. */
export async function atOnce(common: CommonArguments, runs: readonly OwnArguments[]): Promise<number[]> {
  const size = await Pool.sizeFor(common, runs);
  if (size !== null) return [...runs.keys()].slice(0, size);
  return divideRuns(common, runs).find((group) => group.runs.includes(0))!.runs;
}

/** Trains runs that `atOnce` gave. Resolves when they have begun, with a promise for each. */
export async function trainAtOnce(
  common: CommonArguments,
  runs: readonly OwnArguments[],
): Promise<Promise<TrainResult>[]> {
  const pool = await Pool.open(common, runs);
  if (!pool) return trainGroup(common, runs);
  const trained = runs.map((run) => pool.turn((trainOnPart) => trainOnPart(run)));
  void Promise.allSettled(trained).then(() => pool.close());
  return trained;
}
