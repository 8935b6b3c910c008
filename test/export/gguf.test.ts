/**
 * Exports for llama.cpp, by value: files that our own reader opens again. test/exchange compares with llama.cpp itself,
 * its converter and its quantiser.
 */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath, writeDirectory } from "#platform";
import type { ModelConfig } from "../../src/core/config.ts";
import type { Target } from "../../src/core/names.ts";
import type { CommonDtype } from "../../src/core/tensor.ts";
import { contentBytes } from "../../src/export/form.ts";
import { planExport } from "../../src/export/index.ts";
import { ENCODINGS } from "../../src/io/gguf/ggml-encode.ts";
import { GGML_TYPES } from "../../src/io/gguf/ggml-types.ts";
import { openGguf } from "../../src/io/gguf/gguf-model.ts";
import { copyMetadata, vocabularyMetadata } from "../../src/io/gguf/gguf-vocabulary.ts";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import { mergedTensors } from "../../src/io/peft/merge.ts";
import type { Adapter, AdapterMeta } from "../../src/io/peft/peft.ts";
import { collect } from "../../src/io/safetensors/collect.ts";
import { readGgufVocabulary } from "../../src/io/tokenizer/tokenizer-gguf.ts";
import type { LoraConfig } from "../../src/methods/lora.ts";
import { drawTensors, LM, modeMeta, testMeta } from "../helpers/adapters.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { decodeGguf } from "../helpers/gguf.ts";
import { test } from "../helpers/harness.ts";
import { RELATIVE, SMALL, TASKS } from "../helpers/models.ts";
import { smallModel } from "../helpers/tiny.ts";
import { assertIds, goldenVocabulary, loadTokenizer, readFiles, writeVocabulary } from "../helpers/vocabulary.ts";

const folder = temporaryFolder();
const golden = (name: string) => packagePath(`test/golden/gguf/${name}.gguf`);

const GPT2_TARGETS: Target[] = ["q", "v", "o", "fc", "proj"];
const LLAMA_TARGETS: Target[] = ["q", "k", "v", "o", "gate", "up", "down"];

function metaFor(model: ModelConfig, lora: Partial<LoraConfig> | null = {}, rest: Partial<AdapterMeta> = {}) {
  const target_modules = model.model_type ? LLAMA_TARGETS : GPT2_TARGETS;
  const meta = testMeta({ target_modules, ...lora }, { ...LM, model, ...rest });
  return lora === null ? { ...meta, lora: null } : meta;
}

let made = 0;

async function exported(
  baseModel: BaseModel,
  meta: AdapterMeta,
  options: { dtype?: CommonDtype; withBase?: boolean } = {},
) {
  const adapter: Adapter = { meta, tensors: drawTensors(meta) };
  const plan = await planExport("gguf", { adapter, baseModel }, options);
  const out = join(folder, `out-${made++}`);
  await writeDirectory(out, plan.files);
  for (const [name, content] of plan.files) {
    const bytes = contentBytes(content);
    if (bytes !== null) assert.is(statSync(join(out, name)).size, bytes, name);
  }
  const parts = (file: string) => decodeGguf(readFileSync(join(out, file)));
  return { ...plan, out, adapter, parts };
}

for (const name of ["gpt2-f16", "llama-q4_1", "llama3-bf16", "qwen2-q8_0"])
  test(`${name}, merged in f32: the model, to the bit, its config, its tokens`, async () => {
    await using baseModel = await openBaseModel(golden(name));
    for (const rest of [{}, { mode: "all", lora: null } as const]) {
      const { adapter, out } = await exported(baseModel, metaFor(baseModel.config, rest.lora, rest), {
        dtype: "f32",
      });
      const path = join(out, "model.gguf");
      await using again = await openBaseModel(path);
      assert.equal(again.config, baseModel.config);
      assert.equal(
        [again.vocabulary.fingerprint, again.vocabulary.end],
        [baseModel.vocabulary.fingerprint, baseModel.vocabulary.end],
      );
      const tokens = (file: string) => copyMetadata(file, (key) => key.startsWith("tokenizer."));
      assert.equal(await tokens(path), await tokens(golden(name)));
      const { tensors } = await openGguf(path);
      const merged = await mergedTensors(baseModel, adapter, undefined);
      assert.is(tensors.files.size, merged.length);
      for (const tensor of merged) {
        const own = tensor.name.replace(/^transformer\./, "");
        assertSameBits(own, await tensors.files.get(own)!.readF32(own), await collect(tensor));
      }
      await tensors.close();
    }
  });

test("every type: llama.cpp's choice for each tensor, of the values in f32", async () => {
  for (const name of ["gpt2-f16", "llama3-bf16"]) {
    await using baseModel = await openBaseModel(golden(name));
    const meta = metaFor(baseModel.config);
    const { parts } = await exported(baseModel, meta, { dtype: "f32" });
    const whole = new Map(parts("model.gguf").tensors.map((tensor) => [tensor.name, tensor]));
    for (const [dtype, type, fileType] of [
      ["f16", "F16", 1],
      ["q8", "Q8_0", 7],
      ["q4", "Q4_0", 2],
    ] as const) {
      const plan = await exported(baseModel, meta, dtype === "f16" ? {} : { dtype });
      const { tensors, metadata } = plan.parts("model.gguf");
      assert.is(metadata.get("general.file_type")!.value, fileType);
      for (const { name: tensor, type: id, data } of tensors) {
        const found = GGML_TYPES.get(id)!.name;
        const isMatrix = whole.get(tensor)!.dimensions.length === 2 && tensor !== "position_embd.weight";
        const head = name === "gpt2-f16" ? "token_embd.weight" : "output.weight";
        const fine = dtype === "q4" && tensor === head ? "Q8_0" : type;
        assert.is(found, isMatrix ? fine : "F32", tensor);
        const { encode } = Object.values(ENCODINGS).find((one) => one.id === id)!;
        const values = new Float32Array(new Uint8Array(whole.get(tensor)!.data).buffer);
        assert.equal(Buffer.compare(encode(values), data.subarray(0, encode(values).length)), 0, tensor);
      }
    }
  }
});

test("a tied head with an adapter becomes a matrix of its own", async () => {
  await using baseModel = await openBaseModel(golden("gpt2-f16"));
  const { config, vocabulary } = baseModel;
  const { out, parts } = await exported(baseModel, metaFor(config, { target_modules: ["head"] }), {
    dtype: "q4",
  });
  await using again = await openBaseModel(join(out, "model.gguf"));
  assert.equal(again.config, { ...config, tie_word_embeddings: false });
  assert.is(again.vocabulary.fingerprint, vocabulary.fingerprint);
  const types = new Map(parts("model.gguf").tensors.map(({ name, type }) => [name, GGML_TYPES.get(type)!.name]));
  assert.equal([types.get("output.weight"), types.get("token_embd.weight")], ["Q8_0", "Q4_0"]);
});

/** A GPT-2 in a directory, with its licence. */
function directoryModel(name: string): string {
  const directory = smallModel(join(folder, name));
  writeFileSync(join(directory, "README.md"), "---\nlanguage: en\nlicense: cc-by-4.0\n---\n# A model\n");
  return directory;
}

test("a model in a directory: tokens for all rows, the licence, rows of other lengths in F16", async () => {
  await using baseModel = await openBaseModel(directoryModel("small"));
  const { out, notes, parts } = await exported(baseModel, metaFor(SMALL), { dtype: "q8" });
  assert.equal(notes, ["in F16, because their rows are not of a multiple of 32 values: 9 of the matrices"]);
  const { metadata } = parts("model.gguf");
  const value = (key: string) => metadata.get(key)?.value;
  const tokens = value("tokenizer.ggml.tokens") as string[];
  assert.equal([tokens.length, tokens.slice(0, 6)], [131, ["Ġ", "a", "Ġa", "[PAD3]", "<|endoftext|>", "[PAD5]"]]);
  assert.equal((value("tokenizer.ggml.token_type") as number[]).slice(0, 6), [1, 1, 1, 5, 3, 5]);
  assert.equal(value("tokenizer.ggml.merges"), ["Ġ a"]);
  assert.equal(
    ["pre", "bos_token_id", "eos_token_id", "unknown_token_id", "add_bos_token"].map((key) =>
      value(`tokenizer.ggml.${key}`),
    ),
    ["gpt-2", 4, 4, undefined, 0],
  );
  assert.equal(
    ["architecture", "type", "name", "license", "base_model.0.name"].map((key) => value(`general.${key}`)),
    ["gpt2", "model", "small fine-tuned with LoRA", "cc-by-4.0", "small"],
  );
  await using again = await openBaseModel(join(out, "model.gguf"));
  assert.equal(again.config, SMALL);
  assert.equal([again.vocabulary.fingerprint, again.vocabulary.size], [baseModel.vocabulary.fingerprint, 5]);
});

const FAST = JSON.parse(goldenVocabulary("tokenizer.json"));
/** As far as a GGUF file can say it: found wherever they stand, without the white space around them. */
const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
const added_tokens = FAST.added_tokens.map((token: object) => ({ ...token, ...flags }));
const GOLDEN = JSON.parse(goldenVocabulary("patterns.json"));

for (const [pre, { change, cases }] of Object.entries<{ change: Record<string, object>; cases: [string][] }>(GOLDEN))
  test(`${pre}: the tokens of a tokenizer.json come back, by fingerprint and by ids`, async () => {
    const model = { ...FAST.model, ...change.model };
    const files = {
      "tokenizer.json": { ...FAST, ...change, added_tokens, model },
      "tokenizer_config.json": { eos_token: "<|endoftext|>", chat_template: "{{ messages }}" },
      "config.json": { vocab_size: 2000 },
    };
    const directory = writeVocabulary(files);
    const vocabulary = await readFiles(files, { vocab_size: 2000 });
    const base = { directory, vocabulary, config: { vocab_size: 2000 } } as unknown as BaseModel;
    const { metadata, notes } = await vocabularyMetadata(base);
    const path = join(folder, `${pre}.gguf`);
    writeFileSync(path, await header(metadata));
    const read = decodeGguf(readFileSync(path)).metadata;
    const plain = new Map([...read].map(([key, { value, type }]) => [key, type === 7 ? value === 1 : value]));
    const again = await readGgufVocabulary(plain, path);
    assert.equal(
      [again.fingerprint, again.size, again.end, again.begin, again.chat?.template],
      [vocabulary.fingerprint, vocabulary.size, vocabulary.end, vocabulary.begin, "{{ messages }}"],
    );
    assert.is(
      notes.some((note) => note.includes("NFC")),
      pre === "qwen2",
    );
    const [tokenizer, reference] = await Promise.all([loadTokenizer(again), loadTokenizer(vocabulary)]);
    for (const [text] of cases) assertIds(tokenizer.encode(text), reference.encode(text), text);
  });

/** A file of metadata alone. */
async function header(metadata: ReadonlyMap<string, Uint8Array>): Promise<Uint8Array> {
  const { streamGguf } = await import("../../src/io/gguf/gguf-write.ts");
  const chunks: Uint8Array[] = [];
  for await (const chunk of streamGguf(metadata, [])) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("a vocabulary that llama.cpp has no name for is refused", async () => {
  const files = {
    "tokenizer.json": { ...FAST, model: { ...FAST.model, ignore_merges: true } },
    "tokenizer_config.json": { eos_token: "<|endoftext|>" },
    "config.json": { vocab_size: 2000 },
  };
  const base = {
    directory: writeVocabulary(files),
    vocabulary: await readFiles(files, { vocab_size: 2000 }),
    config: { vocab_size: 2000 },
  } as unknown as BaseModel;
  await assertFails("not-expressible-in-format", ["ignore_merges = false", "export it as merged"], () =>
    vocabularyMetadata(base),
  );
  const bare = { ...base, directory: writeVocabulary({ "config.json": { vocab_size: 2000 } }) };
  await assertFails("missing-tokenizer-files", ["tokenizer.json"], () => vocabularyMetadata(bare));
});

test("what llama.cpp cannot run or express is refused by name, before anything is written", async () => {
  await using gpt2 = await openBaseModel(golden("gpt2-f16"));
  await using neox = await openBaseModel(packagePath("test/golden/neox/pythia/base"));
  const refused = (base: BaseModel, words: string[], ...meta: Parameters<typeof metaFor>) =>
    assertFails("not-expressible-in-format", words, () => exported(base, metaFor(...meta)));
  const { config } = gpt2;
  const classes = { task: TASKS.classification, labels: ["ham", "spam"] };
  await refused(neox, ["a GPT-NeoX", "merged, onnx or peft"], neox.config, { target_modules: ["q", "fc"] });
  await refused(gpt2, ["cannot classify", "--to merged"], config, {}, classes);
  await refused(gpt2, ["gelu", "inverse_layer_idx"], { ...config, ...RELATIVE }, {});
  await assertFails("not-mergeable", ["prompt tuning", "--to peft"], () =>
    exported(gpt2, metaFor(config, null, modeMeta("prompt"))),
  );
  await assertFails("options-conflict", ["--with-base"], () => exported(gpt2, metaFor(config), { withBase: true }));
});
