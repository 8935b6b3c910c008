/**
 * Trains several runs on one device, each with the bits that it has alone: on the CPU several at a time, each on threads of its own; on a GPU
 * those that can share a plan in one; the others one after the other.
 */
import { LowrankError } from "../errors.ts";
import type { CpuParts } from "./cpu-parts.ts";
import type { Round } from "./group.ts";
import type { TrainResult } from "./records.ts";
import {
  type CommonArguments,
  type JobSettings,
  type Materials,
  type PlannedJob,
  type Start,
  train,
} from "./trainer.ts";

/** A run that is to be trained. */
export interface Job extends PlannedJob {
  /** Called when its turn has come; `signal` ends it. Gives null if it cannot begin, which it reports by itself. */
  begin(signal: AbortSignal): Promise<Start | null>;
  /** Called once it has begun: saves what was learned, or reports the error. What this throws is a bug, and stops the other jobs. */
  end(trained: Promise<TrainResult>): Promise<void>;
}

export interface SchedulerEvents<J> {
  onRound?: (round: Round<J>) => void;
  /** Jobs of a round cannot begin together: one half is trained before the other. */
  onDivided?: (jobs: readonly J[], error: LowrankError) => void;
}

/** A job that has begun, and how. */
interface BegunJob<J> extends PlannedJob {
  job: J;
  start: Start;
}

/** Trains a job by itself. */
type TrainAlone = (settings: JobSettings, start: Start) => Promise<TrainResult>;

/** What trains several runs at once: a page that trains one does not load it. */
const openParts = async (...args: Parameters<typeof CpuParts.open>) =>
  (await import("./cpu-parts.ts")).CpuParts.open(...args);
const plans = () => import("./group.ts");

/** The rounds in which `trainJobs` would train jobs. */
export async function planRounds<J extends PlannedJob>(common: Materials, jobs: readonly J[]): Promise<Round<J>[]> {
  const parts = await openParts(common, jobs);
  if (!parts) return (await plans()).divideIntoPlans(common, jobs);
  parts.close();
  return [parts.round(jobs)];
}

/**
 * Trains jobs, each of which ends by itself: one that fails leaves the others as they are. A job that resumes goes on on the kind of device
 * on which it began. When `signal` is aborted, jobs that have begun end, and the others do not begin.
 */
export async function trainJobs<J extends Job>(
  { signal, ...common }: CommonArguments,
  jobs: readonly J[],
  events: SchedulerEvents<J> = {},
): Promise<void> {
  const scheduler = new Scheduler(common, events);
  const abort = () => scheduler.stop.abort(signal?.reason);
  if (signal?.aborted) return;
  signal?.addEventListener("abort", abort);
  try {
    await scheduler.run(jobs);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

class Scheduler<J extends Job> {
  /** Stops all jobs: when the caller asks for it, or after a bug in one of them. */
  readonly stop = new AbortController();
  private readonly signal = this.stop.signal;
  private bug: { error: unknown } | undefined;

  constructor(
    private readonly common: Materials,
    private readonly events: SchedulerEvents<J>,
  ) {}

  async run(jobs: readonly J[]): Promise<void> {
    try {
      const parts = jobs.length > 1 ? await openParts(this.common, jobs, this.signal) : null;
      if (parts) await this.runOnParts(parts, jobs).finally(() => parts.close());
      else await this.runInPlans(jobs);
    } catch (error) {
      // What has begun has ended.
      if (!(this.signal.aborted && error === this.signal.reason)) throw error;
    }
    if (this.bug) throw this.bug.error;
  }

  private async runOnParts(parts: CpuParts, jobs: readonly J[]): Promise<void> {
    this.events.onRound?.(parts.round(jobs));
    await parts.each(jobs, this.signal, (job, trainOnPart) => this.train([job], trainOnPart));
  }

  private async runInPlans(jobs: readonly J[]): Promise<void> {
    const { common, signal } = this;
    const alone = [{ jobs, atOnce: 1, apart: "" }];
    for (const round of jobs.length > 1 ? (await plans()).divideIntoPlans(common, jobs) : alone) {
      if (signal.aborted) return;
      this.events.onRound?.(round);
      await this.train(round.jobs, (settings, start) => train({ ...common, signal, ...settings, ...start }));
    }
  }

  /** Trains jobs at once, those that began on another kind of device after them. */
  private async train(jobs: readonly J[], trainAlone: TrainAlone): Promise<void> {
    const begun: BegunJob<J>[] = [];
    for (const job of jobs) {
      const start = this.signal.aborted ? null : await this.catchBug(job.begin(this.signal));
      if (start) begun.push({ job, settings: job.settings, start });
    }
    for (const kind of new Set(begun.map(({ start }) => start.resume?.device)))
      await this.trainTogether(
        begun.filter(({ start }) => start.resume?.device === kind),
        trainAlone,
      );
  }

  /** Trains jobs at once, or one half before the other where they cannot begin together. */
  private async trainTogether(begun: readonly BegunJob<J>[], trainAlone: TrainAlone): Promise<void> {
    const trained = await this.start(begun, trainAlone);
    if (trained) {
      await Promise.all(begun.map(({ job }, i) => this.catchBug(job.end(trained[i]!))));
      return;
    }
    const half = Math.ceil(begun.length / 2);
    await this.trainTogether(begun.slice(0, half), trainAlone);
    await this.trainTogether(begun.slice(half), trainAlone);
  }

  /** Promises of the results. Null if the jobs cannot begin together: too little memory, or something is wrong with one. */
  private async start(begun: readonly BegunJob<J>[], trainAlone: TrainAlone): Promise<Promise<TrainResult>[] | null> {
    const { signal } = this;
    const rejectAll = (error: unknown) => begun.map(() => Promise.reject(error));
    if (signal.aborted) return rejectAll(signal.reason);
    const [{ settings, start }] = begun as [BegunJob<J>];
    if (begun.length === 1) return [trainAlone(settings, start)];
    try {
      return await (await plans()).trainGroup(this.common, begun, signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof LowrankError)) return rejectAll(error);
      this.events.onDivided?.(
        begun.map(({ job }) => job),
        error,
      );
      return null;
    }
  }

  /** What the work of a job gives. If it throws, all jobs end, and the first such error is thrown when they have. */
  private async catchBug<T>(work: Promise<T>): Promise<T | null> {
    try {
      return await work;
    } catch (error) {
      this.bug ??= { error };
      this.stop.abort(error);
      return null;
    }
  }
}
