/**
 * Starts workers in a page. `node-workers.ts` has the same export. Apart from `browser.ts`, which workers import: a bundler that
 * bundles a worker must not find that worker again in what it imports. Every URL is a literal, as in `assets.ts`.
 */
import type { WorkerHandle, WorkerName } from "./worker.ts";

const WORKERS: Readonly<Record<WorkerName, () => Worker>> = {
  "kernels-worker": () => new Worker(new URL("./kernels-worker.js", import.meta.url), { type: "module" }),
  "remote-worker": () => new Worker(new URL("./remote-worker.js", import.meta.url), { type: "module" }),
};

export function startWorker(
  name: WorkerName,
  onMessage: (message: unknown) => void,
  onError: (error: Error) => void,
): WorkerHandle {
  const worker = WORKERS[name]();
  worker.onmessage = ({ data }) => onMessage(data);
  worker.onerror = ({ message }) => onError(new Error(message));
  return {
    post: (message) => worker.postMessage(message),
    keepAlive: () => {}, // workers do not keep a page open
    terminate: () => worker.terminate(),
  };
}
