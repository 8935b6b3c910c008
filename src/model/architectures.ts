/** The architectures. Only GPT-2's is loaded with a page: opening a model of another one loads that. */
import { isLlama, type ModelConfig, traits } from "../config.ts";
import { gpt2 } from "./gpt2.ts";
import type { Architecture } from "./lower.ts";

type Typed = Pick<ModelConfig, "model_type">;

/** Those that are loaded, by their family. */
export const ARCHITECTURES = new Map<ReturnType<typeof traits>["family"], Architecture>([["gpt2", gpt2]]);

/** Loads what plans of such a model need. */
export async function loadArchitecture(config: Typed): Promise<void> {
  const { family } = traits(config);
  if (ARCHITECTURES.has(family)) return;
  ARCHITECTURES.set(family, isLlama(config) ? (await import("./llama.ts")).llama : (await import("./neox.ts")).neox);
}

/** The architecture of a model that has been opened, by which it was loaded. */
export const architecture = (config: Typed): Architecture => ARCHITECTURES.get(traits(config).family)!;
