import * as assert from "uvu/assert";
import { CONFIGS } from "../../src/bench/shapes.ts";
import { attentionScale, type ModelConfig } from "../../src/core/config.ts";
import { parseConfig } from "../../src/io/model-config.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

const GPT2: ModelConfig = CONFIGS["gpt2-small"];

test("parseConfig ignores keys that do not change the computation", () => {
  const extra = { model_type: "gpt2", activation_function: "gelu_new", n_ctx: 1024, n_inner: null, resid_pdrop: 0.1 };
  assert.equal(parseConfig({ ...GPT2, ...extra }, "config.json"), GPT2);
  assert.equal(parseConfig({ ...GPT2, n_inner: 3072 }, "config.json"), GPT2);
});

test("every missing key is reported, with the file", async () => {
  for (const key of Object.keys(GPT2)) {
    const { [key as keyof typeof GPT2]: _, ...rest } = GPT2;
    await assertFails("invalid-model-config", [`lacks ${key}`, "some/config.json"], () =>
      parseConfig(rest, "some/config.json"),
    );
  }
  await assertFails("invalid-model-config", ["lacks vocab_size, n_positions, n_layer"], () => parseConfig({}, "c"));
});

test("wrong types and sizes are reported, with the value", async () => {
  for (const key of ["vocab_size", "n_positions", "n_layer", "n_head", "n_embd"])
    for (const value of ["12", 0, -4, 1.5, [12], true, { valueOf: 1, toString: 2 }])
      await assertFails("invalid-model-config", [key, JSON.stringify(value)], () =>
        parseConfig({ ...GPT2, [key]: value }, "c"),
      );
  for (const value of ["1e-5", 0, -1, Number.NaN])
    await assertFails("invalid-model-config", ["layer_norm_epsilon"], () =>
      parseConfig({ ...GPT2, layer_norm_epsilon: value }, "c"),
    );
  for (const json of [null, 3, "text", [GPT2]])
    await assertFails("invalid-model-config", ["object"], () => parseConfig(json, "c"));
});

test("widths that the kernels do not support", async () => {
  const parse = (n_embd: number, n_head: number) => () => parseConfig({ ...GPT2, n_embd, n_head }, "c");
  await assertFails("unsupported-model-config", ["n_embd = 768", "a multiple of 7: n_head"], parse(768, 7));
  await assertFails("unsupported-model-config", ["n_embd = 30", "a multiple of 4"], parse(30, 5));
  await assertFails("unsupported-model-config", ["head", "multiple of 4", "6"], parse(24, 4));
  await assertFails("unsupported-model-config", ["n_inner = 50", "a multiple of 4"], () =>
    parseConfig({ ...GPT2, n_inner: 50 }, "c"),
  );
  parse(24, 6)();
});

test("options of GPT-2's relatives are kept where they differ from its own", async () => {
  const options = {
    n_inner: 1024,
    activation_function: "gelu",
    scale_attn_weights: false,
    scale_attn_by_inverse_layer_idx: true,
    tie_word_embeddings: false,
  } as const;
  const parsed = parseConfig({ ...GPT2, ...options, reorder_and_upcast_attn: true }, "c");
  assert.equal(parsed, { ...GPT2, ...options });
  assert.equal(parseConfig(parsed, "c"), parsed);
  const usual = { scale_attn_weights: true, scale_attn_by_inverse_layer_idx: null, tie_word_embeddings: true };
  assert.equal(parseConfig({ ...GPT2, ...usual, activation_function: "gelu_pytorch_tanh" }, "c"), GPT2);
  assert.is(parseConfig({ ...GPT2, activation_function: "relu" }, "c").activation_function, "relu");
  for (const [key, value] of [
    ["tie_word_embeddings", "no"],
    ["scale_attn_weights", 0],
    ["n_inner", 0],
    ["n_inner", "1024"],
    ["n_inner", 1.5],
  ] as const)
    await assertFails("invalid-model-config", [`${key} is invalid`, JSON.stringify(value)], () =>
      parseConfig({ ...GPT2, [key]: value }, "c"),
    );
  assert.is(attentionScale(GPT2, 3), 0.125);
  assert.is(attentionScale({ ...GPT2, scale_attn_by_inverse_layer_idx: true }, 3), 0.125 / 4);
  assert.is(attentionScale({ ...GPT2, scale_attn_weights: false }, 3), 1);
});

test("other models are refused by name, with what to do", async () => {
  // Which has other keys.
  const other = { model_type: "mamba", architectures: ["MambaForCausalLM"], num_hidden_layers: 2 };
  await assertFails(
    "unsupported-architecture",
    ['the architecture "mamba" is not supported', "gpt2, llama, qwen2", "where:    c"],
    () => parseConfig(other, "c"),
  );
  const variants = { activation_function: "silu", add_cross_attention: true };
  for (const [key, value] of Object.entries(variants))
    await assertFails(
      "unsupported-model-config",
      [`${key} = ${JSON.stringify(value)} is not supported`, "use another model"],
      () => parseConfig({ ...GPT2, [key]: value }, "c"),
    );
});
