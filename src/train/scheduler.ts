/**
 * Trains several runs on one device, each with the bits that it has alone: on the CPU several at a time, each on
 * threads of its own; on a GPU those that can share a plan in one; the others one after the other.
 */
import { LowrankError } from "../errors.ts";
import type { BegunJob, CommonArguments, PlannedJob, SharedArguments, Start } from "./arguments.ts";
import type { CpuParts, TrainAlone } from "./cpu-parts.ts";
import type { Round } from "./group.ts";
import type { TrainResult } from "./records.ts";
import { train } from "./trainer.ts";

export interface TrainingJob extends PlannedJob {
  /** Called when its turn has come; `signal` ends it. Gives null if it cannot begin, which it reports by itself. */
  begin(signal: AbortSignal): Promise<Start | null>;
  /**
   * Called once it has begun: saves what was learned, or reports the error. What this throws is a bug, and stops the
   * other jobs.
   */
  end(trained: Promise<TrainResult>): Promise<void>;
}

interface SchedulerEvents<J> {
  onRound?: (round: Round<J>) => void;
  /** Jobs of a round cannot begin together: one half is trained before the other. */
  onDivided?: (jobs: readonly J[], error: LowrankError) => void;
}

interface Begun<J> extends BegunJob {
  job: J;
}

/** What trains several runs at once: a page that trains one does not load it. */
const openParts = async (...args: Parameters<typeof CpuParts.open>) =>
  (await import("./cpu-parts.ts")).CpuParts.open(...args);
const loadPlans = () => import("./group.ts");

async function roundsOn<J extends PlannedJob>(
  parts: CpuParts | null,
  common: SharedArguments,
  jobs: readonly J[],
): Promise<Round<J>[]> {
  if (parts) return [parts.round(jobs)];
  if (jobs.length === 1) return [{ jobs, atOnce: 1 }];
  return (await loadPlans()).divideIntoPlans(common, jobs);
}

/**
 * Trains jobs, each of which ends by itself: one that fails leaves the others as they are. A job that resumes is
 * trained on the kind of device on which it began. When `signal` is aborted, jobs that have begun end, and the others
 * do not begin.
 */
export async function trainJobs<J extends TrainingJob>(
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

class Scheduler<J extends TrainingJob> {
  /** Stops all jobs: when the caller asks for it, or after a bug in one of them. */
  readonly stop = new AbortController();
  private readonly signal = this.stop.signal;
  private bug: { error: unknown } | undefined;

  constructor(
    private readonly common: SharedArguments,
    private readonly events: SchedulerEvents<J>,
  ) {}

  async run(jobs: readonly J[]): Promise<void> {
    const { common, signal } = this;
    let parts: CpuParts | null = null;
    try {
      parts = jobs.length > 1 ? await openParts(common, jobs, signal) : null;
      for (const round of await roundsOn(parts, common, jobs)) {
        if (signal.aborted) break;
        this.events.onRound?.(round);
        if (parts) await parts.each(round.jobs, signal, (job, trainOnPart) => this.train([job], trainOnPart));
        else await this.train(round.jobs, ({ settings, start }) => train({ ...common, signal, ...settings, ...start }));
      }
    } catch (error) {
      // What has begun has ended.
      if (!(signal.aborted && error === signal.reason)) throw error;
    } finally {
      parts?.close();
    }
    if (this.bug) throw this.bug.error;
  }

  /** Trains jobs at once, those that began on another kind of device after them. */
  private async train(jobs: readonly J[], trainAlone: TrainAlone): Promise<void> {
    const begun: Begun<J>[] = [];
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
  private async trainTogether(begun: readonly Begun<J>[], trainAlone: TrainAlone): Promise<void> {
    const trained = await this.start(begun, trainAlone);
    if (trained) {
      await Promise.all(begun.map(({ job }, i) => this.catchBug(job.end(trained[i]!))));
      return;
    }
    const half = Math.ceil(begun.length / 2);
    await this.trainTogether(begun.slice(0, half), trainAlone);
    await this.trainTogether(begun.slice(half), trainAlone);
  }

  /**
   * Promises of the results. Null if the jobs cannot begin together: too little memory, or something is wrong with one.
   */
  private async start(begun: readonly Begun<J>[], trainAlone: TrainAlone): Promise<Promise<TrainResult>[] | null> {
    const { signal } = this;
    const rejectAll = (error: unknown) => begun.map(() => Promise.reject(error));
    if (signal.aborted) return rejectAll(signal.reason);
    if (begun.length === 1) return [trainAlone(begun[0]!)];
    try {
      return await (await loadPlans()).trainGroup(this.common, begun, signal);
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
