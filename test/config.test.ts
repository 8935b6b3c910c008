import * as assert from "uvu/assert";
import {
  attentionScale,
  INITS,
  type LoraConfig,
  loraScale,
  type ModelConfig,
  parseConfig,
  parseLayers,
  SCALINGS,
  TARGETS,
  validateLora,
} from "../src/config.ts";
import { METHODS } from "../src/methods/index.ts";
import { baseShapes, baseTensors, headTensors, loraAdapters, type ModelTensor, siteName } from "../src/names.ts";
import { editDistance, nearest } from "../src/suggest.ts";
import { assertFails } from "./helpers/border.ts";
import { test } from "./helpers/harness.ts";

const GPT2 = {
  vocab_size: 50257,
  n_positions: 1024,
  n_layer: 12,
  n_head: 12,
  n_embd: 768,
  layer_norm_epsilon: 1e-5,
};
const LORA: LoraConfig = { r: 8, lora_alpha: 16, scaling: "alpha/r", init: "gaussian", target_modules: ["q", "v"] };

/** Those of a classifier of two classes. */
const loraTensors = (model: ModelConfig, lora: LoraConfig) => METHODS.lora.tensors!(model, { lora }, 2);

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
  await assertFails(
    "unsupported-model-config",
    ["n_embd is not a multiple of n_head", "multiple of 7", "768"],
    parse(768, 7),
  );
  await assertFails("unsupported-model-config", ["n_embd is not a multiple of 4", "30"], parse(30, 5));
  await assertFails("unsupported-model-config", ["head", "multiple of 4", "6"], parse(24, 4));
  await assertFails("unsupported-model-config", ["n_inner is not a multiple of 4", "50"], () =>
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
    ["reorder_and_upcast_attn", 1],
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
      [`${key} = ${JSON.stringify(value)} is not supported`, "use a model"],
      () => parseConfig({ ...GPT2, [key]: value }, "c"),
    );
});

test("loraScale", () => {
  const scales = SCALINGS.map((scaling) => loraScale({ r: 4, lora_alpha: 6, scaling }));
  assert.equal(scales, [1.5, 6, 3]);
});

test("invalid ranks, alphas and targets", async () => {
  validateLora(LORA);
  for (const init of INITS) validateLora({ ...LORA, init, lora_alpha: 0.5, target_modules: [...TARGETS] });
  for (const r of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
    await assertFails("invalid-value", ["rank is invalid", String(r), "here"], () =>
      validateLora({ ...LORA, r }, "here"),
    );
  for (const lora_alpha of [Number.NaN, 0, -2, Number.POSITIVE_INFINITY])
    await assertFails("invalid-value", ["alpha is invalid", String(lora_alpha)], () =>
      validateLora({ ...LORA, lora_alpha }),
    );
  for (const lora_dropout of [0, 0.5]) validateLora({ ...LORA, lora_dropout });
  for (const lora_dropout of [Number.NaN, -0.1, 1, "0.1", [0.1], true] as number[])
    await assertFails("invalid-value", ["dropout is invalid", "from 0 to below 1"], () =>
      validateLora({ ...LORA, lora_dropout }),
    );
  const target = (...words: string[]) => ({ ...LORA, target_modules: words as LoraConfig["target_modules"] });
  const message = await assertFails("unknown-value", ["target module", '"porj"', "did you mean proj?"], () =>
    validateLora(target("q", "porj")),
  );
  for (const word of TARGETS) assert.ok(message.includes(word));
  assert.not.match(await assertFails("unknown-value", ['"x"'], () => validateLora(target("x"))), "did you mean");
  await assertFails("invalid-lora-config", ["empty"], () => validateLora(target()));
  await assertFails("invalid-lora-config", ["duplicates"], () => validateLora(target("q", "q")));
  await assertFails("unknown-value", ["scaling", "did you mean alpha/r?"], () =>
    validateLora({ ...LORA, scaling: "alpha\\r" as "alpha/r" }),
  );
  await assertFails("unknown-value", ["init", "did you mean kaiming?"], () =>
    validateLora({ ...LORA, init: "Kaimin" as "kaiming" }),
  );
});

test("invalid layers; the error for a layer that the model lacks has the valid range", async () => {
  const layers = (...layers_to_transform: unknown[]) => ({
    ...LORA,
    layers_to_transform: layers_to_transform as number[],
  });
  validateLora(layers(0, 3, 11));
  for (const bad of [[], [-1], [0.5], ["1"], [Number.NaN]])
    await assertFails("invalid-lora-config", ["layers", "block numbers, from 0"], () => validateLora(layers(...bad)));
  for (const bad of [
    [1, 1],
    [2, 1],
  ])
    await assertFails("invalid-lora-config", ["ascending", bad.join(", ")], () => validateLora(layers(...bad)));
  await assertFails("invalid-lora-config", ["no target is part of a block"], () =>
    validateLora({ ...layers(1), target_modules: ["head"] }),
  );
  await assertFails("no-such-layer", ["0 to 11", "12"], () => loraAdapters(GPT2, layers(3, 12)));
  const sites = loraAdapters(GPT2, { ...layers(3, 11), target_modules: ["q", "head"] });
  assert.equal(sites.map(siteName), ["h.3.attn.q", "h.11.attn.q", "head"]);
});

test("parsing of layers", async () => {
  const cases: [string, number[] | null][] = [
    ["all", null],
    ["0", [0]],
    ["0,1,5-8", [0, 1, 5, 6, 7, 8]],
    ["10-11,3", [3, 10, 11]],
    ["2-2", [2]],
  ];
  for (const [text, expected] of cases) assert.equal(parseLayers(text.split(",")), expected, text);
  for (const text of ["", "-1", "3-1", "1-", "x", "1,all", "1.5", "0-99999999"])
    await assertFails("invalid-lora-config", ["layers", text, "0,5-8"], () => parseLayers(text.split(",")));
});

test("suggestions", () => {
  const distances: [string, string, number][] = [
    ["", "", 0],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
    ["ab", "ba", 1],
    ["gpt2", "gpt2", 0],
    ["proj", "porj", 1],
  ];
  for (const [a, b, distance] of distances) {
    assert.is(editDistance(a, b), distance);
    assert.is(editDistance(b, a), distance);
  }
  assert.is(nearest("HEAD", TARGETS), "head");
  assert.is(nearest("last_blok", ["last_block", "last_layer"]), "last_block");
  assert.is(nearest("elephant", TARGETS), undefined);
  // A whole cell of a table: no name, and too long for a table of distances.
  const cell = "word ".repeat(2_000_000);
  assert.is(nearest(cell, [`${cell}s`, "words", "word"]), undefined);
});

test("names and shapes are the reference's, and the paper's counts of trainable parameters", () => {
  const shapes = baseShapes(GPT2);
  assert.is(shapes.size, 148);
  assert.equal(shapes.get("h.11.attn.c_attn.weight"), [768, 2304]);
  assert.equal(shapes.get("h.0.mlp.c_proj.weight"), [3072, 768]);
  const count = (all: ModelTensor[]) =>
    all.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
  assert.is(count([...baseTensors(GPT2), ...headTensors(GPT2, 2, true)]), 124_441_346);
  const lora = { ...LORA, target_modules: [...TARGETS] };
  const trainable = (r: number) => count([...loraTensors(GPT2, { ...lora, r }), ...headTensors(GPT2, 2, true)]);
  assert.equal([4, 8, 16, 32].map(trainable), [668_170, 1_334_802, 2_668_066, 5_334_594]);
  assert.is(siteName({ target: "fc", block: 3 }), "h.3.mlp.fc");
  assert.equal(
    loraTensors({ ...GPT2, n_layer: 1 }, { ...LORA, r: 4, target_modules: ["head", "q"] }).map(({ name, shape }) => [
      name,
      shape,
    ]),
    [
      ["lora.h.0.attn.q.A", [4, 768]],
      ["lora.h.0.attn.q.B", [768, 4]],
      ["lora.head.A", [4, 768]],
      ["lora.head.B", [2, 4]],
    ],
  );
});
