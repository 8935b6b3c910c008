/** Lowrank's public API in Node. browser.ts is its counterpart for pages. */
import { type FineTuneRun, fineTune as fineTuneWith } from "./run/fine-tune.ts";
import type { FineTuneArguments } from "./train/trainer.ts";

export * from "./api.ts";
export { loadDataset } from "./data/datasets.ts";
export { loadTexts } from "./data/texts.ts";

/**
 * Fine-tunes GPT-2: as a text classifier on data from `loadDataset`, as a language model on data from `loadTexts`.
 * Deterministic: the same device, data and options give the same bits. `save` also writes charts.
 * Throws ConfigError or DataError before anything is allocated, DeviceError if the plan does not fit or the device fails,
 * and RunFailed (a TrainingError with the last good tensors) if loss or gradients are not finite.
 *
 * @example
 * ```ts
 * import { fineTune, loadDataset, loadModel, openDevice } from "lowrank";
 *
 * const device = await openDevice();
 * const model = await loadModel("gpt2-micro");
 * const data = await loadDataset({ name: "spam" }, { model });
 * const run = await fineTune({ device, model, data, mode: "lora", rank: 8, epochs: 3 });
 * console.log(`test accuracy: ${run.after?.test.accuracy}`);
 * await run.save("runs/first");
 * ```
 */
export async function fineTune(args: FineTuneArguments): Promise<FineTuneRun> {
  const { runCharts } = await import("./run/charts.ts");
  return fineTuneWith(args, runCharts);
}
