/** The architectures by their families. */
import { type ModelConfig, traits } from "../core/config.ts";
import { bert } from "./bert.ts";
import { gpt2 } from "./gpt2.ts";
import type { Architecture } from "./graph.ts";
import { llama } from "./llama.ts";
import { neox } from "./neox.ts";

const ARCHITECTURES: Readonly<Record<ReturnType<typeof traits>["family"], Architecture>> = {
  gpt2,
  llama,
  gpt_neox: neox,
  bert,
};

export const architecture = (config: Pick<ModelConfig, "model_type">): Architecture =>
  ARCHITECTURES[traits(config).family];
