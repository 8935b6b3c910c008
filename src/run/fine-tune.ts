/** The API of training: the trainer, with a result that can be saved. */

import { absolutePath, withLock } from "#platform";
import { checkArguments, checkOptions, type Kind } from "../arguments.ts";
import type { TrainingData } from "../data/texts.ts";
import { ConfigError } from "../errors.ts";
import { fingerprint } from "../io/fingerprint.ts";
import { recover } from "../io/recover.ts";
import type { TrainResult } from "../train/records.ts";
import { type FineTuneArguments, train } from "../train/trainer.ts";
import { runConfig, saveRun } from "./directory.ts";
import { refuseExisting } from "./files.ts";

/** Options of `FineTuneRun.save`. */
export interface SaveOptions {
  /** Replaces another run in this directory. */
  force?: boolean;
}

/** A run's results, and how to save it. */
export interface FineTuneRun extends TrainResult {
  /**
   * Writes a run directory atomically, for `Classifier.load` and `LanguageModel.load`. The directory must not exist, must be
   * empty, or must hold this run from an earlier `save`. With `force`, another run is replaced. Files that do not belong to a
   * run are not touched. Throws ConfigError if the directory holds anything else. Returns whether PEFT can load its adapter/
   * directory, or the reason why it cannot.
   */
  save(directory: string, options?: SaveOptions): Promise<{ peft: boolean; reason?: string }>;
}

/** Additional files to save with a run: its charts. */
export type Draw = (result: TrainResult, data: TrainingData) => Iterable<[name: string, content: string]>;

/** Fine-tunes as `train` does. */
export async function fineTune(args: FineTuneArguments, draw: Draw): Promise<FineTuneRun> {
  const result = await train(args);
  // `save` needs it, and the model may be closed before.
  await fingerprint(args.model);
  return withSave(result, args, draw);
}

/** A run that can be saved. */
export function withSave(
  result: TrainResult,
  { model, data }: Pick<FineTuneArguments, "model" | "data">,
  draw: Draw,
): FineTuneRun {
  const savedIn = new Set<string>();
  const save = async (directory: string, options: SaveOptions = {}) => {
    checkArguments({ directory }, { directory: "text" });
    checkOptions("options", options, { force: "boolean?" } satisfies Record<keyof SaveOptions, Kind>);
    const { force = false } = options;
    const path = absolutePath(directory);
    const config = await runConfig(model, data, result.options);
    await recover(directory);
    const replace = force || savedIn.has(path);
    const work = async (check: () => Promise<void>) => {
      await refuseExisting(directory, replace, "give { force: true } to replace it");
      return saveRun(directory, config, result, data, draw(result, data), { replace, check });
    };
    const saved = await withLock(directory, work, () => {
      throw new ConfigError("another run is using this directory", { where: directory });
    });
    savedIn.add(path);
    return saved;
  };
  return { ...result, save };
}
