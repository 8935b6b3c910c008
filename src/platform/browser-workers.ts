/**
 * Starts workers in a page. `node-workers.ts` has the same exports. Apart from `browser.ts`, which workers import: a
 * bundler that bundles a worker must not find that worker again in what it imports. Every URL is a literal, as in
 * `assets.ts`.
 */
import { workerUrl } from "./assets.ts";
import { takeOwn } from "./build.ts";
import { NotStarted, type WorkerHandle, workerError } from "./worker.ts";

export { NotStarted };

/** A worker starts from its page's origin alone: one from elsewhere is imported by a script of one line. */
function open(): Worker {
  const url = workerUrl();
  // Bundlers find the worker by this expression.
  if (url === undefined) return new Worker(new URL("./kernels-worker.js", import.meta.url), { type: "module" });
  const importing = () => URL.createObjectURL(new Blob([`import "${url}";`], { type: "text/javascript" }));
  return new Worker(url.origin === origin ? url : importing(), { type: "module" });
}

export function startWorker(onMessage: (message: unknown) => void, onError: (error: Error) => void): WorkerHandle {
  const worker = open();
  const take = takeOwn(onMessage, onError);
  worker.onmessage = ({ data }) => take(data);
  // The event of a worker that has not started is no ErrorEvent.
  worker.onerror = ({ message }) =>
    onError(workerError(message === undefined ? new NotStarted("kernels-worker") : new Error(message)));
  return {
    post: (message) => worker.postMessage(message),
    keepAlive: () => {}, // workers do not keep a page open
    terminate: () => worker.terminate(),
  };
}
