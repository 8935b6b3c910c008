/**
 * The config.json of models other than GPT-2 in transformers, by the keys of a GPT-2's: see `ModelConfig`. Loaded only
 * for such a model.
 */

import { checkKinds, inRange, lookUp, withoutNulls } from "../core/checks.ts";
import { type ModelConfig, type ModelType, traits } from "../core/config.ts";
import { type Family, positionOffset } from "./layouts.ts";
import { parseConfig, ROPE_SCALINGS, unsupported } from "./model-config.ts";

type Json = Record<string, unknown>;

/** Where a family differs from the others. */
interface Theirs {
  /** The names of our keys in transformers, beside those of all. */
  keys: Readonly<Record<string, string>>;
  /** Keys that change the computation, with the only supported value, which is also the default. */
  fixed: Json;
  /** The base of the frequencies, and the rotated part of a head, where they do not stand with the other parameters. */
  theta?: string;
  part?: { key: string; usual: number };
  /** Other defaults than a GPT-2's. */
  usual?: Json;
}

/** The names of sizes in transformers, by ours. */
const SIZES: Readonly<Record<string, string>> = {
  vocab_size: "vocab_size",
  n_positions: "max_position_embeddings",
  n_layer: "num_hidden_layers",
  n_head: "num_attention_heads",
  n_embd: "hidden_size",
  n_inner: "intermediate_size",
};

const LLAMA: Theirs = {
  keys: { n_kv_head: "num_key_value_heads", layer_norm_epsilon: "rms_norm_eps" },
  fixed: { hidden_act: "silu", mlp_bias: false, attention_bias: false, use_sliding_window: false },
  theta: "rope_theta",
};

const NEOX: Theirs = {
  keys: {
    layer_norm_epsilon: "layer_norm_eps",
    activation_function: "hidden_act",
    use_parallel_residual: "use_parallel_residual",
  },
  fixed: { attention_bias: true },
  theta: "rotary_emb_base",
  part: { key: "rotary_pct", usual: 0.25 },
  usual: { activation_function: "gelu" },
};

const BERT: Theirs = {
  keys: { layer_norm_epsilon: "layer_norm_eps", activation_function: "hidden_act", type_vocab_size: "type_vocab_size" },
  fixed: { position_embedding_type: "absolute", is_decoder: false },
  usual: { activation_function: "gelu", layer_norm_epsilon: 1e-12, type_vocab_size: 2 },
};

const FAMILIES: Readonly<Record<Exclude<Family, "gpt2">, Theirs>> = { llama: LLAMA, gpt_neox: NEOX, bert: BERT };

/**
 * The longest context that is used. The cache of a text has room for all of it, and some models claim 131,072 tokens,
 * which would be gigabytes.
 */
const MAX_CONTEXT = 8192;

/** Reads the config of such a model. Throws as `parseConfig` does, with the names of transformers. */
export function parseHfConfig(json: Json, where: string): ModelConfig {
  const given = withoutNulls(json);
  const kinds = { rope_scaling: "object?", rope_parameters: "object?" } as const;
  checkKinds(given, kinds, where, { code: "invalid-model-config" });
  const known = { model_type: given.model_type as ModelType };
  const theirs = FAMILIES[traits(known).family as keyof typeof FAMILIES];
  const offset = positionOffset(known);
  for (const [key, only] of Object.entries(theirs.fixed)) {
    const value = given[key] ?? only;
    if (value !== only) throw unsupported(key, value, where, String(only));
  }
  const { head_dim, layer_types = [], model_type, tie_word_embeddings = false } = given;
  if ([layer_types].flat().some((type) => type !== "full_attention"))
    throw unsupported("layer_types", layer_types, where, "full_attention");
  const source = ["rope_scaling", "rope_parameters"].find((key) => Object.keys(given[key] ?? {}).length > 0) ?? "";
  const names = { ...SIZES, ...theirs.keys };
  const keys = { ...names, "rope.theta": theirs.theta, "rope.dims": theirs.part?.key };
  const named = Object.entries(names).flatMap(([ours, key]) => (given[key] === undefined ? [] : [[ours, given[key]]]));
  const rope = theirs.theta && readRope(given, { ...(given[source] ?? {}) }, theirs, where);
  const config = parseConfig(
    {
      model_type,
      tie_word_embeddings: !theirs.theta || tie_word_embeddings,
      rope,
      ...theirs.usual,
      ...Object.fromEntries(named),
    },
    where,
    (key) => keys[key as keyof typeof keys] ?? key.replace("rope.scaling", source),
  );
  const usual = config.n_embd / config.n_head;
  if ((head_dim ?? usual) !== usual)
    throw unsupported("head_dim", head_dim, where, `${usual}: hidden_size / num_attention_heads`);
  if (!theirs.theta && (given.pad_token_id ?? offset - 1) !== offset - 1 && offset > 0)
    throw unsupported("pad_token_id", given.pad_token_id, where, `${offset - 1}: positions begin behind it`);
  const positions = theirs.theta ? Math.min(config.n_positions, MAX_CONTEXT) : config.n_positions - offset;
  if (positions < 1) throw unsupported("max_position_embeddings", config.n_positions, where, `more than ${offset}`);
  return { ...config, n_positions: positions };
}

/**
 * Rotary positions: transformers 5 has `rope_parameters`, earlier versions keys of their own and `rope_scaling`. Of a
 * file with both, transformers 5 takes `rope_scaling`, and what stands outside where it is missing inside: except for
 * the context that Llama 3's scaling began with. A type of null
 * is none, and without a type a factor would have no effect: both are refused.
 */
function readRope(given: Json, written: Json, { theta: base, part }: Theirs, where: string): Json {
  const parameters = withoutNulls(written);
  const theta = parameters.rope_theta ?? given[base!] ?? 10000;
  const typeKey = ["rope_type", "type"].find((key) => key in written);
  const type = typeKey ? written[typeKey] : parameters.factor === undefined ? "default" : undefined;
  const rope: Json = { theta };
  if (part) {
    const { key, usual } = part;
    const share = parameters.partial_rotary_factor ?? given[key] ?? usual;
    checkKinds({ [key]: share }, { [key]: inRange({ min: 0, max: 1, above: true }) }, where, {
      code: "invalid-model-config",
    });
    const width = Number(given.hidden_size) / Number(given.num_attention_heads);
    // As in transformers. All of a head is the default here.
    const dims = Math.floor(Math.floor(width) * (share as number));
    if (dims !== width && Number.isFinite(dims)) rope.dims = dims;
  }
  if (type === "default") return rope;
  const keys: readonly string[] | undefined = lookUp(ROPE_SCALINGS, type);
  if (!keys) throw unsupported("rope_type", type, where, `default, ${Object.keys(ROPE_SCALINGS).join(", ")}`);
  const value = (key: string) => (key.startsWith("original") ? given[key] : undefined) ?? parameters[key];
  return { ...rope, scaling: { rope_type: type, ...Object.fromEntries(keys.map((key) => [key, value(key)])) } };
}
