/** Which trials cannot be made, before any is trained. */
import type { Backend } from "../backend/backend.ts";
import { LowrankError } from "../core/errors.ts";
import type { TrainingData } from "../data/training-data.ts";
import type { BaseModel } from "../io/hf.ts";
import { prepareRun } from "../train/prepare.ts";
import type { Trial } from "./grid.ts";
import { oncePerShape } from "./shards.ts";

/** A device, and the models and data by the models' names. */
interface CheckedWith {
  device: Backend;
  dataOf: (model: string) => TrainingData;
  findModel: (model: string) => BaseModel;
}

/**
 * Why trials cannot be made on this device, by their keys: settings that do not fit their model or the data, another
 * vocabulary, too little memory. Throws the first reason if there is one for each trial: then nothing is to be run.
 */
export function checkTrials(
  trials: readonly Trial[],
  { device, dataOf, findModel }: CheckedWith,
): Map<string, LowrankError> {
  const reasonAgainst = oncePerShape(({ model, options }) => {
    try {
      prepareRun({ device, model: findModel(model), data: dataOf(model), ...options });
      return undefined;
    } catch (error) {
      if (error instanceof LowrankError) return error;
      throw error;
    }
  });
  const failed = new Map<string, LowrankError>();
  for (const trial of trials) {
    const reason = reasonAgainst(trial);
    if (reason) failed.set(trial.key, reason);
  }
  if (trials.length > 0 && failed.size === trials.length) throw failed.get(trials[0]!.key);
  return failed;
}
