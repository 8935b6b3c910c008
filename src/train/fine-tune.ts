/** Fine-tuning for programs in Node: what is saved has charts. */
import { runCharts } from "./run-charts.ts";
import { type FineTuneRun, fineTuneWith } from "./saved-run.ts";
import type { FineTuneArguments } from "./trainer.ts";

export type { FineTuneRun };

/**
 * Fine-tunes a GPT-2: as a text classifier on what `loadDataset` gives, as a language model on what `loadTexts` gives.
 * Deterministic: the same device, data and options give the same bits.
 * Throws ConfigError or DataError before anything is allocated, DeviceError where the plan does not fit or the device
 * fails, and RunFailed (a TrainingError that carries the last good tensors) where loss or gradients are not finite.
 */
export function fineTune(args: FineTuneArguments): Promise<FineTuneRun> {
  return fineTuneWith(runCharts, args);
}
