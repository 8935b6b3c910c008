/** Opens the CPU: on threads, on the caller's thread, or in a worker. */
import { isPageThread, parallelism } from "#platform";
import { NotStarted } from "#workers";
import { checkNumber } from "../checks.ts";
import type { Backend, WasmOptions } from "./backend.ts";

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
  const { openInWorker, openOnCaller, openOnThreads } = await import("./wasm-open.ts");
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
