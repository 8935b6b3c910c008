/**
 * The thread pool that runs kernels.wasm: workers with one shared memory. The host only posts messages, so that its thread
 * never blocks. If memory cannot be shared, lists run in the caller's thread.
 */
import { nextTurn, startWorker } from "#platform";
import { DeviceError } from "../errors.ts";

/** The exports of kernels.wasm. */
export interface KernelExports {
  configure(index: number, count: number, scratch: number, barrierState: number): void;
  scratch_bytes(): number;
  record_bytes(): number;
  replay(list: number, count: number): void;
}

/** Creates an instance with the shared memory; `configure` assigns its slice. */
export async function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Promise<KernelExports> {
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  return exports as unknown as KernelExports;
}

export interface ExecutorMemory {
  memory: WebAssembly.Memory;
  /** Scratch memory of each thread. */
  scratch: number[];
  /** The barrier's two words, zero. */
  barrierState: number;
}

/** Milliseconds of each record of a list. */
export type Times = Float64Array;

export interface Executor {
  readonly threads: number;
  /** Runs `count` records at the address `list`; with `timed`, returns the time of each. */
  run(list: number, count: number, timed: boolean): Promise<Times | null>;
  destroy(): void;
}

/** One instance in the caller's thread. */
export class SingleThread implements Executor {
  readonly threads = 1;

  constructor(
    private readonly kernels: KernelExports,
    { scratch, barrierState }: ExecutorMemory,
  ) {
    kernels.configure(0, 1, scratch[0]!, barrierState);
  }

  /** Yields to the event loop first: chained promises alone would block a page's thread. */
  async run(list: number, count: number, timed: boolean): Promise<Times | null> {
    await nextTurn();
    return replay(this.kernels, list, count, timed);
  }

  destroy(): void {}
}

/** Runs the records in one call, or, timed, one by one. */
export function replay(kernels: KernelExports, list: number, count: number, timed: boolean): Times | null {
  if (!timed) {
    kernels.replay(list, count);
    return null;
  }
  const bytes = kernels.record_bytes();
  return Float64Array.from({ length: count }, (_, i) => {
    const started = performance.now();
    kernels.replay(list + i * bytes, 1);
    return performance.now() - started;
  });
}

export class ThreadPool implements Executor {
  private readonly workers: ReturnType<typeof startWorker>[] = [];
  private readonly waiting: { resolve: (times: Times | null) => void; reject: (error: Error) => void }[] = [];
  private failure: Error | undefined;

  private constructor(readonly threads: number) {}

  static async start(
    module: WebAssembly.Module,
    { memory, scratch, barrierState }: ExecutorMemory,
  ): Promise<ThreadPool> {
    const executor = new ThreadPool(scratch.length);
    const ready = scratch.map(
      (at, index) =>
        new Promise<void>((resolve, reject) => {
          const fail = (summary: string, found: string, cause?: Error) => {
            const error = new DeviceError(summary, { found, cause });
            reject(error);
            executor.fail(error);
          };
          const worker = startWorker(
            "kernels-worker.js",
            (message) => {
              const answer = message as FromWorker;
              if (answer.type === "ready") resolve();
              else if (answer.type === "done") executor.waiting.shift()?.resolve(answer.times);
              else fail("a kernel failed", answer.message);
            },
            (error) => fail("a worker failed", error.message, error),
          );
          executor.workers.push(worker);
          const threads = scratch.length;
          worker.post({ type: "start", module, memory, index, threads, scratch: at, barrierState } satisfies ToWorker);
        }),
    );
    await Promise.all(ready);
    executor.keepAlive(false);
    return executor;
  }

  run(list: number, count: number, timed: boolean): Promise<Times | null> {
    if (this.failure) return Promise.reject(this.failure);
    this.keepAlive(true);
    return new Promise<Times | null>((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      for (const worker of this.workers) worker.post({ type: "run", list, count, timed } satisfies ToWorker);
    }).finally(() => {
      if (this.waiting.length === 0) this.keepAlive(false);
    });
  }

  destroy(): void {
    this.fail(new DeviceError("the device was released"));
  }

  /** Terminates all threads: the others would wait at the barrier for the failed one. */
  private fail(error: Error): void {
    this.failure ??= error;
    for (const worker of this.workers) worker.terminate();
    for (const { reject } of this.waiting.splice(0)) reject(this.failure);
  }

  /** Whether the workers keep the process alive. */
  private keepAlive(busy: boolean): void {
    for (const worker of this.workers) worker.keepAlive(busy);
  }
}

export type FromWorker =
  | { type: "ready" }
  | { type: "done"; times: Times | null }
  | { type: "failed"; message: string };

export type ToWorker =
  | {
      type: "start";
      module: WebAssembly.Module;
      memory: WebAssembly.Memory;
      index: number;
      threads: number;
      scratch: number;
      barrierState: number;
    }
  | { type: "run"; list: number; count: number; timed: boolean };
