/** Fine-tuning for programs: the trainer, with its result ready to be saved. */

import type { TrainResult } from "./records.ts";
import { runConfig, saveRun } from "./run-directory.ts";
import { type FineTuneArguments, fineTune as train } from "./trainer.ts";

export interface FineTuneRun extends TrainResult {
  /**
   * Writes a run directory, whole or not at all, which `Classifier.load` reads; a run that is there already is replaced,
   * anything else refused. Returns whether PEFT can load its adapter/ directory, or why not.
   */
  save(directory: string): Promise<{ peft: boolean; reason?: string }>;
}

/**
 * Fine-tunes a GPT-2 as a text classifier. Deterministic: the same device, data and options give the same bits.
 * Throws ConfigError or DataError before anything is allocated, DeviceError where the plan does not fit or the device
 * fails, and RunFailed (a TrainingError that carries the last good tensors) where loss or gradients are not finite.
 */
export async function fineTune(args: FineTuneArguments): Promise<FineTuneRun> {
  const result = await train(args);
  const config = runConfig(args.model, args.data, result.options);
  return { ...result, save: (directory) => saveRun(directory, config, result) };
}
