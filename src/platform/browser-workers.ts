/**
 * Starts workers in a page. `node-workers.ts` has the same exports. Apart from `browser.ts`, which workers import: a
 * bundler that bundles a worker must not find that worker again in what it imports. Every URL is a literal, as in
 * `assets.ts`.
 */
import { workerUrl } from "./assets.ts";
import { takeOwn } from "./build.ts";
import { NotStarted, type WorkerHandle, type WorkerName, workerError } from "./worker.ts";

export { NotStarted };

/** Bundlers find a worker by this expression. */
const WORKERS: Readonly<Record<WorkerName, () => Worker>> = {
  "kernels-worker": () => new Worker(new URL("./kernels-worker.js", import.meta.url), { type: "module" }),
  "remote-worker": () => new Worker(new URL("./remote-worker.js", import.meta.url), { type: "module" }),
};

/** A worker starts from its page's origin alone: one from elsewhere is imported by a script of one line. */
function open(name: WorkerName): Worker {
  const url = workerUrl(name);
  if (url === undefined) return WORKERS[name]();
  const importing = () => URL.createObjectURL(new Blob([`import "${url}";`], { type: "text/javascript" }));
  return new Worker(url.origin === origin ? url : importing(), { type: "module" });
}

export function startWorker(
  name: WorkerName,
  onMessage: (message: unknown) => void,
  onError: (error: Error) => void,
): WorkerHandle {
  const worker = open(name);
  const take = takeOwn(onMessage, onError);
  worker.onmessage = ({ data }) => take(data);
  // The event of a worker that has not started is no ErrorEvent.
  worker.onerror = ({ message }) =>
    onError(workerError(message === undefined ? new NotStarted(name) : new Error(message)));
  return {
    post: (message) => worker.postMessage(message),
    keepAlive: () => {}, // workers do not keep a page open
    terminate: () => worker.terminate(),
  };
}
