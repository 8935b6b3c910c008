/**
 * A base model with an adapter on a device: what Classifier and LanguageModel have in common. Models of one base share
 * its weights there, so that a further one costs its adapter and what it computes.
 */

import { type Backend, type DeviceInfo, isReplaceable } from "../backend/backend.ts";
import { asyncDispose } from "../core/dispose.ts";
import { ConfigError } from "../core/errors.ts";
import { Tokenizer } from "../data/tokenizer.ts";
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

/** A base model with an adapter, on a device. */
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
  /** The adapter's description; of the base model alone if there is none. */
  meta: AdapterMeta;
}

/** Loads a base model with an adapter on the device, or on the CPU if that replaces it. */
export async function loadModelWith<E extends Weights>(
  device: Backend,
  baseModel: BaseModel,
  adapter: Adapter,
  kind: ModelKind<E>,
): Promise<LoadedModel<E>> {
  const { directory } = baseModel;
  return { directory, kind, meta: adapter.meta, ...(await place(device, baseModel, adapter, kind)) };
}

/** What checks a device; null: the CPU needs no check, and pages without WebGPU do not load it. */
const loadCheck = async ({ info }: Backend) => (info.kind === "webgpu" ? import("./inference-check.ts") : null);

const names = new WeakMap<BaseModel, Promise<string>>();
let unknown = 0;

/**
 * What base models of the same weights have in common: their fingerprint, which an adapter of ours has been compared
 * with. To make one for another's adapter all of the model would be read: it is shared while it is open.
 */
function nameBase(baseModel: BaseModel, { base_fingerprint }: AdapterMeta): Promise<string> {
  const make = async () => (await import("../io/fingerprint.ts")).fingerprint(baseModel);
  const name = names.get(baseModel) ?? (base_fingerprint === undefined ? Promise.resolve(`${++unknown}`) : make());
  names.set(baseModel, name);
  return name;
}

const tokenizers = new Map<string, WeakRef<Tokenizer>>();

/** The tokenizer of a base model, which models of it share: its tables take some megabytes. */
export async function tokenizerOf(baseModel: BaseModel, meta: AdapterMeta): Promise<Tokenizer> {
  const { prompt, chat } = baseModel.vocabulary;
  const name = JSON.stringify([await nameBase(baseModel, meta), prompt, chat]);
  const tokenizer = tokenizers.get(name)?.deref() ?? (await Tokenizer.load({ model: baseModel }));
  tokenizers.set(name, new WeakRef(tokenizer));
  return tokenizer;
}

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
  const { device: backend, info } = (await check?.chooseFor(given, kind)) ?? unchecked;
  try {
    const load = (sharedFrom?: E) => create(backend, baseModel, adapter, kind, sharedFrom);
    const base = await nameBase(baseModel, meta);
    const engine = await shareBase(backend, `${base} ${kind.spec.dtype} ${kind.layout}`, load);
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
  /** Frees it at the end of a block that begins with `await using`. */
  declare [asyncDispose]: () => Promise<void>;
  private isDestroyed = false;

  protected constructor(
    protected readonly loaded: LoadedModel<E>,
    /** The base model's. */
    readonly tokenizer: Tokenizer,
  ) {
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

  /** The adapter's description. */
  get meta(): AdapterMeta {
    this.checkAlive();
    return this.loaded.meta;
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
    const { backend, adapter, kind, directory, meta } = loaded;
    await leave(backend, error);
    const again = await openBaseModel(directory, meta.base_fingerprint);
    const placed = await closing(again, (baseModel) => place(backend, baseModel, adapter!, kind));
    loaded.engine.destroy();
    Object.assign(loaded, placed);
  }

  private checkAlive(): void {
    if (this.isDestroyed)
      throw new ConfigError("already-destroyed", "the model was destroyed", { hint: "destroy it at the end" });
  }
}

/**
 * An engine with the tensors that are not shared: those of the base model that the adapter does not replace, and the
 * adapter's.
 */
async function create<E extends Weights>(
  device: Backend,
  base: BaseModel,
  { tensors }: Adapter,
  kind: ModelKind<E>,
  sharedFrom?: E,
): Promise<E> {
  const engine = await kind.create(device, sharedFrom);
  const isMissing = (parameter: Parameter) =>
    parameter.origin === "base" && !isShared(parameter, sharedFrom) && !tensors.has(parameter.name);
  try {
    await loadBase(engine, base, { wanted: isMissing });
    writeTrained(engine, tensors);
    return engine;
  } catch (error) {
    engine.destroy();
    throw error;
  }
}

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
