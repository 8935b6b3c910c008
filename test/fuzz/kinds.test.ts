/**
 * Every key that a reader knows, with a value of another kind than it has, and with words that every object knows: such
 * a file is refused. What is taken for missing changes what a model computes without a word.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packagePath } from "#platform";
import type { Rng } from "../../src/core/rng.ts";
import { decodeGguf, encodeGguf } from "../helpers/gguf.ts";
import { type Case, type Files, fuzz } from "./fuzz.ts";
import { BASES, PEFT, readBase, type readOurs, readPeft, readTokenizer, TOKENIZERS } from "./models.ts";
import { otherKind, pick, type ValueKind } from "./mutate.ts";

/** The kinds of a key's value; keys in objects and lists by a path with dots. */
type Keys = Record<string, ValueKind | readonly ValueKind[]>;

const each = (kind: ValueKind, ...keys: string[]): Keys => Object.fromEntries(keys.map((key) => [key, kind]));

const MODEL: Keys = {
  ...each("number", "vocab_size"),
  ...each("boolean", "tie_word_embeddings"),
  model_type: "word",
  eos_token_id: ["number", "list"],
  bos_token_id: ["number", "list"],
  quantization_config: "object",
};
const GPT2: Keys = {
  ...MODEL,
  ...each("number", "n_positions", "n_layer", "n_head", "n_embd", "n_inner", "layer_norm_epsilon"),
  ...each("boolean", "scale_attn_weights", "scale_attn_by_inverse_layer_idx"),
  ...each("boolean", "add_cross_attention"),
  activation_function: "word",
};
const LLAMA: Keys = {
  ...MODEL,
  ...each("number", "max_position_embeddings", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
  ...each("number", "hidden_size", "intermediate_size", "rms_norm_eps", "head_dim"),
  ...each("number", "rope_scaling.rope_theta"),
  ...each("boolean", "mlp_bias", "attention_bias", "use_sliding_window"),
  ...each("word", "hidden_act", "rope_scaling.rope_type"),
  ...each("object", "rope_scaling", "rope_parameters"),
  layer_types: "list",
};

const FAST: Keys = {
  ...each("object", "model", "model.vocab", "normalizer", "pre_tokenizer", "post_processor"),
  ...each("list", "model.merges", "added_tokens"),
  ...each("word", "model.type", "pre_tokenizer.type", "model.merges.0"),
  ...each("boolean", "model.byte_fallback", "model.ignore_merges", "pre_tokenizer.add_prefix_space"),
  ...each("boolean", "added_tokens.0.special", "added_tokens.0.lstrip", "added_tokens.0.normalized"),
  ...each("text", "model.unk_token", "added_tokens.0.content"),
  ...each("number", "added_tokens.0.id", "model.vocab.t"),
};
const SETTINGS: Keys = {
  ...each("boolean", "add_prefix_space", "add_bos_token", "add_eos_token"),
  ...each("text", "tokenizer_class", "bos_token.content", "chat_template.0.template", "chat_template.0.name"),
  added_tokens_decoder: "object",
  additional_special_tokens: "list",
  chat_template: ["text", "list"],
  ...Object.fromEntries(["bos", "eos", "unk", "pad"].map((name) => [`${name}_token`, ["text", "object"]])),
};

const PEFTS: Keys = {
  ...each("number", "r", "lora_alpha", "lora_dropout"),
  ...each("boolean", "use_rslora", "use_dora"),
  ...each("word", "peft_type", "task_type", "bias"),
  ...each("object", "rank_pattern", "alpha_pattern"),
  ...each("list", "modules_to_save"),
  base_model_name_or_path: "text",
  init_lora_weights: ["boolean", "word"],
  target_modules: "list",
  layers_to_transform: ["number", "list"],
};

/** A key of these, and a value that it cannot have. */
function draw(rng: Rng, keys: Keys): { key: string; value: unknown } {
  const key = pick(rng, Object.keys(keys));
  const value = otherKind(rng, [keys[key]!].flat());
  return { key, value };
}

/** Sets a value in a parsed file, in objects that are made where they are missing. */
function put(file: Record<string, unknown>, path: string, value: unknown): void {
  const parts = path.split(".");
  let at = file;
  for (const part of parts.slice(0, -1)) {
    if (typeof at[part] !== "object" || at[part] === null) at[part] = {};
    at = at[part] as Record<string, unknown>;
  }
  at[parts.at(-1)!] = value;
}

/** A case whose file is read only by mistake. */
interface Wrong extends Case {
  what: string;
}

function refused(name: string, count: number, make: (rng: Rng) => Wrong, read: (folder: string) => Promise<unknown>) {
  fuzz<Wrong>({
    name: `kinds-${name}`,
    count,
    make,
    ends: "refused",
    async read({ what }, folder) {
      await read(folder);
      return () => {
        throw new Error(`${what} is accepted`);
      };
    },
  });
}

/** Files of which one has a wrong value. */
function refusedJson(
  name: string,
  file: string,
  all: readonly Files[],
  keys: Keys,
  read: typeof readOurs | typeof readTokenizer,
) {
  const valid = all.filter((files) => files.has(file));
  refused(
    name,
    100,
    (rng) => {
      const files = pick(rng, valid);
      const json = JSON.parse(Buffer.from(files.get(file) as Uint8Array).toString());
      const { key, value } = draw(rng, keys);
      put(json, key, value);
      return { files: new Map(files).set(file, JSON.stringify(json)), what: `${key} = ${JSON.stringify(value)}` };
    },
    read,
  );
}

const isLlama = (files: Files) => Buffer.from(files.get("config.json") as Uint8Array).includes("num_hidden_layers");
refusedJson(
  "gpt2-config",
  "config.json",
  BASES.filter((files) => !isLlama(files)),
  GPT2,
  readBase,
);
refusedJson("llama-config", "config.json", BASES.filter(isLlama), LLAMA, readBase);
refusedJson("tokenizer-json", "tokenizer.json", TOKENIZERS, FAST, readTokenizer);
refusedJson("tokenizer-config", "tokenizer_config.json", TOKENIZERS, SETTINGS, readTokenizer);
refusedJson(
  "adapter-config",
  "adapter_config.json",
  PEFT.filter((files) => /"LORA"/.test(String(Buffer.from(files.get("adapter_config.json") as Uint8Array)))),
  PEFTS,
  readPeft,
);

const GGUF_KEYS: Keys = {
  ...each("word", "general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre"),
  ...each("text", "tokenizer.chat_template"),
  ...each("number", "general.alignment", "split.count"),
  ...each("number", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.padding_token_id"),
  ...each("list", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges"),
  ...each("boolean", "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"),
};
const OF_LLAMA: Keys = {
  ...each("number", "context_length", "embedding_length", "block_count", "feed_forward_length", "rope.freq_base"),
  ...each("number", "attention.head_count", "attention.head_count_kv", "attention.layer_norm_rms_epsilon"),
  ...each("number", "attention.key_length", "rope.dimension_count", "rope.scaling.factor", "vocab_size"),
  "rope.scaling.type": "word",
};
const models = ["llama-q4_1", "qwen2-q8_0"].map((name) => ({
  architecture: name.replace(/-.*/, ""),
  bytes: Uint8Array.from(readFileSync(packagePath(`test/golden/gguf/${name}.gguf`))),
}));

/** The types of values in GGUF files; lists are of texts or numbers. */
function encoded(value: unknown) {
  if (Array.isArray(value)) return { type: 9, elements: value.every((one) => typeof one === "number") ? 5 : 8, value };
  return { type: typeof value === "string" ? 8 : typeof value === "boolean" ? 7 : 12, value };
}

refused(
  "gguf",
  150,
  (rng) => {
    const { architecture, bytes } = pick(rng, models);
    const own = Object.entries(OF_LLAMA).map(([key, kind]) => [`${architecture}.${key}`, kind]);
    const keys = { ...GGUF_KEYS, ...Object.fromEntries(own) } as Keys;
    const key = pick(rng, Object.keys(keys));
    // These files have no objects, and 0 turns off what some keys are about.
    const value = otherKind(rng, ["object", ...[keys[key]!].flat()]);
    const parts = decodeGguf(bytes);
    parts.metadata.set(key, encoded(value));
    return { files: new Map([["model.gguf", encodeGguf(parts)]]), what: `${key} = ${JSON.stringify(value)}` };
  },
  (folder) => readBase(join(folder, "model.gguf")),
);
