/** The config.json of Llama-type models and of GPT-NeoX: as transformers writes it, in old and new form, and what is refused. */
import * as assert from "uvu/assert";
import { parseModelConfig } from "../../src/io/common.ts";
import { parseConfig } from "../../src/io/model-config.ts";
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

/** pythia-410m's. */
const PYTHIA = {
  model_type: "gpt_neox",
  vocab_size: 50304,
  max_position_embeddings: 2048,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  hidden_size: 1024,
  intermediate_size: 4096,
  hidden_act: "gelu",
  layer_norm_eps: 1e-5,
  rotary_pct: 0.25,
  rotary_emb_base: 10000,
  use_parallel_residual: true,
  tie_word_embeddings: false,
};

const OUR_PYTHIA = {
  vocab_size: 50304,
  n_positions: 2048,
  n_layer: 24,
  n_head: 16,
  n_embd: 1024,
  layer_norm_epsilon: 1e-5,
  tie_word_embeddings: false,
  activation_function: "gelu",
  model_type: "gpt_neox",
  rope: { theta: 10000, dims: 16 },
};

const parse = (changes: object = {}) => parseModelConfig({ ...SMOLLM2, ...changes }, "c");
const parseNeox = (changes: object = {}) => parseModelConfig({ ...PYTHIA, ...changes }, "c");

test("keys of transformers, of its old and its new form; adapters have our own", async () => {
  assert.equal(await parse(), OURS);
  const { rope_theta, rope_scaling: _, ...rest } = SMOLLM2;
  const parameters = { rope_theta, rope_type: "default" };
  assert.equal(await parseModelConfig({ ...rest, rope_parameters: parameters }, "c"), OURS);
  assert.equal(parseConfig(JSON.parse(JSON.stringify(OURS)), "c"), OURS);
});

test("defaults: a head of its own, as many key-value heads as heads, theta 10000", async () => {
  const { num_key_value_heads: _, rope_theta: __, tie_word_embeddings: ___, ...rest } = SMOLLM2;
  const { n_kv_head: ____, ...ours } = OURS;
  assert.equal(await parseModelConfig(rest, "c"), { ...ours, tie_word_embeddings: false, rope: { theta: 10000 } });
});

test("a GPT-NeoX: its defaults, and where they are spelled otherwise", async () => {
  assert.equal(await parseNeox(), OUR_PYTHIA);
  assert.equal(parseConfig(JSON.parse(JSON.stringify(OUR_PYTHIA)), "c"), OUR_PYTHIA);
  const { model_type, vocab_size, max_position_embeddings, num_hidden_layers, ...others } = PYTHIA;
  const { num_attention_heads, hidden_size, intermediate_size, layer_norm_eps } = others;
  const sizes = { model_type, vocab_size, max_position_embeddings, num_hidden_layers };
  const least = { ...sizes, num_attention_heads, hidden_size, intermediate_size, layer_norm_eps };
  assert.equal(await parseModelConfig(least, "c"), OUR_PYTHIA);
  const rope = (theta: number, partial_rotary_factor?: number) => ({ rope_theta: theta, partial_rotary_factor });
  for (const [changes, expected] of [
    [{ rotary_pct: 1 }, { theta: 10000 }],
    [
      { rotary_pct: 0.13, rotary_emb_base: 500 },
      { theta: 500, dims: 8 },
    ],
    [{ rope_parameters: rope(300, 0.5) }, { theta: 300, dims: 32 }],
    [{ rope_parameters: rope(300) }, { theta: 300, dims: 16 }],
    [
      { rope_scaling: { type: "linear", factor: 2 } },
      { ...OUR_PYTHIA.rope, scaling: { rope_type: "linear", factor: 2 } },
    ],
  ] as const)
    assert.equal((await parseNeox(changes)).rope, expected, JSON.stringify(changes));
  assert.is((await parseNeox({ use_parallel_residual: false })).use_parallel_residual, false);
  assert.is((await parseNeox({ hidden_act: "gelu_new" })).activation_function, undefined);
  assert.is((await parseNeox({ tie_word_embeddings: true })).tie_word_embeddings, undefined);
});

test("of a GPT-NeoX what is not supported or cannot be is refused, by transformers' names", async () => {
  for (const [changes, ...words] of [
    [{ attention_bias: false }, "attention_bias = false", "true"],
    [{ hidden_act: "silu" }, 'hidden_act = "silu"', "gelu"],
    [{ rotary_pct: 0.1 }, "the rotated part of a head = 6", "a multiple of 4"],
    [{ rope_scaling: { rope_type: "yarn", factor: 4 } }, 'rope_type = "yarn"'],
  ] as const)
    await assertFails("unsupported-model-config", [...words, "where:    c"], () => parseNeox(changes));
  for (const [changes, ...words] of [
    ...[0, -1, 1.5, "0.25", [0.25], true].map((rotary_pct) => [{ rotary_pct }, "rotary_pct is invalid"] as const),
    [{ rotary_pct: 0.01 }, "rotary_pct is invalid", "1 or more"],
    [{ rotary_emb_base: -1 }, "rotary_emb_base is invalid"],
    [{ use_parallel_residual: 1 }, "use_parallel_residual is invalid"],
    [{ layer_norm_eps: undefined }, "lacks layer_norm_eps"],
    [{ hidden_size: "1024" }, "hidden_size is invalid"],
  ] as const)
    await assertFails("invalid-model-config", words, () => parseNeox(changes));
});

test("scalings of positions, and a context that is cut", async () => {
  for (const scaling of [LLAMA3, { rope_type: "linear", factor: 2 }])
    assert.equal((await parse({ rope_scaling: scaling })).rope, { theta: 100000, scaling });
  // Before transformers 4.45 the type was called so.
  assert.equal((await parse({ rope_scaling: { type: "linear", factor: 2 } })).rope?.scaling?.rope_type, "linear");
  assert.is((await parse({ max_position_embeddings: 131072 })).n_positions, 8192);
});

test("of several spellings of rotary positions the one counts that does in transformers 5", async () => {
  const { rope_theta: _, rope_scaling: __, ...rest } = SMOLLM2;
  const linear = { rope_type: "linear", factor: 4 };
  const llama3 = (original_max_position_embeddings: number) => ({ ...LLAMA3, original_max_position_embeddings });
  for (const [given, rope] of [
    [{}, { theta: 10000 }],
    [{ rope_theta: null, rope_parameters: null, rope_scaling: null }, { theta: 10000 }],
    [{ rope_theta: 500, rope_parameters: { rope_type: "default" } }, { theta: 500 }],
    [{ rope_theta: 500, rope_parameters: {} }, { theta: 500 }],
    [{ rope_theta: 500, rope_parameters: { rope_type: "default", rope_theta: 300 } }, { theta: 300 }],
    [
      { rope_scaling: linear, rope_parameters: { rope_theta: 500 } },
      { theta: 10000, scaling: linear },
    ],
    [
      { rope_theta: 700, rope_scaling: linear, rope_parameters: { rope_theta: 500 } },
      { theta: 700, scaling: linear },
    ],
    [
      { rope_theta: 700, rope_scaling: {}, rope_parameters: linear },
      { theta: 700, scaling: linear },
    ],
    [
      { rope_theta: 700, rope_scaling: { ...linear, rope_theta: 300 } },
      { theta: 300, scaling: linear },
    ],
    [
      { rope_theta: 700, rope_scaling: { ...linear, type: "default" } },
      { theta: 700, scaling: linear },
    ],
    [{ rope_theta: 500, rope_scaling: { rope_type: "default", factor: 4 } }, { theta: 500 }],
    [
      { rope_theta: 500, rope_scaling: LLAMA3, original_max_position_embeddings: 32 },
      { theta: 500, scaling: llama3(32) },
    ],
  ] as const)
    assert.equal((await parseModelConfig({ ...rest, ...given }, "c")).rope, rope, JSON.stringify(given));
});

test("what is not supported is refused by name", async () => {
  for (const [changes, ...words] of [
    [{ hidden_act: "gelu" }, 'hidden_act = "gelu"', "silu"],
    [{ mlp_bias: true }, "mlp_bias = true"],
    [{ attention_bias: true }, "attention_bias = true"],
    [{ model_type: "qwen2", use_sliding_window: true }, "use_sliding_window = true"],
    [{ layer_types: ["full_attention", "sliding_attention"] }, "layer_types"],
    [{ head_dim: 128 }, "head_dim = 128", "64"],
    [{ head_dim: { valueOf: 1 } }, "head_dim", "64"],
    ...["x", 5, {}, [null]].map((layer_types) => [{ layer_types }, "layer_types", "full_attention"] as const),
    [{ rope_scaling: { rope_type: "yarn", factor: 4 } }, 'rope_type = "yarn"', "linear, llama3"],
    // transformers: KeyError for null; without a type it ignores the factor, with a warning.
    ...[{ rope_type: null }, { type: null, factor: 8 }, { rope_type: null, type: "linear", factor: 2 }].flatMap(
      (none) => ["rope_scaling", "rope_parameters"].map((key) => [{ [key]: none }, "rope_type = null"] as const),
    ),
    [{ rope_scaling: { factor: 4 } }, "rope_type = nothing", "default, linear, llama3"],
    ...["constructor", "toString", "__proto__", "hasOwnProperty", 5, {}, ["linear"]].map(
      (rope_type) => [{ rope_scaling: { rope_type } }, `rope_type = ${JSON.stringify(rope_type)}`] as const,
    ),
    [{ hidden_size: 570 }, "hidden_size = 570", "a multiple of 9: num_attention_heads"],
    [{ intermediate_size: 50 }, "intermediate_size = 50", "a multiple of 4"],
  ] as const)
    await assertFails("unsupported-model-config", [...words, "where:    c"], () => parse(changes));
});

test("numbers that cannot be are refused, with what was found", async () => {
  for (const [changes, ...words] of [
    [{ num_key_value_heads: 2 }, "divisor of 9", "2"],
    [{ num_key_value_heads: 0 }, "num_key_value_heads is invalid", "0"],
    [{ num_key_value_heads: "3" }, "num_key_value_heads is invalid"],
    [{ rope_theta: -1 }, "rope_theta is invalid", "above 0"],
    [{ rope_theta: "5" }, "rope_theta is invalid"],
    [{ rope_scaling: { ...LLAMA3, factor: "a" } }, "rope_scaling.factor is invalid"],
    [{ rope_parameters: { ...LLAMA3, factor: {} } }, "rope_parameters.factor is invalid"],
    [
      { rope_scaling: { ...LLAMA3, original_max_position_embeddings: undefined } },
      "rope_scaling.original_max_position_embeddings is invalid",
      "nothing",
    ],
    [{ rms_norm_eps: 0 }, "rms_norm_eps is invalid"],
    [{ hidden_size: undefined }, "lacks hidden_size"],
    [{ max_position_embeddings: "x" }, "max_position_embeddings is invalid"],
    [{ num_hidden_layers: 5000 }, "num_hidden_layers is invalid", "1 to 1024"],
  ] as const)
    await assertFails("invalid-model-config", words, () => parse(changes));
});

test("a key of another kind than it has is refused, never taken for missing", async () => {
  const wrong = {
    ...{ rope_scaling: "object", rope_parameters: "object" },
    ...{ num_attention_heads: "size", hidden_size: "size", vocab_size: "size", tie_word_embeddings: "boolean" },
  };
  // What JSON can be, and objects that are no numbers for JavaScript.
  const values: unknown[] = ["x", "", 1.5, -1, true, [], ["x"], [null], { a: 1 }, { valueOf: 1, toString: 1 }];
  const good: Record<string, (value: unknown) => boolean> = {
    object: (value) => typeof value === "object" && !Array.isArray(value),
    boolean: (value) => value === true,
    size: () => false,
  };
  for (const [key, kind] of Object.entries(wrong))
    for (const value of values.filter((one) => !good[kind]!(one)))
      await assertFails("invalid-model-config", [`${key} is invalid`], () => parse({ [key]: value }));
});
