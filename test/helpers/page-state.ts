/**
 * The page's state without a browser: its modules, over a worker whose answers are the test's. A test file has one page,
 * whose modules it imports after this one, by import().
 */
import { IDBFactory } from "fake-indexeddb";
import { FIRST_MESSAGE } from "../../src/platform/build.ts";
import type { Call, ErrorReport, Event } from "../../src/web/protocol.ts";
import type { Api } from "../../src/web/worker/worker.ts";

/** What the worker answers; a call without an answer waits for ever. */
export const answers: { [method in keyof Api]?: (...args: Parameters<Api[method]>) => unknown } = {
  runs: () => [],
  models: () => [],
  sizes: () => ({}),
};
/** The calls so far. */
export const calls: { method: string; args: unknown[] }[] = [];

/** An answer that is an error. */
export class Refusal extends Error {
  constructor(readonly report: ErrorReport) {
    super(report.summary);
  }
}

const workers: StandIn[] = [];

class StandIn {
  onmessage: (event: { data: unknown }) => void = () => {};
  addEventListener(): void {}
  terminate(): void {}

  constructor() {
    workers.push(this);
    setImmediate(() => this.onmessage({ data: FIRST_MESSAGE }));
  }

  async postMessage({ id, method, args }: Call): Promise<void> {
    calls.push({ method, args });
    const answer = answers[method as keyof Api] as ((...args: unknown[]) => unknown) | undefined;
    if (!answer) return;
    await new Promise(setImmediate);
    try {
      this.onmessage({ data: { id, value: await answer(...args) } });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.onmessage({ data: { id, error: error.report } });
    }
  }
}

/** What the worker says by itself. */
export function tell(event: Event): void {
  workers.at(-1)!.onmessage({ data: event });
}

/** Waits until something holds, at most a few seconds. */
export async function until(what: () => boolean): Promise<void> {
  for (let tries = 0; !what(); tries++) {
    if (tries === 500) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function storage() {
  const items = new Map<string, string>();
  return {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
    removeItem: (key: string) => void items.delete(key),
  };
}

export const location = { hash: "", origin: "http://localhost", pathname: "/", search: "" };

const GLOBALS = {
  Worker: StandIn,
  indexedDB: new IDBFactory(),
  localStorage: storage(),
  sessionStorage: storage(),
  location,
  history: { replaceState: () => {} },
  navigator: {
    maxTouchPoints: 0,
    locks: { request: () => new Promise(() => {}) },
    storage: { estimate: async () => ({ usage: 0 }), persist: async () => true },
  },
};
for (const [name, value] of Object.entries(GLOBALS)) Object.defineProperty(globalThis, name, { value, writable: true });
