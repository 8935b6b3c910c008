/** The API of training several runs: the trainer of many, with results that can be saved. */

import { absolutePath } from "#platform";
import { checkOptions, type FieldKind, isListOf, isObject, type Kind } from "../checks.ts";
import { ConfigError, DataError } from "../errors.ts";
import { checkVocabulary, prepareRun } from "../train/prepare.ts";
import type { TrainResult } from "../train/records.ts";
import { trainJobs } from "../train/scheduler.ts";
import {
  COMMON_ARGUMENTS,
  type CommonArguments,
  type JobSettings,
  OPTIONS,
  OWN_ARGUMENTS,
  type OwnArguments,
} from "../train/trainer.ts";
import type { RunViews } from "./directory.ts";
import { endSaved, type FineTuneRun, follow, type SavedRun } from "./fine-tune.ts";
import type { LiveRun } from "./live-run.ts";

/** A run of `fineTuneMany`: settings, callbacks and where it is saved, as of `fineTune`. */
export type RunSettings = Omit<OwnArguments, "pause"> & SavedRun;

/** The arguments of `fineTuneMany`. */
export interface FineTuneManyArguments extends CommonArguments {
  runs: readonly RunSettings[];
}

const ONE_OR_MORE: Kind = ["an array of one or more objects", (value) => isListOf(value, isObject) && value.length > 0];

const { pause: _, ...OWN } = OWN_ARGUMENTS;

/** Fine-tunes as `trainJobs` does. */
export async function fineTuneMany(
  args: FineTuneManyArguments,
  views: RunViews,
): Promise<PromiseSettledResult<FineTuneRun>[]> {
  const kinds: Record<keyof FineTuneManyArguments, FieldKind> = { ...COMMON_ARGUMENTS, runs: ONE_OR_MORE };
  checkOptions("args", args, kinds);
  const { runs, ...common } = args;
  checkVocabulary(common.data, common.model);
  for (const [i, run] of runs.entries()) checkRun(common, run, `runs[${i}]`);
  refuseTwice(runs.map(({ save }) => save));
  const { signal: _, ...materials } = common;
  const followed: LiveRun[] = [];
  try {
    for (const { save, ...run } of runs) followed.push(await follow({ ...materials, ...run }, save));
  } catch (error) {
    for (const live of followed) await live.leave();
    throw error;
  }
  const settled = await trainAll(
    common,
    runs.map((run, i) => ({ ...run, onEvent: followed[i]!.callbacks.onEvent })),
  );
  return Promise.allSettled(
    settled.map((one, i) => {
      const trained = one.status === "rejected" ? Promise.reject(one.reason) : Promise.resolve(one.value);
      return endSaved(trained, followed[i]!, common, views);
    }),
  );
}

/** Runs that have not begun are rejected with the signal's reason. */
async function trainAll(
  common: CommonArguments,
  runs: readonly RunSettings[],
): Promise<PromiseSettledResult<TrainResult>[]> {
  const settled: PromiseSettledResult<TrainResult>[] = [];
  const jobs = runs.map(({ save: _, ...run }, i) => ({
    settings: settingsOnly(run),
    begin: async () => run,
    end: async (trained: Promise<TrainResult>) => {
      [settled[i]] = await Promise.allSettled([trained]);
    },
  }));
  await trainJobs(common, jobs);
  return runs.map((_, i) => settled[i] ?? { status: "rejected", reason: common.signal?.reason });
}

function settingsOnly(run: Omit<OwnArguments, "pause">): JobSettings {
  const { onEvent: _, resume: _r, checkpointEvery: _c, onCheckpoint: _o, ...settings } = run;
  return settings;
}

function refuseTwice(directories: readonly (string | undefined)[]): void {
  const paths = directories.map((directory) => directory && absolutePath(directory));
  const i = paths.findIndex((path, at) => path && paths.indexOf(path) < at);
  if (i >= 0)
    throw new ConfigError("duplicate-directory", `runs[${i}]: another run is saved in the same directory`, {
      where: directories[i]!,
    });
}

/** Throws ConfigError or DataError, with the run's name, if its settings are invalid or do not suit the data. */
function checkRun({ signal: _, ...common }: CommonArguments, run: RunSettings, name: string): void {
  try {
    checkOptions(name, run, { ...OWN, ...OPTIONS, save: "text?" });
    const { save: _, ...own } = run;
    prepareRun({ ...common, ...settingsOnly(own) });
  } catch (error) {
    // Training reports whether there is room for a run: another one may be smaller.
    const Kind = [ConfigError, DataError].find((one) => error instanceof one) as typeof ConfigError | undefined;
    if (!Kind) return;
    const { code, message, details } = error as ConfigError;
    throw new Kind(code, `${name}: ${message.split("\n")[0]}`, { ...details, cause: error });
  }
}
