/**
 * The config.json of Llama-type models in transformers, by the keys of a GPT-2's: see `ModelConfig`. Loaded only for
 * such a model.
 */
import { type ModelConfig, parseConfig, ROPE_SCALINGS } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { checkKinds, lookUp, show, withoutNulls } from "../kinds.ts";

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
  const { rope, names } = readRope(given, where);
  const sizes = Object.entries(NAMES).map(([theirs, ours]) => [ours, given[theirs]]);
  const config: Json = { model_type: given.model_type, ...Object.fromEntries(sizes), rope };
  if (typeof config.n_positions === "number") config.n_positions = Math.min(config.n_positions, MAX_CONTEXT);
  config.tie_word_embeddings = given.tie_word_embeddings ?? false;
  const inFile = new Map(Object.entries(NAMES).map(([theirs, ours]): [string, string] => [ours, theirs]));
  return parseConfig(config, where, (key) => inFile.get(key) ?? names[key] ?? key);
}

interface LlamaJson {
  hidden_size: number;
  num_attention_heads: number;
  head_dim?: number;
  layer_types?: string[];
}

/**
 * Rotary positions: transformers 5 has `rope_parameters`, earlier versions `rope_theta` and `rope_scaling`. Of a file
 * with both, transformers 5 takes `rope_scaling`, and what stands outside where it is missing inside. `names`: those
 * of the keys in the file.
 */
function readRope(given: Json, where: string): { rope: Json; names: Record<string, string> } {
  const isGiven = (key: string) => Object.keys((given[key] as Json | undefined) ?? {}).length > 0;
  const source = ["rope_scaling", "rope_parameters"].find(isGiven) ?? "rope_parameters";
  const parameters = withoutNulls((given[source] as Json | undefined) ?? {});
  const theta = parameters.rope_theta ?? given.rope_theta ?? 10000;
  const names: Record<string, string> = { "rope.theta": "rope_theta" };
  const type = parameters.rope_type ?? parameters.type ?? "default";
  if (type === "default") return { rope: { theta }, names };
  const keys: readonly string[] | undefined = lookUp(ROPE_SCALINGS, type);
  if (!keys)
    throw unsupported(
      "rope_type",
      type,
      where,
      `default, ${Object.keys(ROPE_SCALINGS).join(", ")}`,
      "use a model with one of these: its weights fit only the positions that they were trained with",
    );
  const { original_max_position_embeddings: outside } = given;
  // Of this key the one outside counts more.
  const all: Json = { ...parameters, ...(outside !== undefined && { original_max_position_embeddings: outside }) };
  const scaling = { rope_type: type, ...Object.fromEntries(keys.map((key) => [key, all[key]])) };
  for (const key of keys) names[`rope.scaling.${key}`] = `${source}.${key}`;
  return { rope: { theta, scaling }, names };
}

function unsupported(key: string, value: unknown, where: string, expected: string, hint: string): ConfigError {
  return new ConfigError("unsupported-model-config", `${key} = ${show(value)} is not supported`, {
    where,
    expected,
    hint,
  });
}
