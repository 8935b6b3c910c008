/**
 * Named adapters on one base model, with PEFT's method names: what Classifier and LanguageModel have in common. The
 * base model stays on the device; one adapter is active, or none, and the others wait in the host's memory. To swap,
 * the plan of the next adapter is built around the base tensors that are there, and only the adapter is uploaded.
 */

import { type Backend, type DeviceInfo, isReplaceable } from "../backend/backend.ts";
import { checkArguments } from "../core/checks.ts";
import { asyncDispose } from "../core/dispose.ts";
import { ConfigError } from "../core/errors.ts";
import { didYouMean } from "../core/suggest.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { shareBase } from "../engine/bases.ts";
import { leave } from "../engine/leave.ts";
import { isShared, loadBase, writeTrained } from "../engine/state.ts";
import type { Weights } from "../engine/weights.ts";
import { type BaseModel, openBaseModel } from "../io/hf.ts";
import type { DownloadOptions } from "../io/hub/download-options.ts";
import { loadAdapter, openAdapter } from "../io/peft/open-adapter.ts";
import type { Adapter, AdapterMeta } from "../io/peft/peft.ts";
import type { Parameter } from "../model/parameters.ts";
import type { ModelKind } from "./model-kind.ts";
import { Turns } from "./turns.ts";

/** The default name of the adapter that a model is loaded with. */
export const DEFAULT_NAME = "default";

/** A base model with its first adapter, on a device. */
export interface LoadedModel<E extends Weights> {
  /** Directory of the base model. */
  directory: string;
  kind: ModelKind<E>;
  backend: Backend;
  engine: E;
  device: DeviceInfo;
  /** Of a linear probe: see `Adapter`. */
  counts?: Uint8Array | undefined;
  /** What is on a device that the CPU can replace, kept for that: a device that has failed gives nothing back. */
  adapter: Adapter | null;
  /** The description of the active adapter, also while it is disabled; of the base model alone if there is none. */
  meta: AdapterMeta;
  /** The name of the active adapter; null: the base model alone. */
  name: string | null;
}

/**
 * Loads a base model with an adapter on the device, or on the CPU if that replaces it. `name` is the adapter's; null:
 * it adds nothing.
 */
export async function loadModelWith<E extends Weights>(
  device: Backend,
  baseModel: BaseModel,
  adapter: Adapter,
  kind: ModelKind<E>,
  name: string | null,
): Promise<LoadedModel<E>> {
  if (name !== null) checkName(name);
  const { directory } = baseModel;
  return { directory, kind, meta: adapter.meta, name, ...(await place(device, baseModel, adapter, kind)) };
}

/** What checks a device; null: the CPU needs no check, and pages without WebGPU do not load it. */
const loadCheck = async ({ info }: Backend) => (info.kind === "webgpu" ? import("./inference-check.ts") : null);

/** What of a model depends on the device. */
type Placed<E extends Weights> = Pick<LoadedModel<E>, "backend" | "device" | "engine" | "adapter" | "counts">;

/** Puts a model on the device, or on the CPU if that replaces it. */
async function place<E extends Weights>(
  given: Backend,
  baseModel: BaseModel,
  adapter: Adapter,
  kind: ModelKind<E>,
): Promise<Placed<E>> {
  const { meta } = adapter;
  const check = await loadCheck(given);
  const unchecked = { device: given, info: given.info };
  const { device: backend, info } = (await check?.chooseFor(given, kind, meta)) ?? unchecked;
  try {
    const { dtype } = kind.adapterSpec(meta);
    const load = (sharedFrom?: E) => create(backend, baseModel, adapter, kind, sharedFrom);
    // Without a fingerprint, as PEFT writes it, all of the base model would have to be read for it.
    const print = meta.base_fingerprint && (await (await import("../io/fingerprint.ts")).fingerprint(baseModel));
    const engine = await (print ? shareBase(backend, `${print} ${dtype} ${kind.layout}`, load) : load());
    return { backend, device: info, engine, adapter: keptOn(backend, adapter), counts: adapter.counts };
  } catch (error) {
    await leave(backend, error);
    return place(given, baseModel, adapter, kind);
  }
}

const keptOn = (backend: Backend, adapter: Adapter) => (isReplaceable(backend) ? adapter : null);

/** Frees the memory of models that were dropped without `destroy`. */
const forgotten = /* @__PURE__ */ new FinalizationRegistry(({ engine }: { engine: Weights }) => engine.destroy());

/** Calls run one after the other, in the order in which they were made. */
export abstract class AdapterModel<E extends Weights> {
  protected readonly turns = new Turns();
  /** Every adapter's description, by its name. */
  private readonly metas = new Map<string, AdapterMeta>();
  /** The adapters that are not on the device. */
  private readonly waiting = new Map<string, Adapter>();
  private isEnabled = true;
  /** Frees it at the end of a block that begins with `await using`. */
  declare [asyncDispose]: () => Promise<void>;
  private isDestroyed = false;

  protected constructor(
    protected readonly loaded: LoadedModel<E>,
    /** The base model's. */
    readonly tokenizer: Tokenizer,
  ) {
    if (loaded.name !== null) this.metas.set(loaded.name, loaded.meta);
    forgotten.register(this, loaded, this);
    // Not a method: a class with a name that is computed stays in every bundle.
    this[asyncDispose] = async () => this.destroy();
  }

  /**
   * The device that computes: the CPU, if the given one computes wrongly, or was chosen automatically and is slower or
   * fails.
   */
  get device(): DeviceInfo {
    return this.loaded.device;
  }

  /** The description of the active adapter, also while adapters are disabled. */
  get meta(): AdapterMeta {
    this.checkAlive();
    return this.loaded.meta;
  }

  /** Names of the loaded adapters; the one given to `load` is "default". */
  get adapters(): string[] {
    this.checkAlive();
    return [...this.metas.keys()];
  }

  /** The active adapter; null if there is none, or while adapters are disabled. */
  get activeAdapter(): string | null {
    this.checkAlive();
    return this.isEnabled ? this.loaded.name : null;
  }

  /**
   * Loads another adapter for the same base model, a run's or PEFT's, under a name; `setAdapter` makes it active.
   * Throws ConfigError for a name in use and for an adapter that does not fit, FormatError for a damaged file,
   * DeviceError if a GPU that was named computes it wrongly.
   */
  async loadAdapter(directory: string, name: string): Promise<void> {
    checkArguments({ directory, name }, { directory: "text", name: "text" });
    this.checkAlive();
    checkName(name);
    const { checkUnused, loadAnother } = await several();
    checkUnused(name, this.metas);
    await withBase(this.loaded, async (baseModel) => {
      const adapter = await loadAnother(directory, baseModel, this.loaded);
      const { meta } = adapter;
      await this.inTurn(() => this.checkDevice(meta));
      // Another call may have taken the name meanwhile.
      checkUnused(name, this.metas);
      this.metas.set(name, meta);
      this.waiting.set(name, adapter);
    });
  }

  /** Makes an adapter active, and enables adapters. Only the adapter is uploaded. */
  async setAdapter(name: string): Promise<void> {
    checkArguments({ name }, { name: "text" });
    this.checkAlive();
    return this.inTurn(() => this.activate(name));
  }

  /** Uses the base model alone (with a classifier's active head) until `enableAdapters` or `setAdapter`. */
  async disableAdapters(): Promise<void> {
    this.checkAlive();
    return this.inTurn(async () => {
      if (this.activeAdapter !== null) {
        const alone = await (await several()).withoutAdapters(this.loaded);
        await this.checkDevice(alone.meta);
        await this.swap(alone);
      }
      this.isEnabled = false;
    });
  }

  async enableAdapters(): Promise<void> {
    this.checkAlive();
    return this.inTurn(async () => {
      const { name } = this.loaded;
      if (!this.isEnabled && name !== null) await this.activate(name);
      this.isEnabled = true;
    });
  }

  /** Forgets an adapter that is not active. */
  deleteAdapter(name: string): void {
    checkArguments({ name }, { name: "text" });
    this.checkAlive();
    this.checkLoaded(name);
    if (name === this.loaded.name)
      throw new ConfigError("adapter-active", `"${name}" is the active adapter`, {
        hint: "make another adapter active first",
      });
    this.metas.delete(name);
    this.waiting.delete(name);
  }

  /** Frees the model's memory on the device. */
  destroy(): void {
    this.isDestroyed = true;
    forgotten.unregister(this);
    this.loaded.engine.destroy();
  }

  /** The model on the device. Throws ConfigError after `destroy`. */
  protected get engine(): E {
    this.checkAlive();
    return this.loaded.engine;
  }

  /** Runs `work` after the calls before it; again on the CPU if the device fails that was chosen automatically. */
  protected inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.turns.run(() =>
      work().catch(async (error) => {
        await this.moveToCpu(error);
        return work();
      }),
    );
  }

  /** Loads the model on the CPU after its device has failed. Throws the error as `leave` does. */
  protected async moveToCpu(error: unknown): Promise<void> {
    const { loaded } = this;
    const { backend, adapter, kind } = loaded;
    await leave(backend, error);
    const placed = await withBase(loaded, (baseModel) => place(backend, baseModel, adapter!, kind));
    loaded.engine.destroy();
    Object.assign(loaded, placed);
  }

  /** Checks the device for an adapter that it has not run yet: other kernels may be needed. */
  private async checkDevice(meta: AdapterMeta): Promise<void> {
    const { kind, backend } = this.loaded;
    await (await loadCheck(backend))?.checkFor(backend, kind, meta);
  }

  private async activate(name: string): Promise<void> {
    this.checkLoaded(name);
    if (this.activeAdapter !== name) await this.swap(this.waiting.get(name)!);
    this.waiting.delete(name);
    this.loaded.name = name;
    this.loaded.meta = this.metas.get(name)!;
    this.isEnabled = true;
  }

  /** The old model is destroyed once the new one is ready: if that fails, nothing has changed. */
  private async swap(adapter: Adapter): Promise<void> {
    const { engine: old, backend, kind, directory } = this.loaded;
    const name = this.activeAdapter;
    const kept = name === null ? null : await (await several()).readActive(this.loaded);
    this.loaded.engine = await create(backend, directory, adapter, kind, old);
    this.loaded.adapter = keptOn(backend, adapter);
    this.loaded.counts = adapter.counts;
    if (kept) this.waiting.set(name!, kept);
    old.destroy();
  }

  private checkAlive(): void {
    if (this.isDestroyed)
      throw new ConfigError("already-destroyed", "the model was destroyed", { hint: "destroy it at the end" });
  }

  private checkLoaded(name: string): void {
    if (this.metas.has(name)) return;
    throw new ConfigError("no-such-adapter", `there is no adapter "${name}"`, {
      expected: [...this.metas.keys()].join(", ") || "none is loaded",
      hint: didYouMean(name, this.metas.keys()),
    });
  }
}

function checkName(name: string): void {
  if (name === "") throw new ConfigError("invalid-adapter-name", "an adapter needs a name", { found: "an empty one" });
}

/**
 * An engine with the tensors that are not shared: those of the base model that the adapter does not replace, from a
 * base model or a directory, and the adapter's.
 */
async function create<E extends Weights>(
  device: Backend,
  base: BaseModel | string,
  { meta, tensors }: Adapter,
  kind: ModelKind<E>,
  sharedFrom?: E,
): Promise<E> {
  const engine = await kind.create(device, kind.adapterSpec(meta), meta, sharedFrom);
  const isMissing = (parameter: Parameter) =>
    parameter.origin === "base" && !isShared(parameter, sharedFrom) && !tensors.has(parameter.name);
  let opened: BaseModel | undefined;
  try {
    if ([...engine.plan.parameters.all.values()].some(isMissing)) {
      if (typeof base === "string") opened = await openBaseModel(base, meta.base_fingerprint);
      await loadBase(engine, opened ?? (base as BaseModel), { wanted: isMissing });
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

const several = () => import("./several-adapters.ts");

/** Opens the base model again for `work`. */
const withBase = async <T>(
  { directory, meta }: Pick<LoadedModel<never>, "directory" | "meta">,
  work: (baseModel: BaseModel) => Promise<T>,
): Promise<T> => closing(await openBaseModel(directory, meta.base_fingerprint), work);

/** `work` with an adapter and its base model; one that `model` is, the caller has opened, and closes. */
export async function withAdapter<T>(
  directory: string,
  model: string | BaseModel | undefined,
  downloads: DownloadOptions,
  work: (adapter: Adapter, baseModel: BaseModel) => Promise<T>,
): Promise<T> {
  if (typeof model === "object") return work(await loadAdapter(directory, model), model);
  const { adapter, baseModel } = await openAdapter(directory, model, downloads);
  return closing(baseModel, () => work(adapter, baseModel));
}

export async function closing<T>(baseModel: BaseModel, work: (baseModel: BaseModel) => Promise<T>): Promise<T> {
  try {
    return await work(baseModel);
  } finally {
    await baseModel.close();
  }
}
