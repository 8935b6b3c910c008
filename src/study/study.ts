/** The API of training several runs that belong together: a study, in memory or in a directory. */
import { backendOf, type Device } from "../backend/backend.ts";
import { checkOptions, type FieldKind, isListOf, isObject, type Kind } from "../core/checks.ts";
import { ConfigError, DataError } from "../core/errors.ts";
import { nameBase } from "../record/base-name.ts";
import type { TrainedRun } from "../run/trained-run.ts";
import { isUnequal } from "../train/class-weights.ts";
import { ARGUMENTS, type Job, OPTIONS, type TrainArguments } from "../train/job.ts";
import { checkVocabulary, completeOptions, prepareRun } from "../train/prepare.ts";
import type { TrainOptions } from "../train/settings.ts";
import { OTHER_NAMES } from "../train/settings.ts";
import { type Cell, gatherSeeds, nameTrial, refuseAuto, runnableTrials } from "./grid.ts";
import { recommendedTrial } from "./outcome.ts";
import { reportStudy, type StudyReport } from "./report/report.ts";
import { Ended, runTrials, type StudyEvent } from "./runner.ts";
import { type FinishedCell, isFinished } from "./store.ts";
import { beginStudy, keepBest, recordStudy } from "./study-record.ts";

/** The arguments of `study`. */
export interface StudyArguments extends Pick<TrainArguments, "model" | "data"> {
  /** The device to train on, from `openDevice`. */
  device: Device;
  /** The settings of each run, as of `fineTune`. Runs of the same settings and seed are trained once. */
  runs: readonly Partial<TrainOptions>[];
  /**
   * A study's directory: each run has a run directory in its folder trials, and the report is there, too. The same call
   * does not repeat what has ended, and resumes what was interrupted. Default: runs are kept in memory.
   */
  save?: string;
  /** Steps between the checkpoints of a run in `save`: the most that is lost if the process is killed. Default: 200. */
  checkpointEvery?: number;
  /** Ends the study within about a second. Runs that have not ended are rejected with its reason. */
  signal?: AbortSignal;
  /** Called with what happens to each run, which `trial` names. What it throws ends the study. */
  onEvent?: (event: StudyEvent) => void;
}

/** The results of several runs. */
export interface StudyResult {
  /** The outcome of each run, in the order of `runs`. */
  runs: PromiseSettledResult<TrainedRun>[];
  /**
   * The run to use, which the report recommends: of the setting whose seeds have the lowest validation loss on average
   * the one with the lowest; or a probe, unless that setting is distinguishably better on the validation set.
   * undefined: no run has ended with a finite loss.
   */
  best: TrainedRun | undefined;
  /** On the runs that have ended; undefined: there is none. */
  report: StudyReport | undefined;
}

const ONE_OR_MORE: Kind = ["an array of one or more objects", (value) => isListOf(value, isObject) && value.length > 0];

/** The arguments that all studies have. */
export const STUDY_KINDS: Record<Exclude<keyof StudyArguments, "runs">, FieldKind> = {
  device: ARGUMENTS.device,
  model: ARGUMENTS.model,
  data: ARGUMENTS.data,
  save: "text?",
  checkpointEvery: "size?",
  signal: "signal?",
  onEvent: "function?",
};

/** Trains several runs as `runTrials` does. */
export async function study(args: StudyArguments): Promise<StudyResult> {
  checkOptions("args", args, { ...STUDY_KINDS, runs: ONE_OR_MORE });
  const device = backendOf(args.device);
  const { model, data, runs, save: out, checkpointEvery, signal = new AbortController().signal } = args;
  checkVocabulary(data, model);
  // Where no weights are needed, a trial is the same with and without them.
  const common = { device, model, data, ...(isUnequal(data) ? {} : { classWeights: "none" as const }) };
  const options = runs.map((run, i) => checkRun(common, run, `runs[${i}]`));
  const { name } = nameBase(model.directory);
  const { objective } = data;
  const spec = { base: { model: name, objective }, arms: [...runs] };
  const record = await recordStudy(data, [[name, model]], { spec, seeds: 1 });
  const identity = { data: record.data.sha256, base: record.bases[name] };
  const trials = await Promise.all(options.map((settings) => nameTrial(name, settings, identity)));
  if (out !== undefined) await beginStudy(out, record);
  const cells = gatherSeeds(trials.map((trial) => ({ rates: [[trial]] })));
  const ended = new Ended(out);
  await runTrials({
    out,
    trials: runnableTrials(cells),
    device,
    model,
    dataOf: () => data,
    signal,
    checkpointEvery,
    onEvent: (event) => args.onEvent?.(event),
    ended,
  });
  const byKey = new Map<string, TrainedRun>();
  for (const trial of trials) {
    const run = await ended.find(trial);
    if (run) byKey.set(trial.key, run);
  }
  const finished = cells.map((cell) => finishedCell(cell, byKey));
  const best = recommendedTrial(finished, data)?.trial;
  if (out !== undefined) await keepBest(out, best);
  return {
    runs: trials.map((trial) => {
      const value = byKey.get(trial.key);
      return value ? { status: "fulfilled", value } : { status: "rejected", reason: ended.reason(trial, signal) };
    }),
    best: best && byKey.get(best.key),
    report: byKey.size > 0 ? await reportStudy(finished, data, out) : undefined,
  };
}

/** Throws ConfigError or DataError, with the run's name, if its settings are invalid or do not suit the data. */
function checkRun(common: Job, run: Partial<TrainOptions>, name: string): TrainOptions {
  const args = { ...common, ...run };
  try {
    checkOptions(name, run, OPTIONS, OTHER_NAMES);
    refuseAuto(run);
    prepareRun(args);
  } catch (error) {
    // Training reports whether there is room for a run: another one may be smaller.
    const Kind = [ConfigError, DataError].find((type) => error instanceof type) as typeof ConfigError | undefined;
    if (!Kind) return completeOptions(args);
    const { code, message, details } = error as ConfigError;
    throw new Kind(code, `${name}: ${message.split("\n")[0]}`, { ...details, cause: error });
  }
  return completeOptions(args);
}

function finishedCell({ rates: [seeds] }: Cell, ended: ReadonlyMap<string, TrainedRun>): FinishedCell {
  const records = seeds!.map(({ key }) => ended.get(key)?.record ?? null);
  const finished = records.map((record) => (record && isFinished(record) ? record : null));
  const trials = finished.filter((record) => record !== null);
  return { rates: [seeds!], chosen: 0, missing: [], tried: finished.slice(0, 1), trials };
}
