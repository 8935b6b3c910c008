/** Runs the trials of a study on one device and one data set, at the same time where that is faster. */
import { exists } from "#platform";
import type { Backend } from "../backend/backend.ts";
import { ConfigError, LowrankError } from "../core/errors.ts";
import type { TrainingData } from "../data/training-data.ts";
import { FeatureStore } from "../engine/features.ts";
import { fingerprint } from "../io/fingerprint.ts";
import { type BaseModel, loadModel } from "../io/hf.ts";
import { type ErrorRecord, errorRecord, newRecord, type RunRecord } from "../record/record.ts";
import { lastCheckpoint } from "../run/checkpoint.ts";
import { buildServed, removeRun } from "../run/directory.ts";
import { LiveRun } from "../run/live-run.ts";
import { storedRun, type TrainedRun, trainedRun } from "../run/trained-run.ts";
import type { Job, Start } from "../train/job.ts";
import type { Checkpoint, EvaluationRecord, StepRecord, TrainEvent, TrainResult } from "../train/records.ts";
import { type TrainingJob, trainJobs } from "../train/scheduler.ts";
import type { Trial } from "./grid.ts";
import { isFinished, keepError, readBegun, readFinished, type TrialRecord, trialDirectory } from "./store.ts";

const CHECKPOINT_STEPS = 200;

/** An event of a study: plain JSON, as `TrainEvent`. */
export type StudyEvent =
  /** It has ended before. */
  | { type: "skip"; trial: Trial; record: TrialRecord }
  /** Another process has begun it since this one started. */
  | { type: "elsewhere"; trial: Trial }
  /** So many of the next trials are trained at once. */
  | { type: "group"; count: number }
  | { type: "trial"; trial: Trial; index: number; count: number }
  | { type: "resumed"; trial: Trial; step: number }
  | { type: "plan"; trial: Trial; plan: Extract<TrainEvent, { type: "plan" }> }
  | { type: "evaluation"; trial: Trial; record: EvaluationRecord; steps: number; together: Progress }
  /** A probe has read so many of the rows. */
  | { type: "features"; trial: Trial; done: number; rows: number; secondsLeft: number }
  | { type: "step"; trial: Trial; record: StepRecord; examplesPerSecond: number; together: Progress }
  /** `left` trials have not ended, and take about `secondsLeft`. */
  | { type: "done"; trial: Trial; record: TrialRecord; left: number; secondsLeft: number | null }
  | { type: "failed"; trial: Trial; error: ErrorRecord };

/** The progress of the trials that are trained at the same time. */
export interface Progress {
  /** How many have begun. */
  count: number;
  /** Steps of all of them. */
  step: number;
  steps: number;
  /** null before each has made a step. */
  secondsLeft: number | null;
}

/** The outcomes of trials, in one round or several. */
export class Ended {
  readonly errors = new Map<string, LowrankError>();
  private readonly runs = new Map<string, TrainedRun>();

  /** `out`: the directory of the study; undefined: trials are kept in memory. */
  constructor(private readonly out: string | undefined) {}

  add({ key }: Trial, run: TrainedRun): void {
    this.runs.set(key, run);
  }

  /** The run of a trial that has ended, here or in another process. */
  async find(trial: Trial): Promise<TrainedRun | null> {
    const { runs, out } = this;
    const record = runs.has(trial.key) || out === undefined ? null : await readFinished(out, trial);
    return record ? storedRun(record, trialDirectory(out!, trial)) : (runs.get(trial.key) ?? null);
  }

  /** Why a trial has no run. */
  reason(trial: Trial, signal: AbortSignal): unknown {
    const error = this.errors.get(trial.key) ?? signal.reason;
    if (error !== undefined) return error;
    return new ConfigError("used-by-another-process", "another process has begun this run", {
      where: trialDirectory(this.out!, trial),
      hint: "call this again when it has ended",
    });
  }
}

export interface CompletedRun {
  record: RunRecord;
  result: TrainResult;
}

export interface TrialsArguments {
  /** The directory of the study; undefined: trials are kept in memory. */
  out: string | undefined;
  trials: readonly Trial[];
  device: Backend;
  dataOf: (trial: Trial) => TrainingData;
  signal: AbortSignal;
  /** `error`: that of the event, which is no JSON. */
  onEvent: (event: StudyEvent, error?: LowrankError) => void;
  /** Receives what becomes of them. */
  ended?: Ended;
  /** The model of all trials, which stays open; default: each is loaded by its name. */
  model?: BaseModel;
  /** Steps between the checkpoints of a trial: the most that is lost if the process is killed. */
  checkpointEvery?: number | undefined;
  /** Features of the texts by the base models; default: kept until these trials have ended. */
  store?: FeatureStore;
  /** What a trial that has ended is, with what others have measured for it. */
  complete?: (run: CompletedRun) => Promise<CompletedRun>;
}

/**
 * Runs the unfinished trials: on the CPU as many of the same data at once as there are threads, on WebGPU one after the
 * other.
 * If a trial fails, its error is recorded and the study continues. An aborted study stops after a checkpoint. Returns
 * the number of failed trials.
 */
export async function runTrials(args: TrialsArguments): Promise<number> {
  const { out, trials, signal, onEvent, ended } = args;
  const study = new Study({ store: FeatureStore.ofStudy(), ...args });
  for (const [index, trial] of trials.entries()) {
    if (signal.aborted) break;
    const record = out === undefined ? null : await readBegun(out, trial);
    if (out !== undefined && record && isFinished(record)) {
      ended?.add(trial, storedRun(record, trialDirectory(out, trial)));
      onEvent({ type: "skip", trial, record });
    } else study.left.add(new TrialRun(study, trial, index, record));
  }
  for (const name of new Set([...study.left].map(({ trial }) => trial.model))) {
    if (signal.aborted) break;
    await study.runModel(name);
  }
  return study.failed;
}

/** How far a study is. */
class Study {
  failed = 0;
  /** Trials that have not ended. */
  readonly left = new Set<TrialRun>();
  private readonly started = performance.now();
  /** Trials that were trained since, with parts of those that were resumed. */
  private trained = 0;
  /** Those that are trained at once. */
  private runs: readonly TrialRun[] = [];

  constructor(readonly args: TrialsArguments) {}

  async runModel(name: string): Promise<void> {
    const { dataOf, signal, onEvent, model: given, store } = this.args;
    const jobs = [...this.left].filter(({ trial }) => trial.model === name);
    const model = given ?? (await this.load(name, jobs));
    if (!model) return;
    for (const job of jobs) job.model = model;
    try {
      for (const data of new Set(jobs.map(({ trial }) => dataOf(trial)))) {
        const ofData = jobs.filter(({ trial }) => dataOf(trial) === data);
        await trainJobs(ofData, {
          signal,
          onBegin: (count) => onEvent({ type: "group", count }),
          store,
        });
      }
    } finally {
      if (!given) await model.close();
    }
  }

  /** A model; null if it cannot be read: all its trials fail. */
  private async load(name: string, jobs: readonly TrialRun[]): Promise<BaseModel | null> {
    let model: BaseModel | undefined;
    try {
      model = await loadModel(name);
      await fingerprint(model);
      return model;
    } catch (error) {
      await model?.close();
      for (const job of jobs) {
        job.announce();
        await this.fail(job, error);
      }
      return null;
    }
  }

  /** Counts a trial among those that are trained at once. */
  enter(run: TrialRun): void {
    this.runs = [...this.runs.filter((earlier) => this.left.has(earlier)), run];
  }

  /** Counts a trial that has ended. */
  leave(run: TrialRun): void {
    if (this.left.delete(run) && this.runs.includes(run)) this.trained += 1 - run.shareBefore;
  }

  async fail(run: TrialRun, error: unknown): Promise<void> {
    const { trial } = run;
    this.leave(run);
    // Any other error is a bug and ends the study, which can be resumed.
    if (!(error instanceof LowrankError)) throw error;
    this.failed++;
    const { out, onEvent, ended } = this.args;
    if (out !== undefined) await keepError(out, trial, error);
    ended?.errors.set(trial.key, error);
    onEvent({ type: "failed", trial, error: errorRecord(error) }, error);
  }

  together(): Progress {
    const { runs, left } = this;
    return {
      count: runs.length,
      step: sum(runs, (run) => (left.has(run) ? run.progress.step : run.progress.steps)),
      steps: sum(runs, ({ progress }) => progress.steps),
      // A trial's seconds are its part of the time that passes.
      secondsLeft: known(sum(runs, (run) => (left.has(run) ? run.secondsLeft : 0))),
    };
  }

  /** Seconds until all trials have ended, if they take as long as those so far. */
  secondsLeft(): number | null {
    const active = this.runs.filter((run) => this.left.has(run));
    const trained = this.trained + sum(active, ({ share, shareBefore }) => share - shareBefore);
    const left = this.left.size - sum(active, ({ share }) => share);
    return known(((performance.now() - this.started) / 1000 / trained) * left);
  }
}

const known = (seconds: number) => (Number.isFinite(seconds) ? seconds : null);

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}

class TrialRun implements TrainingJob {
  /** Set before it begins. */
  model!: BaseModel;
  /** Set when it begins. */
  private live: LiveRun | undefined;
  private signal!: AbortSignal;
  private stepBefore = 0;

  constructor(
    private readonly study: Study,
    readonly trial: Trial,
    /** Its place in the study. */
    private readonly index: number,
    /** Its record if it had begun before, and was stopped or killed. */
    private readonly begun: RunRecord | null,
  ) {}

  get job(): Job {
    const { device, dataOf } = this.study.args;
    return { device, model: this.model, data: dataOf(this.trial), ...this.trial.options };
  }

  get progress(): Pick<RunRecord, "step" | "steps"> {
    return this.live?.record ?? { step: 0, steps: 0 };
  }

  get secondsLeft(): number {
    return this.live?.speed?.secondsLeft ?? Infinity;
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

  private get directory(): string | undefined {
    const { out } = this.study.args;
    return out === undefined ? undefined : trialDirectory(out, this.trial);
  }

  announce(): void {
    const { onEvent, trials } = this.study.args;
    onEvent({ type: "trial", trial: this.trial, index: this.index, count: trials.length });
  }

  /** From its checkpoint if there is one. null: another process trains it. */
  async begin(signal: AbortSignal): Promise<Start | null> {
    const { study, trial, begun, model, directory } = this;
    const { dataOf, onEvent, checkpointEvery = CHECKPOINT_STEPS } = study.args;
    const { name, key, options } = trial;
    this.announce();
    const settings = { model: trial.model, ...options };
    const record = begun ?? (await newRecord({ model, data: dataOf(trial) }, settings, options));
    record.trial = { name, key, model: trial.model };
    const live = new LiveRun(directory, record, { onEvent: (event) => this.report(event) });
    this.live = live;
    this.signal = signal;
    if (!begun && !(await this.makeDirectory(live))) return null;
    const resume = begun && directory ? await lastCheckpoint(directory).catch(() => undefined) : undefined;
    if (resume) onEvent({ type: "resumed", trial, step: resume.step });
    this.stepBefore = resume?.step ?? 0;
    return {
      ...(resume ? { resume } : {}),
      checkpointEvery: directory === undefined ? 0 : checkpointEvery,
      ...live.callbacks,
      onCheckpoint: async (checkpoint: Checkpoint) => {
        await live.callbacks.onCheckpoint(checkpoint);
        // An aborted trial resumes from this checkpoint: an evaluation now would be discarded.
        signal.throwIfAborted();
      },
    };
  }

  /** Makes its directory, which is its lock. Returns whether it can be trained here; errors are reported. */
  private async makeDirectory(live: LiveRun): Promise<boolean> {
    const { study, trial } = this;
    const { out, onEvent } = study.args;
    const isBegun = async () => out !== undefined && (await readBegun(out, trial)) !== null;
    try {
      // One of its name with other settings: a default has changed.
      if (live.directory !== undefined && !(await isBegun())) await removeRun(live.directory);
      await live.begin();
      return true;
    } catch (error) {
      // While it is written, another process's directory has another name, and this one was removed as left over.
      const isTaken = error instanceof ConfigError && ((await isBegun()) || !(await exists(live.directory!)));
      if (!isTaken) await study.fail(this, error);
      else {
        study.leave(this);
        onEvent({ type: "elsewhere", trial });
      }
      return false;
    }
  }

  private report(event: TrainEvent): void {
    const { study, trial } = this;
    const { onEvent } = study.args;
    if (event.type === "plan") onEvent({ type: "plan", trial, plan: event });
    if (event.type === "start") study.enter(this);
    if (event.type === "features") onEvent({ ...event, trial });
    if (event.type === "step") onEvent({ ...event, trial, together: study.together() });
    if (event.type === "evaluation")
      onEvent({ ...event, trial, steps: this.progress.steps, together: study.together() });
  }

  /** Saves what it has learned, or its error. Rejects with an error that is a bug. */
  async end(trained: Promise<TrainResult>): Promise<void> {
    const { study, trial, signal, directory } = this;
    const { out, dataOf, onEvent, complete, ended } = study.args;
    const live = this.live!;
    const data = dataOf(trial);
    try {
      let result = await trained;
      if (complete && !result.aborted)
        ({ record: live.record, result } = await complete({ record: live.record, result }));
      // One that was aborted has its checkpoint.
      if (!isFinished(live.record)) return;
      await live.end(result, data);
      const { record } = live;
      const run =
        directory === undefined
          ? trainedRun(
              record,
              async () => buildServed(record, result),
              directory,
              (to, replace) => live.save(to, result, data, replace),
            )
          : storedRun(record, directory);
      if (out !== undefined) await keepError(out, trial, null);
      study.leave(this);
      ended?.add(trial, run);
      onEvent({ type: "done", trial, record, left: study.left.size, secondsLeft: study.secondsLeft() });
    } catch (error) {
      // What was learned is saved.
      if (signal.aborted && error === signal.reason) return;
      await study.fail(this, error);
      await live.leave();
    }
  }
}
