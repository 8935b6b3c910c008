import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { ModelConfig } from "../../src/core/config.ts";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { baseShapes } from "../../src/core/names.ts";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { loadModel, openBaseModel, resolveModel } from "../../src/io/hf.ts";
import { parseConfig } from "../../src/io/model-config.ts";
import { readModelJson } from "../../src/io/model-file.ts";
import type { NamedTensor } from "../../src/io/peft/peft-form.ts";
import { type EncodableTensor, encodeSafetensors } from "../../src/io/safetensors/safetensors-write.ts";
import { nameBase } from "../../src/record/base-name.ts";
import { assertFails, assertSameBits, numbers, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

const folder = temporaryFolder();
const config: ModelConfig = {
  vocab_size: 11,
  n_positions: 6,
  n_layer: 2,
  n_head: 2,
  n_embd: 8,
  layer_norm_epsilon: 1e-5,
};
const random = numbers(1);
const base = new Map([...baseShapes(config)].map(([name, shape]) => [name, { shape, data: random(shape) }]));

/** A model directory with the base tensors after `change`, which may rename, drop or add. */
function modelDirectory(
  name: string,
  change: (tensors: Map<string, { shape: readonly number[]; data: Float32Array }>) => unknown,
): string {
  const directory = join(folder, name);
  mkdirSync(directory);
  const tensors = new Map(base);
  change(tensors);
  writeFileSync(join(directory, "config.json"), JSON.stringify({ model_type: "gpt2", ...config }));
  const list = [...tensors].map(([key, tensor]): EncodableTensor => ({ name: key, dtype: "F32", ...tensor }));
  writeFileSync(join(directory, "model.safetensors"), encodeSafetensors(list, { format: "pt" }));
  return directory;
}

const zeros = (...shape: number[]) => ({ shape, data: new Float32Array(shape.reduce((product, n) => product * n, 1)) });

test("tensor names with and without prefix, with mask buffers and a tied head", async () => {
  const plain = modelDirectory("plain", (tensors) => {
    tensors.set("h.0.attn.bias", zeros(1, 1, 6, 6));
    tensors.set("h.1.attn.masked_bias", zeros());
  });
  const prefixed = modelDirectory("prefixed", (tensors) => {
    tensors.clear();
    for (const [name, tensor] of base) tensors.set(`transformer.${name}`, tensor);
    tensors.set("transformer.h.1.attn.bias", zeros(1, 1, 6, 6));
    tensors.set("lm_head.weight", base.get("wte.weight")!);
  });
  for (const directory of [plain, prefixed]) {
    const model = await openBaseModel(directory);
    assert.equal(model.config, config);
    assert.is(model.directory, directory);
    assert.equal(model.names, [...baseShapes(config).keys()]);
    for (const [name, { shape, data }] of base) {
      assert.equal(model.shape(name), shape);
      assertSameBits(name, await model.read(name), data);
    }
    assertSameBits("rows", await model.read("wte.weight", 3, 5), base.get("wte.weight")!.data.slice(24, 40));
    await assertFails("no-such-tensor", ["lm_head.weight"], () => model.read("lm_head.weight"));
    await model.close();
  }
});

test("a classifier's score.weight is loaded", async () => {
  const score = { shape: [3, 8], data: random([3, 8]) };
  const model = await openBaseModel(modelDirectory("score", (tensors) => tensors.set("score.weight", score)));
  assert.is(model.names.at(-1), "score.weight");
  assertSameBits("score", await model.read("score.weight"), score.data);
  await model.close();
  const wide = modelDirectory("wide-score", (tensors) => tensors.set("score.weight", zeros(3, 9)));
  await assertFails("wrong-shape", ["score.weight", "[3, 8]", "[3, 9]"], () => openBaseModel(wide));
});

test("missing, unexpected and duplicate tensors and wrong shapes are reported", async () => {
  const cases: [ErrorCode, words: string[], name: string, tensor: ReturnType<typeof zeros> | null][] = [
    ["wrong-tensors", ["other tensors", "expected: also wpe.weight"], "wpe.weight", null],
    ["wrong-tensors", ["other tensors", "found:    also h.2.ln_1.bias", "config.json"], "h.2.ln_1.bias", zeros(8)],
    ["duplicate-tensor", ["ln_f.bias", "transformer.ln_f.bias"], "transformer.ln_f.bias", zeros(8)],
    ["wrong-shape", ["wte.weight", "expected: [11, 8]", "found:    [12, 8]"], "wte.weight", zeros(12, 8)],
    ["wrong-shape", ["[8, 24]", "[24, 8]"], "h.0.attn.c_attn.weight", zeros(24, 8)],
  ];
  for (const [i, [code, words, name, tensor]] of cases.entries()) {
    const directory = modelDirectory(`wrong ${i}`, (all) => (tensor ? all.set(name, tensor) : all.delete(name)));
    await assertFails(code, [directory, ...words], () => openBaseModel(directory));
  }
});

test("a missing directory, missing files, and other contents are reported", async () => {
  await assertFails("no-such-model", ["/no/where", "gpt2-micro"], () => openBaseModel("/no/where"));
  const make = (name: string, ...files: string[]) => {
    mkdirSync(join(folder, name));
    for (const file of files) writeFileSync(join(folder, name, file), "{}");
    return join(folder, name);
  };
  const cases: [string, ErrorCode, string[]][] = [
    [make("empty"), "missing-model-files", ["lacks config.json and model.safetensors"]],
    [make("adapter", "adapter_config.json"), "missing-model-files", ["trained adapter"]],
    [make("ours", "lowrank.json"), "missing-model-files", ["trained adapter"]],
    [
      make("pickled", "config.json", "pytorch_model.bin"),
      "pickled-weights",
      ["pytorch_model.bin", "GPT2LMHeadModel", "safe_serialization"],
    ],
    [
      make("pickles", "config.json", "pytorch_model.bin.index.json"),
      "pickled-weights",
      ["pytorch_model.bin", "convert it: python"],
    ],
  ];
  for (const [directory, code, words] of cases)
    await assertFails(code, [directory, ...words], () => openBaseModel(directory));
  await assertFails("invalid-model-config", ["lacks vocab_size"], () =>
    openBaseModel(make("keys", "config.json", "model.safetensors")),
  );
  const broken = make("broken", "config.json", "model.safetensors");
  writeFileSync(join(broken, "config.json"), "{ nonsense");
  await assertFails("invalid-json", ["not a JSON file", join(broken, "config.json")], () => openBaseModel(broken));
  const text = modelDirectory("text", () => {});
  writeFileSync(join(text, "model.safetensors"), "version https://git-lfs.github.com/spec/v1");
  await assertFails("invalid-safetensors", ["model.safetensors", "longer than the file"], () => openBaseModel(text));
});

/** A model directory in two shards: the first tensors in one, the others in the second. `change` may change files. */
function shards(
  name: string,
  change: (files: {
    index: { weight_map: Record<string, unknown> } & Record<string, unknown>;
    one: Map<string, NamedTensor>;
    two: Map<string, NamedTensor>;
  }) => unknown = () => {},
): string {
  const directory = join(folder, name);
  mkdirSync(directory);
  const all = [...base];
  const [one, two] = [new Map(all.slice(0, 9)), new Map(all.slice(9))];
  const [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const weight_map = Object.fromEntries(all.map(([key]) => [key, one.has(key) ? first : second]));
  const files = { index: { metadata: { total_size: 1 }, weight_map }, one, two };
  change(files);
  const write = (file: string, tensors: Map<string, NamedTensor>) => {
    const list = [...tensors].map(([key, tensor]): EncodableTensor => ({ name: key, dtype: "F32", ...tensor }));
    if (list.length > 0) writeFileSync(join(directory, file), encodeSafetensors(list, { format: "pt" }));
  };
  write(first, one);
  write(second, two);
  writeFileSync(join(directory, "config.json"), JSON.stringify({ model_type: "gpt2", ...config }));
  writeFileSync(join(directory, "model.safetensors.index.json"), JSON.stringify(files.index));
  return directory;
}

test("a model in shards is that in one file", async () => {
  const model = await openBaseModel(shards("in-shards"));
  assert.equal(model.names, [...baseShapes(config).keys()]);
  for (const [name, { data }] of base) assertSameBits(name, await model.read(name), data);
  await model.close();
  await assertFails("already-destroyed", ["the model is closed"], () => model.read("wte.weight"));
});

test("shards that do not belong together are reported", async () => {
  const table = base.get("wte.weight")!;
  const many = Object.fromEntries(Array.from({ length: 1200 }, (_, i) => [`t${i}`, `${i}.safetensors`]));
  const foreign = [
    "../model.safetensors",
    "/etc/model.safetensors",
    "a\\b.safetensors",
    "c:x.safetensors",
    "x.bin",
    5,
    null,
  ];
  const cases: [ErrorCode, words: string[], change: Parameters<typeof shards>[1]][] = [
    ["missing-shards", ["lacks 1 of 2 shards", "model-00002-of-00002.safetensors"], ({ two }) => two.clear()],
    ["wrong-tensors", ["do not belong together", "00002", "also ln_f.bias"], ({ two }) => two.delete("ln_f.bias")],
    ["wrong-tensors", ["do not belong together", "00002", "also ln_g"], ({ two }) => two.set("ln_g", zeros(1))],
    ["duplicate-tensor", ["are in an earlier one", "wte.weight"], ({ two }) => two.set("wte.weight", table)],
    [
      "invalid-field",
      ["weight_map is invalid", "nothing"],
      ({ index }) => Object.assign(index, { weight_map: undefined }),
    ],
    ["invalid-field", ["weight_map is invalid"], ({ index }) => Object.assign(index, { weight_map: [] })],
    ["invalid-shards-index", ["found:    0 files"], ({ index }) => Object.assign(index, { weight_map: {} })],
    ["invalid-shards-index", ["1 to 1024", "1202 files"], ({ index }) => Object.assign(index.weight_map, many)],
  ];
  for (const path of foreign)
    cases.push([
      "invalid-shards-index",
      [JSON.stringify(path), "for ln_f.bias"],
      ({ index }) => Object.assign(index.weight_map, { "ln_f.bias": path }),
    ]);
  for (const [i, [code, words, change]] of cases.entries()) {
    const directory = shards(`shards ${i}`, change);
    await assertFails(code, [directory, ...words], () => openBaseModel(directory));
  }
});

test("a quantised model is refused with what works, by its config and by its tensors", async () => {
  const refused = (name: string, directory: string) =>
    assertFails("unsupported-quantization", [name, "without quantisation", "type q4 keeps it"], () =>
      openBaseModel(directory),
    );
  const directory = modelDirectory("quantised", () => {});
  const settings = { quant_method: "bitsandbytes", load_in_4bit: true };
  writeFileSync(
    join(directory, "config.json"),
    JSON.stringify({ model_type: "gpt2", ...config, quantization_config: settings }),
  );
  await refused("found:    quantization_config", directory);
  const without = modelDirectory("configless", (tensors) => tensors.set("h.0.mlp.c_fc.weight.absmax", zeros(4)));
  await refused("found:    h.0.mlp.c_fc.weight.absmax", without);
});

test("a head of its own is read where the config says so, and is missed by name", async () => {
  const untied = { ...config, tie_word_embeddings: false };
  const head = { shape: [11, 8], data: random([11, 8]) };
  const directory = modelDirectory("untied", (tensors) => tensors.set("lm_head.weight", head));
  const put = (more: object) =>
    writeFileSync(join(directory, "config.json"), JSON.stringify({ model_type: "gpt2", ...config, ...more }));
  put(untied);
  const model = await openBaseModel(directory);
  assert.is(model.config.tie_word_embeddings, false);
  assert.is(model.names.at(-1), "lm_head.weight");
  assertSameBits("head", await model.read("lm_head.weight"), head.data);
  await model.close();
  // As in transformers: the config says that it is the table, the file that it is not. One value is enough.
  put({ ...untied, tie_word_embeddings: true });
  const wrong = await openBaseModel(directory);
  assert.is(wrong.config.tie_word_embeddings, false);
  assertSameBits("head", await wrong.read("lm_head.weight"), head.data);
  await wrong.close();
  for (const change of [0, 1e-6]) {
    const place = modelDirectory(`copy ${change}`, (tensors) => {
      const { shape, data } = tensors.get("wte.weight")!;
      tensors.set("lm_head.weight", { shape, data: data.map((value, i) => (i === 80 ? value + change : value)) });
    });
    const copied = await openBaseModel(place);
    assert.is(copied.names.includes("lm_head.weight"), change > 0);
    assert.is(copied.config.tie_word_embeddings, change > 0 ? false : undefined);
    await copied.close();
  }
  const without = modelDirectory("headless", () => {});
  writeFileSync(join(without, "config.json"), JSON.stringify({ model_type: "gpt2", ...untied }));
  const classifier = await openBaseModel(without);
  await assertFails("no-such-tensor", ["no tensor lm_head.weight", "tie_word_embeddings"], () =>
    classifier.read("lm_head.weight"),
  );
  await classifier.close();
});

test("the shipped model loads by its name, with valid F16 values", async () => {
  const directory = await resolveModel("gpt2-micro");
  const model = await openBaseModel(directory);
  assert.equal(model.config, parseConfig({ ...model.config, n_layer: 4, n_head: 4, n_embd: 128 }, "here"));
  assert.is(model.names.length, 52);
  let parameters = 0;
  for (const name of model.names.filter((key) => key !== "wte.weight")) {
    const values = await model.read(name);
    parameters += values.length;
    assert.ok(values.every(Number.isFinite), name);
    const size = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    assert.ok(size > 1e-4 && size < 10, `${name}: ${size}`);
  }
  assert.is(parameters + 50257 * 128, 7_259_008);
  assert.is((await model.read("wte.weight", 50256)).length, 128);
  await model.close();
});

test("e5-small-cut is multilingual-e5-small with tokens of the languages of Europe, and says its prefix", async () => {
  await using model = await loadModel("e5-small-cut");
  const { config, directory } = model;
  assert.equal(nameBase(directory), { name: "e5-small-cut", place: "package" });
  assert.equal([config.model_type, config.n_layer, config.n_embd, config.vocab_size], ["bert", 12, 384, 69_600]);
  const text = "Good morning! 42 cafés, Grüße, привет, καλημέρα, բարեւ 🙂";
  const tokenizer = await Tokenizer.load({ model });
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  assert.is(tokenizer.decode(ids), text);
  const { prompts } = await readModelJson(directory, "config_sentence_transformers.json");
  assert.equal(prompts, { query: "query: " });
  assert.is((await readModelJson(directory, "1_Pooling/config.json")).pooling_mode_mean_tokens, true);
});

test("resolveModel accepts a directory, and lists the known names otherwise", async () => {
  assert.is(await resolveModel(folder), folder);
  await assertFails("no-such-model", ['"gpt2-mirco"', "did you mean gpt2-micro?"], () => resolveModel("gpt2-mirco"));
  await assertFails("no-such-model", ["did you mean e5-small-cut?"], () => resolveModel("e5-smal-cut"));
  await assertFails("no-such-model", ['"llama"', "gpt2-micro"], () => resolveModel("llama"));
});
