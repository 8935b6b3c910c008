/** Opens the CPU: on threads, on the caller's thread, or in a worker. */
import { allowRelaxedSimd, isPageThread, nextTurn, parallelism, readAsset } from "#platform";
import { NotStarted } from "#workers";
import { checkNumber } from "../checks.ts";
import type { Backend, WasmOptions } from "./backend.ts";
import { WasmBackend } from "./wasm-backend.ts";
import { Heap } from "./wasm-heap.ts";
import { BARRIER_BYTES, LocalMemory, type Memory, Thread, type Threads } from "./wasm-memory.ts";
import { RemoteMemory, Workers } from "./wasm-threads.ts";

/** With more threads, synchronization takes longer than the work. */
const MAX_THREADS = 16;

/** The default number of threads: one per core if memory can be shared, otherwise one. */
export function defaultThreads(): number {
  return canShare() ? Math.min(MAX_THREADS, parallelism()) : 1;
}

const canShare = () => typeof SharedArrayBuffer !== "undefined";

/**
 * Opens the CPU backend. It runs on worker threads if memory can be shared, otherwise on the caller's thread, or, if
 * that is a page's main thread, in one worker. Where a page can start no worker it runs on the caller's thread, and
 * `info.why` says so.
 */
export async function openWasm(options: WasmOptions = {}): Promise<Backend> {
  const { threads = 0 } = options;
  checkNumber("the number of threads", threads, { min: 0, max: 64, whole: true });
  try {
    if (canShare()) return await openOnThreads(threads || defaultThreads(), options);
    return await (isPageThread() ? openInWorker(options) : openOnCaller(options));
  } catch (error) {
    if (!((error as Error).cause instanceof NotStarted)) throw error;
    const device = await openOnCaller(options);
    device.info.why = "no worker can be started";
    return device;
  }
}

/** A module with one relaxed instruction (i8x16.relaxed_swizzle): valid if the runtime supports relaxed SIMD. */
const RELAXED_PROBE = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
  253, 128, 2, 11,
]);

export function hasRelaxedSimd(): boolean {
  if (!WebAssembly.validate(RELAXED_PROBE)) allowRelaxedSimd();
  return WebAssembly.validate(RELAXED_PROBE);
}

/** kernels.wasm in the build that the runtime supports: with fused multiply-add, or without. */
async function loadKernels({ relaxed = hasRelaxedSimd() }: WasmOptions) {
  const bytes = await readAsset(relaxed ? "kernels-relaxed.wasm" : "kernels.wasm");
  return { module: await WebAssembly.compile(bytes), build: relaxed ? "relaxed SIMD" : "SIMD" };
}

/** Opens it on the caller's thread. */
export async function openOnCaller(options: WasmOptions = {}): Promise<WasmBackend> {
  const { module, build } = await loadKernels(options);
  const thread = await Thread.open(module);
  const run: Threads["run"] = async (...args) => {
    // Yields to the event loop first: chained promises alone would block a page's thread.
    await nextTurn();
    return thread.run(...args);
  };
  return open(thread, { count: 1, scratchBytes: thread.scratchBytes, run, destroy() {} }, build);
}

/** Opens it on threads that share its memory. */
export async function openOnThreads(count: number, options: WasmOptions): Promise<WasmBackend> {
  const { module, build } = await loadKernels(options);
  const workers = new Workers(count);
  const memory = new LocalMemory();
  await workers.start(module, memory.memory);
  const backend = await open(memory, workers, build);
  backend.divide = (count) => divide(backend, count);
  return backend;
}

function divide({ memory, pool, heap, info, team }: WasmBackend, count: number): WasmBackend[] {
  const parts = Math.min(count, team.count);
  const begin = (part: number) => Math.floor((part * team.count) / parts);
  return Array.from({ length: parts }, (_, part) => {
    const first = begin(part);
    const barrier = team.barrier + (1 + first) * BARRIER_BYTES;
    memory.clear(barrier, BARRIER_BYTES);
    const some = { ...team, first, count: begin(part + 1) - first, barrier, passed: 0 };
    return new WasmBackend(memory, pool, heap, info, some, true);
  });
}

/** Opens it in one worker, which shares no memory. */
export async function openInWorker(options: WasmOptions = {}): Promise<WasmBackend> {
  const { module, build } = await loadKernels(options);
  const worker = new Workers(1);
  await worker.start(module);
  return open(new RemoteMemory(worker), worker, build);
}

async function open(memory: Memory, pool: Threads, build: string): Promise<WasmBackend> {
  const { count, scratchBytes } = pool;
  const heap = new Heap(memory);
  const [scratch, barrier] = await heap.alloc([count * scratchBytes, (count + 1) * BARRIER_BYTES]);
  const name = `CPU, ${count === 1 ? "1 thread" : `${count} threads`}, ${build}`;
  const team = { first: 0, count, scratch: scratch!, barrier: barrier!, passed: 0 };
  return new WasmBackend(memory, pool, heap, { kind: "wasm", name, software: true }, team);
}
