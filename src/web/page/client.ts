/** The page's side of its worker: calls that answer, and events. */
import type { Answer, Api, Call, Event, Fault, Method } from "../protocol.ts";

/** What the worker answered in place of a value. */
export class CallFailed extends Error {
  constructor(readonly fault: Fault) {
    super(fault.summary);
  }
}

export type Session = Api & {
  /** Hears what the worker tells unasked. */
  listen(hear: (event: Event) => void): void;
};

export function openSession(): Session {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  const listeners: ((event: Event) => void)[] = [];
  let last = 0;
  worker.onmessage = ({ data }: MessageEvent<Answer | Event>) => {
    if ("type" in data) {
      for (const hear of listeners) hear(data);
      return;
    }
    const call = waiting.get(data.id);
    waiting.delete(data.id);
    if ("fault" in data) call?.reject(new CallFailed(data.fault));
    else call?.resolve(data.value);
  };
  worker.onerror = ({ message }) => {
    const error = new CallFailed({
      name: "Error",
      summary: message,
      hint: "reload the page: a run goes on from its last state",
    });
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const call = (method: Method, args: unknown[]) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      worker.postMessage({ id: last, method, args } as Call);
    });
  return new Proxy({} as Session, {
    get: (_, name: string) => {
      if (name === "listen") return (hear: (event: Event) => void) => listeners.push(hear);
      return (...args: unknown[]) => call(name as Method, args);
    },
  });
}

/** The fault of a failed call; what is no such failure goes on. */
export function faultOf(error: unknown): Fault {
  if (error instanceof CallFailed) return error.fault;
  throw error;
}
