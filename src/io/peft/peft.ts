/**
 * Directories of trained tensors. In modes that PEFT has they are PEFT adapters (adapter_config.json and
 * adapter_model.safetensors) with two files of our own: lowrank.json, the settings that PEFT cannot express, and
 * lowrank.safetensors, the tensors that PEFT's file does not store exactly. In the other modes they hold lowrank.json
 * and weights.safetensors.
 */

import { exists, joinPath, listDirectory, openFile, readBytes, sha256 } from "#platform";
import { ConfigError, FormatError, nameList } from "../../core/errors.ts";
import type { ModelTensor } from "../../core/names.ts";
import { expectShape, type Shape } from "../../core/tensor.ts";
import { METHODS } from "../../methods/index.ts";
import { hasHead } from "../../tasks/index.ts";
import { readJson } from "../common.ts";
import { LIMITS } from "../limits.ts";
import { SafetensorsFile } from "../safetensors/safetensors.ts";
import { checkNames } from "../safetensors/tensor-file.ts";
import { type AdapterMeta, adapterShapes, adapterTensors, checkMeta, parseMeta } from "./adapter-meta.ts";
import { headEntries, type NamedTensor, type PeftBase, type PeftForm, type Tensors } from "./peft-form.ts";
import { loraForm } from "./peft-lora.ts";
import { virtualForm } from "./peft-virtual.ts";

export type { AdapterMeta } from "./adapter-meta.ts";
export type { FinalNorm, NamedTensor, Tensors } from "./peft-form.ts";

/** Trained tensors, and what they are. */
export interface Adapter {
  meta: AdapterMeta;
  /** Every trained tensor, and the classification head, by name. */
  tensors: Tensors;
  /** Of a linear probe: the TF-IDF part of its regression, in the form of classic.json, whose logits are added. */
  counts?: Uint8Array;
}

export const META = "lowrank.json";
export const EXACT = "lowrank.safetensors";
export const WEIGHTS = "weights.safetensors";
export const COUNTS = "counts.json";
export const PEFT_CONFIG = "adapter_config.json";
export const PEFT_TENSORS = "adapter_model.safetensors";
export const ADAPTER_FILES = [META, EXACT, WEIGHTS, COUNTS, PEFT_CONFIG, PEFT_TENSORS];
/** The base model's head or token table in the files of an adapter of it. */
const COPY = /\.(lm_head|embed_\w+)\.base_layer\.weight$/;

interface ReadOptions {
  /** The base model; needed for adapters written by PEFT, which do not store its dimensions. */
  base?: PeftBase;
}

/**
 * Reads a directory of `adapterFiles`, bit for bit; with `base`, also one written by PEFT. Throws ConfigError if there
 * is none, FormatError or ShapeError (naming the tensors) if a file is damaged, has missing or unexpected tensors, or
 * was changed with PEFT.
 */
export async function readAdapter(directory: string, { base }: ReadOptions = {}): Promise<Adapter> {
  const has = (file: string) => exists(joinPath(directory, file));
  if (!(await has(META))) {
    const peft = await has(PEFT_CONFIG);
    if (peft && base !== undefined) return readPeft(directory, base);
    throw new ConfigError("not-an-adapter", "there is no trained model in this directory", {
      where: directory,
      expected: `${META}, which training writes: of several runs each has its own, in trials/`,
      found: (await exists(directory)) ? await describeContents(directory) : "no such directory",
      ...(peft ? { hint: "this adapter was written by PEFT: give its base model as well" } : {}),
    });
  }
  const metaPath = joinPath(directory, META);
  const { sha256: saved, ...meta } = parseMeta(await readJson(metaPath), metaPath);
  if (base !== undefined) checkBase(meta, base, directory);
  const form = peftForm(meta);
  const shapes = adapterShapes(meta);
  const asSaved = async (tensors: Tensors, counts?: Uint8Array) => {
    const adapter: Adapter = { ...inOrder(meta, tensors), ...(counts && { counts }) };
    const digest = await digestTensors(adapter);
    if (digest === saved) return adapter;
    const details = { where: directory, expected: `SHA-256 ${saved}`, found: digest, hint: REMEDY };
    throw new FormatError("damaged-adapter", "the tensors are not those that were saved", details);
  };
  if (form === undefined) {
    const tensors = await readTensors(joinPath(directory, WEIGHTS), shapes);
    return asSaved(tensors, METHODS[meta.mode].isFitted ? await readCounts(directory) : undefined);
  }
  const exact = joinPath(directory, EXACT);
  if (!(await has(PEFT_TENSORS))) return asSaved(await readTensors(exact, shapes));
  await checkPeftConfig(joinPath(directory, PEFT_CONFIG), form);
  const path = joinPath(directory, PEFT_TENSORS);
  // PEFT's file has the folded head; our own file has the head as it was trained.
  const theirs = new Map(form.shapes);
  const { objective, num_labels } = meta.task;
  for (const [key, { shape }] of headEntries(objective, num_labels, meta.model)) theirs.set(form.wrapper + key, shape!);
  const peft = form.from(await readTensors(path, theirs, (name) => form.shapes.has(name)), path);
  const ours = new Map(ownTensors(meta).map(({ name, shape }) => [name, shape]));
  const exactTensors = ours.size > 0 ? await readTensors(exact, ours) : [];
  return asSaved(new Map([...peft, ...exactTensors]));
}

/** Properties in which an adapter and its base model may differ. */
const FREE = ["n_positions", "layer_norm_epsilon"];

/** Throws ConfigError if the base model has other dimensions than the adapter's. */
function checkBase(meta: AdapterMeta, { config, directory = "the given base model" }: PeftBase, where: string): void {
  for (const key of Object.keys({ ...meta.model, ...config }) as (keyof typeof config)[]) {
    const [expected, found] = [meta.model, config].map((one) => JSON.stringify(one[key]) ?? "the default");
    if (found !== expected && !FREE.includes(key))
      throw new ConfigError("wrong-base-model", "the adapter belongs to another base model", {
        where,
        expected: `${key} = ${expected} (${meta.base_model})`,
        found: `${key} = ${found} (${directory})`,
      });
  }
}

async function describeContents(path: string): Promise<string> {
  const names = await listDirectory(path).catch(() => null);
  return names === null ? "a file" : nameList(names.filter((name) => !name.startsWith(".")));
}

async function readPeft(directory: string, base: PeftBase): Promise<Adapter> {
  const path = joinPath(directory, PEFT_CONFIG);
  const json = await readJson(path);
  const { importPeft } = await import("./peft-import.ts");
  return withFile(joinPath(directory, PEFT_TENSORS), async (file) => {
    // With an adapter of lm_head or embed_tokens PEFT also saves the base model's tensor.
    const shapes = new Map([...file.floatShapes()].filter(([key]) => !COPY.test(key)));
    const { meta, keys, from } = importPeft(json, shapes, base, path);
    checkMeta(meta, path);
    const theirs: Tensors = new Map();
    for (const key of keys) theirs.set(key, await readTensor(file, key));
    return inOrder(meta, from(theirs));
  });
}

/** The tensors in the order of `adapterShapes`. */
function inOrder(meta: AdapterMeta, tensors: Tensors): Adapter {
  const names = [...adapterShapes(meta).keys()];
  return { meta, tensors: new Map(names.map((name) => [name, tensors.get(name)!])) };
}

/** SHA-256 of the values of an adapter's tensors, in the order of `adapterShapes`, and of its word counts. */
export async function digestTensors({ meta, tensors, counts }: Adapter): Promise<string> {
  const digests: string[] = [];
  for (const name of adapterShapes(meta).keys()) {
    const { buffer, byteOffset, byteLength } = tensors.get(name)!.data;
    digests.push(await sha256([new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)]));
  }
  if (counts) digests.push(await sha256([counts as Uint8Array<ArrayBuffer>]));
  return sha256([new TextEncoder().encode(digests.join())]);
}

/** An adapter in PEFT's files; undefined in modes that PEFT does not have. */
export function peftForm(meta: AdapterMeta): PeftForm | undefined {
  if (meta.lora !== null) return loraForm({ ...meta, lora: meta.lora });
  return METHODS[meta.mode].peft && virtualForm(meta);
}

/** The tensors of our own file: PEFT's has a head of its own and its adapter folded into one matrix. */
export function ownTensors(meta: AdapterMeta): ModelTensor[] {
  return adapterTensors(meta).filter(({ layer }) => layer === "head" && hasHead(meta.task));
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

const REMEDY = "copy the adapter again from where it came from, or train again: the file may be truncated";

async function readCounts(directory: string): Promise<Uint8Array> {
  const path = joinPath(directory, COUNTS);
  await refuseMissing(path);
  return readBytes(path, LIMITS.classic);
}

async function refuseMissing(path: string): Promise<void> {
  if (!(await exists(path)))
    throw new FormatError("damaged-adapter", "a file of the trained model is missing", { expected: path });
}

async function withFile<T>(path: string, body: (file: SafetensorsFile) => Promise<T>): Promise<T> {
  await refuseMissing(path);
  const reader = await openFile(path);
  try {
    return await body(await SafetensorsFile.open(reader, REMEDY));
  } finally {
    await reader.close();
  }
}

export function checkShapes(
  found: ReadonlyMap<string, Shape>,
  expected: ReadonlyMap<string, Shape>,
  where: string,
): void {
  checkNames(found.keys(), expected.keys(), "the tensors do not match the configuration", where, REMEDY);
  for (const [name, shape] of expected) expectShape(`${name} in ${where}`, found.get(name)!, shape);
}

/** Throws FormatError unless the keys of adapter_config.json that affect the results agree with lowrank.json. */
async function checkPeftConfig(path: string, { config, decisive }: PeftForm): Promise<void> {
  const found = (await readJson(path)) as Record<string, unknown>;
  for (const key of decisive)
    if (JSON.stringify(found?.[key]) !== JSON.stringify(config[key]))
      throw new FormatError("damaged-adapter", `${key} of the PEFT configuration and ${META} disagree`, {
        where: path,
        expected: JSON.stringify(config[key]),
        found: JSON.stringify(found?.[key]) ?? "nothing",
        hint: "restore the file that was changed, or train again",
      });
}
