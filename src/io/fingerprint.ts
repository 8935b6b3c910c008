/** Identifies models and adapters by their contents rather than their paths. */

import { absolutePath, sha256 } from "#platform";
import { version } from "../../package.json";
import { ConfigError } from "../core/errors.ts";
import { numel } from "../core/tensor.ts";
import type { BaseModel } from "./hf.ts";
import { keep, readKept } from "./hub/kept.ts";
import type { AdapterMeta } from "./peft/adapter-meta.ts";
import { GPT2_VOCABULARY } from "./tokenizer/vocabulary.ts";

/** Elements that are hashed at a time: a large table is never in memory as a whole. */
const PIECE = 1 << 22;

/** Where the digests of files are kept, so that those of gigabytes are not read at every command. */
const KEPT = "base-models.json";

/** The fingerprints of models that are in use. */
const known = new WeakMap<BaseModel, Promise<string>>();

/**
 * SHA-256 of a model's config, its vocabulary, and every tensor's name, shape and values. It identifies the values: in
 * one file or in several, of any type and format, and whatever type they are kept in on a device. The values are read
 * once for a version of the files.
 */
export function fingerprint(model: BaseModel): Promise<string> {
  const made = known.get(model) ?? (model.fingerprint ? Promise.resolve(model.fingerprint) : make(model));
  known.set(model, made);
  return made;
}

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

async function make(model: BaseModel): Promise<string> {
  const { config, vocabulary } = model;
  const words = vocabulary === GPT2_VOCABULARY ? [] : [vocabulary.fingerprint];
  return sha256([encode([config, ...words, await digestTensors(model)])]);
}

/** SHA-256 of the tensors, as it was kept for this version of their files, or of what is read. */
async function digestTensors(model: BaseModel): Promise<string> {
  const { directory, config } = model;
  const files = [...new Set(model.files?.values())].map(({ reader }) => reader);
  const isKnown = files.length > 0 && files.every((file) => file.version !== undefined);
  const stamps = files.map((file) => [file.size, file.version]);
  const key = JSON.stringify([version, absolutePath(directory), stamps, config]);
  const { tensors } = isKnown ? await readKept(KEPT, key) : {};
  if (typeof tensors === "string") return tensors;
  // They are read again, for the device.
  for (const file of files) await file.hold?.();
  const parts: unknown[] = [];
  for (const name of model.names) {
    const shape = model.shape(name);
    const [rows] = shape as [number];
    const step = Math.max(1, Math.floor((PIECE * rows) / numel(shape)));
    const pieces: string[] = [];
    for (let first = 0; first < rows; first += step) {
      const { buffer, byteOffset, byteLength } = await model.read(name, first, Math.min(rows, first + step));
      pieces.push(await sha256([new Uint8Array(buffer, byteOffset, byteLength)]));
    }
    parts.push([name, shape, pieces]);
  }
  const digest = await sha256([encode(parts)]);
  if (isKnown) await keep(KEPT, key, { tensors: digest });
  return digest;
}

/** Throws ConfigError if an adapter was trained on another base model. The same one may have another name. */
export async function checkBase(
  { base_model, base_fingerprint = "" }: AdapterMeta,
  baseModel: BaseModel,
  where: string,
): Promise<void> {
  const actual = await fingerprint(baseModel);
  if (actual === base_fingerprint) return;
  throw new ConfigError("wrong-base-model", "the adapter belongs to another base model", {
    where,
    expected: `${base_model}, fingerprint ${base_fingerprint.slice(0, 12)}`,
    found: `${baseModel.directory}, fingerprint ${actual.slice(0, 12)}`,
    hint: "give the base model that the adapter was trained on",
  });
}
