/** Planted devices: the CPU under the name of a graphics card, which can be slow, wrong or lost. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Backend } from "../../src/backend/backend.ts";
import { DeviceError } from "../../src/core/errors.ts";
import type { Dispatch } from "../../src/ops/kernel.ts";
import type { Segment } from "../../src/plan/plan.ts";
import { testDevice } from "./device.ts";
import { afterAll } from "./harness.ts";

export interface Card extends Backend {
  /** Programs that were prepared on it. */
  prepared: number;
  /** Milliseconds that each run takes longer, by `performance.now`. */
  delay: number;
}

/** What slow cards have added to the clock. */
let late = 0;
const { now } = performance;
performance.now = () => now.call(performance) + late;

const cards: Backend[] = [];
afterAll(() => {
  for (const card of cards) card.destroy();
});

/** The CPU under the name of a graphics card; `why`: it was chosen automatically. */
export async function graphicsCard(why?: string, more: Partial<Card> = {}): Promise<Card> {
  const { limits, prepare } = await testDevice("wasm 1 thread").then((device) => ({
    limits: device.limits,
    prepare: device.prepare.bind(device),
  }));
  const info = { kind: "webgpu", name: "a graphics card", software: false } as const;
  let release = () => {};
  const card: Card = {
    released: new Promise((resolve) => {
      release = resolve;
    }),
    info: { ...info, ...(why === undefined ? {} : { why }) },
    // Of the CPU that checks it: with one it starts no worker.
    threads: 1,
    limits,
    prepared: 0,
    delay: 0,
    destroy: () => release(),
    async prepare(...args) {
      card.prepared++;
      const session = await prepare(...args);
      const run = session.run.bind(session);
      session.run = (...what) => {
        run(...what);
        late += card.delay;
      };
      return session;
    },
    ...more,
  };
  cards.push(card);
  return card;
}

/** A device whose driver computes other dispatches than those of a segment. */
export function changing(device: Backend, change: (dispatches: readonly Dispatch[], segment: Segment) => Dispatch[]) {
  const prepare: Backend["prepare"] = (program, sharedFrom) => {
    const segments = program.segments.map((one) => ({ ...one, dispatches: change(one.dispatches, one) }));
    return device.prepare({ ...program, segments }, sharedFrom);
  };
  return { ...device, prepare };
}

/**
 * Has work measured on a card, which is then much faster than the CPU, as far as that is kept in the cache directory.
 */
export async function preferCard(cache: string, work: (device: Backend) => Promise<unknown>): Promise<void> {
  const kept = join(cache, "devices.json");
  rmSync(kept, { force: true });
  // What follows from the choice of the card may be measured, too.
  for (let count = -1, more = true; more; ) {
    await work(await graphicsCard("a hardware GPU"));
    const entries = JSON.parse(readFileSync(kept, "utf8")) as [string, Record<string, unknown>][];
    const fast = entries.map(([key, one]) => [key, "cpu" in one ? { ...one, device: Number(one.cpu) / 100 } : one]);
    writeFileSync(kept, JSON.stringify(fast));
    more = entries.length > count;
    count = entries.length;
  }
}

export const CALLS = ["prepare", "write", "run", "read", "flush"] as const;
export type Call = (typeof CALLS)[number];

/** A device that is lost at its n-th call of a kind; `calls` counts them. */
export function losing(card: Card, kind: Call | null, n = 0, calls = new Map<Call, number>()): Backend {
  let isLost = false;
  const lose = (call: Call) => {
    calls.set(call, (calls.get(call) ?? 0) + 1);
    isLost ||= call === kind && calls.get(call) === n;
    if (isLost) throw new DeviceError("device-lost", "the device was lost");
  };
  return {
    ...card,
    async prepare(...args) {
      lose("prepare");
      const session = await card.prepare(...args);
      const { write, run, read, flush } = session;
      return Object.assign(session, {
        write(...what: Parameters<typeof write>) {
          lose("write");
          write.apply(session, what);
        },
        run(...what: Parameters<typeof run>) {
          lose("run");
          run.apply(session, what);
        },
        async read(...what: Parameters<typeof read>) {
          lose("read");
          return read.apply(session, what);
        },
        async flush() {
          lose("flush");
          return flush.apply(session);
        },
      });
    },
  };
}
