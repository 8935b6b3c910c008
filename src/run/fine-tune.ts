/** The API of training: the trainer, with a result that can be saved. */
import { backendOf, type Device } from "../backend/backend.ts";
import { checkOptions, type FieldKind } from "../core/checks.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { newRecord } from "../record/record.ts";
import { ARGUMENTS, divideArguments, OPTIONS, type TrainArguments } from "../train/job.ts";
import { completeOptions } from "../train/prepare.ts";
import type { TrainResult } from "../train/records.ts";
import { OTHER_NAMES } from "../train/settings.ts";
import { train } from "../train/trainer.ts";
import { buildAdapter, buildServed, refuseExisting } from "./directory.ts";
import { LiveRun } from "./live-run.ts";
import { addSamples } from "./samples.ts";
import { pickSettings } from "./settings.ts";
import { type TrainedRun, trainedRun } from "./trained-run.ts";

/** The arguments of `fineTune`, with the settings of `TrainOptions`. */
export interface FineTuneArguments extends Omit<TrainArguments, "device"> {
  /** The device, from `openDevice`. */
  device: Device;
  /**
   * A run directory, which is made when training begins, and has the whole run when it ends, as by `FineTuneRun.save`.
   * ConfigError is thrown before training if it cannot be created or holds anything, such as another run in progress.
   * Default: the run is kept in memory.
   */
  save?: string;
}

/** A run's results, its record, and how to save and use it. */
export interface FineTuneRun extends TrainResult, TrainedRun {
  /** What answers, as `loadAdapter` gives it: what was trained, or the probe that is as good (`probe`). */
  adapter: Adapter;
}

const KINDS: Record<string, FieldKind> = { ...ARGUMENTS, ...OPTIONS, save: "text?" };

/** Fine-tunes as `train` does. A run that fails leaves nothing in its directory. */
export async function fineTune(args: FineTuneArguments): Promise<FineTuneRun> {
  checkOptions("args", args, KINDS, OTHER_NAMES);
  const { save, ...given } = args;
  const { job, start } = divideArguments({ ...given, device: backendOf(args.device) });
  const { device, model, data, adapter, featureBudget: _, ...rest } = job;
  const { onEvent, signal } = start;
  const settings = pickSettings(rest);
  const options = completeOptions(job);
  if (save !== undefined)
    await refuseExisting(save, false, "save it with run.save(directory, { force: true }) to replace it");
  // The record is made before training, as the model may be closed when it ends. Checkpoints are the caller's.
  const live = new LiveRun(save, await newRecord(args, settings, options), onEvent ? { onEvent } : {});
  await live.begin();
  const result = await train(job, { ...start, onEvent: live.callbacks.onEvent }).catch(async (error) => {
    await live.leave();
    throw error;
  });
  const learned = buildAdapter(live.record, result.spec, result);
  await addSamples(result.results, { device, model, data, adapter, learned, signal });
  await live.end(result, data);
  const served = buildServed(live.record, result);
  return {
    ...result,
    ...trainedRun(
      live.record,
      async () => served,
      save,
      (to, replace) => live.save(to, result, data, replace),
    ),
    adapter: served,
  };
}
