/**
 * Models that bitsandbytes quantised and transformers wrote, with adapters by PEFT (test/exchange/make_quantized.py):
 * their values by hash, what PyTorch computes from the dequantised matrices in float64, and damaged files.
 */

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { Engine } from "../../src/engine/engine.ts";
import { loadBase } from "../../src/engine/state.ts";
import type { ErrorCode } from "../../src/error-codes.ts";
import { ConfigError, LowrankError, ShapeError } from "../../src/errors.ts";
import { planExport } from "../../src/export/index.ts";
import { planStandalone } from "../../src/export/standalone.ts";
import { fingerprint } from "../../src/io/fingerprint.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { loadAdapter } from "../../src/io/open-adapter.ts";
import { baseShapes } from "../../src/names.ts";
import { writeDirectoryAtomic } from "../../src/platform/replacing.ts";
import { numel } from "../../src/tensor.ts";
import { type Case, measureErrors, readCases } from "../exchange/quantized.ts";
import { type Contents, fileContents } from "../fuzz/safetensors-files.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";

const golden = packagePath("test/golden/bitsandbytes");
const CASES = ["nf4", "nf4-double", "int8", "llama-nf4", "qwen2-int8"] as const;
type Name = (typeof CASES)[number];
const expected = readCases(golden) as Record<Name, Case>;
/** float32 beside float64. */
const TOLERANCE = 1e-5;
const sha256 = (values: Float32Array) => createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex");

test("the values of a matrix are those that bitsandbytes dequantises, to the bit", async () => {
  for (const name of CASES) {
    await using model = await openBaseModel(join(golden, name));
    assert.equal(model.names, [...baseShapes(model.config).keys()]);
    for (const [matrix, hash] of Object.entries(expected[name].sha256)) {
      assert.equal(model.shape(matrix), baseShapes(model.config).get(matrix));
      assert.is(sha256(await model.read(matrix)), hash, `${name}: ${matrix}`);
    }
    for (const one of ["wte.weight", "h.0.ln_1.weight"])
      assert.is((await model.read(one)).length, numel(model.shape(one)));
  }
});

test("a QLoRA adapter on its base has PyTorch's logits, loss and gradients", async () => {
  for (const name of CASES) {
    const errors = await measureErrors(golden, name, await testDevice("wasm 1 thread"));
    assert.is(Object.keys(errors).length, 6);
    for (const [what, error] of Object.entries(errors)) assert.ok(error <= TOLERANCE, `${name}: ${what} ${error}`);
  }
});

test("rows are read in any pieces, of one matrix or of several by turns", async () => {
  for (const name of CASES) {
    await using model = await openBaseModel(join(golden, name));
    const [a, b] = ["h.0.mlp.c_proj.weight", "h.0.attn.c_attn.weight"];
    const whole = await model.read(a);
    const [rows, columns] = model.shape(a) as [number, number];
    for (const [start, end] of [
      [0, 1],
      [1, 2],
      [7, 33],
      [rows - 3, rows],
      [5, 5],
    ] as const) {
      await model.read(b, 0, 1);
      assertSameBits(`${name} ${start}`, await model.read(a, start, end), whole.slice(start * columns, end * columns));
    }
    const [one, other] = await Promise.all([model.read(a, 2), model.read(b), model.read(a, 0, 2)]);
    assertSameBits(name, one!, whole.slice(2 * columns));
    assert.is(sha256(other!), expected[name].sha256[b]);
    await assertFails(ShapeError, "rows-out-of-range", [a, `[0, ${rows})`], () => model.read(a, 0, rows + 1));
    await model.close();
    await assertFails(ConfigError, "already-destroyed", ["closed"], () => model.read(a));
  }
});

test("models have fingerprints by their values", async () => {
  const prints = new Set<string>();
  for (const name of CASES) {
    await using model = await openBaseModel(join(golden, name));
    prints.add(await fingerprint(model));
  }
  assert.is(prints.size, CASES.length);
});

test("NF4 with double quantisation is given as it is stored", async () => {
  await using model = await openBaseModel(join(golden, "nf4-double"));
  const name = "h.0.mlp.c_fc.weight";
  const parts = (await model.quantized!(name))!;
  const [inputs, outputs] = model.shape(name) as [number, number];
  const blocks = (inputs * outputs) / 64;
  assert.is(parts.codes.length, (inputs * outputs) / 2);
  assert.is(parts.absmax.length, blocks);
  assert.is(parts.nestedAbsmax.length, Math.ceil(blocks / 256));
  const stored = fileContents(readFileSync(join(golden, "nf4-double/model.safetensors"))).tensors;
  const raw = (part: string) => stored.find((tensor) => tensor.name === `transformer.${name}${part}`)!.data;
  assert.equal(parts.codes, Uint8Array.from(raw("")));
  assert.equal(parts.absmax, Uint8Array.from(raw(".absmax")));
  assert.equal(parts.nestedAbsmax, new Float32Array(Uint8Array.from(raw(".nested_absmax")).buffer));
  const state = JSON.parse(new TextDecoder().decode(raw(".quant_state.bitsandbytes__nf4")));
  assert.is(parts.offset, state.nested_offset);
  assert.is(await model.quantized!("wte.weight"), undefined);
  for (const other of ["nf4", "int8"]) {
    await using model = await openBaseModel(join(golden, other));
    assert.is(await model.quantized!(name), undefined, other);
  }
});

const folder = temporaryFolder();

test("in q4 a model in NF4 with double quantisation keeps its numbers; others are rounded once more", async () => {
  for (const [name, isKept] of [
    ["nf4-double", true],
    ["int8", false],
  ] as const) {
    await using model = await openBaseModel(join(golden, name));
    const spec = {
      config: model.config,
      task: TASKS.classification,
      mode: "last_layer",
      lora: null,
      train_head: true,
      dtype: "q4",
    } as const;
    const capacity = { tokens: 8, sequences: 1 };
    const engine = await Engine.create(await testDevice("wasm 1 thread"), { spec, capacity, optimizer: null });
    await loadBase(engine, model);
    for (const matrix of ["h.0.attn.c_attn.weight", "h.0.mlp.c_proj.weight"]) {
      const [found, stored] = [await engine.readParameter(matrix), await model.read(matrix)];
      assert.is(sha256(found) === sha256(stored), isKept, `${name}: ${matrix}`);
    }
    engine.destroy();
  }
});

test("what is written of a quantised model are floats, and its config says nothing else", async () => {
  await using checkpoint = await openBaseModel(join(golden, "int8"));
  const directory = join(golden, "int8-adapter");
  const adapter = await loadAdapter(directory, checkpoint);
  const merged = join(folder, "merged");
  await writeDirectoryAtomic(merged, (await planExport("merged", { adapter, checkpoint })).files);
  await using again = await openBaseModel(merged);
  // The adapter has no part in this one.
  const name = "h.0.mlp.c_fc.weight";
  assertSameBits(name, await again.read(name), await checkpoint.read(name));
  const plan = await planStandalone("<!--files-->", { title: "", summary: "", example: "" }, directory, checkpoint);
  const pieces: Uint8Array[] = [];
  for await (const piece of plan.write()) pieces.push(piece);
  const [, base64] = /data-file="model\/config.json"[^>]*>([^<]+)</.exec(Buffer.concat(pieces).toString("latin1"))!;
  const config = JSON.parse(Buffer.from(base64!, "base64").toString());
  assert.equal([config.n_embd, config.quantization_config], [64, undefined]);
});

const MATRIX = "h.0.attn.c_attn.weight";
const STATE = "quant_state.bitsandbytes__nf4";

/** What a case may change: a part of MATRIX ("" its codes), the JSON beside it, the config. */
class Model {
  readonly contents: Contents;
  readonly config: Record<string, unknown>;
  constructor(name: Name) {
    this.contents = fileContents(Uint8Array.from(readFileSync(join(golden, name, "model.safetensors"))));
    this.config = JSON.parse(readFileSync(join(golden, name, "config.json"), "utf8"));
  }
  get quantization(): Record<string, unknown> {
    return this.config.quantization_config as Record<string, unknown>;
  }
  part(part: string) {
    const name = `transformer.${part === "SCB" || part === "weight_format" ? MATRIX.replace(/weight$/, part) : MATRIX + (part && `.${part}`)}`;
    return this.contents.tensors.find((tensor) => tensor.name === name)!;
  }
  drop(part: string): void {
    this.contents.tensors.splice(this.contents.tensors.indexOf(this.part(part)), 1);
  }
  /** Keeps the first elements of a part of bytes. */
  cut(part: string, length: number): void {
    const tensor = this.part(part);
    tensor.shape[0] = length;
    tensor.data = tensor.data.slice(0, length);
  }
  float(part: string, value: number): void {
    const tensor = this.part(part);
    new DataView(tensor.data.buffer, tensor.data.byteOffset).setFloat32(4 * (tensor.shape[0]! - 1), value, true);
  }
  state(change: Record<string, unknown> | string): void {
    const tensor = this.part(STATE);
    const old = JSON.parse(new TextDecoder().decode(tensor.data));
    tensor.data = new TextEncoder().encode(typeof change === "string" ? change : JSON.stringify({ ...old, ...change }));
    tensor.shape = [tensor.data.length];
  }
  write(): string {
    const directory = join(folder, String(++count));
    mkdirSync(directory);
    writeFileSync(join(directory, "config.json"), JSON.stringify(this.config));
    const { tensors } = this.contents;
    let end = 0;
    const header = tensors.map(({ name, dtype, shape, data }) => {
      const begin = end;
      end += data.length;
      return [name, { dtype, shape, data_offsets: [begin, end] }];
    });
    const head = Buffer.from(JSON.stringify(Object.fromEntries(header)));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(head.length));
    writeFileSync(
      join(directory, "model.safetensors"),
      Buffer.concat([length, head, ...tensors.map(({ data }) => data)]),
    );
    return directory;
  }
}
let count = 0;

/** Opens and reads a model after a change. */
async function read(name: Name, change: (model: Model) => void) {
  const changed = new Model(name);
  change(changed);
  await using model = await openBaseModel(changed.write());
  return { values: await model.read(MATRIX), parts: await model.quantized!(MATRIX) };
}

type Refusal = [code: ErrorCode, words: string[], change: (model: Model) => void];
const refused = (title: string, name: Name, cases: Refusal[]) =>
  test(title, async () => {
    for (const [code, words, change] of cases) await assertFails(LowrankError, code, words, () => read(name, change));
  });

refused("a quant_state that is damaged or lies is refused", "nf4-double", [
  ["invalid-json", ["not JSON", STATE], (model) => model.cut(STATE, 40)],
  ["invalid-field", ["quant_state is invalid", "an object"], (model) => model.state("[]")],
  ["exceeds-limit", ["nested too deeply"], (model) => model.state("[".repeat(100))],
  ["invalid-quantization", ["too long", "4096"], (model) => model.state(" ".repeat(5000))],
  [
    "invalid-quantization",
    [MATRIX, "wrong shape", "[192, 64], of [out, in]", "[64,192]"],
    (model) => model.state({ shape: [64, 192] }),
  ],
  ["invalid-quantization", ["wrong shape", "null"], (model) => model.state({ shape: null })],
  [
    "invalid-quantization",
    ["absmax", "expected: U8 [96]", "found:    U8 [192]"],
    (model) => model.state({ blocksize: 128 }),
  ],
  ["invalid-field", ["blocksize is invalid"], (model) => model.state({ blocksize: 0.5 })],
  ["invalid-quantization", ["nested_absmax", "F32 [2]"], (model) => model.state({ nested_blocksize: 128 })],
  ["invalid-field", ["nested_offset is invalid"], (model) => model.state({ nested_offset: undefined })],
  ["invalid-json", ["not JSON"], (model) => model.state('{"nested_offset": NaN}')],
  ["invalid-quantization", ["absmax is not finite"], (model) => model.state({ nested_offset: 1e300 })],
  [
    "invalid-quantization",
    ["absmax", "F32 [192]", "U8 [192]"],
    (model) => model.state({ nested_blocksize: undefined, nested_offset: undefined, nested_dtype: undefined }),
  ],
]);

refused("what bitsandbytes has besides NF4 and int8 is refused by name", "nf4-double", [
  ["unsupported-quantization", ["4-bit type fp4 is not supported"], (model) => model.state({ quant_type: "fp4" })],
  [
    "unsupported-quantization",
    ["4-bit type fp4 is not supported", "bnb_4bit_quant_type nf4"],
    (model) => {
      model.part(STATE).name = model.part(STATE).name.replace("nf4", "fp4");
    },
  ],
  ["unsupported-quantization", ["blocksize 48 is not supported", "64"], (model) => model.state({ blocksize: 48 })],
  ["unsupported-quantization", ["nested_blocksize 3 is not"], (model) => model.state({ nested_blocksize: 3 })],
  ["unsupported-quantization", ["nested_dtype float16 is not"], (model) => model.state({ nested_dtype: "float16" })],
  ["unsupported-quantization", ["dtype float64 is not"], (model) => model.state({ dtype: "float64" })],
]);

refused("parts that are missing or have another size or type are refused", "nf4-double", [
  ...["absmax", "quant_map", "nested_absmax", "nested_quant_map", STATE].map(
    (part): Refusal => ["invalid-quantization", [MATRIX, `there is no ${part} of it`], (model) => model.drop(part)],
  ),
  ["invalid-quantization", ["codes", "U8 [6144, 1]", "U8 [6143, 1]"], (model) => model.cut("", 6143)],
  ["wrong-tensors", ["lacks 1 tensor", MATRIX], (model) => model.drop("")],
  ["invalid-quantization", ["absmax", "U8 [191]"], (model) => model.cut("absmax", 191)],
  [
    "invalid-quantization",
    ["nested_absmax", "negative", "-1 at element 0"],
    (model) => model.float("nested_absmax", -1),
  ],
  ["not-finite", ["nested_absmax", "not finite"], (model) => model.float("nested_absmax", Number.NaN)],
  [
    "not-finite",
    ["nested_quant_map", "not finite"],
    (model) => model.float("nested_quant_map", Number.POSITIVE_INFINITY),
  ],
  [
    "invalid-quantization",
    ["quant_map is not NF4's", "1 at element 15", "0.5"],
    (model) => model.float("quant_map", 0.5),
  ],
  [
    "invalid-quantization",
    ["codes", "U8 [6144, 1]", "BF16 [3072, 1]"],
    (model) => Object.assign(model.part(""), { dtype: "BF16", shape: [3072, 1] }),
  ],
]);

refused("magnitudes that are none are refused", "nf4", [
  ["not-finite", ["absmax", "not finite", "NaN at element 60"], (model) => model.float("absmax", Number.NaN)],
  ["not-finite", ["absmax", "not finite"], (model) => model.float("absmax", Number.POSITIVE_INFINITY)],
  ["invalid-quantization", ["absmax", "negative"], (model) => model.float("absmax", -0.1)],
]);

refused("int8 without its scales, or in another order, is refused", "int8", [
  ["invalid-quantization", [MATRIX, "there is no SCB of it", "weight_format"], (model) => model.drop("SCB")],
  ["not-finite", ["SCB", "not finite"], (model) => model.float("SCB", Number.NaN)],
  ["invalid-quantization", ["SCB", "negative"], (model) => model.float("SCB", -2)],
  [
    "unsupported-quantization",
    ["weight_format 2 is not supported"],
    (model) => model.part("weight_format").data.fill(2),
  ],
  [
    "invalid-quantization",
    ["codes", "I8 [192, 64]", "I8 [191, 64]"],
    (model) => {
      model.cut("", 191 * 64);
      model.part("").shape[0] = 191;
    },
  ],
]);

refused("a config that does not belong to the tensors is refused", "int8", [
  [
    "wrong-tensors",
    ["unexpected tensors", "SCB", "quantised by bitsandbytes", "quantization_config"],
    (model) => delete model.config.quantization_config,
  ],
  [
    "invalid-quantization",
    ["codes", "U8 [6144, 1]", "I8 [192, 64]"],
    (model) => Object.assign(model.quantization, { load_in_4bit: true, load_in_8bit: false }),
  ],
  [
    "invalid-quantization",
    ["load_in_4bit or load_in_8bit"],
    (model) => Object.assign(model.quantization, { load_in_4bit: true }),
  ],
  [
    "invalid-quantization",
    ["load_in_4bit or load_in_8bit"],
    (model) => delete model.quantization.load_in_8bit && delete model.quantization.load_in_4bit,
  ],
  [
    "unsupported-quantization",
    ['"gptq" is not supported', "bitsandbytes"],
    (model) => Object.assign(model.quantization, { quant_method: "gptq" }),
  ],
  [
    "unsupported-quantization",
    ["llm_int8_has_fp16_weight"],
    (model) => Object.assign(model.quantization, { llm_int8_has_fp16_weight: true }),
  ],
  [
    "invalid-field",
    ["quantization_config is invalid"],
    (model) => Object.assign(model.config, { quantization_config: [1] }),
  ],
  [
    "invalid-quantization",
    ["delete quantization_config"],
    (model) => {
      model.contents.tensors.length = 0;
      model.contents.tensors.push({ name: "wte.weight", dtype: "F32", shape: [1], data: new Uint8Array(4) });
    },
  ],
]);

test("what does not change the values is no obstacle", async () => {
  const same = async (name: Name, change: (model: Model) => void) => {
    const { values, parts } = await read(name, change);
    assert.is(sha256(values), expected[name].sha256[MATRIX]);
    return parts;
  };
  // Outliers are a matter of the activations.
  await same("int8", (model) => Object.assign(model.quantization, { llm_int8_threshold: 3 }));
  await same("int8", (model) => model.drop("weight_format"));
  await same("nf4", (model) => delete model.quantization.quant_method);
  await same("nf4", (model) => model.state({ dtype: "bfloat16" }));
  assert.is.not(await same("nf4-double", (model) => model.state({ dtype: "float16" })), undefined);
});

test("a map of other numbers is read, but not given as it is stored", async () => {
  const { values, parts } = await read("nf4-double", (model) => model.float("nested_quant_map", 0.5));
  assert.is.not(sha256(values), expected["nf4-double"].sha256[MATRIX]);
  assert.is(parts, undefined);
});
