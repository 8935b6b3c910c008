/**
 * Trains several runs on one device, each with the bits that it has alone: on the CPU several at a time, each on
 * threads of its own; on a GPU one after the other.
 */
import type { CommonArguments, PlannedJob, SharedArguments, Start } from "./arguments.ts";
import type { CpuParts, TrainAlone } from "./cpu-parts.ts";
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

/** Called before jobs begin, with how many of them are trained at the same time. */
type OnBegin = (atOnce: number) => void;

/** What trains several runs at once: a page that trains one does not load it. */
const openParts = async (...args: Parameters<typeof CpuParts.open>) =>
  (await import("./cpu-parts.ts")).CpuParts.open(...args);

/**
 * Trains jobs, each of which ends by itself: one that fails leaves the others as they are. A job that resumes is
 * trained on the kind of device on which it began. When `signal` is aborted, jobs that have begun end, and the others
 * do not begin.
 */
export async function trainJobs(
  { signal, ...common }: CommonArguments,
  jobs: readonly TrainingJob[],
  onBegin?: OnBegin,
): Promise<void> {
  const scheduler = new Scheduler(common, onBegin);
  const abort = () => scheduler.stop.abort(signal?.reason);
  if (signal?.aborted) return;
  signal?.addEventListener("abort", abort);
  try {
    await scheduler.run(jobs);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

class Scheduler {
  /** Stops all jobs: when the caller asks for it, or after a bug in one of them. */
  readonly stop = new AbortController();
  private readonly signal = this.stop.signal;
  private bug: { error: unknown } | undefined;

  constructor(
    private readonly common: SharedArguments,
    private readonly onBegin: OnBegin | undefined,
  ) {}

  async run(jobs: readonly TrainingJob[]): Promise<void> {
    const { common, signal } = this;
    const trainAlone: TrainAlone = ({ settings, start }) => train({ ...common, signal, ...settings, ...start });
    let parts: CpuParts | null = null;
    try {
      parts = jobs.length > 1 ? await openParts(common, jobs, signal) : null;
      if (parts && !signal.aborted) {
        this.onBegin?.(parts.count);
        await parts.each(jobs, signal, (job, trainOnPart) => this.train(job, trainOnPart));
      }
      for (const job of parts ? [] : jobs) {
        if (signal.aborted) break;
        this.onBegin?.(1);
        await this.train(job, trainAlone);
      }
    } catch (error) {
      // What has begun has ended.
      if (!(signal.aborted && error === signal.reason)) throw error;
    } finally {
      parts?.close();
    }
    if (this.bug) throw this.bug.error;
  }

  private async train(job: TrainingJob, trainAlone: TrainAlone): Promise<void> {
    const { signal } = this;
    const start = signal.aborted ? null : await this.catchBug(job.begin(signal));
    if (!start) return;
    const { settings } = job;
    const trained = signal.aborted ? Promise.reject(signal.reason) : trainAlone({ settings, start });
    await this.catchBug(job.end(trained));
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
