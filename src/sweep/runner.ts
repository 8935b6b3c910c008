/** Runs the trials of a sweep one by one, on one device and one data set. */
import { exists } from "#platform";
import type { Backend } from "../backend/backend.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { LowrankError } from "../errors.ts";
import { loadModel } from "../io/hf.ts";
import { memoryTotals } from "../plan/memory.ts";
import { keepCheckpoint, lastCheckpoint } from "../train/checkpoint.ts";
import type { StepRecord, TrainResult } from "../train/records.ts";
import { runCharts } from "../train/run-charts.ts";
import { beginRun, runConfig, saveRun } from "../train/run-directory.ts";
import { fineTune } from "../train/trainer.ts";
import type { Trial } from "./grid.ts";
import { forgetError, keepError, readResult, resultFile, type TrialResult, trialDirectory } from "./store.ts";

/** Steps between the checkpoints of a trial: what a kill costs at most. */
const CHECKPOINT_STEPS = 200;

export type SweepEvent =
  | { type: "skip"; trial: Trial; result: TrialResult }
  | { type: "trial"; trial: Trial; index: number; count: number }
  | { type: "step"; trial: Trial; record: StepRecord; steps: number; examplesPerSecond: number; secondsLeft: number }
  | { type: "done"; trial: Trial; result: TrialResult; left: number }
  | { type: "failed"; trial: Trial; error: LowrankError };

export interface SweepArguments {
  out: string;
  trials: readonly Trial[];
  device: Backend;
  data: LoadedDataset;
  /** What `loadDataset` was given, kept with each trial. */
  source: Record<string, unknown>;
  signal: AbortSignal;
  onEvent: (event: SweepEvent) => void;
}

/**
 * Runs what is not done yet. A trial that fails is recorded and the rest goes on. Returns how many failed; an aborted sweep
 * stops after a checkpoint.
 */
export async function runTrials(args: SweepArguments): Promise<number> {
  const { out, trials, signal, onEvent } = args;
  let failed = 0;
  for (const [index, trial] of trials.entries()) {
    if (signal.aborted) break;
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
      // What is no error of ours is a bug: it ends the sweep, which goes on from here when it is mended.
      if (!(error instanceof LowrankError)) throw error;
      failed++;
      await keepError(out, trial, error.message);
      onEvent({ type: "failed", trial, error });
    }
  }
  return failed;
}

/** One trial, from its checkpoint where it has one; null where it was aborted. */
async function runTrial(args: SweepArguments, trial: Trial): Promise<TrialResult | null> {
  const { out, device, data, source, signal, onEvent } = args;
  const directory = trialDirectory(out, trial);
  const model = await loadModel(trial.model);
  try {
    const config = runConfig(model, data, trial.options, source);
    const resume = (await exists(directory)) ? await lastCheckpoint(directory).catch(() => undefined) : undefined;
    let begun = resume !== undefined;
    const result = await fineTune({
      device,
      model,
      data,
      ...trial.options,
      signal,
      ...(resume === undefined ? {} : { resume }),
      checkpointEvery: CHECKPOINT_STEPS,
      onCheckpoint: async (checkpoint) => {
        if (!begun) await beginRun(directory, config, device.info);
        begun = true;
        await keepCheckpoint(directory, checkpoint);
      },
      onEvent: (event) => {
        if (event.type === "step") onEvent({ ...event, trial });
      },
    });
    if (result.aborted) return null;
    const summary = summarize(trial, result);
    await saveRun(directory, config, result, [...runCharts(result), resultFile(summary)]);
    return summary;
  } finally {
    await model.close();
  }
}

function summarize(trial: Trial, result: TrainResult): TrialResult {
  return {
    name: trial.name,
    key: trial.key,
    model: trial.model,
    options: result.options,
    device: result.device.name,
    trainable: result.trainable,
    memory: memoryTotals(result.plan.memory).total,
    seconds: result.seconds,
    examples: result.steps.at(-1)?.examples ?? 0,
    before: result.before,
    after: result.after,
    evaluations: result.evaluations,
    said: result.predictions.map(({ label }) => label),
    probabilities: result.predictions.map(({ probabilities }) => [...probabilities]),
  };
}
