import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import type { Target } from "../../../src/core/names.ts";
import { sameShape } from "../../../src/core/tensor.ts";
import { adapterShapes, checkMeta } from "../../../src/io/peft/adapter-meta.ts";
import { type AdapterMeta, readAdapter } from "../../../src/io/peft/peft.ts";
import { parsePeftConfig } from "../../../src/io/peft/peft-config.ts";
import { constantDirection } from "../../../src/io/peft/peft-write.ts";
import { SafetensorsFile } from "../../../src/io/safetensors/safetensors.ts";
import { SCALINGS } from "../../../src/methods/lora.ts";
import { openFile } from "../../../src/platform/node.ts";
import {
  drawTensors,
  LM,
  model,
  modeMeta,
  ourDelta,
  product,
  readAll,
  testMeta,
  writeAdapter,
} from "../../helpers/adapters.ts";
import { assertAllClose } from "../../helpers/allclose.ts";
import { assertFails, assertSameBits, numbers, temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { ALL_TARGETS } from "../../helpers/models.ts";

const folder = temporaryFolder();
/** Two float32 roundings apart, at most: both sides sum in double precision and round once. */
const ROUNDED = { atol: 1e-6, rtol: 1e-6 };

const BIASED = { objective: "classification", num_labels: 2, pooling: "last", head_bias: true } as const;

const readConfig = (directory: string) => JSON.parse(readFileSync(join(directory, "adapter_config.json"), "utf8"));

async function assertRoundTrip(name: string, meta: AdapterMeta): Promise<string> {
  const directory = join(folder, name);
  const tensors = drawTensors(meta);
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

for (const targets of [
  ALL_TARGETS,
  ["q", "v"],
  ["q", "k", "v"],
  ["k"],
  ["v", "o"],
  ["o", "proj"],
  ["fc", "head"],
] as Target[][])
  for (const scaling of SCALINGS)
    test(`${targets.join(" ")}, ${scaling}: bit-exact round trip, and PEFT's product is ours`, async () => {
      const meta = testMeta({ target_modules: targets, scaling });
      const lora = meta.lora!;
      const directory = await assertRoundTrip(`${targets.join("-")}-${SCALINGS.indexOf(scaling)}`, meta);
      const tensors = drawTensors(meta);
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
  const meta = testMeta({ target_modules: ["q", "v", "proj"] });
  assert.equal(await writeAdapter(directory, { meta, tensors: drawTensors(meta) }), { peft: true });
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

test("dropout is PEFT's lora_dropout, and may be changed there: it does not affect what the adapter computes", async () => {
  const directory = await assertRoundTrip("dropout", testMeta({ target_modules: ["q"], lora_dropout: 0.1 }));
  const config = readConfig(directory);
  assert.is(config.lora_dropout, 0.1);
  const { lora } = await parsePeftConfig(config, model, "c");
  assert.is(lora.lora_dropout, 0.1);
  assert.not.ok("lora_dropout" in (await parsePeftConfig({ ...config, lora_dropout: 0 }, model, "c")).lora);
  writeFileSync(join(directory, "adapter_config.json"), JSON.stringify({ ...config, lora_dropout: 0.5 }));
  assert.is((await readAdapter(directory)).meta.lora!.lora_dropout, 0.1);
});

for (const rest of [{}, LM])
  test(`DoRA, ${rest === LM ? "a language model" : "a classifier"}: PEFT's magnitudes are ours, of whole modules`, async () => {
    const meta = testMeta({ target_modules: ["q", "v", "proj"], use_dora: true }, rest);
    const directory = await assertRoundTrip(`dora-${meta.task.objective}`, meta);
    const [ours, peft] = [drawTensors(meta), await readAll(join(directory, "adapter_model.safetensors"))];
    assert.is(readConfig(directory).use_dora, true);
    assert.equal([...ours.keys()].filter((name) => name.endsWith("magnitude")).length, 4);
    for (const [layer, size] of [
      ["h.0.attn.c_attn", 24],
      ["h.1.mlp.c_proj", 8],
    ] as const) {
      const theirs = peft.get(`base_model.model.transformer.${layer}.lora_magnitude_vector`)!;
      assert.equal(theirs.shape, [size]);
      assertSameBits(layer, theirs.data, ours.get(`lora.${layer}.magnitude`)!.data);
    }
    const config = join(directory, "adapter_config.json");
    writeFileSync(config, readFileSync(config, "utf8").replace('"use_dora": true', '"use_dora": false'));
    await assertFails("damaged-adapter", ["use_dora", "true", "false"], () => readAdapter(directory));
  });

test("DoRA on the head, and with a rank of its own for q, k or v, is refused", async () => {
  const sites = [{ site: "h.0.attn.k", r: 2, scale: 1 }];
  const cases: [ErrorCode, words: string[], lora: Parameters<typeof testMeta>[0]][] = [
    ["invalid-lora-config", ["DoRA outside the blocks", "leave head and wte out"], { target_modules: ["o", "head"] }],
    ["invalid-adapter-config", ["h.0.attn.k", "c_attn"], { target_modules: ["k"], sites }],
    ["invalid-field", ["use_dora", "true or false", "1"], { target_modules: ["o"], use_dora: 1 as unknown as true }],
  ];
  for (const [code, words, lora] of cases)
    await assertFails(code, words, () => checkMeta(testMeta({ use_dora: true, ...lora }), "meta"));
});

test("-0, subnormals and the largest numbers come back as they were", async () => {
  const meta = testMeta({ target_modules: ["q", "k", "fc"] });
  const tensors = drawTensors(meta);
  for (const { data } of tensors.values()) data.set([-0, 1e-42, -3.4028234663852886e38, 3.4028234663852886e38]);
  const directory = join(folder, "special");
  await writeAdapter(directory, { meta, tensors });
  for (const [name, { data }] of (await readAdapter(directory)).tensors)
    assertSameBits(name, data, tensors.get(name)!.data);
});

test("a language model's head has an adapter in PEFT, on lm_head", async () => {
  const directory = await assertRoundTrip("lm", testMeta({ target_modules: ["q", "head"] }, LM));
  const { target_modules, task_type, modules_to_save } = readConfig(directory);
  assert.equal([target_modules, task_type, modules_to_save], [["attn.c_attn", "lm_head"], "CAUSAL_LM", null]);
  const peft = await readAll(join(directory, "adapter_model.safetensors"));
  assert.equal(peft.get("base_model.model.lm_head.lora_B.weight")!.shape, [23, 3]);
  assert.not.ok(existsSync(join(directory, "lowrank.safetensors")));
});

test("adapters in some blocks: PEFT's layers_to_transform, for a classifier and a language model", async () => {
  const lora = { target_modules: ["q", "v", "proj", "head"] as Target[], layers_to_transform: [1] };
  const directory = await assertRoundTrip("some-layers", testMeta(lora));
  const { target_modules, layers_to_transform, rank_pattern } = readConfig(directory);
  assert.equal(
    [target_modules, layers_to_transform, rank_pattern],
    [["attn.c_attn", "mlp.c_proj"], [1], { "attn.c_attn": 6 }],
  );
  const keys = [...(await readAll(join(directory, "adapter_model.safetensors"))).keys()];
  assert.equal(
    keys.filter((key) => !key.includes(".h.1.")),
    ["base_model.model.score.weight"],
  );
  // A module that is named in full, as lm_head is, has its adapter whatever the layers.
  const causal = await assertRoundTrip("some-layers-lm", testMeta(lora, LM));
  assert.equal(
    (await parsePeftConfig(readConfig(causal), model, "c")).adapted.map(({ name }) => name),
    ["transformer.h.1.attn.c_attn", "transformer.h.1.mlp.c_proj", "lm_head"],
  );
  const config = join(directory, "adapter_config.json");
  writeFileSync(
    config,
    readFileSync(config, "utf8").replace(/"layers_to_transform": \[\s*1\s*\]/, '"layers_to_transform": [0]'),
  );
  await assertFails("damaged-adapter", ["layers_to_transform", "[1]", "[0]"], () => readAdapter(directory));
  const strange = testMeta({ ...lora, layers_to_transform: [2] });
  await assertFails("invalid-adapter-config", ["no such layer", "0 to 1"], () => checkMeta(strange, "meta"));
});

for (const mode of ["all", "last_block", "last_layer", "bitfit", "adapter"] as const)
  for (const task of mode === "last_layer" ? [{ task: BIASED }] : [{ task: BIASED }, LM])
    test(`mode ${mode}, ${task.task!.objective}: trained tensors and the head, bit-exact`, async () => {
      const meta = testMeta({}, { ...modeMeta(mode), ...task });
      const directory = await assertRoundTrip(`${mode}-${task.task!.objective}`, meta);
      assert.equal(readdirSync(directory).sort(), ["lowrank.json", "weights.safetensors"]);
      const { peft, reason } = await writeAdapter(directory, { meta, tensors: drawTensors(meta) });
      assert.equal([peft, reason!.includes("not one of its methods")], [false, true]);
    });

/** A final norm along whose bias that of a head can be folded. */
const finalNorm = { weight: new Float32Array(model.n_embd).fill(1), bias: new Float32Array(model.n_embd).fill(0.5) };

for (const mode of ["prompt", "prefix"] as const)
  for (const rest of [{ task: BIASED }, LM])
    test(`mode ${mode}, ${rest.task!.objective}: all comes back; without the final norm a bias is in our own file`, async () => {
      const meta = testMeta({}, { ...modeMeta(mode), ...rest });
      const tensors = drawTensors(meta);
      const directory = join(folder, `${mode}-${rest.task!.objective}`);
      const isLm = rest === LM;
      assert.equal(await writeAdapter(directory, { meta, tensors }, { finalNorm }), { peft: true });
      const ours = isLm ? ["lowrank.json"] : ["lowrank.json", "lowrank.safetensors"];
      assert.equal(readdirSync(directory).sort(), ["adapter_config.json", "adapter_model.safetensors", ...ours]);
      assert.equal(await readAdapter(directory), { meta, tensors });
      const { prefix_projection, prompt_tuning_init, encoder_hidden_size } = readConfig(directory);
      const settings = mode === "prefix" ? [false, undefined, 8] : [undefined, "RANDOM", undefined];
      assert.equal([prefix_projection, prompt_tuning_init, encoder_hidden_size], settings);
      const { peft, reason } = await writeAdapter(directory, { meta, tensors });
      assert.equal([peft, reason?.includes("bias of the head")], isLm ? [true, undefined] : [false, true]);
      assert.equal(await readAdapter(directory), { meta, tensors });
    });

const biased = testMeta({}, { task: BIASED });

test("a head bias folds into score.weight: the same logits for every output of the final norm", async () => {
  const random = numbers(7);
  const C = model.n_embd;
  const finalNorm = { weight: random([C]).map((x) => 1.5 + 0.2 * x), bias: random([C]).map((x) => 0.3 + 0.3 * x) };
  const directory = join(folder, "folded");
  const tensors = drawTensors(biased);
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
  const directory = await assertRoundTrip("head-only", testMeta({ target_modules: ["head"] }));
  assert.not.ok(existsSync(join(directory, "adapter_config.json")));
});
