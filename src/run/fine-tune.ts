/** The API of training: the trainer, with a result that can be saved. */

import { absolutePath } from "#platform";
import { checkArguments, checkOptions, type FieldKind } from "../checks.ts";
import { completeOptions, type RunArguments } from "../train/prepare.ts";
import type { TrainResult } from "../train/records.ts";
import { COMMON_ARGUMENTS, OPTIONS, OWN_ARGUMENTS, type TrainArguments, train } from "../train/trainer.ts";
import type { RunViews } from "./directory.ts";
import { refuseExisting } from "./files.ts";
import { LiveRun } from "./live-run.ts";
import { newRecord, type RunRecord } from "./record.ts";
import { pickSettings } from "./settings.ts";

/** Where a run is saved by itself. */
export interface SavedRun {
  /**
   * A run directory, which is made when training begins, and has the whole run when it ends, as by `FineTuneRun.save`.
   * ConfigError is thrown before training if it cannot be created or holds anything, such as another run in progress.
   */
  save?: string;
}

/** The arguments of `fineTune`, with the settings of `TrainOptions`. */
export interface FineTuneArguments extends TrainArguments, SavedRun {}

/** Options of `FineTuneRun.save`. */
export interface SaveOptions {
  /** Replaces another run in this directory. */
  force?: boolean;
}

/** A run's results, its record, and how to save it. */
export interface FineTuneRun extends TrainResult {
  /** The run as plain JSON, as `save` writes it into run.json. */
  record: RunRecord;
  /**
   * Writes a run directory atomically, for `Classifier.load` and `LanguageModel.load`. The directory must not exist,
   * must be empty, or must hold this run from an earlier `save`. With `force`, another run is replaced. Throws
   * ConfigError if the directory holds anything else. Returns whether PEFT can load its adapter/ directory, or the
   * reason why it cannot.
   */
  save(directory: string, options?: SaveOptions): Promise<{ peft: boolean; reason?: string }>;
}

type ModelAndData = Pick<FineTuneArguments, "model" | "data">;

const KINDS: Record<string, FieldKind> = { ...COMMON_ARGUMENTS, ...OWN_ARGUMENTS, ...OPTIONS, save: "text?" };

/** Fine-tunes as `train` does. */
export async function fineTune(args: FineTuneArguments, views: RunViews): Promise<FineTuneRun> {
  checkOptions("args", args, KINDS);
  const { save, ...training } = args;
  const live = await follow(training, save);
  return endSaved(train({ ...training, onEvent: live.callbacks.onEvent }), live, args, views);
}

/**
 * A run whose events are folded into its record, and passed on. Throws ConfigError if it cannot be saved in the
 * directory `save`, which is made.
 */
export async function follow(
  args: RunArguments & Pick<TrainArguments, "onEvent">,
  save: string | undefined,
): Promise<LiveRun> {
  // Before training, as the model may be closed when it ends.
  const { device, model, data, adapter, featureBudget: _, onEvent, ...rest } = args;
  const { data: _d, model: _m, adapter: _a, ...settings } = pickSettings({ ...rest });
  const options = completeOptions({ device, model, data, ...(adapter ? { adapter } : {}), ...settings });
  if (save !== undefined)
    await refuseExisting(save, false, "save it with run.save(directory, { force: true }) to replace it");
  const record = await newRecord(args, settings, options);
  // Checkpoints are the caller's.
  const live = new LiveRun(save ?? "", record, onEvent ? { onEvent } : {});
  if (save !== undefined) await live.begin();
  return live;
}

/** A run that can be saved, and has been if it has a directory. One that has failed leaves nothing there. */
export async function endSaved(
  trained: Promise<TrainResult>,
  live: LiveRun,
  { data }: Pick<ModelAndData, "data">,
  views: RunViews,
): Promise<FineTuneRun> {
  const result = await trained.catch(async (error) => {
    await live.leave();
    throw error;
  });
  const savedIn = new Set<string>();
  if (live.directory !== "") {
    await live.end(result, data, views);
    savedIn.add(absolutePath(live.directory));
  }
  const save = async (directory: string, options: SaveOptions = {}) => {
    checkArguments({ directory }, { directory: "text" });
    checkOptions("options", options, { force: "boolean?" } satisfies Record<keyof SaveOptions, FieldKind>);
    const path = absolutePath(directory);
    const replace = (options.force ?? false) || savedIn.has(path);
    await refuseExisting(directory, replace, "give { force: true } to replace it");
    await live.save(directory, result, data, views, replace);
    savedIn.add(path);
    const { peftObstacle } = live.record;
    return peftObstacle === null ? { peft: true } : { peft: false, reason: peftObstacle };
  };
  return { ...result, record: live.record, save };
}
