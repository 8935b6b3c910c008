import * as assert from "uvu/assert";
import { CONFIGS } from "../../src/bench/shapes.ts";
import type { ModelConfig } from "../../src/core/config.ts";
import { baseShapes, baseTensors, headTensors, type ModelTensor, siteName, TARGETS } from "../../src/core/names.ts";
import { METHODS } from "../../src/methods/index.ts";
import {
  INITS,
  type LoraConfig,
  loraAdapters,
  loraScale,
  parseLayers,
  SCALINGS,
  validateLora,
} from "../../src/methods/lora.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

const GPT2: ModelConfig = CONFIGS["gpt2-small"];
const LORA: LoraConfig = { r: 8, lora_alpha: 16, scaling: "alpha/r", init: "gaussian", target_modules: ["q", "v"] };

/** Those of a classifier of two classes. */
const loraTensors = (model: ModelConfig, lora: LoraConfig) => METHODS.lora.tensors!(model, { lora }, 2);

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
  await assertFails("invalid-lora-config", ["the targets are invalid", "one or more of", "[]"], () =>
    validateLora(target()),
  );
  await assertFails("invalid-lora-config", ["each once", '["q","q"]'], () => validateLora(target("q", "q")));
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
    await assertFails("invalid-lora-config", ["ascending", JSON.stringify(bad)], () => validateLora(layers(...bad)));
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
