/**
 * The config.json of Llama-type models in transformers, by the keys of a GPT-2's: see `ModelConfig`. Loaded only for
 * such a model.
 */

import { checkKinds, lookUp, show, withoutNulls } from "../checks.ts";
import type { ModelConfig } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { parseConfig, ROPE_SCALINGS } from "./model-config.ts";

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
  mlp_bias: { only: [false], hint: "use a model without it" },
  attention_bias: { only: [false], hint: "use a model without it, or a Qwen2" },
  use_sliding_window: { only: [false], hint: "use a model whose attention sees the whole context" },
};

/** Reads the config of such a model. Throws as `parseConfig` does, with the names of transformers. */
export function parseLlamaConfig(json: Json, where: string): ModelConfig {
  const given = withoutNulls(json);
  const kinds = { rope_scaling: "object?", rope_parameters: "object?" } as const;
  checkKinds(given, kinds, where, { code: "invalid-model-config" });
  for (const [key, { only, hint }] of Object.entries(FIXED)) {
    const value = given[key] ?? only[0];
    if (!only.includes(value)) throw unsupported(key, value, where, only.map(String).join(", "), hint);
  }
  const { head_dim, layer_types = [], model_type, tie_word_embeddings = false } = given;
  if ([layer_types].flat().some((type) => type !== "full_attention"))
    throw unsupported("layer_types", layer_types, where, "full_attention", FIXED.use_sliding_window!.hint);
  const source = ["rope_scaling", "rope_parameters"].find((key) => Object.keys(given[key] ?? {}).length > 0) ?? "";
  const sizes = Object.entries(THEIRS).map(([ours, theirs]) => [ours, given[theirs]]);
  const rope = readRope(given, withoutNulls(given[source] ?? {}), where);
  const config = parseConfig(
    { model_type, tie_word_embeddings, rope, ...Object.fromEntries(sizes) },
    where,
    (key) => THEIRS[key] ?? key.replace("rope.scaling", source).replace("rope.", "rope_"),
  );
  const usual = config.n_embd / config.n_head;
  if ((head_dim ?? usual) !== usual)
    throw unsupported(
      "head_dim",
      head_dim,
      where,
      `${usual}: hidden_size / num_attention_heads`,
      "use a model without it",
    );
  return { ...config, n_positions: Math.min(config.n_positions, MAX_CONTEXT) };
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
      "use a model with one of these: its weights fit no others",
    );
  const value = (key: string) => (key.startsWith("original") ? given[key] : undefined) ?? parameters[key];
  return { theta, scaling: { rope_type: type, ...Object.fromEntries(keys.map((key) => [key, value(key)])) } };
}

function unsupported(key: string, value: unknown, where: string, expected: string, hint: string): ConfigError {
  return new ConfigError("unsupported-model-config", `${key} = ${show(value)} is not supported`, {
    where,
    expected,
    hint,
  });
}
