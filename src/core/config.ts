/** A model's architecture, its dimensions, and what follows from them. */

import { ConfigError } from "./errors.ts";

/** The traits by which architectures differ. */
interface Traits {
  /** Those of one family have the same block, and the same names in files. */
  family: "gpt2" | "llama" | "gpt_neox" | "bert";
  /** Which of its layers have a bias; its norms have one only where all of them do. */
  biases: "all" | "qkv" | "none";
}

/** The architectures, by the `model_type` of their config.json. */
export const MODEL_TYPES = {
  gpt2: { family: "gpt2", biases: "all" },
  llama: { family: "llama", biases: "none" },
  qwen2: { family: "llama", biases: "qkv" },
  gpt_neox: { family: "gpt_neox", biases: "all" },
  bert: { family: "bert", biases: "all" },
  roberta: { family: "bert", biases: "all" },
  "xlm-roberta": { family: "bert", biases: "all" },
} as const satisfies Record<string, Traits>;

/** An architecture other than GPT-2. */
export type ModelType = Exclude<keyof typeof MODEL_TYPES, "gpt2">;

export function architectureName({ model_type }: Pick<ModelConfig, "model_type">): string {
  return {
    gpt2: "GPT-2",
    llama: "Llama",
    qwen2: "Qwen2",
    gpt_neox: "GPT-NeoX",
    bert: "BERT",
    roberta: "RoBERTa",
    "xlm-roberta": "XLM-RoBERTa",
  }[model_type ?? "gpt2"];
}

/** The traits of a model's architecture. */
export const traits = ({ model_type }: Pick<ModelConfig, "model_type">): Traits => MODEL_TYPES[model_type ?? "gpt2"];

/**
 * Whether a model is of Llama's family: its MLP is down(silu(gate(x)) * up(x)), with gate and up side by side, its
 * norms are RMS norms.
 */
export const isLlama = (config: Pick<ModelConfig, "model_type">): boolean => traits(config).family === "llama";

/**
 * Whether a model is an encoder: a token attends to those behind it, too, so that it represents texts and writes none.
 */
export const isEncoder = (config: Pick<ModelConfig, "model_type">): boolean => traits(config).family === "bert";

/** Whether its files have queries, keys and values apart. */
export const isSplit = (config: Pick<ModelConfig, "model_type">): boolean => isLlama(config) || isEncoder(config);

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
 * The dimensions of a model, by the keys of a GPT-2's config.json on the hub. Those of other models have other names
 * there: see io/hf-config.ts.
 */
export interface ModelConfig {
  /** Absent: GPT-2. */
  model_type?: ModelType;
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
  /** Of an MLP without a gate; absent: gelu_new, which is also called gelu_pytorch_tanh. */
  activation_function?: Activation;
  /** Whether attention scores are divided by the square root of the head's width; absent: true. */
  scale_attn_weights?: boolean;
  /** Whether the scores of block l are also divided by l + 1; absent: false. */
  scale_attn_by_inverse_layer_idx?: boolean;
  /** Whether a language model's head is the token table; absent: true. */
  tie_word_embeddings?: boolean;
  /** Number of heads of keys and values, which n_head is a multiple of; absent: n_head. */
  n_kv_head?: number;
  /**
   * Rotary positions, which decoders but GPT-2 have instead of a table of positions; `dims`: how many numbers of a head
   * are rotated, a multiple of 4; absent: all.
   */
  rope?: { theta: number; dims?: number; scaling?: RopeScaling };
  /** Of an encoder: the rows of its table of token types, of which the first is part of the table of positions here. */
  type_vocab_size?: number;
  /** Of a GPT-NeoX: whether the MLP reads what the attention reads, not its sum with that; absent: true. */
  use_parallel_residual?: boolean;
}

/** Columns of the queries, the keys and the values together. */
export function qkvWidth({ n_embd, n_head, n_kv_head = n_head }: ModelConfig): number {
  return n_embd + 2 * n_kv_head * (n_embd / n_head);
}

/** Activations of the MLP: GELU in the tanh form of GPT-2, exact GELU, and max(x, 0). */
export const ACTIVATIONS = ["gelu_new", "gelu", "relu"] as const;
export type Activation = (typeof ACTIVATIONS)[number];

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
    where,
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
