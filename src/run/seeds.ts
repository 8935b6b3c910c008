/** Runs that differ only in their seed: what each has reached, and which one is kept. */
import type { Evaluation } from "../engine/evaluate.ts";
import { type Interval, meanInterval, type Summary, summarize } from "../statistics.ts";
import { lowestLoss } from "../train/records.ts";
import type { RunRecord, SeedResult } from "./record.ts";

/** One that has ended. */
export type MeasuredSeed = Required<Omit<SeedResult, "error">>;

/** Consecutive seeds from this one on, before anything is known of them. */
export function listSeeds(first: number, count: number): SeedResult[] {
  return Array.from({ length: count }, (_, i) => ({ seed: first + i }));
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

/** Those that have ended. */
export function measuredSeeds(seeds: readonly SeedResult[]): MeasuredSeed[] {
  return seeds.filter((one): one is MeasuredSeed => one.test !== undefined);
}

/** The one that is kept: the test set chooses nothing. undefined: none has ended. */
export function bestSeed(seeds: readonly SeedResult[]): MeasuredSeed | undefined {
  const measured = measuredSeeds(seeds);
  return lowestLoss(measured, ({ val }) => val.loss) ?? measured[0];
}

/**
 * A measure on the test set over the seeds that have ended, two or more: mean, standard deviation, and Student's 95 %
 * interval of the mean. It says nothing of other test rows.
 *
 * @example
 * ```ts
 * import { type RunRecord, summarizeSeeds } from "lowrank";
 *
 * declare const record: RunRecord; // of a run of fineTuneMany whose runs differ only in their seed
 * const { mean, sd, interval } = summarizeSeeds(record.seeds!, ({ accuracy }) => accuracy);
 * console.log(`${mean} (${interval.low} to ${interval.high}), standard deviation ${sd}`);
 * ```
 */
export function summarizeSeeds(
  seeds: readonly SeedResult[],
  of: (evaluation: Evaluation) => number,
): Summary & { interval: Interval } {
  const summary = summarize(measuredSeeds(seeds).map(({ test }) => of(test)));
  return { ...summary, interval: meanInterval(summary) };
}
