/**
 * Trains several runs on one device, each with the bits that it has alone: on the CPU several at a time, each on
 * threads of its own; on a GPU one after the other.
 */
import type { Backend, DeviceInfo } from "../backend/backend.ts";
import { LowrankError } from "../core/errors.ts";
import { Engine } from "../engine/engine.ts";
import type { FeatureStore } from "../engine/features.ts";
import { loadBase } from "../engine/state.ts";
import { memoryTotals } from "../plan/memory.ts";
import { SharedClock } from "./clock.ts";
import { prepareOnDevice } from "./device.ts";
import type { Job, Start } from "./job.ts";
import { peakMemory } from "./plan-event.ts";
import { type Prepared, prepareRun } from "./prepare.ts";
import type { TrainResult } from "./records.ts";
import { train } from "./trainer.ts";

/** A run that may be trained at the same time as others, of the same model and data on the same device. */
export interface TrainingJob {
  readonly job: Job;
  /** Called when its turn has come; `signal` ends it. Gives null if it cannot begin, which it reports by itself. */
  begin(signal: AbortSignal): Promise<Start | null>;
  /**
   * Called once it has begun: saves what was learned, or reports the error. What this throws is a bug, and stops the
   * other jobs.
   */
  end(trained: Promise<TrainResult>): Promise<void>;
}

interface Together {
  signal?: AbortSignal;
  /** Called before jobs begin, with how many of them are trained at the same time. */
  onBegin?: (atOnce: number) => void;
  /** The features that they read, and those that others of the model have read. */
  store?: FeatureStore | undefined;
}

/** Trains several runs at once: a page that trains one does not load it. */
const openParts = async (...args: Parameters<typeof CpuParts.open>) => CpuParts.open(...args);

/**
 * Trains jobs, each of which ends by itself: one that fails leaves the others as they are. A job that resumes is
 * trained on the kind of device on which it began. When `signal` is aborted, jobs that have begun end, and the others
 * do not begin.
 */
export async function trainJobs(jobs: readonly TrainingJob[], together: Together = {}): Promise<void> {
  const { signal } = together;
  const scheduler = new Scheduler(together);
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

  constructor(private readonly together: Together) {}

  async run(jobs: readonly TrainingJob[]): Promise<void> {
    const { signal } = this;
    const { onBegin, store } = this.together;
    const trainAlone: TrainAlone = (job, start) => train(job, { signal, ...start }, { store });
    let parts: CpuParts | null = null;
    try {
      parts = jobs.length > 1 ? await openParts(jobs, store, signal) : null;
      if (parts && !signal.aborted) {
        onBegin?.(parts.count);
        await parts.each(jobs, signal, (job, trainOnPart) => this.train(job, trainOnPart));
      }
      for (const job of parts ? [] : jobs) {
        if (signal.aborted) break;
        onBegin?.(1);
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

  private async train(run: TrainingJob, trainAlone: TrainAlone): Promise<void> {
    const { signal } = this;
    const start = signal.aborted ? null : await this.catchBug(run.begin(signal));
    if (!start) return;
    const trained = signal.aborted ? Promise.reject(signal.reason) : trainAlone(run.job, start);
    await this.catchBug(run.end(trained));
  }

  /** The result of a job's work. If it throws, all jobs end, and the first such error is thrown when they have. */
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

/** Trains a job by itself. */
type TrainAlone = (job: Job, start: Start) => Promise<TrainResult>;

class CpuParts {
  private readonly clock = new SharedClock();
  /** Called when a run ends, for runs that wait for memory. */
  private waiting: (() => void)[] = [];
  private active = 0;
  /** Bytes that the runs take which are trained: of one that has just begun the device does not know yet. */
  private taken = 0;

  private constructor(
    private readonly store: FeatureStore | undefined,
    private readonly device: Backend,
    private readonly info: DeviceInfo,
    /** The device itself if it is not divided. */
    private readonly parts: readonly Backend[],
  ) {}

  /**
   * The parts for some runs; null if they are not trained on the CPU. The device is the one that is chosen for the
   * first run.
   */
  static async open(
    runs: readonly TrainingJob[],
    store?: FeatureStore,
    signal?: AbortSignal,
  ): Promise<CpuParts | null> {
    const { device, info } = await chooseFor(runs[0]!.job, signal);
    if (info.kind !== "wasm") return null;
    // The first type that fits depends on the memory that other runs leave.
    const isOpen = runs.some(({ job }) => job.dtype === "auto");
    const parts = isOpen ? [] : divide(device, runs.length);
    return new CpuParts(store, device, info, parts.length > 0 ? parts : [device]);
  }

  get count(): number {
    return this.parts.length;
  }

  /** Calls `work` for each job when a part is free, in their order. */
  async each(
    jobs: readonly TrainingJob[],
    signal: AbortSignal,
    work: (job: TrainingJob, trainOnPart: TrainAlone) => Promise<void>,
  ): Promise<void> {
    const { device } = this;
    const base = jobs.length > 1 ? await loadSharedBase({ ...jobs[0]!.job, device }, signal) : undefined;
    const room = device.limits.total ?? Infinity;
    const left = jobs.values();
    const workOn = async (part: Backend) => {
      for (const run of left) await work(run, (job, start) => this.train(job, { signal, ...start }, part, base, room));
    };
    try {
      await Promise.all(this.parts.map(workOn));
    } finally {
      base?.destroy();
    }
  }

  /** Frees the parts; the device remains. */
  close(): void {
    for (const part of this.parts) if (part !== this.device) part.destroy();
  }

  private async train(
    job: Job,
    start: Start,
    part: Backend,
    base: Engine | undefined,
    room: number,
  ): Promise<TrainResult> {
    const { info, store } = this;
    // A run that began on another kind of device continues there.
    const began = start.resume?.device ?? info.kind;
    if (began !== info.kind) return train(job, start, { store });
    const placed = { ...job, device: part };
    const prepared = prepareIfValid(placed);
    const engine = prepared && base && sharesBase(base, prepared) ? base : undefined;
    const bytes = prepared ? runBytes(prepared, engine !== undefined) : 0;
    while (this.active > 0 && this.taken + bytes > room && !start.signal?.aborted)
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.active++;
    this.taken += bytes;
    try {
      return await this.clock.share((now) => train(placed, start, { info, now, engine, store }));
    } finally {
      this.active--;
      this.taken -= bytes;
      for (const resume of this.waiting.splice(0)) resume();
    }
  }
}

/** The device that is chosen for a run. Errors of the run are reported when it is trained. */
async function chooseFor(job: Job, signal?: AbortSignal): Promise<{ device: Backend; info: DeviceInfo }> {
  try {
    return await prepareOnDevice(job, { signal });
  } catch (error) {
    if (error instanceof LowrankError) return { device: job.device, info: job.device.info };
    throw error;
  }
}

/** The parts for this many runs: fewer, with more threads each, if that takes no more rounds. */
function divide(device: Backend, runs: number): Backend[] {
  const parts = device.divide?.(runs) ?? [];
  const rounds = Math.ceil(runs / Math.max(1, parts.length));
  const fewer = Math.ceil(runs / rounds);
  if (fewer >= parts.length) return parts;
  for (const part of parts) part.destroy();
  return device.divide!(fewer);
}

/** An engine with the base model's weights, if a run and others can share them. */
async function loadSharedBase(job: Job, signal: AbortSignal): Promise<Engine | undefined> {
  const prepared = prepareIfValid(job);
  if (!prepared?.spec.lora || prepared.features) return undefined;
  const capacity = { tokens: 1, sequences: 1 };
  let engine: Engine | undefined;
  try {
    engine = await Engine.create(job.device, { spec: prepared.spec, capacity, optimizer: null });
    await loadBase(engine, job.model, { signal });
    return engine;
  } catch (error) {
    engine?.destroy();
    // Errors are reported when the run is trained.
    if (error instanceof LowrankError) return undefined;
    throw error;
  }
}

/** Null if something is wrong with a run, which is said when it is trained. */
function prepareIfValid(job: Job): Prepared | null {
  try {
    return prepareRun(job);
  } catch (error) {
    if (error instanceof LowrankError) return null;
    throw error;
  }
}

/** Whether the run freezes the whole base model, in the same type. */
function sharesBase({ plan }: Engine, { spec, features }: Prepared): boolean {
  return spec.lora !== null && !features && (spec.dtype ?? "f32") === (plan.spec.dtype ?? "f32");
}

/** The memory of a run, with or without the base model's weights. */
function runBytes(prepared: Prepared, isShared: boolean): number {
  const weights = isShared ? (memoryTotals(prepared.plan.memory).byRole.get("weight") ?? 0) : 0;
  return peakMemory(prepared) - weights;
}
