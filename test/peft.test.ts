import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type GPT2Config, type LoraConfig, loraScale, SCALINGS, type Target } from "../src/config.ts";
import { ConfigError, FormatError, ShapeError } from "../src/errors.ts";
import { adapterShapes } from "../src/io/adapter-meta.ts";
import { type AdapterMeta, readAdapter, type Tensors, writeAdapter } from "../src/io/peft.ts";
import { constantDirection } from "../src/io/peft-layout.ts";
import { encodeSafetensors, SafetensorsFile } from "../src/io/safetensors.ts";
import { openFile } from "../src/platform/node.ts";
import { sameShape } from "../src/tensor.ts";
import { assertAllClose } from "./allclose.ts";
import { assertFails, assertSameBits, numbers, temporaryFolder } from "./border.ts";
import { test } from "./harness.ts";

const folder = temporaryFolder();
const model: GPT2Config = {
  vocab_size: 23,
  n_positions: 10,
  n_layer: 2,
  n_head: 2,
  n_embd: 8,
  layer_norm_epsilon: 1e-5,
};
const ALL: Target[] = ["q", "k", "v", "o", "fc", "proj", "head"];
/** Two float32 roundings apart, at most: both sides sum in double precision and round once. */
const ROUNDED = { atol: 1e-6, rtol: 1e-6 };

function metaOf(lora: Partial<LoraConfig> = {}, rest: Partial<AdapterMeta> = {}): AdapterMeta {
  return {
    base_model: "gpt2-micro",
    model,
    mode: "lora",
    lora: { r: 3, lora_alpha: 5, scaling: "alpha/r", init: "kaiming", target_modules: ALL, ...lora },
    task: { objective: "classification", num_labels: 2, pooling: "last-token", head_bias: false },
    labels: ["ham", "spam"],
    settings: { padding: "none", max_length: 10 },
    ...rest,
  };
}

function tensorsOf(meta: AdapterMeta, seed = 1): Tensors {
  const random = numbers(seed);
  return new Map([...adapterShapes(meta)].map(([name, shape]) => [name, { shape, data: random(shape) }]));
}

async function readAll(path: string): Promise<Tensors> {
  const file = await SafetensorsFile.open(await openFile(path));
  const tensors: Tensors = new Map();
  for (const name of file.names) tensors.set(name, { shape: file.info(name).shape, data: await file.readF32(name) });
  await file.close();
  return tensors;
}

const readConfig = (directory: string) => JSON.parse(readFileSync(join(directory, "adapter_config.json"), "utf8"));

async function assertRoundTrip(name: string, meta: AdapterMeta): Promise<string> {
  const directory = join(folder, name);
  const tensors = tensorsOf(meta);
  await writeAdapter(directory, { meta, tensors });
  const read = await readAdapter(directory);
  assert.equal(read.meta, meta);
  assert.equal([...read.tensors.keys()], [...adapterShapes(meta).keys()]);
  for (const [key, { shape, data }] of tensors) {
    assert.ok(sameShape(read.tensors.get(key)!.shape, shape), key);
    assertSameBits(key, read.tensors.get(key)!.data, data);
  }
  return directory;
}

/** scale * B A of one of PEFT's modules, [out, in], read as PEFT reads it: rank and alpha by pattern. */
async function peftDelta(directory: string, module: string): Promise<{ delta: Float64Array; rank: number }> {
  const config = readConfig(directory);
  const tensors = await readAll(join(directory, "adapter_model.safetensors"));
  const name = module.replace(/^transformer\.h\.\d+\./, "");
  assert.ok(config.target_modules.includes(name), name);
  const rank: number = config.rank_pattern[name] ?? config.r;
  const alpha: number = config.alpha_pattern[name] ?? config.lora_alpha;
  const scale = config.use_rslora ? alpha / Math.sqrt(rank) : alpha / rank;
  const A = tensors.get(`base_model.model.${module}.lora_A.weight`)!;
  const B = tensors.get(`base_model.model.${module}.lora_B.weight`)!;
  assert.is(A.shape[0], rank);
  assert.is(B.shape[1], rank);
  return { delta: product(B.data, A.data, rank, A.shape[1]!, scale), rank };
}

/** scale * B A, [out, in], in double precision. */
function product(B: Float32Array, A: Float32Array, r: number, columns: number, scale: number): Float64Array {
  const rows = B.length / r;
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++)
    for (let k = 0; k < r; k++)
      for (let j = 0; j < columns; j++) out[i * columns + j]! += scale * B[i * r + k]! * A[k * columns + j]!;
  return out;
}

function ourDelta(tensors: Tensors, site: string, lora: LoraConfig): Float64Array {
  const A = tensors.get(`lora.${site}.A`)!;
  return product(tensors.get(`lora.${site}.B`)!.data, A.data, lora.r, A.shape[1]!, loraScale(lora));
}

for (const targets of [
  ALL,
  ["q", "v"],
  ["q", "k", "v"],
  ["k"],
  ["v", "o"],
  ["o", "proj"],
  ["fc", "head"],
] as Target[][])
  for (const scaling of SCALINGS)
    test(`${targets.join(" ")}, ${scaling}: bit-exact round trip, and PEFT's product is ours`, async () => {
      const meta = metaOf({ target_modules: targets, scaling });
      const lora = meta.lora!;
      const directory = await assertRoundTrip(`${targets.join("-")}-${SCALINGS.indexOf(scaling)}`, meta);
      const tensors = tensorsOf(meta);
      const C = model.n_embd;
      for (let layer = 0; layer < model.n_layer; layer++) {
        if (targets.some((target) => "qkv".includes(target))) {
          const { delta, rank } = await peftDelta(directory, `transformer.h.${layer}.attn.c_attn`);
          assert.is(rank, 3 * targets.filter((target) => "qkv".includes(target)).length);
          const expected = new Float64Array(3 * C * C);
          for (const [third, target] of (["q", "k", "v"] as const).entries())
            if (targets.includes(target))
              expected.set(ourDelta(tensors, `h.${layer}.attn.${target}`, lora), third * C * C);
          assertAllClose(`c_attn ${layer}`, delta, expected, ROUNDED);
        }
        for (const [target, site, module] of [
          ["o", "attn.o", "attn.c_proj"],
          ["fc", "mlp.fc", "mlp.c_fc"],
          ["proj", "mlp.proj", "mlp.c_proj"],
        ] as const)
          if (targets.includes(target)) {
            const { delta } = await peftDelta(directory, `transformer.h.${layer}.${module}`);
            assertAllClose(module, delta, ourDelta(tensors, `h.${layer}.${site}`, lora), ROUNDED);
          }
      }
      const score = (await readAll(join(directory, "adapter_model.safetensors"))).get("base_model.model.score.weight")!;
      const head = Float64Array.from(tensors.get("head.weight")!.data);
      if (targets.includes("head"))
        for (const [i, value] of ourDelta(tensors, "head", lora).entries()) head[i]! += value;
      assertAllClose("score", score.data, head, ROUNDED);
    });

test("the directory is PEFT's: files, names, sorted keys, metadata", async () => {
  const directory = join(folder, "layout");
  const meta = metaOf({ target_modules: ["q", "v", "proj"] });
  assert.equal(await writeAdapter(directory, { meta, tensors: tensorsOf(meta) }), { peft: true });
  assert.equal(readdirSync(directory).sort(), [
    "adapter_config.json",
    "adapter_model.safetensors",
    "lowrank.json",
    "lowrank.safetensors",
  ]);
  const file = await SafetensorsFile.open(await openFile(join(directory, "adapter_model.safetensors")));
  assert.equal(file.metadata, { format: "pt" });
  assert.equal(
    file.names.filter((name) => !name.includes(".h.1.")),
    [
      "base_model.model.score.weight",
      "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight",
      "base_model.model.transformer.h.0.attn.c_attn.lora_B.weight",
      "base_model.model.transformer.h.0.mlp.c_proj.lora_A.weight",
      "base_model.model.transformer.h.0.mlp.c_proj.lora_B.weight",
    ],
  );
  const shape = (name: string) => file.info(`base_model.model.transformer.h.0.${name}.weight`).shape;
  assert.equal(shape("attn.c_attn.lora_A"), [6, 8]);
  assert.equal(shape("attn.c_attn.lora_B"), [24, 6]);
  assert.equal(shape("mlp.c_proj.lora_A"), [3, 32]);
  assert.equal(shape("mlp.c_proj.lora_B"), [8, 3]);
  await file.close();
  const config = readConfig(directory);
  assert.equal(Object.keys(config), Object.keys(config).sort());
  assert.equal(config, {
    alpha_pattern: { "attn.c_attn": 10 },
    base_model_name_or_path: "gpt2-micro",
    bias: "none",
    fan_in_fan_out: true,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: 5,
    lora_dropout: 0,
    modules_to_save: ["classifier", "score"],
    peft_type: "LORA",
    r: 3,
    rank_pattern: { "attn.c_attn": 6 },
    target_modules: ["attn.c_attn", "mlp.c_proj"],
    task_type: "SEQ_CLS",
    use_rslora: false,
  });
});

test("-0, infinities, NaN and subnormals come back as they were", async () => {
  const meta = metaOf({ target_modules: ["q", "k", "fc"] });
  const tensors = tensorsOf(meta);
  for (const { data } of tensors.values()) data.set([-0, Number.POSITIVE_INFINITY, Number.NaN, 1e-42, -3.4e38]);
  const directory = join(folder, "special");
  await writeAdapter(directory, { meta, tensors });
  for (const [name, { data }] of (await readAdapter(directory)).tensors)
    assertSameBits(name, data, tensors.get(name)!.data);
});

test("a language model's head has an adapter in PEFT, on lm_head", async () => {
  const task = { objective: "lm", num_labels: 0, pooling: "last-token", head_bias: false } as const;
  const directory = await assertRoundTrip("lm", metaOf({ target_modules: ["q", "head"] }, { task, labels: [] }));
  const { target_modules, task_type, modules_to_save } = readConfig(directory);
  assert.equal([target_modules, task_type, modules_to_save], [["attn.c_attn", "lm_head"], "CAUSAL_LM", null]);
  const peft = await readAll(join(directory, "adapter_model.safetensors"));
  assert.equal(peft.get("base_model.model.lm_head.lora_B.weight")!.shape, [23, 3]);
  assert.not.ok(existsSync(join(directory, "lowrank.safetensors")));
});

for (const mode of ["all", "last_block", "last_layer"] as const)
  test(`mode ${mode}: trained tensors and the head, bit-exact`, async () => {
    const task = { objective: "classification", num_labels: 2, pooling: "last", head_bias: true } as const;
    const directory = await assertRoundTrip(mode, metaOf({}, { mode, lora: null, task }));
    assert.equal(readdirSync(directory).sort(), ["lowrank.json", "weights.safetensors"]);
  });

const biased = metaOf({}, { task: { objective: "classification", num_labels: 2, pooling: "last", head_bias: true } });

test("a head bias: no PEFT files without the final norm, and everything still comes back", async () => {
  const directory = await assertRoundTrip("bias", biased);
  assert.equal(readdirSync(directory).sort(), ["lowrank.json", "lowrank.safetensors"]);
  const { peft, reason } = await writeAdapter(directory, { meta: biased, tensors: tensorsOf(biased) });
  assert.is(peft, false);
  assert.match(reason!, "bias");
});

test("a head bias folds into score.weight: the same logits for every output of the final norm", async () => {
  const random = numbers(7);
  const C = model.n_embd;
  const finalNorm = { weight: random([C]).map((x) => 1.5 + 0.2 * x), bias: random([C]).map((x) => 0.3 + 0.3 * x) };
  const directory = join(folder, "folded");
  const tensors = tensorsOf(biased);
  assert.equal(await writeAdapter(directory, { meta: biased, tensors }, { finalNorm }), { peft: true });
  for (const [name, { data }] of (await readAdapter(directory)).tensors)
    assertSameBits(name, data, tensors.get(name)!.data);
  const score = (await readAll(join(directory, "adapter_model.safetensors"))).get(
    "base_model.model.score.weight",
  )!.data;
  const delta = ourDelta(tensors, "head", biased.lora!);
  for (let trial = 0; trial < 20; trial++) {
    const raw = random([C]);
    const mean = raw.reduce((sum, x) => sum + x, 0) / C;
    const deviation = Math.sqrt(raw.reduce((sum, x) => sum + (x - mean) ** 2, 0) / C);
    const x = Float64Array.from(raw, (v, i) => ((v - mean) / deviation) * finalNorm.weight[i]! + finalNorm.bias[i]!);
    const logits = (weight: (i: number) => number, bias: (label: number) => number) =>
      [0, 1].map((label) => x.reduce((sum, value, c) => sum + weight(label * C + c) * value, bias(label)));
    const expected = logits(
      (i) => tensors.get("head.weight")!.data[i]! + delta[i]!,
      (label) => tensors.get("head.bias")!.data[label]!,
    );
    assertAllClose(
      "logits",
      logits(
        (i) => score[i]!,
        () => 0,
      ),
      expected,
      { atol: 1e-5, rtol: 1e-5 },
    );
  }
});

test("a bias is not folded along a direction that is not there", () => {
  const weight = new Float32Array(8).fill(1);
  assert.is(constantDirection({ weight, bias: new Float32Array(8) }), undefined);
  assert.is(constantDirection({ weight, bias: Float32Array.of(1, -1, 1, -1, 1, -1, 1, -1.000001) }), undefined);
  assert.is(constantDirection({ weight: new Float32Array(8), bias: weight }), undefined);
});

test("head alone has no place in PEFT but comes back", async () => {
  const directory = await assertRoundTrip("head-only", metaOf({ target_modules: ["head"] }));
  assert.not.ok(existsSync(join(directory, "adapter_config.json")));
});

test("an adapter is replaced whole; a directory with other files is left alone", async () => {
  const directory = join(folder, "replace");
  await writeAdapter(directory, { meta: metaOf(), tensors: tensorsOf(metaOf()) });
  await writeAdapter(directory, { meta: biased, tensors: tensorsOf(biased) });
  assert.equal(readdirSync(directory).sort(), ["lowrank.json", "lowrank.safetensors"]);
  assert.equal((await readAdapter(directory)).meta, biased);
  writeFileSync(join(directory, "thesis.txt"), "mine");
  await assertFails(ConfigError, ["thesis.txt", directory], () =>
    writeAdapter(directory, { meta: biased, tensors: tensorsOf(biased) }),
  );
  assert.is(readFileSync(join(directory, "thesis.txt"), "utf8"), "mine");
  assert.equal(
    readdirSync(folder).filter((name) => name.startsWith(".")),
    [],
  );
});

test("writing refuses tensors that are missing, extra or of the wrong shape, and leaves nothing behind", async () => {
  const directory = join(folder, "refused");
  const meta = metaOf();
  const write = (change: (tensors: Tensors) => void) => () => {
    const tensors = tensorsOf(meta);
    change(tensors);
    return writeAdapter(directory, { meta, tensors });
  };
  await assertFails(
    FormatError,
    ["head.weight"],
    write((tensors) => tensors.delete("head.weight")),
  );
  const stray = { shape: [1], data: new Float32Array(1) };
  await assertFails(
    FormatError,
    ["lora.h.2.attn.q.A"],
    write((tensors) => tensors.set("lora.h.2.attn.q.A", stray)),
  );
  await assertFails(
    ShapeError,
    ["head.weight", "[2, 8]", "[1]"],
    write((tensors) => tensors.set("head.weight", stray)),
  );
  assert.not.ok(existsSync(directory));
});

/** A good adapter with q and v, changed by `change` before it is read. */
async function damaged(name: string, change: (directory: string) => void | Promise<void>): Promise<() => unknown> {
  const directory = join(folder, `damaged-${name}`);
  const meta = metaOf({ target_modules: ["q", "v"] });
  await writeAdapter(directory, { meta, tensors: tensorsOf(meta) });
  await change(directory);
  return () => readAdapter(directory);
}

async function rewrite(path: string, change: (tensors: Tensors) => void): Promise<void> {
  const tensors = await readAll(path);
  change(tensors);
  writeFileSync(path, encodeSafetensors([...tensors].map(([name, t]) => ({ name, dtype: "F32", ...t }))));
}

const PEFT_A = "base_model.model.transformer.h.1.attn.c_attn.lora_A.weight";
const PEFT_B = "base_model.model.transformer.h.1.attn.c_attn.lora_B.weight";
const peftFile = (directory: string) => join(directory, "adapter_model.safetensors");

test("reading names what is missing, misnamed, extra, of the wrong shape or no longer ours", async () => {
  const cases: [string, typeof FormatError, string[], (tensors: Tensors) => void][] = [
    ["missing", FormatError, [PEFT_A, "missing"], (tensors) => tensors.delete(PEFT_A)],
    [
      "prefix",
      FormatError,
      [PEFT_A],
      (tensors) => {
        tensors.set(PEFT_A.replace("base_model.model.", ""), tensors.get(PEFT_A)!);
        tensors.delete(PEFT_A);
      },
    ],
    [
      "extra",
      FormatError,
      ["base_model.model.score.bias"],
      (tensors) => tensors.set("base_model.model.score.bias", { shape: [2], data: new Float32Array(2) }),
    ],
    [
      "shape",
      ShapeError,
      [PEFT_B, "[24, 6]", "[6, 24]"],
      (tensors) => tensors.set(PEFT_B, { shape: [6, 24], data: tensors.get(PEFT_B)!.data }),
    ],
    ["retrained", FormatError, [PEFT_B, "block-diagonal"], (tensors) => tensors.get(PEFT_B)!.data.fill(1)],
  ];
  for (const [name, kind, words, change] of cases)
    await assertFails(kind, words, await damaged(name, (directory) => rewrite(peftFile(directory), change)));
  await assertFails(
    FormatError,
    ["head.weight", "lora.head.A"],
    await damaged("own", (directory) =>
      rewrite(join(directory, "lowrank.safetensors"), (tensors) => {
        tensors.set("lora.head.A", tensors.get("head.weight")!);
        tensors.delete("head.weight");
      }),
    ),
  );
});

test("reading refuses a configuration that was changed, is damaged, or is not there", async () => {
  const edit = (file: string, change: (text: string) => string) => (directory: string) =>
    writeFileSync(join(directory, file), change(readFileSync(join(directory, file), "utf8")));
  await assertFails(
    FormatError,
    ["lora_alpha", "5", "50"],
    await damaged(
      "alpha",
      edit("adapter_config.json", (text) => text.replace('"lora_alpha": 5', '"lora_alpha": 50')),
    ),
  );
  await assertFails(
    FormatError,
    ["JSON"],
    await damaged(
      "json",
      edit("lowrank.json", (text) => text.slice(0, -5)),
    ),
  );
  await assertFails(
    ConfigError,
    ["rank", "0"],
    await damaged(
      "rank",
      edit("lowrank.json", (text) => text.replace('"r": 3', '"r": 0')),
    ),
  );
  await assertFails(
    ConfigError,
    ["target module", '"Q"', "did you mean q"],
    await damaged(
      "target",
      edit("lowrank.json", (text) => text.replace('"q"', '"Q"')),
    ),
  );
  await assertFails(
    FormatError,
    ["version", "2"],
    await damaged(
      "version",
      edit("lowrank.json", (text) => text.replace('"version": 1', '"version": 2')),
    ),
  );
  await assertFails(
    FormatError,
    ["no settings", "mood"],
    await damaged(
      "keys",
      edit("lowrank.json", (text) => text.replace('"settings"', '"mood"')),
    ),
  );
  await assertFails(ConfigError, ["lowrank.json", "no such directory"], () => readAdapter(join(folder, "nowhere")));
  mkdirSync(join(folder, "stranger"));
  writeFileSync(join(folder, "stranger", "cat.png"), "");
  await assertFails(ConfigError, ["lowrank.json", "cat.png"], () => readAdapter(join(folder, "stranger")));
});

/** An adapter as PEFT writes it: one A and B for c_attn. */
function foreign(name: string, config: object = {}, change: (tensors: Tensors) => void = () => {}): string {
  const directory = join(folder, `foreign-${name}`);
  mkdirSync(directory);
  const random = numbers(11);
  const tensors: Tensors = new Map();
  const add = (key: string, ...shape: number[]) => tensors.set(key, { shape, data: random(shape) });
  for (let layer = 0; layer < model.n_layer; layer++)
    for (const [module, inputs, outputs] of [
      ["attn.c_attn", 8, 24],
      ["attn.c_proj", 8, 8],
      ["mlp.c_proj", 32, 8],
    ] as const) {
      add(`base_model.model.transformer.h.${layer}.${module}.lora_A.weight`, 2, inputs);
      add(`base_model.model.transformer.h.${layer}.${module}.lora_B.weight`, outputs, 2);
    }
  add("base_model.model.score.weight", 3, 8);
  change(tensors);
  const basics = { peft_type: "LORA", task_type: "SEQ_CLS", base_model_name_or_path: "gpt2", r: 2, lora_alpha: 16 };
  writeFileSync(join(directory, "adapter_config.json"), JSON.stringify({ ...basics, bias: "none", ...config }));
  const encoded = [...tensors].map(([key, tensor]) => ({ name: key, dtype: "F32" as const, ...tensor }));
  writeFileSync(peftFile(directory), encodeSafetensors(encoded, { format: "pt" }));
  return directory;
}

test("an adapter that PEFT trained: the same product, q, k and v apart, and writable as ours", async () => {
  const directory = foreign("plain", { use_rslora: true });
  const { meta, tensors } = await readAdapter(directory, { model });
  assert.equal(meta.lora, {
    r: 2,
    lora_alpha: 16,
    scaling: "alpha/sqrt(r)",
    init: "kaiming",
    target_modules: ["q", "k", "v", "o", "proj"],
  });
  assert.equal([meta.labels, meta.task.num_labels, meta.base_model], [["LABEL_0", "LABEL_1", "LABEL_2"], 3, "gpt2"]);
  const peft = await readAll(peftFile(directory));
  const C = model.n_embd;
  for (let layer = 0; layer < model.n_layer; layer++) {
    const [A, B] = ["A", "B"].map(
      (part) => peft.get(`base_model.model.transformer.h.${layer}.attn.c_attn.lora_${part}.weight`)!.data,
    );
    const fused = product(B!, A!, 2, C, 16 / Math.sqrt(2));
    for (const [third, target] of ["q", "k", "v"].entries())
      assert.equal(
        ourDelta(tensors, `h.${layer}.attn.${target}`, meta.lora!),
        fused.slice(third * C * C, (third + 1) * C * C),
      );
  }
  assertSameBits("head", tensors.get("head.weight")!.data, peft.get("base_model.model.score.weight")!.data);
  const copy = join(folder, "foreign-copy");
  assert.equal(await writeAdapter(copy, { meta, tensors }), { peft: true });
  assert.equal(await readAdapter(copy), { meta, tensors });
});

test("patterns that make every module the same are read as PEFT reads them", async () => {
  const patterns = { r: 9, rank_pattern: { ".*": 2 }, alpha_pattern: { "c_attn|c_proj": 4 } };
  const { meta } = await readAdapter(foreign("patterns", patterns), { model });
  assert.equal([meta.lora!.r, meta.lora!.lora_alpha], [2, 4]);
});

test("adapters of PEFT that cannot be taken over are refused by name", async () => {
  const refused = (name: string, config: object, change?: (tensors: Tensors) => void) => () =>
    readAdapter(foreign(name, config, change), { model });
  for (const [key, value] of Object.entries({
    peft_type: "IA3",
    task_type: "TOKEN_CLS",
    bias: "all",
    use_dora: true,
    init_lora_weights: "pissa",
  }))
    await assertFails(
      ConfigError,
      [`${key} = ${JSON.stringify(value)}`, "adapter_config.json"],
      refused(key, { [key]: value }),
    );
  await assertFails(
    ConfigError,
    ["differ in rank or alpha", "alpha 8"],
    refused("alpha", { alpha_pattern: { c_attn: 8 } }),
  );
  await assertFails(FormatError, ["rank of the configuration", "3 rows", "[2, 8]"], refused("rank", { r: 3 }));
  const first = "base_model.model.transformer.h.0.mlp.c_proj.lora_B.weight";
  await assertFails(
    FormatError,
    ["lacks tensors", "transformer.h.0.mlp.c_proj"],
    refused("half", {}, (tensors) => tensors.delete(first)),
  );
  await assertFails(
    FormatError,
    ["lora.h.1.mlp.proj.A"],
    refused("layer", {}, (tensors) => {
      for (const part of "AB") tensors.delete(`base_model.model.transformer.h.1.mlp.c_proj.lora_${part}.weight`);
    }),
  );
  await assertFails(
    FormatError,
    ["not supported", "score.bias"],
    refused("bias-tensor", {}, (tensors) =>
      tensors.set("base_model.model.score.bias", { shape: [3], data: new Float32Array(3) }),
    ),
  );
  await assertFails(
    FormatError,
    ["score.weight is missing"],
    refused("score", {}, (tensors) => tensors.delete("base_model.model.score.weight")),
  );
  await assertFails(
    ShapeError,
    ["mlp.proj.B", "[8, 2]", "[2, 8]"],
    refused("turned", {}, (tensors) => tensors.set(first, { shape: [2, 8], data: new Float32Array(16) })),
  );
  await assertFails(ConfigError, ["adapter_config.json", "name that too"], () => readAdapter(foreign("no-model")));
});
