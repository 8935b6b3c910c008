/**
 * Lowrank's public API in a page. The code for training and for reading data is imported on demand, so that a page that only
 * classifies does not load it.
 */
import type { DatasetOptions, DatasetSpec, LoadedDataset } from "./data/datasets.ts";
import type { LoadedTexts, TextsOptions, TextsSpec } from "./data/texts.ts";
import type { FineTuneRun } from "./run/fine-tune.ts";
import type { FineTuneArguments } from "./train/trainer.ts";

export * from "./api.ts";

/** Reads, splits and encodes messages: see `loadDataset` in data/datasets.ts. */
export async function loadDataset(spec: DatasetSpec, options?: DatasetOptions): Promise<LoadedDataset> {
  return (await import("./data/datasets.ts")).loadDataset(spec, options);
}

/** Reads texts for a language model: see `loadTexts` in data/texts.ts. */
export async function loadTexts(spec: TextsSpec, options?: TextsOptions): Promise<LoadedTexts> {
  return (await import("./data/texts.ts")).loadTexts(spec, options);
}

/** Fine-tunes GPT-2 as in Node. `save` writes no charts. */
export async function fineTune(args: FineTuneArguments): Promise<FineTuneRun> {
  return (await import("./run/fine-tune.ts")).fineTune(args, () => []);
}
