/** A run for programs: the trainer, with its result ready to be saved. */

import type { TrainResult } from "./records.ts";
import { refuseExisting, runConfig, saveRun } from "./run-directory.ts";
import { type FineTuneArguments, fineTune as train } from "./trainer.ts";

export interface FineTuneRun extends TrainResult {
  /**
   * Writes a run directory, whole or not at all, which `Classifier.load` reads; a run that is there already is replaced,
   * anything else refused. Returns whether PEFT can load its adapter/ directory, or why not.
   */
  save(directory: string): Promise<{ peft: boolean; reason?: string }>;
}

/** What draws a run's charts, as files of its directory. */
export type DrawCharts = (result: TrainResult) => Iterable<[name: string, content: string]>;

/** Fine-tunes as `fineTune` does; the run is saved with what `draw` makes of it. */
export async function fineTuneWith(draw: DrawCharts, args: FineTuneArguments): Promise<FineTuneRun> {
  const result = await train(args);
  const save = async (directory: string) => {
    await refuseExisting(directory, true);
    return saveRun(directory, await runConfig(args.model, args.data, result.options), result, draw(result));
  };
  return { ...result, save };
}
