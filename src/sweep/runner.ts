/** Runs the trials of a sweep on one device and one data set: at once where that is faster, the others one after the other. */
import { withLock } from "#platform";
import type { Backend } from "../backend/backend.ts";
import type { TrainingData } from "../data/texts.ts";
import { LowrankError } from "../errors.ts";
import { fingerprint } from "../io/fingerprint.ts";
import { type GPT2Checkpoint, loadModel } from "../io/hf.ts";
import { recover } from "../io/recover.ts";
import type { Check } from "../platform/reader.ts";
import { runCharts } from "../run/charts.ts";
import { keepCheckpoint } from "../run/checkpoint.ts";
import { beginRun, runConfig, saveRun } from "../run/directory.ts";
import { type CommonArguments, divideRuns, type OwnArguments, trainGroup } from "../train/group.ts";
import { Pool, type TrainOnPart } from "../train/pool.ts";
import type { Checkpoint, EvaluationRecord, StepRecord, TrainResult } from "../train/records.ts";
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
  /** So many trials are trained next, at once. */
  | { type: "group"; count: number }
  /** So many cannot begin together: one half is trained before the other. */
  | { type: "divided"; count: number; error: LowrankError }
  | { type: "trial"; trial: Trial; index: number; count: number }
  | { type: "resumed"; trial: Trial; step: number }
  | { type: "evaluation"; trial: Trial; record: EvaluationRecord; steps: number; together: Progress }
  | { type: "step"; trial: Trial; record: StepRecord; examplesPerSecond: number; together: Progress }
  /** `left` trials have not ended, and take about `secondsLeft`. */
  | { type: "done"; trial: Trial; result: TrialResult; left: number; secondsLeft: number }
  | { type: "failed"; trial: Trial; error: LowrankError };

/** How far the trials are that are trained at once. */
export interface Progress {
  /** How many have begun. */
  count: number;
  /** Steps of all of them. */
  step: number;
  steps: number;
  /** Infinite before each has made a step. */
  secondsLeft: number;
}

interface SweepArguments {
  out: string;
  trials: readonly Trial[];
  device: Backend;
  data: TrainingData;
  signal: AbortSignal;
  /** Throws if another process has taken over the directory; the sweep then ends. */
  check: Check;
  onEvent: (event: SweepEvent) => void;
}

/** An unfinished trial, and its place in the sweep. */
interface Pending {
  trial: Trial;
  index: number;
}

/**
 * Runs the unfinished trials: on the CPU as many at once as there are threads, on WebGPU those that can share a plan. If a trial fails, its
 * error is recorded and the sweep continues. An aborted sweep stops after a checkpoint. Returns the number of failed trials.
 */
export async function runTrials(args: SweepArguments): Promise<number> {
  const { out, trials, signal, onEvent } = args;
  const pending: Pending[] = [];
  for (const [index, trial] of trials.entries()) {
    if (signal.aborted) break;
    if (await recover(trialDirectory(out, trial))) onEvent({ type: "recovered", trial });
    const finished = await readResult(out, trial);
    if (finished) onEvent({ type: "skip", trial, result: finished });
    else pending.push({ trial, index });
  }
  const sweep = new Runner(args, pending.length);
  for (const name of new Set(pending.map(({ trial }) => trial.model))) {
    if (signal.aborted) break;
    await sweep.runModel(
      name,
      pending.filter(({ trial }) => trial.model === name),
    );
  }
  return sweep.failed;
}

class Runner {
  failed = 0;
  private readonly started = performance.now();
  /** Trials that were trained since, with parts of those that were resumed. */
  private trained = 0;
  /** Those that are trained at once. */
  private runs: readonly TrialRun[] = [];
  /** Stops all trials after a checkpoint: when the caller asks for it, or after a bug in one of them. */
  private readonly stop = new AbortController();
  private readonly signal = this.stop.signal;
  private bug: { error: unknown } | undefined;

  constructor(
    private readonly args: SweepArguments,
    /** Trials that have not ended. */
    private left: number,
  ) {
    const { signal } = args;
    const abort = () => this.stop.abort(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  }

  /** Runs the trials of a model. */
  async runModel(name: string, pending: readonly Pending[]): Promise<void> {
    const { device, data } = this.args;
    const { signal } = this;
    const model = await this.load(name, pending);
    if (!model) return;
    try {
      const common = { device, model, data, signal };
      const options = pending.map(({ trial }) => trial.options);
      const pool = await Pool.open(common, options);
      if (pool) await this.runPool(pool, common, pending).finally(() => pool.close());
      else
        for (const { runs } of divideRuns(common, options)) {
          const group = runs.map((i) => pending[i]!);
          if (!signal.aborted) await this.runGroup(common, group);
        }
    } catch (error) {
      if (!isAbort(error, this.args.signal)) throw error;
    } finally {
      await model.close();
    }
  }

  /** A model; null if it cannot be read: all its trials fail. */
  private async load(name: string, pending: readonly Pending[]): Promise<GPT2Checkpoint | null> {
    let model: GPT2Checkpoint | undefined;
    try {
      model = await loadModel(name);
      await fingerprint(model);
      return model;
    } catch (error) {
      await model?.close();
      for (const one of pending) {
        this.begin(one);
        this.left--;
        await this.fail(one.trial, error);
      }
      return null;
    }
  }

  /** Runs trials on the CPU, each as soon as threads are free. */
  private async runPool(pool: Pool, common: CommonArguments, pending: readonly Pending[]): Promise<void> {
    this.args.onEvent({ type: "group", count: pool.size });
    const run = async (one: Pending, train: TrainOnPart) => {
      if (this.signal.aborted) return;
      const trial = await this.open(one, common);
      this.runs = [...this.runs.filter(({ isEnded }) => !isEnded), trial];
      await this.end(trial, train(this.argumentsOf(trial)));
    };
    await this.all(pending.map((one) => pool.turn((train) => run(one, train))));
  }

  /** A trial that is going to be trained, from its checkpoint if there is one. */
  private async open(one: Pending, { model, data }: CommonArguments): Promise<TrialRun> {
    const { trial } = one;
    const { name, key } = trial;
    const resume = await readBegun(this.args.out, trial);
    this.begin(one);
    if (resume) this.args.onEvent({ type: "resumed", trial, step: resume.step });
    const config = await runConfig(model, data, trial.options);
    return new TrialRun(this.args, trial, { ...config, trial: { name, key, model: trial.model } }, resume);
  }

  /** Runs a group's trials at once. */
  private async runGroup(common: CommonArguments, group: readonly Pending[]): Promise<void> {
    this.args.onEvent({ type: "group", count: group.length });
    const runs: TrialRun[] = [];
    for (const one of group) runs.push(await this.open(one, common));
    // A trial that began on another kind of device goes on there.
    const kinds = [...new Set(runs.flatMap(({ resume }) => resume?.device ?? []))];
    for (const kind of kinds.length > 1 ? kinds : [undefined]) {
      const some = runs.filter(({ resume }) => kinds.length < 2 || (resume?.device ?? kinds[0]) === kind);
      await this.train(common, some);
    }
  }

  /** Trains runs at once, or one half before the other where they cannot begin together. */
  private async train(common: CommonArguments, runs: readonly TrialRun[]): Promise<void> {
    if (this.signal.aborted) return;
    this.runs = runs;
    const trained = await this.start(common, runs);
    if (trained) return this.all(runs.map((run, i) => this.end(run, trained[i]!)));
    const half = Math.ceil(runs.length / 2);
    await this.train(common, runs.slice(0, half));
    await this.train(common, runs.slice(half));
  }

  /** Promises of the results. Null if the runs cannot begin together: the device has too little memory, or something is wrong with one. */
  private async start(common: CommonArguments, runs: readonly TrialRun[]): Promise<Promise<TrainResult>[] | null> {
    const owns = runs.map((run) => this.argumentsOf(run));
    if (owns.length === 1) return [train({ ...common, ...owns[0]! })];
    try {
      return await trainGroup(common, owns);
    } catch (error) {
      if (!(error instanceof LowrankError)) throw error;
      this.args.onEvent({ type: "divided", count: runs.length, error });
      return null;
    }
  }

  /** Waits for all trials; the first bug in one stops the others, and is thrown when they have ended. */
  private async all(trials: readonly Promise<void>[]): Promise<void> {
    await Promise.all(
      trials.map((trial) =>
        trial.catch((error) => {
          this.bug ??= { error };
          this.stop.abort(error);
        }),
      ),
    );
    if (this.bug) throw this.bug.error;
  }

  /** Saves what a trial has learned, or its error. Rejects with an error that is a bug. */
  private async end(run: TrialRun, trained: Promise<TrainResult>): Promise<void> {
    const { out, onEvent } = this.args;
    const { trial } = run;
    try {
      const result = await run.save(await trained);
      if (result === null) return;
      await forgetError(out, trial);
      this.leave(run);
      onEvent({ type: "done", trial, result, left: this.left, secondsLeft: this.secondsLeft() });
    } catch (error) {
      if (isAbort(error, this.signal)) return;
      this.leave(run);
      await this.fail(trial, error);
    }
  }

  private argumentsOf(run: TrialRun): OwnArguments {
    return run.arguments(this.signal, () => this.together());
  }

  private begin({ trial, index }: Pending): void {
    this.args.onEvent({ type: "trial", trial, index, count: this.args.trials.length });
  }

  private async fail(trial: Trial, error: unknown): Promise<void> {
    const { out, check, onEvent } = this.args;
    // Any other error is a bug and ends the sweep, which can be resumed.
    if (!(error instanceof LowrankError)) throw error;
    await check();
    this.failed++;
    await keepError(out, trial, error.message);
    onEvent({ type: "failed", trial, error });
  }

  private leave(run: TrialRun): void {
    if (run.isEnded) return;
    run.isEnded = true;
    this.left--;
    this.trained += 1 - run.shareBefore;
  }

  private together(): Progress {
    const { runs } = this;
    return {
      count: runs.length,
      step: sum(runs, ({ isEnded, step, steps }) => (isEnded ? steps : step)),
      steps: sum(runs, ({ steps }) => steps),
      // A trial's seconds are its part of the time that passes.
      secondsLeft: sum(runs, ({ isEnded, secondsLeft }) => (isEnded ? 0 : secondsLeft)),
    };
  }

  /** Seconds until all trials have ended, if they take as long as those so far. */
  private secondsLeft(): number {
    const active = this.runs.filter(({ isEnded }) => !isEnded);
    const trained = this.trained + sum(active, ({ share, shareBefore }) => share - shareBefore);
    const left = this.left - sum(active, ({ share }) => share);
    return ((performance.now() - this.started) / 1000 / trained) * left;
  }
}

/** Whether an error only says that the signal stopped the work: what was learned is saved. */
const isAbort = (error: unknown, { aborted, reason }: AbortSignal) => aborted && error === reason;

function sum<T>(some: readonly T[], of: (one: T) => number): number {
  return some.reduce((total, one) => total + of(one), 0);
}

/** A trial that is trained: its directory, and how far it is. */
class TrialRun {
  steps = 0;
  step: number;
  secondsLeft = Infinity;
  isEnded = false;
  private begun: boolean;

  constructor(
    private readonly args: SweepArguments,
    readonly trial: Trial,
    private readonly config: Awaited<ReturnType<typeof runConfig>>,
    readonly resume: Checkpoint | undefined,
  ) {
    this.begun = resume !== undefined;
    this.step = resume?.step ?? 0;
  }

  /** The share of its steps that it has made, and the share that it had made before. */
  get share(): number {
    return this.steps > 0 ? this.step / this.steps : 0;
  }

  get shareBefore(): number {
    return this.steps > 0 ? (this.resume?.step ?? 0) / this.steps : 0;
  }

  /** Its settings, and what it does while it is trained. */
  arguments(signal: AbortSignal, together: () => Progress): OwnArguments {
    const { args, trial, config, resume } = this;
    const { out, device, check, onEvent } = args;
    const directory = trialDirectory(out, trial);
    let { info } = device;
    return {
      ...trial.options,
      ...(resume === undefined ? {} : { resume }),
      checkpointEvery: CHECKPOINT_STEPS,
      onCheckpoint: async (checkpoint) => {
        if (!this.begun) await beginRun(directory, config, info, check);
        this.begun = true;
        await keepCheckpoint(directory, checkpoint, check);
        // An aborted trial resumes from this checkpoint: an evaluation now would be discarded.
        signal.throwIfAborted();
      },
      onEvent: (event) => {
        if (event.type === "plan") info = event.device;
        if (event.type === "start") this.steps = event.steps;
        if (event.type === "step") {
          const { record, examplesPerSecond } = event;
          this.step = record.step;
          this.secondsLeft = event.secondsLeft;
          onEvent({ type: "step", trial, record, examplesPerSecond, together: together() });
        }
        if (event.type === "evaluation")
          onEvent({ type: "evaluation", trial, record: event.record, steps: this.steps, together: together() });
      },
    };
  }

  /** Saves what it has learned. Returns null if it was aborted. */
  async save(result: TrainResult): Promise<TrialResult | null> {
    const { args, trial, config } = this;
    const summary = resultOf(trial, result);
    if (!summary) return null;
    const directory = trialDirectory(args.out, trial);
    const files = [...runCharts(result, args.data), resultFile(summary)];
    await withLock(directory, () => saveRun(directory, config, result, args.data, files, { check: args.check }));
    return summary;
  }
}
