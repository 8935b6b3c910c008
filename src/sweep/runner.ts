/** Runs the trials of a sweep on one device and one data set: those that can share a plan at once, the others one after the other. */
import { withLock } from "#platform";
import type { Backend } from "../backend/backend.ts";
import type { TrainingData } from "../data/texts.ts";
import { LowrankError } from "../errors.ts";
import { fingerprint } from "../io/fingerprint.ts";
import { type GPT2Checkpoint, loadModel } from "../io/hf.ts";
import { recover } from "../io/recover.ts";
import type { Check } from "../platform/replacing.ts";
import { runCharts } from "../run/charts.ts";
import { keepCheckpoint } from "../run/checkpoint.ts";
import { beginRun, runConfig, saveRun } from "../run/directory.ts";
import { type CommonArguments, divideRuns, type OwnArguments, trainGroup } from "../train/group.ts";
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
  /** The next trials are trained at once. */
  | { type: "group"; count: number }
  | { type: "trial"; trial: Trial; index: number; count: number }
  | { type: "resumed"; trial: Trial; step: number }
  /** `secondsLeft` is infinite before the first step. `atOnce` is the number of trials that are trained at the moment. */
  | { type: "evaluation"; trial: Trial; record: EvaluationRecord; steps: number; secondsLeft: number; atOnce: number }
  /** Of a group only those of the first trial. */
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

/** An unfinished trial, and its place in the sweep. */
interface Pending {
  trial: Trial;
  index: number;
}

/**
 * Runs the unfinished trials, those that can share a plan at once. If a trial fails, its error is recorded and the sweep continues. An
 * aborted sweep stops after a checkpoint. Returns the number of failed trials.
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

  constructor(
    private readonly args: SweepArguments,
    /** Trials that have not ended. */
    private left: number,
  ) {}

  /** Runs the trials of a model. */
  async runModel(name: string, pending: readonly Pending[]): Promise<void> {
    const { device, data, signal } = this.args;
    const model = await this.load(name, pending);
    if (!model) return;
    try {
      const common = { device, model, data, signal };
      const groups = divideRuns(
        common,
        pending.map(({ trial }) => trial.options),
      );
      for (const group of groups) {
        if (signal.aborted) return;
        await this.runGroup(
          common,
          group.map((i) => pending[i]!),
        );
      }
    } finally {
      await model.close();
    }
  }

  /** The model of trials; null if it cannot be loaded, and they all failed. */
  private async load(name: string, pending: readonly Pending[]): Promise<GPT2Checkpoint | null> {
    try {
      return await loadModel(name);
    } catch (error) {
      for (const one of pending) {
        this.begin(one);
        await this.fail(one.trial, error);
      }
      return null;
    }
  }

  /** Runs a group's trials at once, each from its checkpoint if there is one. */
  private async runGroup(common: CommonArguments, group: readonly Pending[]): Promise<void> {
    const { out, onEvent, signal } = this.args;
    const base = await fingerprint(common.model);
    if (group.length > 1) onEvent({ type: "group", count: group.length });
    const runs: TrialRun[] = [];
    for (const one of group) {
      const { trial } = one;
      this.begin(one);
      const resume = await readBegun(out, trial);
      if (resume) onEvent({ type: "resumed", trial, step: resume.step });
      const { name, key, model } = trial;
      const config = {
        ...(await runConfig(common.model, common.data, trial.options)),
        base,
        trial: { name, key, model },
      };
      runs.push(new TrialRun(this.args, trial, config, resume));
    }
    // A trial that began on another kind of device goes on there.
    const kinds = [...new Set(runs.flatMap(({ resume }) => resume?.device ?? []))];
    for (const kind of kinds.length > 1 ? kinds : [undefined]) {
      const some = runs.filter(({ resume }) => kinds.length < 2 || (resume?.device ?? kinds[0]) === kind);
      if (some.length > 0 && !signal.aborted) await this.train(common, some);
    }
  }

  private async train(common: CommonArguments, runs: readonly TrialRun[]): Promise<void> {
    const active = new Set(runs);
    const end = async (run: TrialRun, ended: () => Promise<TrainResult>) => {
      try {
        const result = await run.save(await ended());
        if (result === null) return;
        await forgetError(this.args.out, run.trial);
        this.left--;
        this.args.onEvent({ type: "done", trial: run.trial, result, left: this.left });
      } catch (error) {
        await this.fail(run.trial, error);
      } finally {
        active.delete(run);
      }
    };
    const owns = runs.map((run) => run.arguments(active));
    if (runs.length === 1) return end(runs[0]!, () => train({ ...common, ...owns[0]! }));
    const trained = await trainGroup(common, owns).catch((error) => runs.map(() => Promise.reject(error)));
    const ended = await Promise.allSettled(runs.map((run, i) => end(run, () => trained[i]!)));
    for (const one of ended) if (one.status === "rejected") throw one.reason;
  }

  private begin({ trial, index }: Pending): void {
    this.args.onEvent({ type: "trial", trial, index, count: this.args.trials.length });
  }

  private async fail(trial: Trial, error: unknown): Promise<void> {
    const { out, signal, check, onEvent } = this.args;
    if (signal.aborted && error === signal.reason) return;
    // Any other error is a bug and ends the sweep, which can be resumed.
    if (!(error instanceof LowrankError)) throw error;
    await check();
    this.failed++;
    this.left--;
    await keepError(out, trial, error.message);
    onEvent({ type: "failed", trial, error });
  }
}

/** A trial that is trained: its directory, and what is told of it. */
class TrialRun {
  private begun: boolean;

  constructor(
    private readonly args: SweepArguments,
    readonly trial: Trial,
    private readonly config: Awaited<ReturnType<typeof runConfig>>,
    readonly resume: Checkpoint | undefined,
  ) {
    this.begun = resume !== undefined;
  }

  /** Its settings, and what it does while it is trained together with the `active` ones. */
  arguments(active: ReadonlySet<TrialRun>): OwnArguments {
    const { args, trial, config, resume } = this;
    const { out, device, signal, check, onEvent } = args;
    const directory = trialDirectory(out, trial);
    let [steps, secondsLeft] = [0, Infinity];
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
        if (event.type === "start") steps = event.steps;
        const atOnce = active.size;
        if (event.type === "evaluation") onEvent({ ...event, trial, steps, secondsLeft, atOnce });
        if (event.type !== "step") return;
        // The time of a group is divided among its trials.
        secondsLeft = event.secondsLeft * atOnce;
        const [first] = active;
        if (first === this) onEvent({ ...event, trial, secondsLeft });
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
