/**
 * The names in the files of PEFT and transformers that few adapters need: those of the modules of a Llama-type model,
 * and of the base model's tensors that were trained in addition to the adapters. Loaded on demand by what reads
 * adapters.
 */
import type { ModelConfig } from "../config.ts";
import {
  ADAPTED,
  baseShapes,
  baseTensors,
  columnsIn,
  isInBlocks,
  lmHeadTensors,
  type Site,
  tensorName,
} from "../names.ts";
import { IN_BLOCK, type InFiles, llamaTensorsInFiles } from "./llama-names.ts";
import type { ImportEntry } from "./peft-form.ts";

/** A Llama-type model's module for what an adapter adapts. */
export function llamaModule({ target, block }: Site, config: ModelConfig): string {
  if (block === null) return "model.embed_tokens";
  const { layer } = ADAPTED[target];
  const index = columnsIn(layer, config).findIndex((one) => one.target === target);
  return `model.layers.${block}.${IN_BLOCK[layer]![index]}`;
}

/** The tensors of a base model in transformers, by ours. */
export function baseInFiles(config: ModelConfig): Pick<InFiles, "name" | "parts" | "isTurned">[] {
  const prefix = config.model_type ? "model." : "transformer.";
  const tensors = config.model_type
    ? llamaTensorsInFiles(config)
    : [...baseTensors(config), ...lmHeadTensors(config)].map(({ name, shape }) => {
        return { name, parts: [{ key: name, shape, first: 0 }], isTurned: false };
      });
  return tensors.map(({ name, parts, isTurned }) => {
    const named = parts.map((part) => ({ ...part, key: name === "lm_head.weight" ? name : prefix + part.key }));
    return { name, parts: named, isTurned };
  });
}

/** What a part of a base model's tensor is to us. */
export function baseEntry({ name, parts, isTurned }: ReturnType<typeof baseInFiles>[number], i = 0): ImportEntry {
  const { shape, first } = parts[i]!;
  return { name, shape, ...(isTurned && { isTurned }), ...(parts.length > 1 && { first }) };
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
