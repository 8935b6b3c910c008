/** Models of one base model: what a further one writes, and that its results are those of one alone, bit for bit. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { baseShapes } from "../../src/core/names.ts";
import type { WeightDtype } from "../../src/core/tensor.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import type { Completion } from "../../src/infer/text/generation.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { fingerprint } from "../../src/io/fingerprint.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { loadAdapter } from "../../src/io/peft/open-adapter.ts";
import type { AdapterMeta } from "../../src/io/peft/peft.ts";
import type { LoraConfig } from "../../src/methods/lora.ts";
import type { TaskConfig } from "../../src/tasks/index.ts";
import { drawTensors, modeMeta, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { counting, watchMemory } from "../helpers/counting.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import { type StoredTensors, TINY, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const base = tinyModel(join(folder, "model"));
const TEXTS = ["see you at lunch", "you have won a prize, call now", "", "minister opens the new bridge over river"];

/** Longer than the context, also without virtual tokens. */
const LONG = `${TEXTS[3]} `.repeat(12);

const CLASSES: TaskConfig = { ...TASKS.classification, head_bias: true };

/** Writes an adapter of random values and returns its directory. */
async function adapter(name: string, task: TaskConfig, lora: Partial<LoraConfig>, rest: Partial<AdapterMeta> = {}) {
  const labels = Array.from({ length: task.num_labels }, (_, i) => `class ${i}`);
  const meta = testMeta(lora, { base_model: base, model: TINY, task, labels, settings: {}, ...rest });
  const directory = join(folder, name);
  await writeAdapter(directory, { meta, tensors: drawTensors(meta, name.length) });
  return directory;
}

const NO_LORA = { lora: null } as const;
/** Other ranks, targets, scales and classes; biases in place of the base's; modes without adapters. */
const CLASSIFIERS = {
  small: () => adapter("small", CLASSES, { r: 2 }),
  fused: () => adapter("fused", CLASSES, { r: 4, target_modules: ["c_attn", "fc"], scaling: "alpha/sqrt(r)" }),
  biased: () => adapter("biased", CLASSES, { modulesToSave: ["h.0.attn.c_attn.bias", "ln_f.weight"] }),
  three: () => adapter("three", { ...CLASSES, num_labels: 3 }, { target_modules: ["q", "v", "head"] }),
  layer: () => adapter("layer", CLASSES, {}, { mode: "last_layer", ...NO_LORA }),
  block: () => adapter("block", CLASSES, {}, { mode: "last_block", ...NO_LORA }),
  all: () => adapter("all", CLASSES, {}, { mode: "all", ...NO_LORA }),
  bitfit: () => adapter("bitfit", CLASSES, {}, modeMeta("bitfit")),
  layers: () => adapter("layers", CLASSES, {}, modeMeta("adapter")),
  prompt: () => adapter("prompt", CLASSES, {}, modeMeta("prompt")),
  prefix: () => adapter("prefix", CLASSES, {}, modeMeta("prefix")),
};
const MODELS = {
  tales: () => adapter("tales", TASKS.lm, { r: 2, target_modules: ["q", "v", "proj"] }),
  songs: () => adapter("songs", TASKS.lm, { r: 3, target_modules: ["c_attn", "head"] }),
  prompt: () => adapter("lm prompt", TASKS.lm, {}, modeMeta("prompt")),
  prefix: () => adapter("lm prefix", TASKS.lm, {}, modeMeta("prefix")),
};

/** Tensors of the base that were written since the last call. */
function baseWrites(written: Map<string, number>): string[] {
  const names = [...written.keys()].filter((name) => baseShapes(TINY).has(name));
  written.clear();
  return names;
}

/** What a model with an adapter makes of texts on a device of its own, where nothing is shared. */
async function alone(directory: string, dtype: WeightDtype): Promise<Float32Array> {
  const { backend } = await counting();
  const classifier = await Classifier.load(directory, { device: backend, dtype });
  const logits = await classifier.logits(TEXTS);
  classifier.destroy();
  return logits;
}

for (const [dtype, names] of [
  [
    "f32",
    ["biased", "small", "block", "fused", "all", "bitfit", "prefix", "three", "layer", "prompt", "layers", "biased"],
  ],
  // In mode all nothing is frozen.
  ["f16", ["biased", "small", "bitfit", "block", "biased"]],
] as const)
  testOnDevices(`classifiers of one base in ${dtype}: each has its own adapter, and nothing else goes up`, async () => {
    const { backend, written, state } = await counting();
    const heldBytes = await watchMemory();
    const before = heldBytes();
    await using model = await openBaseModel(base);
    const open: Classifier[] = [];
    for (const [i, name] of names.entries()) {
      const directory = await CLASSIFIERS[name]();
      const classifier = await Classifier.of(await loadAdapter(directory, model), model, backend, dtype);
      open.push(classifier);
      const writes = baseWrites(written);
      assert.is(writes.includes("wte.weight"), i === 0 || name === "all", name);
      // What it has in place of the base's own is not that of the one before it.
      if (name === "biased") assert.ok(writes.includes("h.0.attn.c_attn.bias"));
      assertSameBits(name, await classifier.logits(TEXTS), await alone(directory, dtype));
      // The one that wrote them goes, and they stay.
      if (i === 1) open.shift()!.destroy();
    }
    for (const [i, name] of names.slice(1).entries())
      assertSameBits(`${name} again`, await open[i]!.logits(TEXTS), await alone(await CLASSIFIERS[name](), dtype));
    for (const one of open) one.destroy();
    assert.is(state.sessions, 0);
    assert.is(heldBytes(), before, "what is shared is freed with the last that has it");
  });

testOnDevices("language models of one base, and the base alone", async () => {
  const { backend, written } = await counting();
  await using model = await openBaseModel(base);
  // A token from the prompt and one from the cache.
  const write = async (lm: LanguageModel) => [
    (await lm.complete(TEXTS.slice(0, 3), { maxNewTokens: 2 })).map(({ ids }) => ids),
    (await lm.score(LONG)).loss,
  ];
  const lone = await LanguageModel.of(model, null, { device: backend, batchSize: 2 });
  const wanted = await write(lone);
  written.clear();
  for (const make of Object.values(MODELS)) {
    const adapter = await loadAdapter(await make(), model);
    const lm = await LanguageModel.of(model, adapter, { device: backend, batchSize: 2 });
    assert.equal(baseWrites(written), []);
    const fresh = await LanguageModel.of(model, adapter, { device: (await counting()).backend, batchSize: 2 });
    const found = await write(lm);
    assert.equal(found, await write(fresh));
    assert.not.equal(found, wanted);
    for (const one of [lm, fresh]) one.destroy();
  }
  assert.equal(await write(lone), wanted);
  lone.destroy();
});

test("a model that does not fit beside another leaves that as it was", async () => {
  const { backend, state } = await counting();
  await using model = await openBaseModel(base);
  const of = async (directory: string) => Classifier.of(await loadAdapter(directory, model), model, backend);
  const first = await of(await CLASSIFIERS.small());
  const before = await first.logits(TEXTS);
  state.isFull = true;
  await assertFails("out-of-memory", ["is full"], async () => of(await CLASSIFIERS.fused()));
  state.isFull = false;
  assert.is(state.sessions, 1);
  assertSameBits("logits", await first.logits(TEXTS), before);
  const second = await of(await CLASSIFIERS.fused());
  assert.not.equal([...(await second.logits(TEXTS))], [...before]);
  for (const one of [first, second]) one.destroy();
});

test("an adapter is used with the base model that it was trained on, whatever its name, and with no other of its shape", async () => {
  const [copy, other] = [tinyModel(join(folder, "copy")), join(folder, "replaced")];
  await using trainedOn = await openBaseModel(copy);
  const print = await fingerprint(trainedOn);
  const trained = await adapter("trained", CLASSES, { r: 2 }, { base_model: other, base_fingerprint: print });
  tinyModel(other, (tensors: StoredTensors) => {
    tensors.get("h.1.mlp.c_fc.weight")!.data[0]! += 0.5;
  });
  const device = await testDevice("wasm 1 thread");
  const refused = ["belongs to another base model", other, print.slice(0, 12), "give the base model"];
  await assertFails("wrong-base-model", refused, () => Classifier.load(trained, { device }));
  (await Classifier.load(trained, { device, model: copy, dtype: "f16" })).destroy();
});

for (const mode of ["prompt", "prefix"] as const)
  test(`${mode}: virtual tokens that leave room for one token`, async () => {
    const full = { ...modeMeta(mode), num_virtual_tokens: TINY.n_positions - 1 };
    const device = await testDevice();
    const classifier = await Classifier.load(await adapter(`full ${mode}`, CLASSES, {}, full), { device });
    const [first, second] = await classifier.logits(TEXTS);
    assert.ok(Number.isFinite(first) && first !== second);
    classifier.destroy();
    const lm = await LanguageModel.load(await adapter(`full lm ${mode}`, TASKS.lm, {}, full), { device });
    const [{ ids, forgotten }] = (await lm.complete("see you", { maxNewTokens: 3 })) as [Completion];
    assert.equal([ids.length, forgotten], [3, 3]);
    lm.destroy();
  });
