/** The page's interface to its worker: asynchronous calls and events. The next call replaces an ended worker. */
import { takeOwn } from "../../../platform/build.ts";
import type { Answer, Call, ErrorReport, Event } from "../../protocol.ts";
import type { Api } from "../../worker/worker.ts";

/** The error that the worker returned for a call. */
class CallFailed extends Error {
  constructor(readonly report: ErrorReport) {
    super(report.summary);
  }
}

/** The worker's messages, and their handlers. */
type ClientEvent =
  | Exclude<Event, { type: "alive" }>
  /** It has ended, and what it did is lost since the last checkpoint. */
  | { type: "ended"; report: ErrorReport };

type WorkerClient = Api & {
  listen(listener: (event: ClientEvent) => void): void;
  /** Ends the worker at once, whatever it computes. */
  end(): void;
};

export function openClient(): WorkerClient {
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  const listeners: ((event: ClientEvent) => void)[] = [];
  const tell = (event: ClientEvent) => {
    for (const listener of listeners) listener(event);
  };
  let last = 0;
  let worker: Worker | undefined;
  let end = (_report: ErrorReport) => {};
  /** The selected files, by name, as the worker knows them. */
  const picked = new Map<string, File>();

  const take = (answer: Answer) => {
    const call = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ("error" in answer) call?.reject(new CallFailed(answer.error));
    else call?.resolve(answer.value);
  };

  const start = (): Worker => {
    // Of its lock, which it holds while it lives.
    const name = `lowrank-worker-${crypto.randomUUID()}`;
    const started = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name });
    const endThis = (report: ErrorReport) => {
      if (worker !== started) return;
      worker = undefined;
      started.terminate();
      for (const { reject } of waiting.values()) reject(new CallFailed(report));
      waiting.clear();
      tell({ type: "ended", report });
    };
    end = endThis;
    const receive = (data: Answer | Event) => {
      if (!("type" in data)) take(data);
      // The browser grants the lock when the worker has ended, even if no event reports it.
      else if (data.type === "alive") void navigator.locks.request(name, () => endThis(reportOfEnd()));
      else tell(data);
    };
    const takeMessage = takeOwn(receive as (message: unknown) => void, ({ name, message }) =>
      endThis({ name, summary: message }),
    );
    started.onmessage = ({ data }) => takeMessage(data);
    started.onerror = ({ message }) => endThis(reportOfEnd(message || "its script could not be loaded"));
    // Chromium has no `onmessageerror` here.
    started.addEventListener("messageerror", () => endThis(reportOfEnd("the page could not read its message")));
    // Of which no answer is needed.
    const post = (method: keyof Api, ...args: unknown[]) => started.postMessage({ id: 0, method, args } satisfies Call);
    post("tellTouchPoints", navigator.maxTouchPoints);
    // For a worker that replaces another.
    if (picked.size > 0) post("pick", [...picked.values()]);
    return started;
  };
  worker = start();

  const call = (method: string, args: unknown[]) =>
    new Promise((resolve, reject) => {
      worker ??= start();
      waiting.set(++last, { resolve, reject });
      worker.postMessage({ id: last, method, args } satisfies Call);
      if (method === "pick") for (const file of args[0] as File[]) picked.set(file.name, file);
    });
  return new Proxy({} as WorkerClient, {
    get: (_, name: string) => {
      if (name === "listen") return (listener: (event: ClientEvent) => void) => listeners.push(listener);
      if (name === "end") return () => end(reportOfEnd());
      return (...args: unknown[]) => call(name, args);
    },
  });
}

function reportOfEnd(message?: string): ErrorReport {
  return {
    name: "WorkerError",
    summary: message === undefined ? "The page's worker has ended" : "The page's worker has failed",
    found: message ?? "no error: it may have run out of memory",
    hint: "try again, or reload the page: a run resumes from its last checkpoint. A smaller batch size or model takes less memory",
  };
}

/** The report of a failed call. Rethrows any other error. */
export function failureReport(error: unknown): ErrorReport {
  if (error instanceof CallFailed) return error.report;
  throw error;
}
