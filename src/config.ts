/** What a model is: its architecture, its dimensions, and what follows from them. */

import { ConfigError } from "./errors.ts";

/**
 * Architectures other than GPT-2: Llama's, and Qwen2's, which differs by the biases of its queries, keys and values.
 */
export const LLAMA_TYPES = ["llama", "qwen2"] as const;
export type LlamaType = (typeof LLAMA_TYPES)[number];

/** The name of a model's architecture, for people. */
export function architectureName({ model_type }: Pick<ModelConfig, "model_type">): string {
  return model_type ? { llama: "Llama", qwen2: "Qwen2" }[model_type] : "GPT-2";
}

/** How the frequencies of rotary positions are stretched for a longer context: `rope_scaling` of a config.json. */
export type RopeScaling =
  | { rope_type: "linear"; factor: number }
  | {
      rope_type: "llama3";
      factor: number;
      low_freq_factor: number;
      high_freq_factor: number;
      original_max_position_embeddings: number;
    };

/**
 * The dimensions of a model, by the keys of a GPT-2's config.json on the hub. Those of a Llama-type model have other
 * names there: see io/llama-config.ts.
 */
export interface ModelConfig {
  /** Absent: GPT-2. */
  model_type?: LlamaType;
  /** Number of tokens, V. */
  vocab_size: number;
  /** Longest sequence, in tokens. */
  n_positions: number;
  /** Number of transformer blocks, L. */
  n_layer: number;
  /** Number of attention heads, NH; n_embd is a multiple of it. */
  n_head: number;
  /** Width, C: a multiple of 4, as is the width of a head. */
  n_embd: number;
  layer_norm_epsilon: number;
  /** Width of the MLP, a multiple of 4; absent: 4 n_embd. */
  n_inner?: number;
  /** Absent: gelu_new, which is also called gelu_pytorch_tanh. */
  activation_function?: Activation;
  /** Whether attention scores are divided by the square root of the head's width; absent: true. */
  scale_attn_weights?: boolean;
  /** Whether the scores of block l are also divided by l + 1; absent: false. */
  scale_attn_by_inverse_layer_idx?: boolean;
  /** Whether a language model's head is the token table; absent: true. */
  tie_word_embeddings?: boolean;
  /** Number of heads of keys and values, which n_head is a multiple of; absent: n_head. */
  n_kv_head?: number;
  /** Rotary positions, of a Llama-type model, instead of a table of positions. */
  rope?: { theta: number; scaling?: RopeScaling };
}

/** Columns of the queries, the keys and the values together. */
export function qkvWidth({ n_embd, n_head, n_kv_head = n_head }: ModelConfig): number {
  return n_embd + 2 * n_kv_head * (n_embd / n_head);
}

/** Activations of the MLP: GELU in the tanh form of GPT-2, exact GELU, and max(x, 0). */
export const ACTIVATIONS = ["gelu_new", "gelu", "relu"] as const;
export type Activation = (typeof ACTIVATIONS)[number];

/** Width of the MLP. */
export function innerWidth({ n_inner, n_embd }: ModelConfig): number {
  return n_inner ?? 4 * n_embd;
}

/** The factor of attention's scores in block l. */
export function attentionScale(config: ModelConfig, l: number): number {
  const { n_embd, n_head, scale_attn_weights = true, scale_attn_by_inverse_layer_idx = false } = config;
  // The root is rounded to a float, as on a device.
  const scale = scale_attn_weights ? 1 / Math.fround(Math.sqrt(n_embd / n_head)) : 1;
  return scale_attn_by_inverse_layer_idx ? scale / (l + 1) : scale;
}

/** The most tokens of a text: the context less the virtual tokens. Throws ConfigError if that leaves no room. */
export function textContext(
  { n_positions }: Pick<ModelConfig, "n_positions">,
  { num_virtual_tokens = 0 }: { num_virtual_tokens?: number },
  where?: string,
): number {
  if (num_virtual_tokens < n_positions) return n_positions - num_virtual_tokens;
  throw new ConfigError("too-many-virtual-tokens", "the virtual tokens leave no room for a text", {
    ...(where === undefined ? {} : { where }),
    expected: `fewer than the model's context of ${n_positions} tokens`,
    found: String(num_virtual_tokens),
    hint: "common numbers are 5 to 100",
  });
}

/**
 * The longest message or block, in tokens, unless a length is given: GPT-2's context, also where a model's is longer.
 */
export const usualLength = ({ n_positions }: Pick<ModelConfig, "n_positions"> = { n_positions: 1024 }): number =>
  Math.min(n_positions, 1024);

/** Maximum number of blocks that is accepted from a file or a flag. GPT-2 XL has 48. */
export const MAX_LAYERS = 1024;
