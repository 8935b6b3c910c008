/** Helpers shared by the readers of several formats. */

import { openFile, readBytes } from "#platform";
import { isObject, lookUp } from "../core/checks.ts";
import { MODEL_TYPES, type ModelConfig } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import { filePieces } from "../platform/reader.ts";
import { parseHfConfig } from "./hf-config.ts";
import { LIMITS, parseJson } from "./limits.ts";
import { parseConfig } from "./model-config.ts";

/** The file with a model's tensors, and the index of several. */
export const WEIGHTS = "model.safetensors";
export const SHARDS_INDEX = "model.safetensors.index.json";

/** Parses a JSON file of at most `limit` bytes. Throws FormatError if it is invalid, ConfigError if unreadable. */
export async function readJson(path: string, limit: number = LIMITS.json): Promise<unknown> {
  return parseJson(await readBytes(path, limit), path);
}

/** The content of a file, which is opened when the first piece is read. */
export async function* readPieces(path: string): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const file = await openFile(path);
  try {
    yield* filePieces(file);
  } finally {
    await file.close();
  }
}

/** "1 tensor", "2 tensors". */
export function countOf(names: readonly unknown[], what: string): string {
  return `${names.length} ${what}${names.length === 1 ? "" : "s"}`;
}

/** Throws ConfigError for a model whose matrices are codes, as bitsandbytes and others write them. */
export function refuseQuantized(where: string, found: string): never {
  throw new ConfigError("unsupported-quantization", "the model is quantised", {
    where,
    expected: "weights in F32, F16 or BF16, or a GGUF file",
    found,
    hint: "use the model without quantisation; type q4 keeps it in 4 bits (NF4, as in QLoRA)",
  });
}

/** Reads the parsed text of a config.json, and loads what a plan of such a model needs: see `parseConfig`. */
export async function parseModelConfig(json: unknown, where: string): Promise<ModelConfig> {
  if (isObject(json) && (json.quantization_config ?? null) !== null) refuseQuantized(where, "quantization_config");
  const isOther = isObject(json) && json.model_type !== "gpt2" && lookUp(MODEL_TYPES, json.model_type);
  const config = isOther ? parseHfConfig(json, where) : parseConfig(json, where);
  return config;
}
