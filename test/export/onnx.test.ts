/** Models in ONNX: the graph's form and every weight. test/exchange/onnx.mjs runs them in transformers.js. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { halfToFloat } from "../../src/core/half.ts";
import { type CommonDtype, numel } from "../../src/core/tensor.ts";
import { contentBytes } from "../../src/export/form.ts";
import { planExport } from "../../src/export/index.ts";
import { DATA_TYPE, encodeMessage, type Fields, MODEL } from "../../src/export/onnx/protobuf.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { headInFiles, ownTensors } from "../../src/io/peft/merge.ts";
import type { AdapterMeta } from "../../src/io/peft/peft.ts";
import { collect } from "../../src/io/safetensors/collect.ts";
import { readVocabulary } from "../../src/io/tokenizer/tokenizer-files.ts";
import type { FileContent } from "../../src/platform/reader.ts";
import { drawTensors, LM, modeMeta, testMeta } from "../helpers/adapters.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";

const MICRO = packagePath("data/models/gpt2-micro");
const SMALL = packagePath("test/golden/gguf/gpt2-f16.gguf");
const LLAMA = packagePath("test/golden/llama/llama/base");
const QWEN2 = packagePath("test/golden/llama/qwen2/base");
/** Half a code, and 127 times the rounding of a scale to f16. */
const ROUNDED = 0.5 + 127 * 2 ** -11;
const EXACT = { atol: 0, rtol: 0 };

let micro: ReturnType<typeof exported> | undefined;
const exportMicro = () => (micro ??= exported(MICRO));

/** The files of an export, with their contents as bytes, and the merged weights. */
async function exported(directory: string, rest: Partial<AdapterMeta> = {}, dtype?: CommonDtype) {
  await using baseModel = await openBaseModel(directory);
  const { config: model } = baseModel;
  const meta = testMeta({ target_modules: ["q", "v"] }, { base_model: directory, model, ...rest });
  const adapter = { meta, tensors: drawTensors(meta) };
  const { files } = await planExport("onnx", { adapter, baseModel }, dtype && { dtype });
  const contents = new Map<string, Buffer>();
  for (const [name, content] of files) {
    contents.set(name, await bytes(content));
    assert.is(contentBytes(content), contents.get(name)!.length, name);
  }
  const weights = new Map<string, Float32Array>();
  for (const tensor of [...ownTensors(baseModel, adapter), ...headInFiles(adapter, undefined)])
    weights.set(tensor.name, await collect(tensor));
  const json = (name: string) => JSON.parse(contents.get(name)!.toString());
  return { names: [...files.keys()], contents, weights, json, model };
}

async function bytes(content: FileContent): Promise<Buffer> {
  if (typeof content === "string" || content instanceof Uint8Array) return Buffer.from(content as string);
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(Uint8Array.from(piece));
  return Buffer.concat(pieces);
}

interface Graph {
  node: { name: string; opType: string; input: string[]; output: string[] }[];
  initializer: { name: string; dims: number[]; dataType: number; externalData: { key: string; value: string }[] }[];
  input: Value[];
  output: Value[];
}
type Value = { name: string; type: { tensorType: { shape: { dim: Record<string, unknown>[] } } } };

/** The fields that are lists. */
const LISTS = new Set("node initializer input output attribute dims externalData dim ints opsetImport".split(" "));

/** The inverse of `encodeMessage`. The numbers of the fields are checked by ONNX Runtime: test/exchange/onnx.mjs. */
function decodeMessage(fields: Fields, bytes: Buffer): Record<string, unknown> {
  const message: Record<string, unknown> = Object.fromEntries(
    Object.keys(fields).flatMap((name) => (LISTS.has(name) ? [[name, []]] : [])),
  );
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const [name, [, type]] = Object.entries(fields).find(([, [number]]) => number === tag >> 3)!;
    const size = type === "int" ? 0 : type === "float" ? 4 : varint();
    const part = bytes.subarray(at, at + size);
    at += size;
    const value =
      type === "int"
        ? varint()
        : type === "float"
          ? part.readFloatLE()
          : type === "text"
            ? part.toString()
            : type === "bytes"
              ? part
              : decodeMessage(type, part);
    if (LISTS.has(name)) (message[name] as unknown[]).push(value);
    else message[name] = value;
  }
  return message;
}

test("messages are encoded as protobuf's documentation shows", () => {
  const fields = { a: [1, "int"], b: [2, "text"], c: [3, { a: [1, "int"] }], d: [4, "float"], e: [5, "int"] } as const;
  const message = { a: 150, b: "testing", c: { a: 150 }, d: 1, e: [-2, 1] };
  assert.is(
    Buffer.from(encodeMessage(fields, message)).toString("hex"),
    "08960112077465737469" + "6e671a030896012500" + "00803f28feffffffffffffffff012801",
  );
});

/** The graph, and the bytes of its external tensors, which lie one behind the other in their file. */
function readModel(contents: ReadonlyMap<string, Buffer>, name: string) {
  const model = decodeMessage(MODEL, contents.get(`onnx/${name}`)!);
  assert.equal(model.opsetImport, [{ version: 21 }], "standard operators alone");
  const graph = model.graph as Graph;
  const data = contents.get(`onnx/${name}_data`)!;
  const tensors = new Map<string, Buffer>();
  let end = 0;
  for (const { name: tensor, externalData, dims, dataType } of graph.initializer) {
    if (externalData.length === 0) continue;
    const { location, offset, length } = Object.fromEntries(externalData.map(({ key, value }) => [key, value]));
    const size = { [DATA_TYPE.FLOAT]: 4, [DATA_TYPE.FLOAT16]: 2, [DATA_TYPE.INT8]: 1 }[dataType]!;
    assert.equal([location, Number(offset)], [`${name}_data`, end], tensor);
    assert.is(Number(length), size * numel(dims), tensor);
    end += Number(length);
    tensors.set(tensor, data.subarray(Number(offset), end));
  }
  assert.is(data.length, end);
  checkOrder(graph);
  return { graph, tensors };
}

/** Every value has one origin, before it is read. */
function checkOrder({ input, initializer, node, output }: Graph): void {
  const known = new Set([...input, ...initializer].map(({ name }) => name));
  assert.is(known.size, input.length + initializer.length);
  for (const one of node) {
    for (const name of one.input) assert.ok(known.has(name), `${one.name} reads ${name}`);
    for (const name of one.output) {
      assert.not.ok(known.has(name), `${name} twice`);
      known.add(name);
    }
  }
  for (const { name } of output) assert.ok(known.has(name), name);
}

const floats = (buffer: Buffer) => new Float32Array(Uint8Array.from(buffer).buffer);
const halves = (buffer: Buffer) => halfToFloat(new Uint16Array(Uint8Array.from(buffer).buffer));

/** "logits: batch_size 2" */
const describe = ({ name, type }: Value) =>
  `${name}: ${type.tensorType.shape.dim.flatMap((size) => Object.values(size)).join(" ")}`;

const count = ({ node }: Graph, op: string) => node.filter(({ opType }) => opType === op).length;

test("a classifier in ONNX: its inputs and output, every weight of the merged model, transformers.js's files", async () => {
  const { names, contents, weights, json } = await exportMicro();
  const { graph, tensors } = readModel(contents, "model.onnx");
  assert.equal(graph.input.map(describe), [
    "input_ids: batch_size sequence_length",
    "attention_mask: batch_size sequence_length",
  ]);
  assert.equal(graph.output.map(describe), ["logits: batch_size 2"]);
  assert.equal([...tensors.keys()].sort(), [...weights.keys()].sort());
  for (const [name, data] of tensors) assertAllClose(name, floats(data), weights.get(name)!, EXACT);
  assert.equal(
    ["LayerNormalization", "Softmax", "Gelu", "MatMul", "Gemm"].map((op) => count(graph, op)),
    [9, 4, 4, 4 * 6, 1],
  );
  assert.equal(names.sort(), [
    ...["README.md", "config.json", "onnx/model.onnx", "onnx/model.onnx_data", "tokenizer.json"],
    "tokenizer_config.json",
  ]);
  const { model_type, architectures, id2label, "transformers.js_config": own } = json("config.json");
  assert.equal([model_type, architectures], ["roberta", ["GPT2ForSequenceClassification"]]);
  assert.equal(id2label, { 0: "ham", 1: "spam" });
  assert.equal(own, { dtype: "fp32", use_external_data_format: true });
  assert.match(contents.get("README.md")!.toString(), 'await pipeline("text-classification", "./")');
});

test("a classifier in ONNX computes the mean of the tokens in the mask, or picks the last", async () => {
  for (const [pooling, ops] of [
    ["mean", [2, 0]],
    ["last-token", [0, 1]],
  ] as const) {
    const { contents } = await exported(SMALL, { task: { ...TASKS.classification, pooling } });
    const { graph } = readModel(contents, "model.onnx");
    assert.equal([count(graph, "ReduceSum"), count(graph, "GatherND")], ops, pooling);
  }
});

test("the tokenizer.json that is made of vocab.json and merges.txt is the same vocabulary", async () => {
  const { contents, json } = await exportMicro();
  const folder = join(temporaryFolder(), "fast");
  mkdirSync(folder);
  writeFileSync(join(folder, "tokenizer.json"), contents.get("tokenizer.json")!);
  const [made, own] = [await readVocabulary(folder, null), await readVocabulary(MICRO, null)];
  assert.equal([made.fingerprint, made.size, made.end], [own.fingerprint, own.size, own.end]);
  const { content, special } = json("tokenizer.json").added_tokens[0];
  assert.equal([content, special], ["<|endoftext|>", true]);
});

test("language models in ONNX: the cache's inputs and outputs; one table for tokens and a tied head", async () => {
  for (const [directory, model_type, HS, KV, norms] of [
    [MICRO, "gpt2", 32, 4, 9],
    [LLAMA, "llama", 8, 2, 0],
    [QWEN2, "qwen2", 8, 2, 0],
  ] as const) {
    const { contents, weights, json, model } = await exported(directory, LM);
    const { graph, tensors } = readModel(contents, "model.onnx");
    const cache = (name: string, length: string) =>
      Array.from({ length: model.n_layer }, (_, l) =>
        ["key", "value"].map((part) => `${name}.${l}.${part}: batch_size ${KV} ${length} ${HS}`),
      ).flat();
    assert.equal(graph.input.map(describe), [
      "input_ids: batch_size sequence_length",
      "attention_mask: batch_size total_sequence_length",
      ...cache("past_key_values", "past_sequence_length"),
      "num_logits_to_keep: ",
    ]);
    assert.equal(graph.output.map(describe).sort(), [
      `logits: batch_size logits_length ${model.vocab_size}`,
      ...cache("present", "total_sequence_length"),
    ]);
    assert.equal([...tensors.keys()].sort(), [...weights.keys()].sort());
    for (const [name, data] of tensors) assertAllClose(name, floats(data), weights.get(name)!, EXACT);
    const readers = graph.node.filter(({ input }) => input.includes("wte.weight")).map(({ opType }) => opType);
    assert.equal(readers, ["Gather", "Gemm"]);
    assert.is(count(graph, "LayerNormalization"), norms);
    assert.is(json("config.json").model_type, model_type);
    assert.is(json("generation_config.json").eos_token_id, json("generation_config.json").pad_token_id);
  }
});

test("a head of its own, and the scaling of positions", async () => {
  const { contents, model } = await exported(packagePath("test/golden/llama/llama3/base"), LM);
  const { graph, tensors } = readModel(contents, "model.onnx");
  assert.ok(tensors.has("lm_head.weight"));
  const { dims } = graph.initializer.find(({ name }) => name === "rope.table")!;
  assert.equal(dims, [model.n_positions, model.n_embd / model.n_head]);
});

test("a GPT-NeoX: a part of each head is turned, and the MLP reads what the attention reads", async () => {
  const { contents, model } = await exported(packagePath("test/golden/neox/pythia/base"), LM);
  const { graph } = readModel(contents, "model.onnx");
  assert.equal(graph.initializer.find(({ name }) => name === "rope.table")!.dims, [model.n_positions, 4]);
  const node = (op: string, name: string) => graph.node.find((one) => one.opType === op && one.output.includes(name))!;
  assert.is(node("Split", "h.1.attn.rope.a").output.length, 3);
  const [first, second] = ["h.1.ln_1", "h.1.ln_2"].map((name) => node("LayerNormalization", name).input[0]);
  assert.is(first, second);
});

test("ONNX in f16: the nearest halves; in q8: codes and scales of blocks of 32 inputs", async () => {
  const half = await exported(SMALL, {}, "f16");
  const { tensors } = readModel(half.contents, "model_fp16.onnx");
  for (const [name, values] of half.weights)
    assertAllClose(name, halves(tensors.get(`${name}.f16`)!), values, { atol: 2 ** -25, rtol: 2 ** -11 });
  assert.is(half.json("config.json")["transformers.js_config"].dtype, "fp16");

  const eight = await exported(SMALL, {}, "q8");
  const { tensors: parts } = readModel(eight.contents, "model_quantized.onnx");
  for (const [name, values] of eight.weights) {
    const codes = parts.get(`${name}.codes`);
    assert.is(codes !== undefined, /^wte|\.(attn|mlp)\..*weight$/.test(name), name);
    if (!codes) continue;
    const scales = halves(parts.get(`${name}.scales`)!);
    const columns = name === "wte.weight" ? 32 : values.length / (name.endsWith("mlp.c_proj.weight") ? 128 : 32);
    for (const [i, value] of values.entries()) {
      const block = name === "wte.weight" ? i >> 5 : Math.floor(i / columns / 32) * columns + (i % columns);
      const found = codes.readInt8(i) * scales[block]!;
      if (!(Math.abs(found - value) <= ROUNDED * scales[block]!))
        throw new Error(`${name} ${i}: ${found} for ${value}`);
    }
  }
  assert.is(eight.json("config.json")["transformers.js_config"].dtype, "q8");
});

test("what ONNX cannot have is refused by name", async () => {
  for (const mode of ["prompt", "prefix", "adapter"] as const)
    await assertFails("not-mergeable", [mode], () => exported(SMALL, modeMeta(mode)));
  await assertFails("options-conflict", ["f32 or f16 or q8", "q4"], () => exported(SMALL, {}, "q4"));
  await assertFails("unsupported-dtype", ["a multiple of 32"], () => exported(LLAMA, {}, "q8"));
});

test("the JavaScript code of an export, by what it predicts", async () => {
  const pairs = { columns: ["question", "answer"] };
  for (const [rest, ...lines] of [
    [{ task: TASKS["multi-label"], labels: ["a", "b", "c"] }, 'await classify("some text", { top_k: null })'],
    [{ task: TASKS.regression, labels: ["score"] }, "console.log(logits.tolist())"],
    [{ settings: { pairs } }, 'text_pair: ["another text"]', "softmax(-1)"],
    [LM, 'await pipeline("text-generation", "./")'],
  ] as const) {
    const { contents, json } = await exported(SMALL, rest as Partial<AdapterMeta>);
    const readme = contents.get("README.md")!.toString();
    for (const line of lines) assert.match(readme, line);
    if (!("settings" in rest)) continue;
    const { pair } = json("tokenizer.json").post_processor;
    assert.is(pair[1].SpecialToken.id, "<|endoftext|>");
  }
});
