/** What only a model with several adapters needs, or one that lays its own down. Imported on demand. */

import { ConfigError } from "../core/errors.ts";
import type { Weights } from "../engine/weights.ts";
import type { BaseModel } from "../io/hf.ts";
import { adapterShapes, adapterTensors } from "../io/peft/adapter-meta.ts";
import { loadAdapter } from "../io/peft/open-adapter.ts";
import type { Adapter, AdapterMeta, Tensors } from "../io/peft/peft.ts";
import type { Mode } from "../methods/index.ts";
import type { LoraConfig } from "../methods/lora.ts";

/** LoRA without a single adapter: the base model, and the head where there is one. */
export const NO_ADAPTERS: { mode: Mode; lora: LoraConfig } = {
  mode: "lora",
  lora: { r: 1, lora_alpha: 1, scaling: "alpha/r", init: "kaiming", target_modules: [], sites: [] },
};

/** What is on a device: see `LoadedModel`. */
interface OnDevice {
  engine: Weights;
  adapter: Adapter | null;
  meta: AdapterMeta;
  counts?: Uint8Array | undefined;
}

/** Reads an adapter for a model that has one. Throws ConfigError if they do not belong together. */
export async function loadAnother(directory: string, baseModel: BaseModel, { meta }: OnDevice): Promise<Adapter> {
  const adapter = await loadAdapter(directory, baseModel);
  const [expected, found] = [meta, adapter.meta].map(({ task }) => task.objective);
  if (found !== expected)
    throw new ConfigError("wrong-task", "the adapter is for another task", {
      where: directory,
      expected: `objective ${expected}`,
      found: `${found}`,
    });
  // The base model's files can have changed since it was loaded.
  const prints = [meta, adapter.meta].flatMap(({ base_fingerprint }) => base_fingerprint ?? []);
  if (new Set(prints).size > 1)
    throw new ConfigError("base-models-differ", "the adapters belong to different base models", {
      where: directory,
      hint: "load the base model again for this adapter",
    });
  return adapter;
}

/** Throws ConfigError for the name of an adapter that is loaded. */
export function checkUnused(name: string, loaded: ReadonlyMap<string, unknown>): void {
  if (!loaded.has(name)) return;
  throw new ConfigError("invalid-adapter-name", `an adapter "${name}" is already loaded`, {
    hint: "delete it first, or choose another name",
  });
}

/** Reads the active adapter back from the device, unless it was kept. */
export async function readActive({ meta, engine, adapter, counts }: OnDevice): Promise<Adapter> {
  if (adapter) return adapter;
  const tensors: Tensors = new Map();
  for (const [name, shape] of adapterShapes(meta)) tensors.set(name, { shape, data: await engine.readParameter(name) });
  return { meta, tensors, ...(counts && { counts }) };
}

/** The base model alone, with the head of a classifier. */
export async function withoutAdapters(on: OnDevice): Promise<Adapter> {
  const { meta: active, tensors } = await readActive(on);
  const { base_model, model, task, labels, settings } = active;
  const meta: AdapterMeta = { base_model, model, task, labels, settings, ...NO_ADAPTERS };
  const head = adapterTensors(meta);
  return { meta, tensors: new Map(head.map(({ name }) => [name, tensors.get(name)!])) };
}
