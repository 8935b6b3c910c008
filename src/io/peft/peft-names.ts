/**
 * What few adapters need of the files of PEFT and transformers: the names of the modules of models other than GPT-2, and
 * of the base model's tensors that were trained in addition to the adapters; virtual tokens. Loaded on demand by what
 * reads adapters.
 */
import { type ModelConfig, traits } from "../../config.ts";
import { ADAPTED, baseShapes, columnsIn, isInBlocks, type Site, tensorName } from "../../names.ts";
import { type InFiles, LAYOUTS, modulesIn, rowOrder, tensorsInFiles } from "../layouts.ts";
import type { ImportEntry, RowOrder } from "./peft-form.ts";

export { virtualForm } from "./peft-virtual.ts";

/** The module of a model other than GPT-2 for what an adapter adapts. */
export function moduleInFiles({ target, block }: Site, config: ModelConfig): string {
  const { prefix, table, head } = LAYOUTS[traits(config).family];
  if (block === null) return target === "head" ? head : `${prefix}.${table}`;
  const { layer } = ADAPTED[target];
  const modules = modulesIn(layer, block, config);
  const index = modules.length > 1 ? columnsIn(layer, config).findIndex((one) => one.target === target) : 0;
  return `${prefix}.${modules[index]}`;
}

/** The order of the outputs of an adapter's module; undefined: ours. */
export const adaptedOrder = ({ target }: Pick<Site, "target">, config: ModelConfig): RowOrder | undefined =>
  rowOrder(ADAPTED[target].layer, config);

/** The tensors of a base model in transformers, by ours. */
export function baseInFiles(config: ModelConfig): Pick<InFiles, "name" | "parts" | "isTurned">[] {
  const { prefix } = LAYOUTS[traits(config).family];
  return tensorsInFiles(config).map(({ name, layer, parts, isTurned }) => {
    const named = parts.map((part) => ({ ...part, key: layer === "lm_head" ? part.key : `${prefix}.${part.key}` }));
    return { name, parts: named, isTurned };
  });
}

/** What a part of a base model's tensor is to us. */
export function baseEntry({ name, parts, isTurned }: ReturnType<typeof baseInFiles>[number], i = 0): ImportEntry {
  const { shape, first, order } = parts[i]!;
  return { name, shape, order, ...(isTurned && { isTurned }), ...(parts.length > 1 && { first }) };
}

/**
 * The base model's tensors that were trained in addition to the adapters of these sites, by their names in
 * transformers. The biases of adapted modules become PEFT's bias="lora_only" if all of them were trained; the others
 * are the modules `saved`.
 */
export function trainedInBase(
  model: ModelConfig,
  modulesToSave: readonly string[],
  sites: readonly Site[],
): { entries: [name: string, entry: ImportEntry][]; saved: string[]; hasBiases: boolean } {
  const known = baseShapes(model);
  const biases = sites
    .filter(({ target }) => isInBlocks(target))
    .map(({ target, block }) => tensorName({ block, layer: ADAPTED[target].layer }, "bias"))
    .filter((name) => known.has(name));
  const hasBiases = biases.length > 0 && biases.every((name) => modulesToSave.includes(name));
  const isBias = (name: string) => hasBiases && biases.includes(name);
  const all = new Map(baseInFiles(model).map((one) => [one.name, one]));
  const trained = modulesToSave.map((name) => all.get(name)!);
  const entries = trained.flatMap((one) =>
    one.parts.map(({ key }, i): [string, ImportEntry] => {
      return [isBias(one.name) ? key.replace(/bias$/, "base_layer.bias") : key, baseEntry(one, i)];
    }),
  );
  const keys = trained.filter(({ name }) => !isBias(name)).flatMap(({ parts }) => parts.map(({ key }) => key));
  return { entries, saved: [...new Set(keys.map((key) => key.replace(/\.(weight|bias)$/, "")))], hasBiases };
}
