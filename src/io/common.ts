/** Helpers shared by the readers of several formats. */
import { readBytes } from "#platform";
import { LLAMA_TYPES, type ModelConfig, parseConfig } from "../config.ts";
import { FormatError } from "../errors.ts";
import { loadArchitecture } from "../model/architectures.ts";
import { LIMITS, parseJson } from "./limits.ts";

/** The file with a model's tensors, and the index of several. */
export const WEIGHTS = "model.safetensors";
export const SHARDS_INDEX = "model.safetensors.index.json";

/** Parses a JSON file of at most `limit` bytes. Throws FormatError if it is invalid, ConfigError if unreadable. */
export async function readJson(path: string, limit: number = LIMITS.json): Promise<unknown> {
  return parseJson(await readBytes(path, limit), path);
}

const isText = (value: unknown) => typeof value === "string";
const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The kinds of JSON values that `checkKinds` tests for. */
const KINDS = {
  text: ["a string", isText],
  texts: ["a list of strings", (value: unknown) => Array.isArray(value) && value.every(isText)],
  object: ["an object", isObject],
  objects: ["a list of objects", (value: unknown) => Array.isArray(value) && value.every(isObject)],
  boolean: ["true or false", (value: unknown) => typeof value === "boolean"],
  count: ["a whole number of 0 or more", (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0],
  number: ["a number", Number.isFinite],
  amount: ["a number of 0 or more", (value: unknown) => typeof value === "number" && value >= 0],
  size: ["a whole number of 1 or more", (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 1],
} as const satisfies Record<string, [words: string, is: (value: unknown) => boolean]>;

export type Kind = keyof typeof KINDS;

/** Throws FormatError unless `object` has values of these kinds. Kinds with "?" are optional. */
export function checkKinds(object: object, kinds: Record<string, Kind | `${Kind}?`>, where: string): void {
  for (const [key, kind] of Object.entries(kinds)) {
    const value = (object as Record<string, unknown>)[key];
    if (value === undefined && kind.endsWith("?")) continue;
    const [expected, is] = KINDS[kind.replace("?", "") as Kind];
    if (!is(value))
      throw new FormatError("invalid-field", `${key} is invalid`, {
        where,
        expected,
        found: JSON.stringify(value) ?? "nothing",
      });
  }
}

/** "1 tensor", "2 tensors". */
export function count(names: readonly unknown[], what: string): string {
  return `${names.length} ${what}${names.length === 1 ? "" : "s"}`;
}

/** Reads the parsed text of a config.json, and loads what a plan of such a model needs: see `parseConfig`. */
export async function parseModelConfig(json: Record<string, unknown>, where: string): Promise<ModelConfig> {
  const isLlama = LLAMA_TYPES.some((type) => type === json?.model_type);
  const named = isLlama ? (await import("./llama-config.ts")).renameLlamaKeys(json, where) : json;
  const config = parseConfig(named, where);
  await loadArchitecture(config);
  return config;
}
