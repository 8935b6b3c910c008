/** Small adapters, and the product of LoRA's matrices, for the tests of adapter directories. */

import { writeDirectory } from "#platform";
import type { ModelConfig } from "../../src/core/config.ts";
import { adapterShapes } from "../../src/io/peft/adapter-meta.ts";
import type { Adapter, AdapterMeta, Tensors } from "../../src/io/peft/peft.ts";
import { adapterFiles } from "../../src/io/peft/peft-write.ts";
import { SafetensorsFile } from "../../src/io/safetensors/safetensors.ts";
import type { Mode } from "../../src/methods/index.ts";
import { type LoraConfig, loraScale } from "../../src/methods/lora.ts";
import { openFile, remove } from "../../src/platform/node.ts";
import { numbers } from "./border.ts";
import { ALL_TARGETS, TASKS } from "./models.ts";

export const model: ModelConfig = {
  vocab_size: 23,
  n_positions: 10,
  n_layer: 2,
  n_head: 2,
  n_embd: 8,
  layer_norm_epsilon: 1e-5,
};
export function testMeta(lora: Partial<LoraConfig> = {}, rest: Partial<AdapterMeta> = {}): AdapterMeta {
  return {
    base_model: "gpt2-micro",
    model,
    mode: "lora",
    lora: { r: 3, lora_alpha: 5, scaling: "alpha/r", init: "kaiming", target_modules: ALL_TARGETS, ...lora },
    task: TASKS.classification,
    labels: ["ham", "spam"],
    settings: { padding: "none", max_length: 10 },
    ...rest,
  };
}

/** A language model in place of a classifier. */
export const LM: Partial<AdapterMeta> = {
  task: TASKS.lm,
  labels: [],
};

/** What the description of a mode without LoRA has, with the smallest sizes. */
export function modeMeta(mode: Exclude<Mode, "lora">): Partial<AdapterMeta> {
  return {
    mode,
    lora: null,
    ...(mode === "adapter" ? { bottleneck: 3 } : {}),
    ...(mode === "prompt" || mode === "prefix" ? { num_virtual_tokens: 4 } : {}),
  };
}

export function drawTensors(meta: AdapterMeta, seed = 1): Tensors {
  const random = numbers(seed);
  return new Map([...adapterShapes(meta)].map(([name, shape]) => [name, { shape, data: random(shape) }]));
}

/** Writes an adapter's directory, anew; returns whether PEFT can load it. */
export async function writeAdapter(directory: string, adapter: Adapter, options?: Parameters<typeof adapterFiles>[1]) {
  const { files, ...result } = await adapterFiles(adapter, options);
  await remove(directory);
  await writeDirectory(directory, files);
  return result;
}

export async function readAll(path: string): Promise<Tensors> {
  const file = await SafetensorsFile.open(await openFile(path));
  const tensors: Tensors = new Map();
  for (const name of file.names) tensors.set(name, { shape: file.info(name).shape, data: await file.readF32(name) });
  await file.close();
  return tensors;
}

/** scale * B A, [out, in], in double precision. */
export function product(B: Float32Array, A: Float32Array, r: number, columns: number, scale: number): Float64Array {
  const rows = B.length / r;
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++)
    for (let k = 0; k < r; k++)
      for (let j = 0; j < columns; j++) out[i * columns + j]! += scale * B[i * r + k]! * A[k * columns + j]!;
  return out;
}

export function ourDelta(tensors: Tensors, site: string, lora: LoraConfig): Float64Array {
  const A = tensors.get(`lora.${site}.A`)!;
  return product(tensors.get(`lora.${site}.B`)!.data, A.data, lora.r, A.shape[1]!, loraScale(lora));
}
