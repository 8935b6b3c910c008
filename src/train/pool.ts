/**
 * Runs on the CPU at the same time, each on threads of its own: a step of a small model is too little work for several threads, which
 * wait for each other after every kernel. A run has the same bits on any number of threads.
 */
import type { Backend, DeviceInfo } from "../backend/backend.ts";
import { Engine } from "../engine/engine.ts";
import { loadBase } from "../engine/state.ts";
import { LowrankError } from "../errors.ts";
import { memoryTotals } from "../plan/memory.ts";
import { SharedClock } from "./clock.ts";
import { prepareOnDevice } from "./device.ts";
import { type CommonArguments, ifPrepared, type OwnArguments, runArguments, settingsOf } from "./group.ts";
import type { PreparedRun } from "./prepare.ts";
import { memoryOf, type TrainResult } from "./records.ts";
import { train } from "./trainer.ts";

/** Trains a run on a part of the device. */
export type TrainOnPart = (run: OwnArguments) => Promise<TrainResult>;

export class Pool {
  private readonly clock = new SharedClock();
  private readonly free: Backend[];
  /** Those that wait for a part. */
  private readonly queue: ((part: Backend) => void)[] = [];
  /** Called when a run has ended, by runs that wait for memory. */
  private waiting: (() => void)[] = [];
  private active = 0;
  /** Bytes for runs, and what those that are trained take: of one that has just begun the device does not know yet. */
  private readonly room: number;
  private taken = 0;

  private constructor(
    private readonly common: CommonArguments,
    private readonly opened: Parts,
    /** The base model's weights, for the runs that can share them. */
    private readonly base: Engine | undefined,
  ) {
    this.free = [...opened.parts];
    this.room = opened.device.limits.total ?? Infinity;
  }

  /** The pool for some runs; null if they are not trained on the CPU. The device is the one that is chosen for the first run. */
  static async open(common: CommonArguments, runs: readonly OwnArguments[]): Promise<Pool | null> {
    const opened = await partsFor(common, runs);
    if (!opened) return null;
    return new Pool(common, opened, await shareBase({ ...common, device: opened.device }, runs));
  }

  /** How many of the runs a pool would train at the same time; null if they are not trained on the CPU. */
  static async sizeFor(common: CommonArguments, runs: readonly OwnArguments[]): Promise<number | null> {
    const opened = await partsFor(common, runs);
    if (!opened) return null;
    release(opened);
    return opened.parts.length;
  }

  /** How many runs are trained at the same time. */
  get size(): number {
    return this.opened.parts.length;
  }

  /** Calls `work` when a part is free, in the order of the calls. */
  async turn<T>(work: (train: TrainOnPart) => Promise<T>): Promise<T> {
    const part = this.free.shift() ?? (await new Promise<Backend>((resolve) => this.queue.push(resolve)));
    try {
      return await work((run) => this.train(part, run));
    } finally {
      const next = this.queue.shift();
      if (next) next(part);
      else this.free.push(part);
    }
  }

  /** Frees the parts; the device remains. */
  close(): void {
    this.base?.destroy();
    release(this.opened);
  }

  private async train(part: Backend, run: OwnArguments): Promise<TrainResult> {
    const { common, clock } = this;
    const { info } = this.opened;
    // A run that began on another kind of device goes on there.
    if (run.resume?.device !== undefined && run.resume.device !== info.kind) return train({ ...common, ...run });
    const device = part;
    const prepared = ifPrepared({ ...common, device }, run);
    const shared = prepared && this.base && sharesBase(this.base, prepared) ? this.base : undefined;
    const bytes = prepared ? bytesOf(prepared, shared !== undefined) : 0;
    while (this.active > 0 && this.taken + bytes > this.room && !common.signal?.aborted)
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.active++;
    this.taken += bytes;
    clock.enter();
    try {
      return await train({ ...common, device, ...run }, { info, now: () => clock.now(), shared });
    } finally {
      clock.leave();
      this.active--;
      this.taken -= bytes;
      for (const resume of this.waiting.splice(0)) resume();
    }
  }
}

interface Parts {
  device: Backend;
  info: DeviceInfo;
  /** The device itself if it is not divided. */
  parts: readonly Backend[];
}

async function partsFor(common: CommonArguments, runs: readonly OwnArguments[]): Promise<Parts | null> {
  const chosen = await deviceOf(common, runs[0]!);
  if (chosen.info.kind !== "wasm") return null;
  // The first type that fits depends on the memory that others leave.
  const isOpen = runs.some(({ dtype }) => dtype === "auto");
  const parts = isOpen ? [] : divide(chosen.device, runs.length);
  return { ...chosen, parts: parts.length > 0 ? parts : [chosen.device] };
}

function release({ parts, device }: Pick<Parts, "parts" | "device">): void {
  for (const part of parts) if (part !== device) part.destroy();
}

/** The device that is chosen for a run. What is wrong with the run is said when it is trained. */
async function deviceOf(common: CommonArguments, run: OwnArguments): Promise<{ device: Backend; info: DeviceInfo }> {
  const { device, signal } = common;
  try {
    const began = run.resume?.device;
    return await prepareOnDevice({ ...runArguments(common), ...settingsOf(run) }, { signal, began });
  } catch (error) {
    if (error instanceof LowrankError) return { device, info: device.info };
    throw error;
  }
}

/** Parts for `runs` runs: with as many rounds, but more threads each, where the last round would not need all parts. */
function divide(device: Backend, runs: number): Backend[] {
  const parts = device.divide?.(runs) ?? [];
  const rounds = Math.ceil(runs / Math.max(1, parts.length));
  const fewer = Math.ceil(runs / rounds);
  if (fewer >= parts.length) return parts;
  for (const part of parts) part.destroy();
  return device.divide!(fewer);
}

/** An engine with the base model's weights, if several runs can share them. */
async function shareBase(common: CommonArguments, runs: readonly OwnArguments[]): Promise<Engine | undefined> {
  const prepared = ifPrepared(common, runs[0]!);
  if (runs.length < 2 || !prepared || prepared.spec.mode !== "lora" || prepared.prefix) return undefined;
  const capacity = { tokens: 1, sequences: 1 };
  let engine: Engine | undefined;
  try {
    engine = await Engine.create(common.device, { spec: prepared.spec, capacity, optimizer: null });
    await loadBase(engine, common.model, { signal: common.signal });
    return engine;
  } catch (error) {
    engine?.destroy();
    // What is wrong is said when a run is trained.
    if (error instanceof LowrankError) return undefined;
    throw error;
  }
}

/** Whether the run freezes the whole base model, in the same type. */
function sharesBase({ plan }: Engine, { spec, prefix }: PreparedRun): boolean {
  return spec.mode === "lora" && !prefix && (spec.dtype ?? "f32") === (plan.spec.dtype ?? "f32");
}

/** What a run takes, with or without the base model's weights. */
function bytesOf(prepared: PreparedRun, isShared: boolean): number {
  const weights = isShared ? (memoryTotals(prepared.plan.memory).byRole.get("weight") ?? 0) : 0;
  return memoryOf(prepared) - weights;
}
