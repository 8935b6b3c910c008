/** The thread pool that runs kernels.wasm: workers with one shared memory. The host posts messages and never blocks. */
import { startWorker } from "#workers";
import { DeviceError } from "../errors.ts";
import type { Executor, ExecutorMemory, FromWorker, Times, ToWorker } from "./wasm-kernels.ts";

/** Threads that run a list together. */
interface Team {
  first: number;
  threads: number;
  barrierState: number;
  /** The barriers that they will have passed when all that was posted is done: each checks that it is in step. */
  passed: number;
}

interface Waiting {
  resolve: (times: Times | null) => void;
  reject: (error: Error) => void;
}

export class ThreadPool implements Executor {
  private readonly workers: ReturnType<typeof startWorker>[] = [];
  /** What runs, by its number. */
  private readonly waiting = new Map<number, Waiting>();
  private runs = 0;
  private failure: Error | undefined;

  private readonly all: Team;

  private constructor(
    readonly threads: number,
    barrierState: number,
  ) {
    this.all = { first: 0, threads, barrierState, passed: 0 };
  }

  static async start(
    module: WebAssembly.Module,
    { memory, scratch, barrierState }: ExecutorMemory,
  ): Promise<ThreadPool> {
    const executor = new ThreadPool(scratch.length, barrierState);
    const ready = scratch.map(
      (at) =>
        new Promise<void>((resolve, reject) => {
          const fail = (error: Error) => {
            reject(error);
            executor.fail(error);
          };
          const worker = startWorker(
            "kernels-worker",
            (message) => {
              const answer = message as FromWorker;
              if (answer.type === "ready") resolve();
              else if (answer.type === "done") executor.end(answer.run, answer.times);
              else fail(new DeviceError("device-failed", "a kernel failed", { found: answer.message }));
            },
            fail,
          );
          executor.workers.push(worker);
          worker.post({ type: "start", module, memory, scratch: at } satisfies ToWorker);
        }),
    );
    await Promise.all(ready);
    executor.keepAlive(false);
    return executor;
  }

  run(list: number, count: number, timed: boolean): Promise<Times | null> {
    return this.runOn(this.all, list, count, timed);
  }

  team(first: number, threads: number, barrierState: number): Executor {
    const team = { first, threads, barrierState, passed: 0 };
    return {
      threads,
      run: (list, count, timed) => this.runOn(team, list, count, timed),
      team: (from, some, state) => this.team(first + from, some, state),
      // The pool ends with all of its threads.
      destroy: () => {},
    };
  }

  private runOn(team: Team, list: number, count: number, timed: boolean): Promise<Times | null> {
    if (this.failure) return Promise.reject(this.failure);
    this.keepAlive(true);
    const run = this.runs++;
    const { first, threads, barrierState, passed } = team;
    team.passed = (passed + count + 1) | 0;
    return new Promise<Times | null>((resolve, reject) => {
      this.waiting.set(run, { resolve, reject });
      for (const [index, worker] of this.workers.slice(first, first + threads).entries())
        worker.post({ type: "run", run, index, threads, barrierState, passed, list, count, timed } satisfies ToWorker);
    });
  }

  private end(run: number, times: Times | null): void {
    this.waiting.get(run)?.resolve(times);
    this.waiting.delete(run);
    if (this.waiting.size === 0) this.keepAlive(false);
  }

  destroy(): void {
    this.fail(new DeviceError("already-destroyed", "the device was released"));
  }

  /** Terminates all threads: the others would wait at the barrier for the failed one. */
  private fail(error: Error): void {
    this.failure ??= error;
    for (const worker of this.workers) worker.terminate();
    for (const { reject } of this.waiting.values()) reject(this.failure);
    this.waiting.clear();
  }

  /** Whether the workers keep the process alive. */
  private keepAlive(busy: boolean): void {
    for (const worker of this.workers) worker.keepAlive(busy);
  }
}
