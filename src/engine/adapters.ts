/**
 * Named adapters on one base model that stays on the device, by PEFT's names for it: one is active, or none. The others wait
 * in the host's memory. A swap builds the plan of the next adapter around the base that is there and uploads the adapter.
 */
import type { LoraConfig } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { adapterShapes } from "../io/adapter-meta.ts";
import { type GPT2Checkpoint, openGPT2 } from "../io/hf.ts";
import { loadAdapter } from "../io/open-adapter.ts";
import type { Adapter, AdapterMeta, Tensors } from "../io/peft.ts";
import type { Parameter } from "../model/parameters.ts";
import { nearest } from "../suggest.ts";
import { isBase, isShared, loadBase, writeTrained } from "./state.ts";
import type { Weights } from "./weights.ts";

/** The name of an adapter that was given none. */
const DEFAULT = "default";

/** Mode lora without a single adapter: the base model, and the head where there is one. */
export const NO_ADAPTERS: LoraConfig = {
  r: 1,
  lora_alpha: 1,
  scaling: "alpha/r",
  init: "kaiming",
  target_modules: [],
  sites: [],
};

/** Allocates what an adapter needs beside the frozen tensors of `lender`. */
export type Allocate<E extends Weights> = (adapter: Adapter, sharedFrom?: E) => Promise<E>;

export class Adapters<E extends Weights> {
  /** Every adapter's description, by its name. */
  private readonly metas = new Map<string, AdapterMeta>();
  /** Those that are not on the device. */
  private readonly waiting = new Map<string, Adapter>();
  private enabled = true;

  private constructor(
    private readonly directory: string,
    private readonly allocate: Allocate<E>,
    /** The base model with the active adapter, on the device. */
    public engine: E,
    private activeName: string | null,
    /** Of the active adapter, also where it is disabled; of the base model alone where there is none. */
    public meta: AdapterMeta,
  ) {
    if (activeName !== null) this.metas.set(activeName, meta);
  }

  /** A base model with its first adapter, "default"; or without any, where `adapter` is `nameless`. */
  static async load<E extends Weights>(
    checkpoint: GPT2Checkpoint,
    adapter: Adapter,
    allocate: Allocate<E>,
    nameless = false,
  ): Promise<Adapters<E>> {
    const engine = await fill(await allocate(adapter), adapter, checkpoint);
    return new Adapters(checkpoint.directory, allocate, engine, nameless ? null : DEFAULT, adapter.meta);
  }

  get names(): string[] {
    return [...this.metas.keys()];
  }

  /** The name of the active adapter; null where there is none, or where adapters are disabled. */
  get active(): string | null {
    return this.enabled ? this.activeName : null;
  }

  /** Reads an adapter and keeps it under a name. It is not active until `set`. */
  async load(directory: string, name: string): Promise<void> {
    if (name === "") throw new ConfigError("an adapter needs a name", { found: "an empty one" });
    this.refuseTaken(name);
    const checkpoint = await openGPT2(this.directory);
    try {
      const adapter = await loadAdapter(directory, checkpoint);
      const [expected, found] = [this.meta, adapter.meta].map(({ task }) => task.objective);
      if (found !== expected)
        throw new ConfigError("the adapter is for another task", {
          where: directory,
          expected: `objective ${expected}`,
          found: `${found}`,
        });
      // Another one may have come under this name since.
      this.refuseTaken(name);
      this.metas.set(name, adapter.meta);
      this.waiting.set(name, adapter);
    } finally {
      await checkpoint.close();
    }
  }

  /** Makes an adapter the active one, and enables it. */
  async set(name: string): Promise<void> {
    this.check(name);
    if (this.active !== name) await this.swap(this.waiting.get(name)!);
    this.waiting.delete(name);
    this.activeName = name;
    this.meta = this.metas.get(name)!;
    this.enabled = true;
  }

  /** Leaves the base model alone, with the active adapter's head where there is one. */
  async disable(): Promise<void> {
    if (this.active !== null) await this.swap(withoutAdapters(await this.onDevice()));
    this.enabled = false;
  }

  /** Puts the active adapter in place again. */
  async enable(): Promise<void> {
    if (!this.enabled && this.activeName !== null) await this.set(this.activeName);
    this.enabled = true;
  }

  /** Forgets an adapter that is not active. */
  delete(name: string): void {
    this.check(name);
    if (name === this.activeName)
      throw new ConfigError(`"${name}" is the active adapter`, { hint: "make another one active first" });
    this.metas.delete(name);
    this.waiting.delete(name);
  }

  destroy(): void {
    this.engine.destroy();
  }

  private refuseTaken(name: string): void {
    if (!this.metas.has(name)) return;
    throw new ConfigError(`there is an adapter "${name}" already`, { hint: "delete it first, or choose another name" });
  }

  private check(name: string): void {
    if (this.metas.has(name)) return;
    const near = nearest(name, this.names);
    throw new ConfigError(`there is no adapter "${name}"`, {
      expected: this.names.join(", ") || "none is loaded",
      ...(near === undefined ? {} : { hint: `did you mean ${near}?` }),
    });
  }

  /** The old model goes when the new one is there: where that fails, all stays as it was. */
  private async swap(adapter: Adapter): Promise<void> {
    const old = this.engine;
    const kept = this.active === null ? null : await this.onDevice();
    this.engine = await fill(await this.allocate(adapter, old), adapter, this.directory, old);
    if (kept) this.waiting.set(this.activeName!, kept);
    old.destroy();
  }

  /** The active adapter as it is on the device. */
  private async onDevice(): Promise<Adapter> {
    const tensors: Tensors = new Map();
    for (const [name, shape] of adapterShapes(this.meta))
      tensors.set(name, { shape, data: await this.engine.readParameter(name) });
    return { meta: this.meta, tensors };
  }
}

/**
 * Writes what is not lent: the base model's tensors, where they are not the adapter's, from a checkpoint or from the disk, and
 * the adapter's. Destroys the engine where that fails.
 */
async function fill<E extends Weights>(
  engine: E,
  { tensors }: Adapter,
  base: GPT2Checkpoint | string,
  sharedFrom?: E,
): Promise<E> {
  const isMissing = (parameter: Parameter) =>
    isBase(parameter) && !isShared(parameter, sharedFrom) && !tensors.has(parameter.name);
  let opened: GPT2Checkpoint | undefined;
  try {
    if ([...engine.plan.parameters.all.values()].some(isMissing)) {
      if (typeof base === "string") opened = await openGPT2(base);
      await loadBase(engine, opened ?? (base as GPT2Checkpoint), { wanted: isMissing });
    }
    writeTrained(engine, tensors);
    return engine;
  } catch (error) {
    engine.destroy();
    throw error;
  } finally {
    await opened?.close();
  }
}

function withoutAdapters({ meta, tensors }: Adapter): Adapter {
  const head = [...tensors].filter(([name]) => name.startsWith("head."));
  return { meta: { ...meta, mode: "lora", lora: NO_ADAPTERS }, tensors: new Map(head) };
}
