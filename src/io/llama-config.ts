/**
 * The config.json of Llama-type models in transformers, by the keys of a GPT-2's: see `ModelConfig`. Loaded only for
 * such a model.
 */
import { type ModelConfig, parseConfig, ROPE_SCALINGS } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { checkKinds, lookUp, show, withoutNulls } from "../kinds.ts";

type Json = Record<string, unknown>;

/** The names of its sizes in transformers, by ours. */
const THEIRS: Readonly<Record<string, string>> = {
  vocab_size: "vocab_size",
  n_positions: "max_position_embeddings",
  n_layer: "num_hidden_layers",
  n_head: "num_attention_heads",
  n_kv_head: "num_key_value_heads",
  n_embd: "hidden_size",
  n_inner: "intermediate_size",
  layer_norm_epsilon: "rms_norm_eps",
};

/**
 * The longest context that is used. The cache of a text has room for all of it, and some models claim 131,072 tokens,
 * which would be gigabytes.
 */
export const MAX_CONTEXT = 8192;

/** Keys that change the computation, with the only supported value, which is also the default. */
const FIXED: Record<string, { only: readonly unknown[]; hint: string }> = {
  hidden_act: { only: ["silu"], hint: "use a model whose MLP is SwiGLU" },
  mlp_bias: { only: [false], hint: "use a model without biases in its MLP" },
  attention_bias: { only: [false], hint: "use a model without these biases, or a Qwen2" },
  use_sliding_window: { only: [false], hint: "use a model whose attention sees the whole context" },
  pretraining_tp: { only: [1], hint: "set it to 1: it changes only the order of sums" },
};

/** Their kinds that are looked at here; `parseConfig` looks at the others. */
const FIELDS = {
  hidden_size: "size?",
  num_attention_heads: "size?",
  head_dim: "size?",
  layer_types: "texts?",
  rope_theta: "positive?",
  rope_scaling: "object?",
  rope_parameters: "object?",
} as const;

/** Reads the config of such a model. Throws as `parseConfig` does, with the names of transformers. */
export function parseLlamaConfig(json: Json, where: string): ModelConfig {
  const given = withoutNulls(json);
  checkKinds(given, FIELDS, where, { code: "invalid-model-config" });
  for (const [key, { only, hint }] of Object.entries(FIXED)) {
    const value = given[key] ?? only[0];
    if (!only.includes(value)) throw unsupported(key, value, where, only.map(String).join(", "), hint);
  }
  const { hidden_size, num_attention_heads, layer_types = [], head_dim } = given as unknown as LlamaJson;
  if (layer_types.some((type) => type !== "full_attention"))
    throw unsupported("layer_types", layer_types, where, "full_attention", FIXED.use_sliding_window!.hint);
  const usual = hidden_size / num_attention_heads;
  if (head_dim !== undefined && head_dim !== usual)
    throw unsupported("head_dim", head_dim, where, `${usual}: hidden_size / num_attention_heads`, "use another model");
  const isGiven = (key: string) => Object.keys({ ...(given[key] as Json) }).length > 0;
  const source = ["rope_scaling", "rope_parameters"].find(isGiven) ?? "rope_parameters";
  const sizes = Object.entries(THEIRS).map(([ours, theirs]) => [ours, given[theirs]]);
  const config: Json = { model_type: given.model_type, ...Object.fromEntries(sizes) };
  config.rope = readRope(given, withoutNulls({ ...(given[source] as Json) }), where);
  if (typeof config.n_positions === "number") config.n_positions = Math.min(config.n_positions, MAX_CONTEXT);
  config.tie_word_embeddings = given.tie_word_embeddings ?? false;
  return parseConfig(
    config,
    where,
    (key) => THEIRS[key] ?? key.replace("rope.scaling", source).replace("rope.", "rope_"),
  );
}

interface LlamaJson {
  hidden_size: number;
  num_attention_heads: number;
  head_dim?: number;
  layer_types?: string[];
}

/**
 * Rotary positions: transformers 5 has `rope_parameters`, earlier versions `rope_theta` and `rope_scaling`. Of a file
 * with both, transformers 5 takes `rope_scaling`, and what stands outside where it is missing inside: except for the
 * context that Llama 3's scaling began with.
 */
function readRope(given: Json, parameters: Json, where: string): Json {
  const theta = parameters.rope_theta ?? given.rope_theta ?? 10000;
  const type = parameters.rope_type ?? parameters.type ?? "default";
  if (type === "default") return { theta };
  const keys: readonly string[] | undefined = lookUp(ROPE_SCALINGS, type);
  if (!keys)
    throw unsupported(
      "rope_type",
      type,
      where,
      `default, ${Object.keys(ROPE_SCALINGS).join(", ")}`,
      "use a model with one of these: its weights fit only the positions that they were trained with",
    );
  const { original_max_position_embeddings = parameters.original_max_position_embeddings } = given;
  const all: Json = { ...parameters, original_max_position_embeddings };
  return { theta, scaling: { rope_type: type, ...Object.fromEntries(keys.map((key) => [key, all[key]])) } };
}

function unsupported(key: string, value: unknown, where: string, expected: string, hint: string): ConfigError {
  return new ConfigError("unsupported-model-config", `${key} = ${show(value)} is not supported`, {
    where,
    expected,
    hint,
  });
}
