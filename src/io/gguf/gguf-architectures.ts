/** The architectures whose GGUF files are read: the words of llama.cpp for what transformers has other words for. */

import { lookUp } from "../../core/checks.ts";
import { ConfigError, FormatError } from "../../core/errors.ts";
import type { GgufHeader } from "./gguf.ts";

/** An architecture: transformers' keys and names, by those of the file without `llama.` and `blk.0.`. */
export interface Architecture {
  keys: Readonly<Record<string, string>>;
  /** Keys of what is behind the blocks, which is chosen here by other means. */
  unread?: readonly string[];
  /** Of keys that a file may lack. */
  defaults: Readonly<Record<string, number>>;
  /** The names of layers, and of blocks and the layers in them. */
  outside: Readonly<Record<string, string>>;
  blocks: string;
  inBlock: Readonly<Record<string, string>>;
  /** Layers whose matrices are [in, out] in transformers. */
  turned?: readonly string[];
  /** Whether it has rotary positions, and groups of heads with the same keys and values. */
  isLlama?: true;
  /** Queries and keys have their rows in the order of interleaved rotary positions. */
  isInterleaved?: true;
}

const SIZES = {
  context_length: "max_position_embeddings",
  embedding_length: "hidden_size",
  block_count: "num_hidden_layers",
  feed_forward_length: "intermediate_size",
  "attention.head_count": "num_attention_heads",
};

const LLAMA: Architecture = {
  keys: { ...SIZES, "attention.layer_norm_rms_epsilon": "rms_norm_eps", "rope.freq_base": "rope_theta" },
  defaults: { "rope.freq_base": 10000 },
  outside: { token_embd: "model.embed_tokens", output_norm: "model.norm", output: "lm_head" },
  blocks: "model.layers",
  inBlock: {
    attn_norm: "input_layernorm",
    attn_q: "self_attn.q_proj",
    attn_k: "self_attn.k_proj",
    attn_v: "self_attn.v_proj",
    attn_output: "self_attn.o_proj",
    ffn_norm: "post_attention_layernorm",
    ffn_gate: "mlp.gate_proj",
    ffn_up: "mlp.up_proj",
    ffn_down: "mlp.down_proj",
  },
  isLlama: true,
};

export const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  llama: { ...LLAMA, isInterleaved: true },
  qwen2: LLAMA,
  gpt2: {
    keys: {
      context_length: "n_positions",
      embedding_length: "n_embd",
      block_count: "n_layer",
      feed_forward_length: "n_inner",
      "attention.head_count": "n_head",
      "attention.layer_norm_epsilon": "layer_norm_epsilon",
    },
    defaults: {},
    outside: { token_embd: "wte", position_embd: "wpe", output_norm: "ln_f", output: "lm_head" },
    blocks: "h",
    inBlock: {
      attn_norm: "ln_1",
      attn_qkv: "attn.c_attn",
      attn_output: "attn.c_proj",
      ffn_norm: "ln_2",
      ffn_up: "mlp.c_fc",
      ffn_down: "mlp.c_proj",
    },
    turned: ["attn_qkv", "attn_output", "ffn_up", "ffn_down"],
  },
  // Also RoBERTa and XLM-R, without the rows of positions that these do not use.
  bert: {
    keys: { ...SIZES, "attention.layer_norm_epsilon": "layer_norm_eps" },
    unread: ["pooling_type", "classifier.output_labels"],
    defaults: {},
    outside: {
      token_embd: "embeddings.word_embeddings",
      position_embd: "embeddings.position_embeddings",
      token_types: "embeddings.token_type_embeddings",
      token_embd_norm: "embeddings.LayerNorm",
    },
    blocks: "encoder.layer",
    inBlock: {
      attn_q: "attention.self.query",
      attn_k: "attention.self.key",
      attn_v: "attention.self.value",
      attn_output: "attention.output.dense",
      attn_output_norm: "attention.output.LayerNorm",
      ffn_up: "intermediate.dense",
      ffn_down: "output.dense",
      layer_output_norm: "output.LayerNorm",
    },
  },
};

/** The architecture of a file. Throws ConfigError for one that is not supported. */
export function findArchitecture({ metadata }: GgufHeader, where: string): [name: string, architecture: Architecture] {
  const name = metadata.get("general.architecture");
  if (typeof name !== "string")
    throw new FormatError("invalid-gguf", "the GGUF file does not say what architecture its model has", {
      where,
      expected: "general.architecture",
    });
  const architecture = lookUp(ARCHITECTURES, name);
  if (architecture) return [name, architecture];
  throw new ConfigError("unsupported-architecture", `the architecture ${JSON.stringify(name)} is not supported`, {
    where,
    expected: Object.keys(ARCHITECTURES).join(", "),
    found: name,
    hint: "use a GPT-2, a Llama-type model such as SmolLM2, Llama 3.2 or Qwen2.5, or a BERT such as multilingual-e5-small",
  });
}
