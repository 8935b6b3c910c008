/** Workers that run kernels.wasm (kernels-worker.ts), in a memory that is shared with them or is the worker's own. */
import { startWorker } from "#workers";
import { DeviceError } from "../core/errors.ts";
import type { Memory, Runs, Team, Thread, Threads, Times } from "./wasm-memory.ts";

/** A request to a worker. */
export interface Calls extends Memory, Pick<Thread, "run"> {
  /** Returns the bytes of scratch memory that it needs. Without `shared` it has a memory of its own. */
  start(module: WebAssembly.Module, shared?: WebAssembly.Memory): Promise<number>;
}

type Args<N extends keyof Calls> = Parameters<Calls[N]>;

/** A message to a worker. One with a number is answered. */
export interface ToWorker {
  call: number | null;
  name: keyof Calls;
  args: unknown[];
}

export type FromWorker = { call: number; value: unknown } | { failure: string };

interface Waiting {
  resolve: (value: never) => void;
  reject: (error: Error) => void;
}

/** Threads of their own. The host posts messages and never blocks. */
export class Workers implements Threads {
  scratchBytes = 0;
  private readonly workers: ReturnType<typeof startWorker>[] = [];
  /** The requests, by their numbers. */
  private readonly waiting = new Map<number, Waiting>();
  private calls = 0;
  private failure: Error | undefined;

  constructor(readonly count: number) {
    const fail = (error: Error) => this.fail(error);
    const take = (message: unknown) => this.take(message as FromWorker);
    for (let i = 0; i < count; i++) this.workers.push(startWorker(take, fail));
  }

  async start(...args: Args<"start">): Promise<void> {
    const started = this.workers.map((_, thread) => this.ask(thread, "start", ...args));
    this.scratchBytes = (await Promise.all(started))[0]!;
  }

  post<N extends keyof Calls>(thread: number, name: N, ...args: Args<N>): void {
    this.send(thread, { call: null, name, args });
  }

  ask<N extends keyof Calls>(thread: number, name: N, ...args: Args<N>): Promise<Awaited<ReturnType<Calls[N]>>> {
    return new Promise((resolve, reject) => {
      const call = this.calls++;
      this.send(thread, { call, name, args });
      this.waiting.set(call, { resolve, reject });
      this.keepAlive(true);
    });
  }

  async run(team: Team, list: number, count: number, timed: boolean): Promise<Times | null> {
    for (let i = 1; i < team.count; i++) this.post(team.first + i, "run", team, list, count, timed, i);
    // The first answers for all: when it has passed the last barrier, they are done.
    const done = this.ask(team.first, "run", team, list, count, timed);
    // One after each record, and one after the list.
    team.passed = (team.passed + count + 1) | 0;
    return done;
  }

  destroy(): void {
    this.fail(new DeviceError("already-destroyed", "the device was released"));
  }

  private send(thread: number, message: ToWorker): void {
    if (this.failure) throw this.failure;
    this.workers[thread]!.post(message);
  }

  /** Terminates all threads: the others would wait at the barrier for the failed one. */
  private fail(error: Error): void {
    this.failure ??= error;
    for (const worker of this.workers) worker.terminate();
    for (const { reject } of this.waiting.values()) reject(this.failure);
    this.waiting.clear();
  }

  private take(answer: FromWorker): void {
    if ("failure" in answer) {
      this.fail(new DeviceError("device-failed", "a kernel failed", { found: answer.failure }));
      return;
    }
    // After a failure an answer in flight may still arrive.
    this.waiting.get(answer.call)?.resolve(answer.value as never);
    this.waiting.delete(answer.call);
    if (this.waiting.size === 0) this.keepAlive(false);
  }

  /** Whether the workers keep the process alive. */
  private keepAlive(isBusy: boolean): void {
    for (const worker of this.workers) worker.keepAlive(isBusy);
  }
}

/**
 * The memory of a worker, for callers that must not be blocked where memory cannot be shared. What is written and read
 * is copied between the two threads.
 */
export class RemoteMemory implements Memory {
  constructor(private readonly workers: Workers) {}

  grow(end: number): Promise<boolean> {
    return this.workers.ask(0, "grow", end);
  }

  clear(at: number, bytes: number): void {
    this.workers.post(0, "clear", at, bytes);
  }

  write(runs: Runs, data: Uint8Array): void {
    // Posting a view would send its whole buffer.
    this.workers.post(0, "write", runs, data.slice());
  }

  read(runs: Runs): Promise<Uint8Array> {
    return this.workers.ask(0, "read", runs);
  }
}
