/** Opens the CPU backend where it is to run. Imported on demand. */
import { allowRelaxedSimd, nextTurn, readAsset } from "#platform";
import type { WasmOptions } from "./backend.ts";
import { WasmBackend } from "./wasm-backend.ts";
import { Heap } from "./wasm-heap.ts";
import { BARRIER_BYTES, LocalMemory, type Memory, Thread, type Threads } from "./wasm-memory.ts";
import { RemoteMemory, Workers } from "./wasm-threads.ts";

/** A module with one relaxed instruction (i8x16.relaxed_swizzle): valid if the runtime supports relaxed SIMD. */
const RELAXED_PROBE = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
  253, 128, 2, 11,
]);

export function hasRelaxedSimd(): boolean {
  if (!WebAssembly.validate(RELAXED_PROBE)) allowRelaxedSimd();
  return WebAssembly.validate(RELAXED_PROBE);
}

/** Where it runs: on the caller's thread, in one worker, or on so many threads that share its memory. */
type Place = "caller" | "worker" | number;

/** Opens the backend with the build of the kernels that the runtime supports. */
export async function openBackend(
  place: Place,
  { relaxed: fused = hasRelaxedSimd() }: WasmOptions = {},
): Promise<WasmBackend> {
  const bytes = await readAsset(fused ? "kernels-relaxed.wasm" : "kernels.wasm");
  const module = await WebAssembly.compile(bytes);
  const [memory, pool] = await openMemory(module, place);
  const { count, scratchBytes } = pool;
  const heap = new Heap(memory);
  const [scratch, barrier] = await heap.alloc([count * scratchBytes, (count + 1) * BARRIER_BYTES]);
  const name = count === 1 ? "1 thread" : `${count} threads`;
  const info = { kind: "wasm", name: `CPU, ${name}, ${fused ? "relaxed SIMD" : "SIMD"}`, software: true } as const;
  const team = { first: 0, count, scratch: scratch!, barrier: barrier!, passed: 0 };
  return new WasmBackend(memory, pool, heap, info, team);
}

/** The memory, and what runs lists in it. */
async function openMemory(module: WebAssembly.Module, place: Place): Promise<[Memory, Threads]> {
  if (place === "caller") {
    const thread = await Thread.open(module);
    const run: Threads["run"] = async (...args) => {
      // Yields to the event loop first: chained promises alone would block a page's thread.
      await nextTurn();
      return thread.run(...args);
    };
    return [thread, { count: 1, scratchBytes: thread.scratchBytes, run, destroy() {} }];
  }
  if (place === "worker") {
    const worker = new Workers(1);
    await worker.start(module);
    return [new RemoteMemory(worker), worker];
  }
  const workers = new Workers(place);
  const memory = new LocalMemory();
  await workers.start(module, memory.memory);
  return [memory, workers];
}
