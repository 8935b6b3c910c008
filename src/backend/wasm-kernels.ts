/** Instances of kernels.wasm, and what runs its lists; `wasm-threads.ts` runs them on several threads. */
import { nextTurn } from "#platform";

/** The exports of kernels.wasm. */
export type KernelExports = {
  configure(index: number, count: number, scratch: number, barrierState: number, passed: number): void;
  scratch_bytes(): number;
  record_bytes(): number;
  replay(list: number, count: number): void;
  barrier(): void;
};

/** Creates an instance with the shared memory; `configure` assigns its slice. */
export async function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Promise<KernelExports> {
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  return exports as KernelExports;
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
  /** Some of the threads, which run lists of their own. `barrierState` is as in ExecutorMemory. */
  team(first: number, threads: number, barrierState: number): Executor;
  destroy(): void;
}

/** One instance in the caller's thread. */
export class SingleThread implements Executor {
  readonly threads = 1;

  private constructor(private readonly kernels: KernelExports) {}

  static async start(
    module: WebAssembly.Module,
    { memory, scratch, barrierState }: ExecutorMemory,
  ): Promise<SingleThread> {
    const kernels = await instantiate(module, memory);
    kernels.configure(0, 1, scratch[0]!, barrierState, 0);
    return new SingleThread(kernels);
  }

  /** Yields to the event loop first: chained promises alone would block a page's thread. */
  async run(list: number, count: number, timed: boolean): Promise<Times | null> {
    await nextTurn();
    return replay(this.kernels, list, count, timed);
  }

  /** There is no other thread. */
  team(): Executor {
    return this;
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

export type FromWorker =
  | { type: "ready" }
  | { type: "done"; run: number; times: Times | null }
  | { type: "failed"; message: string };

export type ToWorker =
  | {
      type: "start";
      module: WebAssembly.Module;
      memory: WebAssembly.Memory;
      scratch: number;
    }
  /** The thread is number `index` of the `threads` that run this list. */
  | {
      type: "run";
      run: number;
      index: number;
      threads: number;
      barrierState: number;
      /** The barriers that they have passed: one after each record, and one after each list. */
      passed: number;
      list: number;
      count: number;
      timed: boolean;
    };
