/** Runs the trials of a sweep on one device and one data set, at the same time where that is faster. */
import type { Backend } from "../backend/backend.ts";
import type { TrainingData } from "../data/texts.ts";
import { ConfigError, LowrankError } from "../errors.ts";
import { fingerprint } from "../io/fingerprint.ts";
import { type BaseModel, loadModel } from "../io/hf.ts";
import { lastCheckpoint } from "../run/checkpoint.ts";
import type { RunViews } from "../run/directory.ts";
import { removeRun } from "../run/files.ts";
import { LiveRun } from "../run/live-run.ts";
import { newRecord, type RunRecord } from "../run/record.ts";
import type { Checkpoint, EvaluationRecord, StepRecord, TrainEvent, TrainResult } from "../train/records.ts";
import { type TrainingJob, trainJobs } from "../train/scheduler.ts";
import type { Start } from "../train/trainer.ts";
import type { Trial } from "./grid.ts";
import { forgetError, isFinished, keepError, readBegun, type TrialRecord, trialDirectory } from "./store.ts";

const CHECKPOINT_STEPS = 200;

export type SweepEvent =
  | { type: "skip"; trial: Trial; record: TrialRecord }
  /** Another process has begun it since this one started. */
  | { type: "elsewhere"; trial: Trial }
  /** So many of the next trials are trained at once. */
  | { type: "group"; count: number }
  /** This many trials cannot begin together: one half is trained before the other. */
  | { type: "divided"; count: number; error: LowrankError }
  | { type: "trial"; trial: Trial; index: number; count: number }
  | { type: "resumed"; trial: Trial; step: number }
  | { type: "plan"; trial: Trial; plan: Extract<TrainEvent, { type: "plan" }> }
  | { type: "evaluation"; trial: Trial; record: EvaluationRecord; steps: number; together: Progress }
  | { type: "step"; trial: Trial; record: StepRecord; examplesPerSecond: number; together: Progress }
  /** `left` trials have not ended, and take about `secondsLeft`. */
  | { type: "done"; trial: Trial; record: TrialRecord; left: number; secondsLeft: number }
  | { type: "failed"; trial: Trial; error: LowrankError };

/** The progress of the trials that are trained at the same time. */
interface Progress {
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
  views: RunViews;
  onEvent: (event: SweepEvent) => void;
  /** The record of a trial that begins; default: that of its settings. */
  newRecord?: (trial: Trial) => RunRecord;
  /** Steps between the checkpoints of a trial: the most that is lost if the process is killed. */
  checkpointEvery?: number;
}

/** An unfinished trial, and its place in the sweep. */
interface Pending {
  trial: Trial;
  index: number;
  /** Its record if it had begun before, and was stopped or killed. */
  begun: RunRecord | null;
}

/**
 * Runs the unfinished trials: on the CPU as many at once as there are threads, on WebGPU those that can share a plan.
 * If a trial fails, its error is recorded and the sweep continues. An aborted sweep stops after a checkpoint. Returns
 * the number of failed trials.
 */
export async function runTrials(args: SweepArguments): Promise<number> {
  const { out, trials, signal, onEvent } = args;
  const pending: Pending[] = [];
  for (const [index, trial] of trials.entries()) {
    if (signal.aborted) break;
    const begun = await readBegun(out, trial);
    if (begun && isFinished(begun)) onEvent({ type: "skip", trial, record: begun });
    else pending.push({ trial, index, begun });
  }
  const sweep = new Sweep(args, pending.length);
  for (const name of new Set(pending.map(({ trial }) => trial.model))) {
    if (signal.aborted) break;
    await sweep.runModel(
      name,
      pending.filter(({ trial }) => trial.model === name),
    );
  }
  return sweep.failed;
}

/** How far a sweep is. */
class Sweep {
  failed = 0;
  private readonly started = performance.now();
  /** Trials that were trained since, with parts of those that were resumed. */
  private trained = 0;
  /** Those that are trained at once. */
  private runs: readonly TrialRun[] = [];

  constructor(
    readonly args: SweepArguments,
    /** Trials that have not ended. */
    public left: number,
  ) {}

  /** Runs the trials of a model. */
  async runModel(name: string, pending: readonly Pending[]): Promise<void> {
    const { device, data, signal, onEvent } = this.args;
    const model = await this.load(name, pending);
    if (!model) return;
    try {
      const jobs = pending.map((one) => new TrialRun(this, one, model));
      await trainJobs({ device, model, data, signal }, jobs, {
        onRound: ({ atOnce }) => onEvent({ type: "group", count: atOnce }),
        onDivided: ({ length }, error) => onEvent({ type: "divided", count: length, error }),
      });
    } finally {
      await model.close();
    }
  }

  /** A model; null if it cannot be read: all its trials fail. */
  private async load(name: string, pending: readonly Pending[]): Promise<BaseModel | null> {
    let model: BaseModel | undefined;
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

  begin({ trial, index }: Pending): void {
    this.args.onEvent({ type: "trial", trial, index, count: this.args.trials.length });
  }

  /** Counts a trial among those that are trained at once. */
  enter(run: TrialRun): void {
    this.runs = [...this.runs.filter(({ isEnded }) => !isEnded), run];
  }

  /** Counts a trial that has ended. */
  leave(run: TrialRun): void {
    if (run.isEnded) return;
    run.isEnded = true;
    this.left--;
    this.trained += 1 - run.shareBefore;
  }

  done(trial: Trial, record: TrialRecord): void {
    this.args.onEvent({ type: "done", trial, record, left: this.left, secondsLeft: this.secondsLeft() });
  }

  async fail(trial: Trial, error: unknown): Promise<void> {
    const { out, onEvent } = this.args;
    // Any other error is a bug and ends the sweep, which can be resumed.
    if (!(error instanceof LowrankError)) throw error;
    this.failed++;
    await keepError(out, trial, error.message);
    onEvent({ type: "failed", trial, error });
  }

  together(): Progress {
    const { runs } = this;
    return {
      count: runs.length,
      step: sum(runs, ({ isEnded, progress: { step, steps } }) => (isEnded ? steps : step)),
      steps: sum(runs, ({ progress }) => progress.steps),
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

function sum<T>(some: readonly T[], of: (one: T) => number): number {
  return some.reduce((total, one) => total + of(one), 0);
}

/** A trial that is trained. */
class TrialRun implements TrainingJob {
  isEnded = false;
  /** Set when it begins. */
  private live!: LiveRun;
  private signal!: AbortSignal;
  private stepBefore = 0;

  constructor(
    private readonly sweep: Sweep,
    private readonly pending: Pending,
    private readonly model: BaseModel,
  ) {}

  get settings() {
    return this.pending.trial.options;
  }

  get progress() {
    return this.live.record;
  }

  get secondsLeft(): number {
    return this.live.speed?.secondsLeft ?? Infinity;
  }

  /** The share of its steps that it has made, and the share that it had made before. */
  get share(): number {
    return this.shareAt(this.progress.step);
  }

  get shareBefore(): number {
    return this.shareAt(this.stepBefore);
  }

  private shareAt(step: number): number {
    const { steps } = this.progress;
    return steps > 0 ? step / steps : 0;
  }

  /** From its checkpoint if there is one. null: another process trains it. */
  async begin(signal: AbortSignal): Promise<Start | null> {
    const { sweep, pending } = this;
    const { out, onEvent, checkpointEvery = CHECKPOINT_STEPS } = sweep.args;
    sweep.begin(pending);
    const { trial, begun } = pending;
    const { name, key } = trial;
    const directory = trialDirectory(out, trial);
    const record = begun ?? (await this.newRecord());
    record.trial = { name, key, model: trial.model };
    const live = new LiveRun(directory, record, { onEvent: (event) => this.report(event) });
    this.live = live;
    this.signal = signal;
    if (begun === null && !(await this.makeDirectory())) return null;
    const resume = begun ? await lastCheckpoint(directory).catch(() => undefined) : undefined;
    if (resume) onEvent({ type: "resumed", trial, step: resume.step });
    this.stepBefore = resume?.step ?? 0;
    return {
      ...(resume ? { resume } : {}),
      checkpointEvery,
      ...live.callbacks,
      onCheckpoint: async (checkpoint: Checkpoint) => {
        await live.callbacks.onCheckpoint(checkpoint);
        // An aborted trial resumes from this checkpoint: an evaluation now would be discarded.
        signal.throwIfAborted();
      },
    };
  }

  /** Makes its directory, which is its lock. Returns whether it can be trained here; errors are reported. */
  private async makeDirectory(): Promise<boolean> {
    const { sweep, live } = this;
    const { out, onEvent } = sweep.args;
    const { trial } = this.pending;
    try {
      // One of its name with other settings: a default has changed.
      if ((await readBegun(out, trial)) === null) await removeRun(live.directory);
      await live.begin();
      return true;
    } catch (error) {
      sweep.left--;
      if (error instanceof ConfigError && (await readBegun(out, trial))) onEvent({ type: "elsewhere", trial });
      else await sweep.fail(trial, error);
      return false;
    }
  }

  private newRecord(): RunRecord | Promise<RunRecord> {
    const { data, newRecord: make } = this.sweep.args;
    const { trial } = this.pending;
    const { options } = trial;
    return make?.(trial) ?? newRecord({ model: this.model, data }, { model: trial.model, ...options }, options);
  }

  private report(event: TrainEvent): void {
    const { sweep } = this;
    const { trial } = this.pending;
    const { onEvent } = sweep.args;
    if (event.type === "plan") onEvent({ type: "plan", trial, plan: event });
    if (event.type === "start") sweep.enter(this);
    if (event.type !== "step" && event.type !== "evaluation") return;
    const together = sweep.together();
    if (event.type === "evaluation") {
      onEvent({ type: "evaluation", trial, record: event.record, steps: this.progress.steps, together });
      return;
    }
    const { record, examplesPerSecond } = event;
    onEvent({ type: "step", trial, record, examplesPerSecond, together });
  }

  /** Saves what it has learned, or its error. Rejects with an error that is a bug. */
  async end(trained: Promise<TrainResult>): Promise<void> {
    const { sweep, signal, live } = this;
    const { out, data, views } = sweep.args;
    const { trial } = this.pending;
    try {
      const result = await trained;
      // One that was aborted has its checkpoint.
      if (!isFinished(live.record)) return;
      await live.end(result, data, views);
      await forgetError(out, trial);
      sweep.leave(this);
      sweep.done(trial, live.record);
    } catch (error) {
      // What was learned is saved.
      if (signal.aborted && error === signal.reason) return;
      sweep.leave(this);
      await sweep.fail(trial, error);
      await live.leave();
    }
  }
}
