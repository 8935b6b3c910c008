/** Helpers shared by the readers of several formats. */
import { readBytes } from "#platform";
import { LLAMA_TYPES, type ModelConfig, parseConfig } from "../config.ts";
import { isObject } from "../kinds.ts";
import { loadArchitecture } from "../model/architectures.ts";
import { LIMITS, parseJson } from "./limits.ts";

/** The file with a model's tensors, and the index of several. */
export const WEIGHTS = "model.safetensors";
export const SHARDS_INDEX = "model.safetensors.index.json";

/** Parses a JSON file of at most `limit` bytes. Throws FormatError if it is invalid, ConfigError if unreadable. */
export async function readJson(path: string, limit: number = LIMITS.json): Promise<unknown> {
  return parseJson(await readBytes(path, limit), path);
}

/** "1 tensor", "2 tensors". */
export function count(names: readonly unknown[], what: string): string {
  return `${names.length} ${what}${names.length === 1 ? "" : "s"}`;
}

/** Reads the parsed text of a config.json, and loads what a plan of such a model needs: see `parseConfig`. */
export async function parseModelConfig(json: unknown, where: string): Promise<ModelConfig> {
  const isLlama = isObject(json) && LLAMA_TYPES.some((type) => type === json.model_type);
  const config = isLlama ? (await import("./llama-config.ts")).parseLlamaConfig(json, where) : parseConfig(json, where);
  await loadArchitecture(config);
  return config;
}
