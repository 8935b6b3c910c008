/** The parts of a sweep, for machines that know nothing of each other: each works out the same division. */

import { LowrankError } from "../core/errors.ts";
import type { TrainingData } from "../data/training-data.ts";
import type { BaseModel } from "../io/hf.ts";
import { countOperations } from "../train/estimate.ts";
import type { Cell, Trial } from "./grid.ts";

/** The work of one part: a trial, or a further seed at the rate chosen. A trial of several cells is listed once. */
function listUnits(cells: readonly Cell[]): Trial[][] {
  const seen = new Set<string>();
  const units: Trial[][] = [];
  const take = (trials: readonly Trial[]) => {
    const fresh = trials.filter(({ key }) => !seen.has(key));
    for (const { key } of fresh) seen.add(key);
    if (fresh.length > 0) units.push(fresh);
  };
  for (const { rates } of cells) {
    for (const [first] of rates) take([first!]);
    for (let seed = 1; seed < rates[0]!.length; seed++) take(rates.map((trials) => trials[seed]!));
  }
  return units;
}

/**
 * The part, from 1 to `count`, of each trial that may be run, by its key: the costliest first, each to the part with
 * the least to do, and in the sweep's order where costs are equal. It does not depend on which trials are finished, nor
 * on the rates that are chosen.
 */
export function divide(
  cells: readonly Cell[],
  count: number,
  trialCost: (trial: Trial) => number,
): ReadonlyMap<string, number> {
  const units = listUnits(cells).map((trials) => ({ trials, cost: trialCost(trials[0]!) }));
  // More parts than that stay empty.
  const loads = new Array<number>(Math.min(count, units.length)).fill(0);
  const parts = new Map<string, number>();
  for (const { trials, cost } of units.sort((a, b) => b.cost - a.cost)) {
    const least = loads.indexOf(loads.reduce((a, b) => Math.min(a, b)));
    loads[least]! += cost;
    for (const { key } of trials) parts.set(key, least + 1);
  }
  return parts;
}

/** Without settings that change neither time nor memory: trials of one shape are estimated once. */
function trialShape({ model, options: { seed: _, alpha: __, lr: ___, ...shape } }: Trial): string {
  return JSON.stringify([model, shape]);
}

/** The result of `make` for a trial, made once for each shape. */
export function oncePerShape<T>(make: (trial: Trial) => T): (trial: Trial) => T {
  const known = new Map<string, T>();
  return (trial) => {
    const shape = trialShape(trial);
    if (!known.has(shape)) known.set(shape, make(trial));
    return known.get(shape)!;
  };
}

/** The estimated operations of a trial. One that cannot start, and fails when it is run, costs next to nothing. */
export function costsIn(
  dataOf: (model: string) => TrainingData,
  findModel: (name: string) => BaseModel,
): (trial: Trial) => number {
  return oncePerShape((trial) => {
    try {
      return countOperations({ model: findModel(trial.model), data: dataOf(trial.model), ...trial.options });
    } catch (error) {
      if (error instanceof LowrankError) return 1;
      throw error;
    }
  });
}
