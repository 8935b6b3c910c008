/** A base model in f16, q8, q4 or int16: the bits of rounded weights in f32, fewer bytes, unrounded trained parameters. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { expectDtype } from "../../src/backend/backend.ts";
import type { ModelConfig } from "../../src/core/config.ts";
import { floatToHalf, halfToFloat } from "../../src/core/half.ts";
import type { ModelTensor } from "../../src/core/names.ts";
import { numel, type WeightDtype } from "../../src/core/tensor.ts";
import { Decoder } from "../../src/engine/decoder.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { Weights } from "../../src/engine/weights.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { dtypeOn } from "../../src/io/peft/adapter-meta.ts";
import { openAdapter } from "../../src/io/peft/open-adapter.ts";
import { readAdapter } from "../../src/io/peft/peft.ts";
import type { Mode } from "../../src/methods/index.ts";
import { makeParameters } from "../../src/model/parameters.ts";
import { frozenBlocks, type ModelSpec, parameterList } from "../../src/model/trainable.ts";
import { memoryTotals } from "../../src/plan/memory.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import type { Objective } from "../../src/tasks/index.ts";
import { ofMode } from "../../src/train/options.ts";
import type { TrainOptions } from "../../src/train/settings.ts";
import { drawTensors, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { answersOf } from "../helpers/answers.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test, testAll } from "../helpers/harness.ts";
import { fillRandom, LLAMA, OPTIMIZER, randomBatch, smallSpec } from "../helpers/models.ts";
import { printProgram } from "../helpers/print-program.ts";
import { messages, TINY, tinyData, tinyModel } from "../helpers/tiny.ts";
import { train } from "../helpers/train.ts";

const folder = temporaryFolder();
const LENGTHS = [5, 1, 17];
/** Every width is a multiple of 8: on the CPU all matrices lie in panels. Those of SMALL do in part. */
const PANELS: Partial<ModelConfig> = { n_embd: 16, n_head: 4 };
/** Every width is a multiple of 64, a block of q4. */
const BLOCKS: Partial<ModelConfig> = { n_embd: 64, n_head: 4 };

const inHalf = (spec: ModelSpec): ModelSpec => ({ ...spec, dtype: "f16" });
const inBlocks = (dtype: WeightDtype, mode: Mode, options = {}): ModelSpec => {
  return { ...smallSpec(mode, { config: BLOCKS, ...options }), dtype };
};

/** The same contents in both models: random, and rounded as the first keeps them. */
async function fillRounded(half: Weights, plain: Weights): Promise<void> {
  fillRandom(half, 7);
  for (const name of half.plan.parameters.all.keys()) plain.writeParameter(name, await half.readParameter(name));
}

async function bothEngines<T>(
  spec: ModelSpec,
  options: Partial<EngineOptions>,
  body: (half: Engine, plain: Engine) => Promise<T>,
): Promise<T> {
  const device = await testDevice();
  const make = (one: ModelSpec) =>
    Engine.create(device, { spec: one, capacity: { tokens: 40, sequences: 4 }, optimizer: OPTIMIZER, ...options });
  const [half, plain] = [await make(spec), await make({ ...spec, dtype: "f32" })];
  try {
    await fillRounded(half, plain);
    return await body(half, plain);
  } finally {
    half.destroy();
    plain.destroy();
  }
}

const lm = { objective: "lm" } as const;
for (const [name, spec] of Object.entries({
  lora: inHalf(smallSpec("lora")),
  "lora, in panels": inHalf(smallSpec("lora", { config: PANELS })),
  "DoRA, in panels": inHalf(smallSpec("lora", { config: PANELS, dora: true })),
  last_block: inHalf(smallSpec("last_block")),
  last_layer: inHalf(smallSpec("last_layer", { config: PANELS })),
  "lm lora": inHalf(smallSpec("lora", lm)),
  "q8, lora": inBlocks("q8", "lora"),
  "q8, lm, a head of its own": inBlocks("q8", "lora", { ...lm, config: { ...BLOCKS, tie_word_embeddings: false } }),
  "q4, lora": inBlocks("q4", "lora"),
  "q8, llama": inBlocks("q8", "lora", { config: { ...BLOCKS, ...LLAMA, n_inner: 96 } }),
  "q4, lm llama": inBlocks("q4", "lora", { ...lm, config: { ...BLOCKS, ...LLAMA, n_inner: 128 } }),
  "q8, lm DoRA": inBlocks("q8", "lora", { ...lm, dora: true }),
  "q4, DoRA": inBlocks("q4", "lora", { dora: true }),
  "q4, last_block": inBlocks("q4", "last_block"),
  "q4, lm lora": inBlocks("q4", "lora", lm),
}))
  testOnDevices(`the bits of the same weights in f32: ${name}`, () =>
    bothEngines(spec, {}, async (half, plain) => {
      const batch = randomBatch(spec, LENGTHS, 3);
      for (const engine of [half, plain]) await engine.result(engine.gradients(batch));
      const rows = spec.task.objective === "lm" ? 23 : 3;
      assertSameBits("logits", await half.logits(rows), await plain.logits(rows));
      for (const parameter of half.trainableNames)
        assertSameBits(`d${parameter}`, await half.readGradient(parameter), await plain.readGradient(parameter));
      const results = [];
      for (const engine of [half, plain]) {
        for (let step = 0; step < 2; step++) engine.step([batch], 0.01);
        results.push(await engine.result(engine.forward(batch)));
      }
      assert.equal(results[0], results[1]);
      for (const parameter of half.plan.parameters.all.keys())
        assertSameBits(parameter, await half.readParameter(parameter), await plain.readParameter(parameter));
    }),
  );

/** In int16 activations and gradients are rounded to 12 bits, too: the relative error of a few layers. */
const IN_INTEGERS = 0.01;

for (const [name, spec] of Object.entries({
  lora: inBlocks("int16", "lora"),
  "lm llama": inBlocks("int16", "lora", { ...lm, config: { ...BLOCKS, ...LLAMA, n_inner: 96 } }),
  "lm DoRA": inBlocks("int16", "lora", { ...lm, dora: true }),
  last_block: inBlocks("int16", "last_block"),
}))
  test(`near the same weights in f32: int16, ${name}`, () =>
    bothEngines(spec, {}, async (whole, plain) => {
      const batch = randomBatch(spec, LENGTHS, 3);
      const rows = spec.task.objective === "lm" ? 23 : 3;
      const read = async (engine: Engine) => {
        await engine.result(engine.gradients(batch));
        const names = engine.trainableNames;
        return [await engine.logits(rows), ...(await Promise.all(names.map((name) => engine.readGradient(name))))];
      };
      const [found, expected] = [await read(whole), await read(plain)];
      for (const [i, values] of expected.entries()) {
        const norm = (values: Float32Array) => Math.hypot(...values);
        const error = norm(values.map((x, j) => x - found[i]![j]!)) / norm(values);
        assert.ok(error < IN_INTEGERS, `${["logits", ...whole.trainableNames][i]}: ${error}`);
      }
      for (const parameter of whole.plan.parameters.all.keys())
        assertSameBits(parameter, await whole.readParameter(parameter), await plain.readParameter(parameter));
    }));

test("int16 is refused on a GPU, and what was trained in it is used there in f32", async () => {
  const gpu = { info: { kind: "webgpu", name: "a GPU", software: false }, destroy() {} } as const;
  await assertFails("unsupported-dtype", ["a GPU does not multiply in int16", "f16 or q8", "wasm"], () =>
    expectDtype(gpu, "int16"),
  );
  const meta = testMeta({}, { settings: { dtype: "int16" } });
  assert.is(dtypeOn(meta, undefined, gpu), "f32");
  assert.is(dtypeOn(meta, undefined, await testDevice()), "int16");
});

for (const [half, plain, plainBinding] of [
  [inHalf(smallSpec("lora", lm)), smallSpec("lora", lm), 2 * 2048],
  ...(["q8", "q4"] as const).map((dtype) => [inBlocks(dtype, "lora", lm), inBlocks("f32", "lora", lm), 0] as const),
] as const)
  testOnDevices(`a decoder's logits and losses are those of the same weights in f32: ${half.dtype}`, async () => {
    const device = await testDevice();
    const capacity = { tokens: 16, sequences: 2 };
    for (const maxBinding of plainBinding ? [Infinity, 2048] : [Infinity]) {
      const make = (spec: ModelSpec, most: number) => Decoder.create(device, { spec, capacity, maxBinding: most });
      // Pieces of as many rows, which take half the bytes.
      const [one, other] = [await make(half, maxBinding), await make(plain, 2 * maxBinding)];
      await fillRounded(one, other);
      const pieces = ({ plan }: Decoder) => plan.parameters.all.get("wte.weight")!.pieces.length;
      assert.equal([pieces(one), pieces(other)], maxBinding === Infinity ? [1, 1] : [3, 3]);
      const ids = [3, 130, 7, 7, 64, 127, 128];
      const logits = (decoder: Decoder) => decoder.prefill([{ slot: 0, position: 0, ids }]);
      assertSameBits("prefill", await logits(one), await logits(other));
      const next = (decoder: Decoder) => decoder.decode([{ slot: 0, position: ids.length, ids: [5] }]);
      assertSameBits("decode", await next(one), await next(other));
      one.destroy();
      other.destroy();
    }
  });

test("frozen matrices have half the bytes, and the plan says so; trained parameters, norms and biases stay in f32", () => {
  for (const [mode, expected] of [
    ["lora", /^(wte|wpe|h\.\d\..*(c_attn|c_proj|c_fc))\.weight$/],
    ["last_block", /^(wte|wpe|h\.0\..*(c_attn|c_proj|c_fc))\.weight$/],
    ["last_layer", /^(wte|wpe|h\.\d\..*(c_attn|c_proj|c_fc))\.weight$/],
  ] as const) {
    const spec = smallSpec(mode);
    const list = parameterList(inHalf(spec));
    assert.equal(
      list.filter(({ dtype }) => dtype === "f16").map(({ name }) => name),
      list.map(({ name }) => name).filter((name) => expected.test(name)),
    );
    const weights = (one: ModelSpec) => {
      const { memory } = planFor(one);
      return memoryTotals(memory).byRole.get("weight")!;
    };
    const saved = list.reduce((sum, { shape, dtype }) => sum + (dtype === "f16" ? 2 * numel(shape) : 0), 0);
    assert.is(weights(spec) - weights(inHalf(spec)), saved);
  }
  const text = printProgram(planFor(inHalf(smallSpec("lora"))));
  assert.match(text, "<h.0.attn.c_attn.weight[12, 36]f16@");
  assert.match(text, `${(12 * 36 * 2).toString().padStart(12)} bytes  h.0.attn.c_attn.weight`);
  assert.not.match(printProgram(planFor(smallSpec("lora"))), "f16@");
});

function planFor(spec: ModelSpec) {
  const limits = { maxBinding: 2 ** 27, maxBuffer: 2 ** 27 };
  const backend = { limits } as unknown as Parameters<typeof Engine.plan>[0];
  return Engine.plan(backend, { spec, capacity: { tokens: 40, sequences: 4 }, optimizer: OPTIMIZER });
}

const REFUSAL = ["nothing is frozen in mode all", "f32", "found:    f16"];

test("pieces of a token table in blocks fit a binding with their tables", () => {
  const config = { ...BLOCKS, vocab_size: 50257, n_embd: 1600 };
  // The last is a little more than 6400 rows without the tables of q4.
  for (const dtype of ["q8", "q4"] as const)
    for (const maxBinding of [2 ** 22, 2 ** 27, 5_283_000]) {
      const isWanted = ({ name }: ModelTensor) => name === "wte.weight";
      const { all } = makeParameters(inBlocks(dtype, "lora", { config }), { training: false, maxBinding, isWanted });
      const { pieces } = all.get("wte.weight")!;
      assert.is(
        pieces.reduce((sum, { tensor }) => sum + tensor.shape[0]!, 0),
        50257,
      );
      for (const { tensor } of pieces) assert.ok(tensor.bytes <= maxBinding, `${tensor.name}: ${tensor.bytes}`);
    }
});

test("mode all has nothing to keep in f16, q8 or q4", async () => {
  await assertFails("unsupported-dtype", REFUSAL, () => parameterList(inHalf(smallSpec("all"))));
  for (const dtype of ["q8", "q4"] as const)
    await assertFails("unsupported-dtype", [`found:    ${dtype}`], () => parameterList(inBlocks(dtype, "all")));
});

test("rows that are no whole blocks are refused, with the width and another type", async () => {
  const width = (config: Partial<ModelConfig>) => ({ config: { ...BLOCKS, ...config } });
  for (const [dtype, config, name] of [
    ["q4", { n_embd: 96 }, "n_embd"],
    ["q4", { n_inner: 96 }, "n_inner"],
    ["q8", { n_embd: 48 }, "n_embd"],
  ] as const)
    await assertFails("unsupported-dtype", [name, dtype, `found:    ${Object.values(config)[0]}`, "use f16"], () =>
      parameterList(inBlocks(dtype, "lora", width(config))),
    );
  parameterList(inBlocks("q8", "lora", width({ n_embd: 96, n_inner: 32 })));
});

test("what was trained in mode all is used in f32, and refused in f16", async () => {
  const device = await testDevice();
  const base = tinyModel(join(folder, "base"));
  const given = (dtype?: WeightDtype) => ({ device, ...(dtype ? { dtype } : {}) });
  const write = async (name: string, objective: Objective, mode: Mode, settings = {}) => {
    const labels = objective === "lm" ? [] : ["ham", "spam"];
    const task = { objective, num_labels: labels.length, pooling: "last-token", head_bias: false } as const;
    const rest = { base_model: base, model: TINY, task, labels, mode, settings };
    const meta = testMeta({ target_modules: ["q"] }, mode === "lora" ? rest : { ...rest, lora: null });
    const directory = join(folder, `${name} ${objective}`);
    await writeAdapter(directory, { meta, tensors: drawTensors(meta) });
    return directory;
  };
  for (const [objective, load] of [
    ["classification", (directory: string, dtype?: WeightDtype) => Classifier.load(directory, given(dtype))],
    ["lm", (directory: string, dtype?: WeightDtype) => LanguageModel.load(directory, given(dtype))],
  ] as const) {
    const all = await write("all", objective, "all");
    await assertFails("unsupported-dtype", REFUSAL, () => load(all, "f16"));
    for (const dtype of ["f32", undefined] as const) (await load(all, dtype)).destroy();
  }
});

test("a weight that f16 cannot hold is refused with its name", async () => {
  for (const value of [65520, Number.NaN]) {
    const directory = tinyModel(join(folder, `${value}`), (tensors) => {
      tensors.get("h.1.mlp.c_fc.weight")!.data[17] = value;
    });
    const model = await openBaseModel(directory);
    const args = { model, data: await tinyData(messages(12)), device: await testDevice() };
    const words = ["h.1.mlp.c_fc.weight", "65504", String(value)];
    await assertFails("weights-out-of-range", words, () => train({ ...args, dtype: "f16" }));
    await model.close();
  }
});

/** A base model, and the same with the matrices rounded to f16 that do not learn in a mode. */
function bases(mode: string) {
  const plain = tinyModel(join(folder, "plain"));
  const rounded = tinyModel(join(folder, `rounded ${mode}`), (tensors) => {
    for (const tensor of tensors.values()) {
      const learns = mode === "last_block" && tensor.name.startsWith("h.1.");
      if (tensor.shape.length !== 2 || tensor.dtype !== "F32" || learns) continue;
      tensor.data = halfToFloat(floatToHalf(tensor.data));
    }
  });
  return { plain, rounded };
}

const RUN = { epochs: 2, batchSize: 4, lr: 0.01, rank: 2, alpha: 4, headBias: false } as const;

for (const [declare, options] of [
  [test, {}],
  [test, { mode: "last_block" }],
  [testAll, { layers: [1] }],
] as [typeof test, Pick<Partial<TrainOptions>, "mode" | "layers">][])
  declare(
    `a run in f16 is the run of the rounded model in f32, and is used as it was trained: ${JSON.stringify(options)}`,
    async () => {
      const data = await tinyData(messages(12));
      const device = await testDevice();
      const { plain, rounded } = bases(options.mode ?? "lora");
      const run = async (directory: string, dtype: WeightDtype) => {
        const model = await openBaseModel(directory);
        const settings = ofMode({ ...RUN, ...options }, options.mode ?? "lora");
        const result = await fineTune({ ...settings, model, data, device, dtype });
        await model.close();
        return result;
      };
      const [half, other, unrounded] = [await run(plain, "f16"), await run(rounded, "f32"), await run(plain, "f32")];
      assert.equal(half.steps, other.steps);
      assert.equal(half.answers, other.answers);
      for (const [name, { data: values }] of other.tensors) assertSameBits(name, half.tensors.get(name)!.data, values);
      assert.not.equal(half.steps.at(-1)!.loss, unrounded.steps.at(-1)!.loss, "the rounding changed nothing");
      const isCut = frozenBlocks(half.spec) > 0;
      assert.is(half.plan.features !== null, isCut);

      const directory = join(folder, `run ${JSON.stringify(options)}`);
      await half.save(directory);
      assert.is((await readAdapter(join(directory, "adapter"))).meta.settings.dtype, "f16");
      const texts = answersOf(half).map(({ row }) => data.test.text(row));
      const probabilities = async (dtype?: WeightDtype) => {
        const classifier = await Classifier.load(directory, { device, ...(dtype ? { dtype } : {}) });
        const results = await classifier.classify(texts);
        classifier.destroy();
        return results.map((result) => Object.values(result.probabilities));
      };
      const wanted = answersOf(half).map(({ probabilities }) => probabilities);
      assert.equal(await probabilities(), wanted);
      assert.equal(await probabilities("f16"), wanted);
      assert.not.equal(await probabilities("f32"), wanted);
      const { adapter, baseModel } = await openAdapter(directory);
      await baseModel.close();
      assert.is(adapter.meta.mode, half.spec.mode);
    },
  );
