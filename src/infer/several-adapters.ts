/** What only a model with several adapters needs, or one that lays its own down. Imported on demand. */
import type { Weights } from "../engine/weights.ts";
import { ConfigError } from "../errors.ts";
import type { BaseModel } from "../io/hf.ts";
import { adapterShapes, adapterTensors } from "../io/peft/adapter-meta.ts";
import { loadAdapter } from "../io/peft/open-adapter.ts";
import type { Adapter, AdapterMeta, Tensors } from "../io/peft/peft.ts";

/** What is on a device: see `LoadedModel`. */
interface OnDevice {
  engine: Weights;
  adapter: Adapter | null;
  meta: AdapterMeta;
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

/** Reads the active adapter back from the device, unless it was kept. */
export async function readActive({ meta, engine, adapter }: OnDevice): Promise<Adapter> {
  if (adapter) return adapter;
  const tensors: Tensors = new Map();
  for (const [name, shape] of adapterShapes(meta)) tensors.set(name, { shape, data: await engine.readParameter(name) });
  return { meta, tensors };
}

/** The base model alone, with the head of a classifier. `none`: the method that adds nothing. */
export async function withoutAdapters(on: OnDevice, none: Pick<AdapterMeta, "mode" | "lora">): Promise<Adapter> {
  const { meta: active, tensors } = await readActive(on);
  const { base_model, model, task, labels, settings } = active;
  const meta: AdapterMeta = { base_model, model, task, labels, settings, ...none };
  const head = adapterTensors(meta);
  return { meta, tensors: new Map(head.map(({ name }) => [name, tensors.get(name)!])) };
}
