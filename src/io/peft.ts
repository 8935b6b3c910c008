/**
 * Directories of trained tensors. In mode "lora" they are PEFT adapters (adapter_config.json and
 * adapter_model.safetensors) with two files of ours: lowrank.json, what PEFT cannot say, and lowrank.safetensors, the
 * tensors that PEFT's file does not give back exactly. In the other modes lowrank.json and weights.safetensors.
 */
import { exists, joinPath, listDirectory, openFile } from "#platform";
import { ConfigError, FormatError } from "../errors.ts";
import { expectShape, type Shape } from "../tensor.ts";
import { type AdapterMeta, adapterShapes, checkMeta, encodeMeta, parseMeta } from "./adapter-meta.ts";
import { list, readJson } from "./common.ts";
import { importPeft, type PeftBase } from "./peft-import.ts";
import {
  biasObstacle,
  type FinalNorm,
  fromPeft,
  type LoraModel,
  PREFIX,
  peftConfig,
  peftObstacle,
  type Tensors,
  toPeft,
} from "./peft-layout.ts";
import { encodeSafetensors, SafetensorsFile } from "./safetensors.ts";

export type { AdapterMeta } from "./adapter-meta.ts";
export type { FinalNorm, NamedTensor, Tensors } from "./peft-layout.ts";

export interface Adapter {
  meta: AdapterMeta;
  /** Every tensor that was trained, and the classification head, by the names of `names.ts`. */
  tensors: Tensors;
}

const META = "lowrank.json";
const EXACT = "lowrank.safetensors";
const WEIGHTS = "weights.safetensors";
const PEFT_CONFIG = "adapter_config.json";
const PEFT_TENSORS = "adapter_model.safetensors";
const HEAD_COPY = `${PREFIX}lm_head.base_layer.weight`;

/** The files of an adapter directory, and whether PEFT can load it. */
export interface AdapterFiles {
  files: Map<string, string | Uint8Array>;
  peft: boolean;
  /** Why PEFT cannot: then all tensors are in our own file. */
  reason?: string;
}

/**
 * An adapter as the files of its directory. With the base model's `finalNorm`, the last layer norm, a bias of the head can be
 * folded into PEFT's score.weight. Throws FormatError or ShapeError where the tensors are not those that `meta`
 * asks for.
 */
export function adapterFiles({ meta, tensors }: Adapter, { finalNorm }: { finalNorm?: FinalNorm } = {}): AdapterFiles {
  const where = "the adapter";
  checkMeta(meta, where);
  checkTensors(tensors, adapterShapes(meta), where);
  const files: AdapterFiles["files"] = new Map();
  let result: Omit<AdapterFiles, "files"> = { peft: false, reason: `mode ${meta.mode} has no adapter` };
  const lora = asLora(meta);
  if (lora === undefined) files.set(WEIGHTS, encode(tensors));
  else {
    const reason = peftObstacle(lora) ?? biasObstacle(tensors, finalNorm);
    result = reason === undefined ? { peft: true } : { peft: false, reason };
    if (result.peft) for (const [name, content] of peftFiles(lora, tensors, finalNorm)) files.set(name, content);
    const own = result.peft ? new Map([...tensors].filter(([name]) => isOurs(name, lora))) : tensors;
    if (own.size > 0) files.set(EXACT, encode(own));
  }
  files.set(META, encodeMeta(meta));
  return { files, ...result };
}

/** PEFT's two files. A bias of the head is folded where `finalNorm` allows it, and else left out. */
export function peftFiles(lora: LoraModel, tensors: Tensors, finalNorm: FinalNorm | undefined): AdapterFiles["files"] {
  return new Map<string, string | Uint8Array>([
    [PEFT_CONFIG, `${JSON.stringify(sortKeys(peftConfig(lora)), null, 2)}\n`],
    [PEFT_TENSORS, encodeSafetensors(toPeft(lora, tensors, finalNorm), { format: "pt" })],
  ]);
}

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
  const lora = asLora(meta);
  const tensors: Tensors = new Map();
  const add = (more: Tensors) => {
    for (const [name, tensor] of more) tensors.set(name, tensor);
  };
  if (lora === undefined) add(await readAll(joinPath(directory, WEIGHTS)));
  else {
    if (await has(EXACT)) add(await readAll(joinPath(directory, EXACT)));
    if (await has(PEFT_TENSORS)) {
      await checkPeftConfig(joinPath(directory, PEFT_CONFIG), lora);
      const path = joinPath(directory, PEFT_TENSORS);
      add(fromPeft(lora, await readAll(path), path));
    }
  }
  return inOrder(meta, tensors, directory);
}

/** What a path holds, in words. */
async function contentsOf(path: string): Promise<string> {
  const names = await listDirectory(path).catch(() => null);
  return names === null ? "a file" : list(names.filter((name) => !name.startsWith(".")));
}

async function readPeft(directory: string, base: PeftBase): Promise<Adapter> {
  const path = joinPath(directory, PEFT_CONFIG);
  const peft = await readAll(joinPath(directory, PEFT_TENSORS));
  await dropHeadCopy(peft, base, path);
  const { meta, tensors } = importPeft(await readJson(path), peft, base, path);
  checkMeta(meta, path);
  return inOrder(meta, tensors, directory);
}

/** Beside an adapter of lm_head PEFT saves the base model's head as well. A copy says nothing; another one is not computed. */
async function dropHeadCopy(peft: Tensors, { tokenTable }: PeftBase, where: string): Promise<void> {
  const copy = peft.get(HEAD_COPY);
  const table = copy && (await tokenTable?.());
  if (!copy || !table) return;
  if (copy.data.length !== table.length || copy.data.some((value, i) => value !== table[i]))
    throw new FormatError("the adapter brings a head of its own", {
      where,
      expected: `${HEAD_COPY} as the base model has it`,
      found: "other values",
      hint: "was it trained on another base model, or saved in another type?",
    });
  peft.delete(HEAD_COPY);
}

/** The tensors in the order of their shapes, however the files sorted them, once they are known to be complete. */
function inOrder(meta: AdapterMeta, tensors: Tensors, where: string): Adapter {
  const shapes = adapterShapes(meta);
  checkTensors(tensors, shapes, where);
  return { meta, tensors: new Map([...shapes.keys()].map((name) => [name, tensors.get(name)!])) };
}

/** What decides how an adapter looks in PEFT; undefined in the modes that have none. */
export function asLora(meta: AdapterMeta): LoraModel | undefined {
  return meta.lora === null ? undefined : { ...meta, lora: meta.lora };
}

/** A classifier's head and its adapter are folded into one matrix in PEFT's file, so that we keep them ourselves. */
function isOurs(name: string, { task }: LoraModel): boolean {
  return task.objective === "classification" && (name.startsWith("head.") || name.startsWith("lora.head."));
}

function encode(tensors: Tensors): Uint8Array {
  return encodeSafetensors([...tensors].map(([name, { shape, data }]) => ({ name, shape, dtype: "F32", data })));
}

async function readAll(path: string): Promise<Tensors> {
  if (!(await exists(path)))
    throw new FormatError("the directory of a trained model is incomplete", { expected: path });
  const reader = await openFile(path);
  try {
    const file = await SafetensorsFile.open(reader);
    const tensors: Tensors = new Map();
    for (const name of file.names) tensors.set(name, { shape: file.info(name).shape, data: await file.readF32(name) });
    return tensors;
  } finally {
    await reader.close();
  }
}

function checkTensors(tensors: Tensors, shapes: Map<string, Shape>, where: string): void {
  const missing = [...shapes.keys()].filter((name) => !tensors.has(name));
  const extra = [...tensors.keys()].filter((name) => !shapes.has(name));
  if (missing.length > 0 || extra.length > 0)
    throw new FormatError("these are not the tensors that the description asks for", {
      where,
      expected: missing.length > 0 ? `also ${list(missing)}` : "no others",
      found: extra.length > 0 ? `also ${list(extra)}` : "no others",
    });
  for (const [name, shape] of shapes) {
    const tensor = tensors.get(name)!;
    expectShape(name, tensor.shape, shape);
    expectShape(`the data of ${name}`, [tensor.data.length], [shape.reduce((product, n) => product * n, 1)]);
  }
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

function sortKeys(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}
