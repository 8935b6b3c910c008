/**
 * Models in GGUF files, of test/exchange/make_gguf.py: transformers reads the same values from them, or wrote them. Metadata that is
 * missing, contradicts the tensors, or changes what a model computes.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { layoutBlocks } from "../../../src/core/blocks.ts";
import type { ModelConfig } from "../../../src/core/config.ts";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { quantizeMatrix } from "../../../src/core/quantize.ts";
import { Engine } from "../../../src/engine/engine.ts";
import { loadBase } from "../../../src/engine/state.ts";
import { LanguageModel } from "../../../src/infer/text/language-model.ts";
import { fingerprint } from "../../../src/io/fingerprint.ts";
import { openGguf } from "../../../src/io/gguf/gguf-model.ts";
import { type BaseModel, describeModel, loadModel, openBaseModel } from "../../../src/io/hf.ts";
import { readModelFile } from "../../../src/io/model-file.ts";
import { type EncodableTensor, encodeSafetensors } from "../../../src/io/safetensors/safetensors-write.ts";
import { forgetFile, registerFile } from "../../../src/platform/files.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../../helpers/border.ts";
import { testDevice } from "../../helpers/device.ts";
import { decodeGguf, encodeGguf, type Parts } from "../../helpers/gguf.ts";
import { test } from "../../helpers/harness.ts";
import { sendBytes, serve } from "../../helpers/http.ts";
import { TASKS } from "../../helpers/models.ts";

const golden = packagePath("test/golden/gguf");
const path = (name: string) => join(golden, `${name}.gguf`);
const expected: Record<string, Record<string, string>> = JSON.parse(
  readFileSync(join(golden, "expect.json"), "utf8"),
).models;
const NAMES = Object.keys(expected);
const sha256 = (values: Float32Array) => createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex");
const folder = temporaryFolder();

test("tensors have transformers' names, shapes and values, to the bit", async () => {
  for (const name of NAMES) {
    const { tensors } = await openGguf(path(name));
    const keys = Object.keys(expected[name]!).map((key) => key.replace(/^transformer\./, ""));
    assert.equal([...tensors.files.keys()].sort(), keys.sort());
    for (const [key, hash] of Object.entries(expected[name]!)) {
      const own = key.replace(/^transformer\./, "");
      assert.is(sha256(await tensors.files.get(own)!.readF32(own)), hash, `${name}: ${key}`);
    }
    await tensors.close();
  }
});

const SIZES = { vocab_size: 288, n_positions: 64, n_layer: 2, n_head: 4, n_embd: 32 };
const BERT = { ...SIZES, n_inner: 64, layer_norm_epsilon: 1e-12, type_vocab_size: 2 };
const LLAMA = { ...SIZES, n_inner: 64, n_kv_head: 2, layer_norm_epsilon: 1e-6 };
const CONFIGS: Record<string, ModelConfig> = {
  "gpt2-f16": { ...SIZES, layer_norm_epsilon: 1e-5 },
  "gpt2-q8_0": { ...SIZES, layer_norm_epsilon: 1e-5 },
  "bert-q8_0": { ...BERT, model_type: "bert", activation_function: "gelu" },
  "llama-q4_1": { ...LLAMA, model_type: "llama", rope: { theta: 100_000 } },
  "llama3-bf16": {
    ...LLAMA,
    model_type: "llama",
    tie_word_embeddings: false,
    rope: {
      theta: 500_000,
      scaling: {
        rope_type: "llama3",
        factor: 32,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 8192,
      },
    },
  },
  "qwen2-q8_0": { ...LLAMA, model_type: "qwen2", rope: { theta: 1_000_000 } },
};

/** What can be compared. */
const tokensOf = ({ vocabulary: { steps, join, lacks, ...rest } }: Pick<BaseModel, "vocabulary">) => rest;

test("a model has the config and the vocabulary of the file", async () => {
  for (const name of NAMES) {
    await using model = await loadModel(path(name));
    assert.equal(model.config, CONFIGS[name], name);
    assert.is(model.directory, path(name));
    const isBert = name.startsWith("bert");
    assert.equal(model.vocabulary.end, isBert ? { id: 3, text: "[SEP]" } : { id: 0, text: "<|endoftext|>" });
    assert.is(model.vocabulary.size, 288);
    assert.is(model.vocabulary.chat === null, isBert || name.startsWith("gpt2"));
    const described = await describeModel(path(name));
    assert.equal([described.config, tokensOf(described)], [model.config, tokensOf(model)]);
  }
});

test("its files, written as those of a directory, are the same model", async () => {
  for (const name of NAMES) {
    const directory = join(folder, name);
    mkdirSync(directory);
    for (const file of ["config.json", "tokenizer.json", "tokenizer_config.json"])
      writeFileSync(join(directory, file), (await readModelFile(path(name), file))!);
    assert.is(await readModelFile(path(name), "vocab.json"), undefined);
    const { tensors } = await openGguf(path(name));
    const list: EncodableTensor[] = [];
    for (const [key, file] of tensors.files)
      list.push({ name: key, shape: file.info(key).shape, dtype: "F32", data: await file.readF32(key) });
    await tensors.close();
    writeFileSync(join(directory, "model.safetensors"), encodeSafetensors(list));
    await using model = await openBaseModel(path(name));
    await using again = await openBaseModel(directory);
    assert.equal(again.config, model.config);
    assert.equal(tokensOf(again), tokensOf(model));
    assert.equal(again.names, model.names);
    for (const tensor of model.names) assertSameBits(tensor, await again.read(tensor), await model.read(tensor));
  }
});

test("rows are read in any pieces, and a model's fingerprint is that of its file", async () => {
  const prints = new Set<string>();
  for (const name of NAMES) {
    const { tensors } = await openGguf(path(name));
    for (const [key, file] of tensors.files) {
      const { shape } = file.info(key);
      const [rows, width] = [shape[0]!, shape[1] ?? 1];
      const whole = await file.readF32(key);
      for (const [start, end] of [
        [0, 1],
        [1, 2],
        [Math.min(3, rows), Math.min(13, rows)],
        [Math.max(0, rows - 3), rows],
        [rows - 1, rows - 1],
      ] as const)
        assertSameBits(
          `${name} ${key} ${start}`,
          await file.readF32(key, start, end),
          whole.slice(start * width, end * width),
        );
      for (const [start, end] of [
        [0, rows + 1],
        [-1, 2],
        [3, 2],
        [0.5, 2],
      ] as const)
        await assertFails("rows-out-of-range", [key], () => file.readF32(key, start, end));
    }
    await tensors.close();
    await using model = await openBaseModel(path(name));
    prints.add(await fingerprint(model));
  }
  assert.is(prints.size, NAMES.length);
});

test("in q8 the codes and scales of Q8_0 are kept", async () => {
  const { tensors } = decodeGguf(readFileSync(path("gpt2-q8_0")));
  await using model = await openBaseModel(path("gpt2-q8_0"));
  for (const [ours, theirs] of [
    ["h.0.attn.c_attn.weight", "blk.0.attn_qkv.weight"],
    ["h.1.mlp.c_proj.weight", "blk.1.ffn_down.weight"],
  ] as const) {
    const { data, dimensions } = tensors.find(({ name }) => name === theirs)!;
    const [inputs, outputs] = dimensions as [number, number];
    const blocks = (inputs * outputs) / 32;
    const kept = new Uint8Array(inputs * outputs + 2 * blocks);
    for (let i = 0; i < blocks; i++) {
      kept.set(data.subarray(34 * i, 34 * i + 2), inputs * outputs + 2 * i);
      kept.set(data.subarray(34 * i + 2, 34 * i + 34), 32 * i);
    }
    assert.is(layoutBlocks("q8", inputs * outputs).scales, inputs * outputs);
    assert.equal(quantizeMatrix(ours, "q8", await model.read(ours), inputs, outputs), kept);
  }
});

test("in q8 a model in Q8_0 has the file's values on the device", async () => {
  for (const name of ["gpt2-q8_0", "qwen2-q8_0"]) {
    await using model = await openBaseModel(path(name));
    const spec = {
      config: model.config,
      task: TASKS.classification,
      mode: "last_layer",
      lora: null,
      train_head: true,
      dtype: "q8",
    } as const;
    const capacity = { tokens: 8, sequences: 1 };
    const engine = await Engine.create(await testDevice("wasm 1 thread"), { spec, capacity, optimizer: null });
    await loadBase(engine, model);
    for (const tensor of model.names)
      assertSameBits(tensor, await engine.readParameter(tensor), await model.read(tensor));
    engine.destroy();
  }
});

test("a file on a server, or a Blob, is a model that generates", async () => {
  const device = await testDevice("wasm 1 thread");
  const bytes = readFileSync(path("gpt2-f16"));
  const server = await serve((request, response) => sendBytes(request, response, bytes));
  const name = "picked/model.gguf";
  registerFile(name, new Blob([bytes]));
  try {
    const texts = new Set<string>();
    for (const model of [path("gpt2-f16"), name, `${server.url}/gpt2-f16.gguf?download=true`]) {
      const lm = await LanguageModel.load(model, { device });
      texts.add((await lm.complete(["the "], { maxNewTokens: 12 }))[0]!.text);
      lm.destroy();
    }
    assert.is(texts.size, 1);
    assert.ok(server.requests.every((request) => /^GET \/gpt2-f16.gguf\?download=true bytes=\d+-\d+$/.test(request)));
  } finally {
    forgetFile(name);
  }
});

/** Opens a changed copy of a fixture. */
async function openChanged(name: string, change: (parts: Parts) => unknown) {
  const parts = decodeGguf(readFileSync(path(name)));
  change(parts);
  const file = join(folder, "changed.gguf");
  writeFileSync(file, encodeGguf(parts));
  const model = await openBaseModel(file);
  await model.close();
  return model;
}

const set =
  (key: string, value: unknown, type = 4) =>
  ({ metadata }: Parts) =>
    metadata.set(key, { type, value });
const find = ({ tensors }: Parts, name: string) => tensors.find((tensor) => tensor.name === name)!;

test("a head that is a copy of the token table is none", async () => {
  const copy = (parts: Parts) => parts.tensors.push({ ...find(parts, "token_embd.weight"), name: "output.weight" });
  assert.is((await openChanged("gpt2-f16", copy)).config.tie_word_embeddings, undefined);
  const other = (at: number) => (parts: Parts) => {
    copy(parts);
    const head = parts.tensors.at(-1)!;
    const [width, rows] = head.dimensions as [number, number];
    head.data = head.data.map((byte, i) => (i === 2 * width * at * (rows - 1) ? byte ^ 1 : byte));
  };
  assert.is((await openChanged("gpt2-f16", other(0))).config.tie_word_embeddings, false);
  // In the last of its rows.
  assert.is((await openChanged("gpt2-f16", other(1))).config.tie_word_embeddings, false);
});

test("what an architecture's keys leave out has its default, and a linear scaling is one", async () => {
  const model = await openChanged("qwen2-q8_0", ({ metadata }) => {
    metadata.delete("qwen2.rope.freq_base");
    metadata.set("qwen2.rope.scaling.type", { type: 8, value: "linear" });
    metadata.set("qwen2.rope.scaling.factor", { type: 6, value: 2.5 });
    metadata.set("qwen2.expert_count", { type: 4, value: 0 });
  });
  assert.equal(model.config.rope, { theta: 10_000, scaling: { rope_type: "linear", factor: 2.5 } });
  // As in llama.cpp.
  const alone = await openChanged("qwen2-q8_0", set("qwen2.rope.scaling.factor", 2.5, 6));
  assert.equal(alone.config.rope?.scaling, { rope_type: "linear", factor: 2.5 });
  const none = await openChanged("qwen2-q8_0", (parts) => {
    set("qwen2.rope.scaling.factor", 2.5, 6)(parts);
    set("qwen2.rope.scaling.type", "none", 8)(parts);
  });
  assert.is(none.config.rope?.scaling, undefined);
});

const drop =
  (key: string) =>
  ({ metadata }: Parts) =>
    metadata.delete(key);

test("metadata that is missing, wrong or not supported is refused, with the key", async () => {
  const cases: [string, ErrorCode, string[], (parts: Parts) => unknown][] = [
    ["gpt2-f16", "invalid-gguf", ["general.architecture"], drop("general.architecture")],
    [
      "gpt2-f16",
      "unsupported-architecture",
      ["mamba", "llama, qwen2, gpt2, bert"],
      set("general.architecture", "mamba", 8),
    ],
    ["gpt2-f16", "unsupported-architecture", ["toString"], set("general.architecture", "toString", 8)],
    ["gpt2-f16", "missing-shards", ["split.count = 3", "--merge"], set("split.count", 3, 2)],
    ["gpt2-f16", "invalid-gguf", ["gpt2.block_count is missing"], drop("gpt2.block_count")],
    ["llama-q4_1", "invalid-gguf", ["llama.block_count is invalid", "many"], set("llama.block_count", "many", 8)],
    ["llama-q4_1", "invalid-gguf", ["rope.freq_base"], set("llama.rope.freq_base", -1, 6)],
    ["llama-q4_1", "wrong-tensors", ["expected: also layers.2."], set("llama.block_count", 3)],
    ["llama-q4_1", "wrong-tensors", ["found:    also layers.1."], set("llama.block_count", 1)],
    ["llama-q4_1", "wrong-shape", ["mlp.gate_proj", "[96, 32]"], set("llama.feed_forward_length", 96)],
    ["llama-q4_1", "wrong-shape", ["self_attn.k_proj"], set("llama.attention.head_count_kv", 4)],
    ["llama-q4_1", "invalid-gguf", ["llama.vocab_size", "289 rows"], set("llama.vocab_size", 289)],
    ["llama-q4_1", "unsupported-model-config", ["expert_count"], set("llama.expert_count", 8)],
    ["llama-q4_1", "unsupported-model-config", ["dimension_count", "8"], set("llama.rope.dimension_count", 4)],
    [
      "llama-q4_1",
      "unsupported-model-config",
      ["head_dim"],
      (parts) => {
        for (const key of ["rope.dimension_count", "attention.key_length", "attention.value_length"])
          set(`llama.${key}`, 16)(parts);
      },
    ],
    ["llama-q4_1", "unsupported-model-config", ["yarn"], set("llama.rope.scaling.type", "yarn", 8)],
    ["llama3-bf16", "wrong-shape", ["rope_freqs"], (parts) => (find(parts, "rope_freqs.weight").dimensions = [2])],
    [
      "llama3-bf16",
      "unsupported-model-config",
      ["rope_freqs.weight", "element 1"],
      (parts) => find(parts, "rope_freqs.weight").data.set(new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer)),
    ],
    ["gpt2-f16", "wrong-tensors", ["wpe.weight"], ({ tensors }) => tensors.splice(1, 1)],
    ["bert-q8_0", "wrong-tensors", ["token_type_embeddings"], ({ tensors }) => tensors.splice(2, 1)],
    ["bert-q8_0", "unsupported-model-config", ["alibi"], set("bert.attention.max_alibi_bias", 8, 6)],
    ["gpt2-f16", "wrong-tensors", ["token_embd.weight"], ({ tensors }) => tensors.splice(0, 1)],
    [
      "gpt2-f16",
      "wrong-tensors",
      ["blk.0.extra.weight"],
      (parts) => (find(parts, "blk.0.attn_qkv.bias").name = "blk.0.extra.weight"),
    ],
    ["gpt2-f16", "unsupported-tokenizer", ["llama"], set("tokenizer.ggml.model", "llama", 8)],
    ["gpt2-f16", "invalid-gguf", ["general.alignment"], set("general.alignment", "32", 8)],
    ["gpt2-f16", "invalid-field", ["eos_token_id", '"x"'], set("tokenizer.ggml.eos_token_id", "x", 8)],
    [
      "gpt2-f16",
      "wrong-vocabulary",
      ["289"],
      ({ metadata }) => {
        const { value } = metadata.get("tokenizer.ggml.tokens")!;
        (value as string[]).push("<|more|>");
        (metadata.get("tokenizer.ggml.token_type")!.value as number[]).push(1);
      },
    ],
  ];
  for (const [name, code, words, change] of cases) await assertFails(code, words, () => openChanged(name, change));
});

test("a file that does not exist is reported by its name", async () => {
  await assertFails("cannot-read-file", ["no/such.gguf"], () => loadModel("no/such.gguf"));
});
