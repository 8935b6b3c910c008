/** The config.json of Llama-type models: as transformers writes it, in old and new form, and what is refused. */
import * as assert from "uvu/assert";
import { ConfigError, FormatError } from "../../src/errors.ts";
import { parseModelConfig } from "../../src/io/common.ts";
import { MAX_CONTEXT } from "../../src/io/llama-config.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

/** SmolLM2-135M's, without what does not matter. */
const SMOLLM2 = {
  model_type: "llama",
  vocab_size: 49152,
  max_position_embeddings: 8192,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  hidden_size: 576,
  intermediate_size: 1536,
  hidden_act: "silu",
  rms_norm_eps: 1e-5,
  rope_theta: 100000,
  rope_scaling: null,
  tie_word_embeddings: true,
};

const OURS = {
  model_type: "llama",
  vocab_size: 49152,
  n_positions: 8192,
  n_layer: 30,
  n_head: 9,
  n_kv_head: 3,
  n_embd: 576,
  n_inner: 1536,
  layer_norm_epsilon: 1e-5,
  rope: { theta: 100000 },
};

const LLAMA3 = {
  rope_type: "llama3",
  factor: 32,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
};

const parse = (changes: object = {}) => parseModelConfig({ ...SMOLLM2, ...changes }, "c");

test("keys of transformers, of its old and its new form, and our own, which adapters have", async () => {
  assert.equal(await parse(), OURS);
  const { rope_theta, rope_scaling: _, ...rest } = SMOLLM2;
  const parameters = { rope_theta, rope_type: "default" };
  assert.equal(await parseModelConfig({ ...rest, rope_parameters: parameters }, "c"), OURS);
  assert.equal(await parseModelConfig(JSON.parse(JSON.stringify(OURS)), "c"), OURS);
});

test("defaults: a head of its own, as many key-value heads as heads, theta 10000", async () => {
  const { num_key_value_heads: _, rope_theta: __, tie_word_embeddings: ___, ...rest } = SMOLLM2;
  const { n_kv_head: ____, ...ours } = OURS;
  assert.equal(await parseModelConfig(rest, "c"), { ...ours, tie_word_embeddings: false, rope: { theta: 10000 } });
});

test("scalings of positions, and a context that is cut", async () => {
  for (const scaling of [LLAMA3, { rope_type: "linear", factor: 2 }])
    assert.equal((await parse({ rope_scaling: scaling })).rope, { theta: 100000, scaling });
  // Before transformers 4.45 the type was called so.
  assert.equal((await parse({ rope_scaling: { type: "linear", factor: 2 } })).rope?.scaling?.rope_type, "linear");
  assert.is((await parse({ max_position_embeddings: 131072 })).n_positions, MAX_CONTEXT);
});

test("what is not supported is refused by name", async () => {
  for (const [changes, ...words] of [
    [{ hidden_act: "gelu" }, 'hidden_act = "gelu"', "silu"],
    [{ mlp_bias: true }, "mlp_bias = true"],
    [{ attention_bias: true }, "attention_bias = true"],
    [{ model_type: "qwen2", use_sliding_window: true }, "use_sliding_window = true"],
    [{ layer_types: ["full_attention", "sliding_attention"] }, "layer_types"],
    [{ head_dim: 128 }, "head_dim = 128", "64"],
    [{ rope_scaling: { rope_type: "yarn", factor: 4 } }, 'rope_type = "yarn"', "linear, llama3"],
  ] as const)
    await assertFails(ConfigError, "unsupported-model-config", [...words, "where:    c"], () => parse(changes));
});

test("numbers that cannot be are refused, with what was found", async () => {
  for (const [changes, ...words] of [
    [{ num_key_value_heads: 2 }, "divisor of 9", "2"],
    [{ num_key_value_heads: 0 }, "divisor of 9", "0"],
    [{ num_key_value_heads: "3" }, "divisor of 9"],
    [{ rope_theta: -1 }, "theta above 0"],
    [{ rope_scaling: { ...LLAMA3, factor: "a" } }, "llama3"],
    [{ rope_scaling: { rope_type: "llama3", factor: 8 } }, "all its numbers"],
    [{ rms_norm_eps: 0 }, "layer_norm_epsilon"],
    [{ hidden_size: undefined }, "n_embd"],
  ] as const)
    await assertFails(FormatError, "invalid-model-config", words, () => parse(changes));
});
