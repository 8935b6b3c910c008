/** The architectures. Only GPT-2's is loaded with a page: opening a model of another one loads that. */
import { LLAMA_TYPES, type LlamaType, type ModelConfig } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { gpt2 } from "./gpt2.ts";
import type { Architecture } from "./lower.ts";

/** Those that are loaded, by their `model_type`. */
export const ARCHITECTURES = new Map<LlamaType | undefined, Architecture>([[undefined, gpt2]]);

/** Loads what plans of such a model need. */
export async function loadArchitecture({ model_type }: Pick<ModelConfig, "model_type">): Promise<void> {
  if (ARCHITECTURES.has(model_type)) return;
  const { llama } = await import("./llama.ts");
  for (const type of LLAMA_TYPES) ARCHITECTURES.set(type, llama);
}

/** The architecture of a model that has been opened. */
export function architecture({ model_type }: ModelConfig): Architecture {
  const found = ARCHITECTURES.get(model_type);
  if (found) return found;
  throw new ConfigError("unsupported-architecture", "the model's architecture has not been loaded", {
    found: String(model_type),
    hint: "open a model of this architecture first: loadModel does it",
  });
}
