/**
 * Directories of trained tensors. In mode "lora" they are PEFT adapters (adapter_config.json and
 * adapter_model.safetensors) with two files of ours: lowrank.json, what PEFT cannot say, and lowrank.safetensors, the
 * tensors that PEFT's file does not give back exactly. In the other modes lowrank.json and weights.safetensors.
 */

import { exists, joinPath, listDirectory, openFile } from "#platform";
import { ConfigError, FormatError, nameList } from "../errors.ts";
import { expectShape, type Shape, sameShape, showShape } from "../tensor.ts";
import { type AdapterMeta, adapterShapes, checkMeta, parseMeta } from "./adapter-meta.ts";
import { readJson } from "./common.ts";
import { importPeft, type PeftBase } from "./peft-import.ts";
import {
  fromPeft,
  type LoraModel,
  type NamedTensor,
  PREFIX,
  peftConfig,
  peftShapes,
  SCORE,
  type Tensors,
} from "./peft-layout.ts";
import { SafetensorsFile } from "./safetensors.ts";

export type { AdapterMeta } from "./adapter-meta.ts";
export type { FinalNorm, NamedTensor, Tensors } from "./peft-layout.ts";

export interface Adapter {
  meta: AdapterMeta;
  /** Every tensor that was trained, and the classification head, by the names of `names.ts`. */
  tensors: Tensors;
}

export const META = "lowrank.json";
export const EXACT = "lowrank.safetensors";
export const WEIGHTS = "weights.safetensors";
export const PEFT_CONFIG = "adapter_config.json";
export const PEFT_TENSORS = "adapter_model.safetensors";
const HEAD_COPY = `${PREFIX}lm_head.base_layer.weight`;

export interface ReadOptions {
  /** The base model, whose dimensions an adapter that PEFT itself wrote does not tell. */
  base?: PeftBase;
}

/**
 * Reads a directory of `adapterFiles`, bit for bit; with `base`, also one that PEFT wrote. Throws ConfigError
 * where there is none, FormatError or ShapeError (naming the tensors) where a file is damaged, lacks tensors or has
 * others, or was changed in PEFT.
 */
export async function readAdapter(directory: string, { base }: ReadOptions = {}): Promise<Adapter> {
  const has = (file: string) => exists(joinPath(directory, file));
  if (!(await has(META))) {
    const peft = await has(PEFT_CONFIG);
    if (peft && base !== undefined) return readPeft(directory, base);
    throw new ConfigError("there is no trained model in this directory", {
      where: directory,
      expected: `${META}, as training writes it`,
      found: (await exists(directory)) ? await contentsOf(directory) : "no such directory",
      ...(peft ? { hint: "an adapter that PEFT wrote is read beside its base model: name that too" } : {}),
    });
  }
  const metaPath = joinPath(directory, META);
  const meta = parseMeta(await readJson(metaPath), metaPath);
  if (base !== undefined) checkBase(meta, base, directory);
  const lora = asLora(meta);
  const shapes = adapterShapes(meta);
  if (lora === undefined) return inOrder(meta, await readTensors(joinPath(directory, WEIGHTS), shapes));
  const exact = joinPath(directory, EXACT);
  if (!(await has(PEFT_TENSORS))) return inOrder(meta, await readTensors(exact, shapes));
  await checkPeftConfig(joinPath(directory, PEFT_CONFIG), lora);
  const path = joinPath(directory, PEFT_TENSORS);
  // The head that is folded for PEFT is not read back: it stands in our own file as it was trained.
  const peft = fromPeft(lora, await readTensors(path, peftShapes(lora), (name) => name !== SCORE), path);
  const ours = new Map([...shapes].filter(([name]) => isOurs(name, lora)));
  const own = ours.size > 0 || (await has(EXACT)) ? await readTensors(exact, ours) : [];
  return inOrder(meta, new Map([...peft, ...own]));
}

/** Throws ConfigError where an adapter belongs to a model of other dimensions. */
function checkBase(meta: AdapterMeta, { config, directory = "this one" }: PeftBase, where: string): void {
  for (const key of ["n_layer", "n_embd", "n_head", "vocab_size"] as const)
    if (config[key] !== meta.model[key])
      throw new ConfigError("the adapter belongs to another base model", {
        where,
        expected: `${key} = ${meta.model[key]} (${meta.base_model})`,
        found: `${key} = ${config[key]} (${directory})`,
      });
}

/** What a path holds, in words. */
async function contentsOf(path: string): Promise<string> {
  const names = await listDirectory(path).catch(() => null);
  return names === null ? "a file" : nameList(names.filter((name) => !name.startsWith(".")));
}

async function readPeft(directory: string, base: PeftBase): Promise<Adapter> {
  const path = joinPath(directory, PEFT_CONFIG);
  const json = await readJson(path);
  return withFile(joinPath(directory, PEFT_TENSORS), async (file) => {
    const shapes = file.floatShapes();
    // Beside an adapter of lm_head PEFT saves the base model's head as well.
    const copied = shapes.has(HEAD_COPY) && base.tokenTable !== undefined && shapes.delete(HEAD_COPY);
    const { meta, keys } = importPeft(json, shapes, base, path);
    checkMeta(meta, path);
    if (copied) await compareHead(file, base, path);
    const tensors: Tensors = new Map();
    for (const [name, key] of keys) tensors.set(name, await readTensor(file, key));
    if (meta.task.objective === "classification" && !keys.has("head.weight")) tensors.set("head.weight", base.score!);
    return inOrder(meta, tensors);
  });
}

/** A copy of the base model's head says nothing; another head is not computed. */
async function compareHead(file: SafetensorsFile, { config, tokenTable }: PeftBase, where: string): Promise<void> {
  const fits = sameShape(file.info(HEAD_COPY).shape, [config.vocab_size, config.n_embd]);
  const [copy, table] = fits ? [await file.readF32(HEAD_COPY), await tokenTable!()] : [];
  if (copy?.every((value, i) => value === table![i])) return;
  throw new FormatError("the adapter brings a head of its own", {
    where,
    expected: `${HEAD_COPY} as the base model has it`,
    found: fits ? "other values" : `the shape ${showShape(file.info(HEAD_COPY).shape)}`,
    hint: "was it trained on another base model, or saved in another type?",
  });
}

/** The tensors in the order of their shapes, however the files sorted them. */
function inOrder(meta: AdapterMeta, tensors: Tensors): Adapter {
  return { meta, tensors: new Map([...adapterShapes(meta).keys()].map((name) => [name, tensors.get(name)!])) };
}

/** What decides how an adapter looks in PEFT; undefined in the modes that have none. */
export function asLora(meta: AdapterMeta): LoraModel | undefined {
  return meta.lora === null ? undefined : { ...meta, lora: meta.lora };
}

/** A classifier's head and its adapter are folded into one matrix in PEFT's file, so that we keep them ourselves. */
export function isOurs(name: string, { task }: LoraModel): boolean {
  return task.objective === "classification" && (name.startsWith("head.") || name.startsWith("lora.head."));
}

async function readTensors(
  path: string,
  shapes: ReadonlyMap<string, Shape>,
  isWanted: (name: string) => boolean = () => true,
): Promise<Tensors> {
  return withFile(path, async (file) => {
    checkShapes(file.floatShapes(), shapes, path);
    const tensors: Tensors = new Map();
    for (const name of shapes.keys()) if (isWanted(name)) tensors.set(name, await readTensor(file, name));
    return tensors;
  });
}

async function readTensor(file: SafetensorsFile, name: string): Promise<NamedTensor> {
  return { shape: file.info(name).shape, data: await file.readFinite(name) };
}

async function withFile<T>(path: string, body: (file: SafetensorsFile) => Promise<T>): Promise<T> {
  if (!(await exists(path)))
    throw new FormatError("the directory of a trained model is incomplete", { expected: path });
  const reader = await openFile(path);
  try {
    return await body(await SafetensorsFile.open(reader));
  } finally {
    await reader.close();
  }
}

export function checkShapes(
  found: ReadonlyMap<string, Shape>,
  expected: ReadonlyMap<string, Shape>,
  where: string,
): void {
  const missing = [...expected.keys()].filter((name) => !found.has(name));
  const extra = [...found.keys()].filter((name) => !expected.has(name));
  if (missing.length > 0 || extra.length > 0)
    throw new FormatError("these are not the tensors that the description asks for", {
      where,
      expected: missing.length > 0 ? `also ${nameList(missing)}` : "no others",
      found: extra.length > 0 ? `also ${nameList(extra)}` : "no others",
    });
  for (const [name, shape] of expected) expectShape(`${name} in ${where}`, found.get(name)!, shape);
}

const DECISIVE = [
  ...["r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"],
  ...["target_modules", "layers_to_transform", "bias"],
];

/** The keys of adapter_config.json that decide the product must be those that lowrank.json leads to. */
async function checkPeftConfig(path: string, lora: LoraModel): Promise<void> {
  const found = (await readJson(path)) as Record<string, unknown>;
  const expected = peftConfig(lora);
  for (const key of DECISIVE)
    if (JSON.stringify(found?.[key]) !== JSON.stringify(expected[key]))
      throw new FormatError(`${key} of the PEFT configuration and ${META} disagree`, {
        where: path,
        expected: JSON.stringify(expected[key]),
        found: JSON.stringify(found?.[key]) ?? "nothing",
        hint: "one of the files was changed: restore it, or train again",
      });
}
