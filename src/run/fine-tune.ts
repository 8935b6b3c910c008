/** The API of training: the trainer, with a result that can be saved. */

import { absolutePath, withLock } from "#platform";
import { checkArguments, checkOptions, type Kind } from "../arguments.ts";
import { ConfigError, LowrankError } from "../errors.ts";
import { recover } from "../io/recover.ts";
import type { Check } from "../platform/reader.ts";
import { completeOptions, type RunArguments } from "../train/prepare.ts";
import type { TrainResult } from "../train/records.ts";
import {
  COMMON_ARGUMENTS,
  OPTIONS,
  OWN_ARGUMENTS,
  type FineTuneArguments as TrainArguments,
  train,
} from "../train/trainer.ts";
import type { RunViews } from "./directory.ts";
import { refuseExisting, saveSomewhere } from "./files.ts";
import { LiveRun } from "./live-run.ts";
import { newRecord, type RunRecord } from "./record.ts";
import { pickSettings } from "./settings.ts";

/** Where a run is saved by itself. */
export interface SavedRun {
  /**
   * A run directory that is written when the run ends, as by `FineTuneRun.save`. Before training, ConfigError is thrown
   * if it cannot be created, holds anything, or is another run's that is in progress. What cannot be saved there in the
   * end (a full disk) is saved beside it, and the error says where.
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
   * must be empty, or must hold this run from an earlier `save`. With `force`, another run is replaced. Files that do
   * not belong to a run are not touched. Throws ConfigError if the directory holds anything else. Returns whether PEFT
   * can load its adapter/ directory, or the reason why it cannot.
   */
  save(directory: string, options?: SaveOptions): Promise<{ peft: boolean; reason?: string }>;
}

type Materials = Pick<FineTuneArguments, "model" | "data">;

const KINDS: Record<string, Kind> = { ...COMMON_ARGUMENTS, ...OWN_ARGUMENTS, ...OPTIONS, save: "text?" };

/** Fine-tunes as `train` does. */
export async function fineTune(args: FineTuneArguments, views: RunViews): Promise<FineTuneRun> {
  checkOptions("args", args, KINDS);
  const { save, ...training } = args;
  return reserve([save], async ([saved]) => {
    const live = await follow(training);
    const result = await train({ ...training, onEvent: live.callbacks.onEvent });
    await saved?.(result, live, args, views);
    return withSave(result, live, args, views, save);
  });
}

/** A run whose events are folded into its record, and passed on. */
export async function follow(args: RunArguments & Pick<TrainArguments, "onEvent">): Promise<LiveRun> {
  // Before training, as the model may be closed when it ends.
  const { device, model, data, adapter, featureBudget: _, onEvent, ...rest } = args;
  const { data: _d, model: _m, adapter: _a, ...settings } = pickSettings({ ...rest });
  const options = completeOptions({ device, model, data, ...(adapter ? { adapter } : {}), ...settings });
  const record = await newRecord(args, settings, options);
  // Checkpoints are the caller's: it has no directory of its own.
  return new LiveRun("", record, onEvent ? { onEvent } : {});
}

/** Saves a run in the directory that was reserved for it. */
type SaveReserved = (result: TrainResult, live: LiveRun, materials: Materials, views: RunViews) => Promise<void>;

/** Holds the directories of the runs to be saved while `work` trains them. Throws ConfigError if one is in use. */
export async function reserve<T>(
  directories: readonly (string | undefined)[],
  work: (saves: (SaveReserved | undefined)[]) => Promise<T>,
): Promise<T> {
  const [first, ...rest] = directories;
  if (directories.length === 0) return work([]);
  const reserveRest = (save?: SaveReserved) => reserve(rest, (saves) => work([save, ...saves]));
  if (first === undefined) return reserveRest();
  const hint = "save it with run.save(directory, { force: true }) to replace it";
  return lockFree(first, false, hint, (check) =>
    reserveRest(async (result, live, { data }, views) => {
      const { place, failure } = await saveSomewhere(first, (directory) =>
        live.save(directory, result, data, views, {
          replace: false,
          keepCheckpoints: false,
          check: directory === first ? check : undefined,
        }),
      );
      if (failure)
        throw new LowrankError("saved-elsewhere", "the run is saved in another directory", {
          where: place,
          expected: first,
          found: (failure as Error).message,
          cause: failure,
        });
    }),
  );
}

/** Runs `work` under the lock of a directory in which a run can be saved. */
async function lockFree<T>(
  directory: string,
  replace: boolean,
  howToForce: string,
  work: (check: Check) => Promise<T>,
): Promise<T> {
  await recover(directory);
  await refuseExisting(directory, replace, howToForce);
  const refuse = () => {
    throw new ConfigError("used-by-another-process", "another run is using this directory", { where: directory });
  };
  return withLock(
    directory,
    async (check) => {
      // Another run may have been saved here before the lock was taken.
      await refuseExisting(directory, replace, howToForce);
      return work(check);
    },
    refuse,
  );
}

/** A run that can be saved; `saved` is where it has been. */
export function withSave(
  result: TrainResult,
  live: LiveRun,
  { data }: Materials,
  views: RunViews,
  saved?: string,
): FineTuneRun {
  const savedIn = new Set(saved === undefined ? [] : [absolutePath(saved)]);
  const save = async (directory: string, options: SaveOptions = {}) => {
    checkArguments({ directory }, { directory: "text" });
    checkOptions("options", options, { force: "boolean?" } satisfies Record<keyof SaveOptions, Kind>);
    const { force = false } = options;
    const path = absolutePath(directory);
    const replace = force || savedIn.has(path);
    await lockFree(directory, replace, "give { force: true } to replace it", (check) =>
      live.save(directory, result, data, views, { replace, keepCheckpoints: false, check }),
    );
    savedIn.add(path);
    const { peftObstacle } = live.record;
    return peftObstacle === null ? { peft: true } : { peft: false, reason: peftObstacle };
  };
  return { ...result, record: live.record, save };
}
