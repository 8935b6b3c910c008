/**
 * The config.json of Llama-type models in transformers, by the keys of a GPT-2's: see `ModelConfig`. Loaded only for
 * such a model.
 */
import { ROPE_SCALINGS, type RopeScaling } from "../config.ts";
import { ConfigError } from "../errors.ts";

type Json = Record<string, unknown>;

/** Our names of its sizes, by those of transformers. */
const NAMES = {
  vocab_size: "vocab_size",
  max_position_embeddings: "n_positions",
  num_hidden_layers: "n_layer",
  num_attention_heads: "n_head",
  num_key_value_heads: "n_kv_head",
  hidden_size: "n_embd",
  intermediate_size: "n_inner",
  rms_norm_eps: "layer_norm_epsilon",
} as const;

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

/** The keys of `parseConfig`. Throws ConfigError for what is not supported; wrong types are left to `parseConfig`. */
export function renameLlamaKeys(json: Json, where: string): Json {
  // Our own form, as in a stored adapter.
  if ("n_embd" in json) return json;
  for (const [key, { only, hint }] of Object.entries(FIXED)) {
    const value = json[key] ?? only[0];
    if (!only.includes(value)) throw unsupported(key, value, where, only.map(String).join(", "), hint);
  }
  const { hidden_size, num_attention_heads, head_dim, layer_types } = json;
  if (Array.isArray(layer_types) && layer_types.some((type) => type !== "full_attention"))
    throw unsupported("layer_types", layer_types, where, "full_attention", FIXED.use_sliding_window!.hint);
  const usual = (hidden_size as number) / (num_attention_heads as number);
  if (head_dim !== undefined && head_dim !== null && head_dim !== usual)
    throw unsupported("head_dim", head_dim, where, `${usual}: hidden_size / num_attention_heads`, "use another model");
  const named = Object.entries(NAMES).flatMap(([theirs, ours]) =>
    json[theirs] === undefined || json[theirs] === null ? [] : [[ours, json[theirs]]],
  );
  const config: Json = { model_type: json.model_type, ...Object.fromEntries(named), rope: readRope(json, where) };
  if (typeof config.n_positions === "number") config.n_positions = Math.min(config.n_positions, MAX_CONTEXT);
  return { ...config, tie_word_embeddings: json.tie_word_embeddings ?? false };
}

/** Rotary positions: transformers 5 has `rope_parameters`, earlier versions `rope_theta` and `rope_scaling`. */
function readRope(json: Json, where: string): Json {
  const parameters = (json.rope_parameters ?? {
    rope_theta: json.rope_theta,
    ...(json.rope_scaling as object),
  }) as Json;
  const theta = parameters.rope_theta ?? 10000;
  const type = parameters.rope_type ?? parameters.type ?? "default";
  if (type === "default") return { theta };
  const keys: readonly string[] | undefined = ROPE_SCALINGS[type as RopeScaling["rope_type"]];
  if (!keys)
    throw unsupported(
      "rope_type",
      type,
      where,
      `default, ${Object.keys(ROPE_SCALINGS).join(", ")}`,
      "use a model with one of these: its weights fit only the positions that they were trained with",
    );
  return { theta, scaling: { rope_type: type, ...Object.fromEntries(keys.map((key) => [key, parameters[key]])) } };
}

function unsupported(key: string, value: unknown, where: string, expected: string, hint: string): ConfigError {
  return new ConfigError("unsupported-model-config", `${key} = ${JSON.stringify(value)} is not supported`, {
    where,
    expected,
    hint,
  });
}
