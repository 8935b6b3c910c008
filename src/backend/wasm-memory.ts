/** The CPU as a device: bytes, and threads that run lists of records over them with kernels.wasm. */
import { concat } from "../core/concat.ts";

/** The first page holds the module's own data. */
export const FIRST_ADDRESS = 1 << 16;
const PAGE_BYTES = 1 << 16;
const MAX_PAGES = 1 << 16;
export const MAX_BYTES = 2 ** 32 - FIRST_ADDRESS;

/** Parts of the memory, in an order of their own. */
export type Runs = readonly (readonly [at: number, bytes: number])[];

/** The memory of kernels.wasm: here, or a worker's. What is called is done in the order of the calls. */
export interface Memory {
  /** Grows to at least `end` bytes; what is new is zero. False if it cannot. */
  grow(end: number): boolean | Promise<boolean>;
  /** Fills bytes with zeros. */
  clear(at: number, bytes: number): void;
  /** Copies `data` to `runs`. */
  write(runs: Runs, data: Uint8Array): void;
  /** A copy of what is in `runs`. */
  read(runs: Runs): Uint8Array | Promise<Uint8Array>;
}

/** A cache line for a barrier's two words. */
export const BARRIER_BYTES = 64;

/** Threads that run a list together. */
export interface Team {
  first: number;
  count: number;
  /** The scratch memory of all threads, also of other teams. */
  scratch: number;
  /** Two words, zero at first. */
  barrier: number;
  /** The barriers that they will have passed when all that was asked for is done: each checks that it is in step. */
  passed: number;
}

/** Milliseconds of each record of a list. */
export type Times = Float64Array;

export interface Threads {
  readonly count: number;
  /** Bytes of scratch memory that a thread needs. */
  readonly scratchBytes: number;
  /** Runs `count` records at the address `list` on a team; with `timed`, returns the time of each. */
  run(team: Team, list: number, count: number, timed: boolean): Promise<Times | null>;
  destroy(): void;
}

/** The exports of kernels.wasm. */
type KernelExports = {
  configure(index: number, count: number, scratch: number, barrier: number, passed: number): void;
  scratch_bytes(): number;
  record_bytes(): number;
  replay(list: number, count: number): void;
  barrier(): void;
};

/** A memory that this thread can see. */
export class LocalMemory implements Memory {
  constructor(readonly memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES, shared: true })) {}

  grow(end: number): boolean {
    const missing = Math.ceil((end - this.memory.buffer.byteLength) / PAGE_BYTES);
    try {
      if (missing > 0) this.memory.grow(missing);
      return true;
    } catch {
      return false;
    }
  }

  clear(at: number, bytes: number): void {
    new Uint8Array(this.memory.buffer, at, bytes).fill(0);
  }

  write(runs: Runs, data: Uint8Array): void {
    let from = 0;
    for (const part of this.parts(runs)) {
      part.set(data.subarray(from, from + part.length));
      from += part.length;
    }
  }

  read(runs: Runs): Uint8Array {
    return concat(Uint8Array, this.parts(runs));
  }

  private parts(runs: Runs): Uint8Array[] {
    const { buffer } = this.memory;
    return runs.map(([at, bytes]) => new Uint8Array(buffer, at, bytes));
  }
}

/** An instance of kernels.wasm in a memory: a new one, or that of other threads. */
export class Thread extends LocalMemory {
  private kernels!: KernelExports;

  static async open(module: WebAssembly.Module, memory?: WebAssembly.Memory): Promise<Thread> {
    const thread = new Thread(memory);
    const { exports } = await WebAssembly.instantiate(module, { env: { memory: thread.memory } });
    thread.kernels = exports as KernelExports;
    return thread;
  }

  get scratchBytes(): number {
    return this.kernels.scratch_bytes();
  }

  /** Runs the slice of a team's thread number `index`: all records in one call, or, timed, one by one. */
  run(team: Team, list: number, count: number, timed: boolean, index = 0): Times | null {
    const { kernels } = this;
    const scratch = team.scratch + (team.first + index) * this.scratchBytes;
    kernels.configure(index, team.count, scratch, team.barrier, team.passed);
    const bytes = kernels.record_bytes();
    let times: Times | null = null;
    if (timed)
      times = Float64Array.from({ length: count }, (_, i) => {
        const started = performance.now();
        kernels.replay(list + i * bytes, 1);
        return performance.now() - started;
      });
    else kernels.replay(list, count);
    // When one thread has passed this, all are done, and were in step.
    kernels.barrier();
    return times;
  }
}
