/** The shapes that are measured or checked, of GPT-2 and of a Llama-type model. */
import type { ModelConfig } from "../core/config.ts";

export type ShapeName = keyof typeof CONFIGS;

const COMMON = { vocab_size: 50257, layer_norm_epsilon: 1e-5 };
/** But for their vocabularies and their longer context. */
const SMOLLM2: Omit<ModelConfig, "n_layer"> = {
  ...COMMON,
  n_positions: 1024,
  n_head: 9,
  n_kv_head: 3,
  n_embd: 576,
  n_inner: 1536,
  model_type: "llama",
  rope: { theta: 1e5 },
};
export const CONFIGS = {
  "gpt2-micro": { ...COMMON, n_positions: 256, n_layer: 4, n_head: 4, n_embd: 128 },
  "gpt2-small": { ...COMMON, n_positions: 1024, n_layer: 12, n_head: 12, n_embd: 768 },
  "gpt2-medium": { ...COMMON, n_positions: 1024, n_layer: 24, n_head: 16, n_embd: 1024 },
  "gpt2-large": { ...COMMON, n_positions: 1024, n_layer: 36, n_head: 20, n_embd: 1280 },
  "gpt2-xl": { ...COMMON, n_positions: 1024, n_layer: 48, n_head: 25, n_embd: 1600 },
  "smollm2-135m": { ...SMOLLM2, n_layer: 30 },
} satisfies Record<string, ModelConfig>;
