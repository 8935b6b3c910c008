/** The CPU backend on threads that share memory, or on the caller's thread. Imported on demand, like remote.ts. */
import type { Backend, WasmOptions } from "./backend.ts";
import { openBackend } from "./wasm-backend.ts";
import { SingleThread } from "./wasm-kernels.ts";
import { loadKernels } from "./wasm-module.ts";
import { ThreadPool } from "./wasm-threads.ts";

/** Opens it with this many threads; null: on the caller's. */
export async function openWithThreads(options: WasmOptions, threads: number | null): Promise<Backend> {
  const kernels = await loadKernels(options);
  return threads === null
    ? openBackend(kernels, 1, SingleThread.start)
    : openBackend(kernels, threads, ThreadPool.start);
}
