/** Planted devices: the CPU under the name of a graphics card, which can be slow, wrong or lost. */
import type { Backend } from "../../src/backend/backend.ts";
import { DeviceError } from "../../src/errors.ts";
import type { Dispatch } from "../../src/ops/kernel.ts";
import type { SegmentName } from "../../src/plan/plan.ts";
import type { Tensor } from "../../src/tensor.ts";
import { testDevice } from "./device.ts";
import { afterAll } from "./harness.ts";

export interface Card extends Backend {
  /** Programs that were prepared on it. */
  prepared: number;
  /** Milliseconds that each run takes longer. */
  delay: number;
  /** Whether it computes passes only once, in no time from then on. */
  isInstant: boolean;
}

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
    isInstant: false,
    destroy: () => release(),
    async prepare(...args) {
      card.prepared++;
      const session = await prepare(...args);
      const [read, run] = [session.read.bind(session), session.run.bind(session)];
      const kept = new Map<Tensor, Promise<Float32Array>>();
      let runs = 0;
      let busy: Promise<void> = Promise.resolve();
      session.run = (...what) => {
        const isUpdate = what[0].includes("update");
        if (!card.isInstant || runs++ === 0 || isUpdate) run(...what);
        if (isUpdate) kept.clear();
        if (card.delay > 0) busy = busy.then(() => new Promise((resolve) => setTimeout(resolve, card.delay)));
      };
      session.read = async (...what) => {
        if (card.isInstant) {
          const [tensor] = what;
          if (!kept.has(tensor)) kept.set(tensor, read(...what));
          return kept.get(tensor)!;
        }
        await busy;
        return read(...what);
      };
      return session;
    },
    ...more,
  };
  cards.push(card);
  return card;
}

/** A device whose driver leaves out the last 4 columns of every product that `isHit`. */
export function miscompiling(device: Backend, isHit: (dispatch: Dispatch, segment: SegmentName) => boolean): Backend {
  const spoil = (dispatch: Dispatch, segment: SegmentName): Dispatch => {
    if (!/^(matmul|linear)$/.test(dispatch.kernel.name) || !isHit(dispatch, segment)) return dispatch;
    const n = Object.keys(dispatch.kernel.dims).indexOf("n");
    return { ...dispatch, scalars: dispatch.scalars.map((scalar, i) => (i === n ? (scalar as number) - 4 : scalar)) };
  };
  return {
    info: device.info,
    limits: device.limits,
    ...(device.released && { released: device.released }),
    destroy: () => device.destroy(),
    prepare: (program, sharedFrom) => {
      const segments = program.segments.map((one) => ({
        ...one,
        dispatches: one.dispatches.map((dispatch) => spoil(dispatch, one.name)),
      }));
      return device.prepare({ ...program, segments }, sharedFrom);
    },
  };
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
