/** The thread pool that runs kernels.wasm: workers with one shared memory. The host only posts messages, so that its thread never blocks. */
import { startWorker } from "#workers";
import { DeviceError } from "../errors.ts";
import type { Executor, ExecutorMemory, FromWorker, Times, ToWorker } from "./wasm-kernels.ts";

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
            "kernels-worker",
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
