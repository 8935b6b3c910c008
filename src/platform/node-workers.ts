/** Starts workers in Node, from the built file. `browser-workers.ts` has the same exports. */
import { Worker } from "node:worker_threads";
import { takeOwn } from "./build.ts";
import { packagePath } from "./node-package.ts";
import { type WorkerHandle, workerError } from "./worker.ts";

export { NotStarted } from "./worker.ts";

export function startWorker(onMessage: (message: unknown) => void, onError: (error: Error) => void): WorkerHandle {
  const worker = new Worker(packagePath("dist/kernels-worker.mjs"));
  worker.on("message", takeOwn(onMessage, onError));
  worker.on("error", (error) => onError(workerError(error)));
  return {
    post: (message) => worker.postMessage(message),
    keepAlive: (busy) => (busy ? worker.ref() : worker.unref()),
    terminate: () => void worker.terminate(),
  };
}
