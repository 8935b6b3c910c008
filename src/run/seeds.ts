/** Runs that differ only in their seed: what each has reached, and which one is kept. */
import { meanInterval, summarize } from "../statistics.ts";
import { readEvaluated } from "../tasks/compare.ts";
import type { Objective } from "../tasks/index.ts";
import { TRAINING } from "../tasks/training.ts";
import { lowestLoss } from "../train/best.ts";
import type { RunRecord, SeedResult, Seeds } from "./record.ts";

type MeasuredSeed = Required<Omit<SeedResult, "error">>;

/** Consecutive seeds from this one on, before anything is known of them. */
export function listSeeds(first: number, count: number): Seeds {
  return { runs: Array.from({ length: count }, (_, i) => ({ seed: first + i })) };
}

/** Whether several runs differ in their seed, and in no other setting. */
export function differInSeed(records: readonly RunRecord[]): boolean {
  const seeds = new Set(records.map(({ options }) => options.seed));
  const others = new Set(records.map(({ options }) => JSON.stringify({ ...options, seed: 0 })));
  return records.length > 1 && seeds.size === records.length && others.size === 1;
}

/** What a run has reached. */
export function seedResult({ options: { seed }, results, seconds }: RunRecord): SeedResult {
  return results ? { seed, val: results.after.val, test: results.after.test, seconds } : { seed };
}

function measuredSeeds(runs: readonly SeedResult[]): MeasuredSeed[] {
  return runs.filter((one): one is MeasuredSeed => one.test !== undefined);
}

/** The one that is kept: the test set chooses nothing. undefined: none has ended. */
export function bestSeed(runs: readonly SeedResult[]): MeasuredSeed | undefined {
  const measured = measuredSeeds(runs);
  return lowestLoss(measured, ({ val }) => val.loss) ?? measured[0];
}

/** The mean and the spread of several runs' test figures. */
export function gatherSeeds(objective: Objective, runs: SeedResult[]): Seeds {
  const [judged] = TRAINING[objective].measures;
  const measured = measuredSeeds(runs).map(({ test }) => readEvaluated(judged, test));
  const summary = summarize(measured);
  return measured.length < 2 ? { runs } : { runs, test: { ...summary, interval: meanInterval(summary) } };
}
