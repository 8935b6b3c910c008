/** The page's interface to its worker: asynchronous calls and events. */
import type { Answer, Api, Call, ErrorReport, Event, Method } from "../protocol.ts";

/** The error that the worker returned for a call. */
export class CallFailed extends Error {
  constructor(readonly report: ErrorReport) {
    super(report.summary);
  }
}

export type WorkerClient = Api & {
  /** Adds a listener for the worker's events. */
  listen(listener: (event: Event) => void): void;
};

export function openClient(): WorkerClient {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  const listeners: ((event: Event) => void)[] = [];
  let last = 0;
  worker.onmessage = ({ data }: MessageEvent<Answer | Event>) => {
    if ("type" in data) {
      for (const listener of listeners) listener(data);
      return;
    }
    const call = waiting.get(data.id);
    waiting.delete(data.id);
    if ("error" in data) call?.reject(new CallFailed(data.error));
    else call?.resolve(data.value);
  };
  worker.onerror = ({ message }) => {
    const error = new CallFailed({
      name: "Error",
      summary: message,
      hint: "reload the page: a run resumes from its last checkpoint",
    });
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const call = (method: Method, args: unknown[]) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      worker.postMessage({ id: last, method, args } as Call);
    });
  return new Proxy({} as WorkerClient, {
    get: (_, name: string) => {
      if (name === "listen") return (listener: (event: Event) => void) => listeners.push(listener);
      return (...args: unknown[]) => call(name as Method, args);
    },
  });
}

/** The report of a failed call. Rethrows any other error. */
export function reportOf(error: unknown): ErrorReport {
  if (error instanceof CallFailed) return error.report;
  throw error;
}
