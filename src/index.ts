/** Lowrank's public API in Node; browser.ts is the same in a page. */
import { runCharts } from "./run/charts.ts";
import { type FineTuneRun, fineTune as fineTuneWith } from "./run/fine-tune.ts";
import type { FineTuneArguments } from "./train/trainer.ts";

export * from "./api.ts";
export { loadDataset } from "./data/datasets.ts";
export { loadTexts } from "./data/texts.ts";

/**
 * Fine-tunes a GPT-2: as a text classifier on what `loadDataset` gives, as a language model on what `loadTexts` gives.
 * Deterministic: the same device, data and options give the same bits. A run is saved with its charts.
 * Throws ConfigError or DataError before anything is allocated, DeviceError where the plan does not fit or the device
 * fails, and RunFailed (a TrainingError that carries the last good tensors) where loss or gradients are not finite.
 */
export function fineTune(args: FineTuneArguments): Promise<FineTuneRun> {
  return fineTuneWith(args, runCharts);
}
