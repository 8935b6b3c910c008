/** The architectures. Only GPT-2's is loaded with a page: opening a model of another one loads that. */
import type { GPT2Config, LlamaType } from "../config.ts";
import { ConfigError } from "../errors.ts";
import type { Architecture } from "./block.ts";
import { gpt2 } from "./gpt2.ts";

const loaded = new Map<LlamaType | undefined, Architecture>([[undefined, gpt2]]);

/** Loads what plans of such a model need. */
export async function loadArchitecture({ model_type }: Pick<GPT2Config, "model_type">): Promise<void> {
  if (!loaded.has(model_type)) loaded.set(model_type, (await import("./llama.ts")).llama);
}

/** The architecture of a model that has been opened. */
export function architecture({ model_type }: GPT2Config): Architecture {
  const found = loaded.get(model_type);
  if (found) return found;
  throw new ConfigError("unsupported-architecture", "the model's architecture has not been loaded", {
    found: String(model_type),
    hint: "open a model of this architecture first: loadModel does it",
  });
}
