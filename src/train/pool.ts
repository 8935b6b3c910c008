/**
 * Runs on the CPU at the same time, each on threads of its own: a step of a small model is too little work for several threads, which
 * wait for each other after every kernel. A run has the same bits on any number of threads.
 */
import type { Backend, DeviceInfo } from "../backend/backend.ts";
import { Engine } from "../engine/engine.ts";
import { loadBase } from "../engine/state.ts";
import { LowrankError } from "../errors.ts";
import { fits, withoutShared } from "../plan/memory.ts";
import { SharedClock } from "./clock.ts";
import { prepareOnDevice } from "./device.ts";
import { type CommonArguments, type OwnArguments, runArguments, settingsOf } from "./group.ts";
import { type PreparedRun, prepareRun } from "./prepare.ts";
import type { TrainResult } from "./records.ts";
import { train } from "./trainer.ts";

/** Trains a run on a part of the device. */
export type TrainOnPart = (run: OwnArguments) => Promise<TrainResult>;

export class Pool {
  private readonly clock = new SharedClock();
  /** Called when a run has ended, by runs that wait for memory. */
  private waiting: (() => void)[] = [];
  private active = 0;

  private constructor(
    private readonly common: CommonArguments,
    private readonly info: DeviceInfo,
    private readonly parts: readonly Backend[],
    /** The base model's weights, for the runs that can share them. */
    private readonly base: Engine | undefined,
  ) {}

  /**
   * The pool for some runs; null if they are better trained otherwise: on a device that is not the CPU, or on a single thread. The device is
   * the one that would be chosen for the first run.
   */
  static async open(common: CommonArguments, runs: readonly OwnArguments[]): Promise<Pool | null> {
    const { signal } = common;
    const args = { ...runArguments(common), ...settingsOf(runs[0]!) };
    const began = runs[0]!.resume?.device;
    // What is wrong with a run is said when it is trained.
    const chosen = await prepareOnDevice(args, { signal, began }).catch((error) => {
      if (error instanceof LowrankError) return { device: common.device, info: common.device.info };
      throw error;
    });
    const { device, info } = chosen;
    const most = device.divide?.(runs.length) ?? [];
    // As many rounds with fewer runs, which have more threads.
    const count = Math.ceil(runs.length / Math.ceil(runs.length / Math.max(1, most.length)));
    const parts = count < most.length ? device.divide!(count) : most;
    if (parts !== most) for (const part of most) part.destroy();
    if (parts.length > 1) return new Pool({ ...common, device }, info, parts, await shareBase({ ...common, device }, runs));
    for (const part of parts) part.destroy();
    return null;
  }

  /** Calls `work` for each item, for as many at the same time as there are parts. The first error ends it, once the others have ended. */
  async each<T>(items: readonly T[], work: (item: T, train: TrainOnPart) => Promise<void>): Promise<void> {
    const left = [...items];
    let failure: { error: unknown } | undefined;
    await Promise.all(
      this.parts.map(async (part) => {
        for (let item = left.shift(); item !== undefined && !failure; item = left.shift())
          try {
            await work(item, (run) => this.train(part, run));
          } catch (error) {
            failure ??= { error };
          }
      }),
    );
    if (failure) throw failure.error;
  }

  /** Frees the parts; the device remains. */
  close(): void {
    this.base?.destroy();
    for (const part of this.parts) part.destroy();
  }

  private async train(part: Backend, run: OwnArguments): Promise<TrainResult> {
    const { common, info, clock } = this;
    // A run that began on another kind of device goes on there.
    const isElsewhere = run.resume?.device !== undefined && run.resume.device !== info.kind;
    const device = isElsewhere ? common.device : part;
    await this.memoryFor({ ...runArguments(common), device, ...settingsOf(run) });
    this.active++;
    clock.enter();
    try {
      const shared = this.base && sharesBase(this.base, run) ? this.base : undefined;
      const place = isElsewhere ? {} : { shared, info };
      return await train({ ...common, device, ...run }, { ...place, now: () => clock.now() });
    } finally {
      clock.leave();
      this.active--;
      for (const next of this.waiting.splice(0)) next();
    }
  }

  /** Waits until a run fits, while others end. One that never does is refused when it begins. */
  private async memoryFor(args: Parameters<typeof prepareRun>[0]): Promise<void> {
    const plan = ifPrepared(args)?.plan;
    if (!plan) return;
    const own = withoutShared(plan, this.base?.plan);
    while (this.active > 0 && !fits(own, args.device.limits) && !this.common.signal?.aborted)
      await new Promise<void>((resolve) => this.waiting.push(resolve));
  }
}

/** An engine with the base model of the runs that train adapters alone, if there are several. Its memory is counted once. */
async function shareBase(common: CommonArguments, runs: readonly OwnArguments[]): Promise<Engine | undefined> {
  const { device, model, signal } = common;
  const some = runs.filter((run) => (run.mode ?? "lora") === "lora");
  const prepared = some[0] && ifPrepared({ ...runArguments(common), ...settingsOf(some[0]) });
  if (some.length < 2 || !prepared || prepared.prefix) return undefined;
  const { spec } = prepared;
  const engine = await Engine.create(device, { spec, capacity: { tokens: 1, sequences: 1 }, optimizer: null });
  try {
    await loadBase(engine, model, { signal });
    return engine;
  } catch (error) {
    engine.destroy();
    throw error;
  }
}
