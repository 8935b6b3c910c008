/** Lowrank's public API in Node. browser.ts is its counterpart for pages. */
import { type FineTuneArguments, type FineTuneRun, fineTune as fineTuneWith } from "./run/fine-tune.ts";
import { type FineTuneManyArguments, fineTuneMany as fineTuneManyWith } from "./run/fine-tune-many.ts";
import { runFiles } from "./views/run-files.ts";

export * from "./api.ts";
export { loadDataset } from "./data/datasets.ts";
export { loadTagged } from "./data/tagged.ts";
export { loadTexts } from "./data/texts.ts";

/**
 * Fine-tunes GPT-2: as a text classifier on data from `loadDataset`, as a token classifier on data from
 * `loadTagged`, as a language model on data from `loadTexts`.
 * Deterministic: the same device, data and options give the same bits. `save` also writes charts.
 * Throws ConfigError or DataError before anything is allocated, DeviceError if the plan does not fit or the device
 * fails, and RunFailed (a TrainingError with the last good tensors) if loss or gradients are not finite.
 *
 * @example
 * ```ts
 * import { fineTune, loadDataset, loadModel, openDevice } from "lowrank";
 *
 * const device = await openDevice();
 * const model = await loadModel("gpt2-micro");
 * const data = await loadDataset({ name: "spam" }, { model });
 * const run = await fineTune({ device, model, data, rank: 8, epochs: 3, save: "runs/first" });
 * console.log(`test accuracy: ${run.results?.after.test.accuracy}`);
 * ```
 */
export async function fineTune(args: FineTuneArguments): Promise<FineTuneRun> {
  return fineTuneWith(args, runFiles);
}

/**
 * Fine-tunes several runs on the same model and data, such as the settings of a comparison, at the same time where that
 * is faster: on the CPU each on threads of its own, on WebGPU those with LoRA and the same type of frozen weights in
 * one batch, as many as fit into memory. The others are trained one after the other. Each has the bits of `fineTune`
 * with its settings alone. Resolves when all have ended, with what became of each, in the order of `runs`: one that
 * fails leaves the others as they are, and those that `signal` ends after their first step have `aborted` set. A run's
 * `seconds` are its share of the time. Where runs differ only in their seed, `record.seeds` of each has what all have
 * reached, with mean and spread.
 * Throws ConfigError or DataError, with the run's index, before anything is allocated.
 *
 * @example
 * ```ts
 * import { fineTuneMany, loadDataset, loadModel, openDevice } from "lowrank";
 *
 * const device = await openDevice();
 * const model = await loadModel("gpt2-micro");
 * const data = await loadDataset({ name: "spam" }, { model });
 * const ranks = [1, 4, 16];
 * const runs = await fineTuneMany({ device, model, data, runs: ranks.map((rank) => ({ rank, alpha: 2 * rank })) });
 * for (const [i, run] of runs.entries())
 *   if (run.status === "fulfilled") await run.value.save(`runs/rank-${ranks[i]}`);
 *   else console.error(`rank ${ranks[i]}: ${run.reason}`);
 * ```
 */
export async function fineTuneMany(args: FineTuneManyArguments): Promise<PromiseSettledResult<FineTuneRun>[]> {
  return fineTuneManyWith(args, runFiles);
}
