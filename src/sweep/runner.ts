/** Runs the trials of a sweep in sequence, on one device and one data set. */
import { withLock } from "#platform";
import type { Backend } from "../backend/backend.ts";
import type { TrainingData } from "../data/texts.ts";
import { LowrankError } from "../errors.ts";
import { fingerprint } from "../io/fingerprint.ts";
import { loadModel } from "../io/hf.ts";
import { recover } from "../io/recover.ts";
import type { Check } from "../platform/replacing.ts";
import { runCharts } from "../run/charts.ts";
import { keepCheckpoint } from "../run/checkpoint.ts";
import { beginRun, runConfig, saveRun } from "../run/directory.ts";
import type { EvaluationRecord, StepRecord } from "../train/records.ts";
import { train } from "../train/trainer.ts";
import type { Trial } from "./grid.ts";
import {
  forgetError,
  keepError,
  readBegun,
  readResult,
  resultFile,
  resultOf,
  type TrialResult,
  trialDirectory,
} from "./store.ts";

/** Steps between the checkpoints of a trial: the most that is lost if the process is killed. */
const CHECKPOINT_STEPS = 200;

export type SweepEvent =
  | { type: "recovered"; trial: Trial }
  | { type: "skip"; trial: Trial; result: TrialResult }
  | { type: "trial"; trial: Trial; index: number; count: number }
  | { type: "resumed"; trial: Trial; step: number }
  /** `secondsLeft` is infinite before the first step. */
  | { type: "evaluation"; trial: Trial; record: EvaluationRecord; steps: number; secondsLeft: number }
  | { type: "step"; trial: Trial; record: StepRecord; steps: number; examplesPerSecond: number; secondsLeft: number }
  | { type: "done"; trial: Trial; result: TrialResult; left: number }
  | { type: "failed"; trial: Trial; error: LowrankError };

export interface SweepArguments {
  out: string;
  trials: readonly Trial[];
  device: Backend;
  data: TrainingData;
  signal: AbortSignal;
  /** Throws if another process has taken over the directory; the sweep then ends. */
  check: Check;
  onEvent: (event: SweepEvent) => void;
}

/**
 * Runs the unfinished trials. If a trial fails, its error is recorded and the sweep continues. An aborted sweep stops after a
 * checkpoint. Returns the number of failed trials.
 */
export async function runTrials(args: SweepArguments): Promise<number> {
  const { out, trials, signal, check, onEvent } = args;
  let failed = 0;
  for (const [index, trial] of trials.entries()) {
    if (signal.aborted) break;
    if (await recover(trialDirectory(out, trial))) onEvent({ type: "recovered", trial });
    const finished = await readResult(out, trial);
    if (finished) {
      onEvent({ type: "skip", trial, result: finished });
      continue;
    }
    onEvent({ type: "trial", trial, index, count: trials.length });
    try {
      const result = await runTrial(args, trial);
      if (result === null) break;
      await forgetError(out, trial);
      onEvent({ type: "done", trial, result, left: trials.length - index - 1 });
    } catch (error) {
      if (signal.aborted && error === signal.reason) break;
      // Any other error is a bug and ends the sweep, which can be resumed.
      if (!(error instanceof LowrankError)) throw error;
      await check();
      failed++;
      await keepError(out, trial, error.message);
      onEvent({ type: "failed", trial, error });
    }
  }
  return failed;
}

/** Runs one trial, from its checkpoint if there is one. Returns null if it was aborted. */
async function runTrial(args: SweepArguments, trial: Trial): Promise<TrialResult | null> {
  const { out, device, data, signal, check, onEvent } = args;
  const directory = trialDirectory(out, trial);
  const model = await loadModel(trial.model);
  try {
    const { name, key } = trial;
    const config = {
      ...(await runConfig(model, data, trial.options)),
      base: await fingerprint(model),
      trial: { name, key, model: trial.model },
    };
    const resume = await readBegun(out, trial);
    if (resume) onEvent({ type: "resumed", trial, step: resume.step });
    let begun = resume !== undefined;
    let [steps, secondsLeft] = [0, Infinity];
    let { info } = device;
    const result = await train({
      device,
      model,
      data,
      ...trial.options,
      signal,
      ...(resume === undefined ? {} : { resume }),
      checkpointEvery: CHECKPOINT_STEPS,
      onCheckpoint: async (checkpoint) => {
        if (!begun) await beginRun(directory, config, info, check);
        begun = true;
        await keepCheckpoint(directory, checkpoint, check);
        // An aborted trial resumes from this checkpoint: an evaluation now would be discarded.
        signal.throwIfAborted();
      },
      onEvent: (event) => {
        if (event.type === "plan") info = event.device;
        if (event.type === "start") steps = event.steps;
        if (event.type === "evaluation") onEvent({ ...event, trial, steps, secondsLeft });
        if (event.type !== "step") return;
        ({ secondsLeft } = event);
        onEvent({ ...event, trial });
      },
    });
    const summary = resultOf(trial, result);
    if (!summary) return null;
    const files = [...runCharts(result, data), resultFile(summary)];
    await withLock(directory, () => saveRun(directory, config, result, data, files, { check }));
    return summary;
  } finally {
    await model.close();
  }
}
