/** Several adapters on one base model: what a swap uploads, and that results equal a fresh load's, bit for bit. */
import { renameSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { baseShapes } from "../../src/core/names.ts";
import type { WeightDtype } from "../../src/core/tensor.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import type { Completion } from "../../src/infer/text/generation.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { fingerprint } from "../../src/io/fingerprint.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { type AdapterMeta, readAdapter } from "../../src/io/peft/peft.ts";
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

/** An adapter's head alone, as an adapter of mode last_layer. */
async function saveHead(directory: string): Promise<string> {
  const { meta, tensors } = await readAdapter(directory);
  const head = new Map([...tensors].filter(([name]) => name.startsWith("head.")));
  const alone = `${directory} head`;
  await writeAdapter(alone, { meta: { ...meta, mode: "last_layer", lora: null }, tensors: head });
  return alone;
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

/** The logits of freshly loaded classifiers, by device, directory and type: adapters come more than once. */
const freshLogits = new WeakMap<Backend, Map<string, Float32Array>>();

async function fresh(directory: string, dtype: WeightDtype = "f32"): Promise<Float32Array> {
  const device = await testDevice();
  const known = freshLogits.get(device) ?? new Map<string, Float32Array>();
  freshLogits.set(device, known);
  const key = `${dtype} ${directory}`;
  const before = known.get(key);
  if (before) return before;
  const classifier = await Classifier.load(directory, { device, dtype });
  const logits = await classifier.logits(TEXTS);
  classifier.destroy();
  known.set(key, logits);
  return logits;
}

testOnDevices(
  "a classifier's adapters in turns: nothing of the base goes up, and the bits are those of a fresh load",
  async () => {
    const { backend, written, state } = await counting();
    const heldBytes = await watchMemory();
    const before = heldBytes();
    const names = ["small", "fused", "three", "layer", "prompt", "prefix", "layers"] as const;
    const directories = new Map<string, string>();
    for (const name of names) directories.set(name, await CLASSIFIERS[name]());
    const classifier = await Classifier.load(directories.get("small")!, { device: backend });
    try {
      assert.ok(baseWrites(written).includes("wte.weight"));
      for (const name of names.slice(1)) await classifier.loadAdapter(directories.get(name)!, name);
      assert.equal(classifier.adapters, ["default", ...names.slice(1)]);
      assert.is(written.size, 0, "loading an adapter writes nothing");
      const turns = ["fused", "default", "prompt", "three", "prefix", "layer", "layers", "default"];
      for (const name of turns) {
        await classifier.setAdapter(name);
        assert.is(classifier.activeAdapter, name);
        assert.equal(baseWrites(written), [], name);
        const directory = directories.get(name === "default" ? "small" : name)!;
        assertSameBits(name, await classifier.logits(TEXTS), await fresh(directory));
        assert.equal(classifier.labels.length, name === "three" ? 3 : 2);
        assert.is(state.sessions, 1);
        written.clear();
      }
      await classifier.disableAdapters();
      assert.is(classifier.activeAdapter, null);
      assert.equal(baseWrites(written), []);
      assertSameBits("none", await classifier.logits(TEXTS), await fresh(await saveHead(directories.get("small")!)));
      await classifier.enableAdapters();
      assertSameBits("enabled again", await classifier.logits(TEXTS), await fresh(directories.get("small")!));
    } finally {
      classifier.destroy();
    }
    assert.is(state.sessions, 0);
    assert.is(heldBytes(), before, "what is shared is freed with the last that has it");
  },
);

testOnDevices("a language model's adapters in turns, and none", async () => {
  const { backend, written } = await counting();
  const directories = { tales: "", songs: "", prompt: "", prefix: "" };
  const names = Object.keys(directories) as (keyof typeof directories)[];
  for (const name of names) directories[name] = await MODELS[name]();
  // A token from the prompt and one from the cache.
  const write = async (lm: LanguageModel) =>
    (await lm.complete(TEXTS.slice(0, 3), { maxNewTokens: 2 })).map(({ ids }) => ids);
  const freshly = async (adapter?: string) => {
    const device = await testDevice();
    const lm = await LanguageModel.load(base, { device, batchSize: 2, ...(adapter ? { adapter } : {}) });
    const result = [await write(lm), (await lm.score(LONG)).loss];
    lm.destroy();
    return result;
  };
  const lm = await LanguageModel.load(base, { device: backend, batchSize: 2 });
  try {
    assert.equal([lm.adapters, lm.activeAdapter], [[], null]);
    for (const name of names) await lm.loadAdapter(directories[name], name);
    written.clear();
    const wanted = new Map<string, unknown>([["none", await freshly()]]);
    for (const name of names) {
      wanted.set(name, await freshly(directories[name]));
      assert.not.equal(wanted.get(name), wanted.get("none"), name);
    }
    for (const name of ["songs", "prompt", "none", "tales", "prefix", "songs"]) {
      await (name === "none" ? lm.disableAdapters() : lm.setAdapter(name));
      assert.equal([await write(lm), (await lm.score(LONG)).loss], wanted.get(name), name);
      assert.equal(baseWrites(written), [], name);
    }
    for (const name of names) if (name !== "songs") lm.deleteAdapter(name);
    assert.equal(lm.adapters, ["songs"]);
    const pieces = lm.generate("see", { maxNewTokens: 3 });
    await pieces.next();
    // A swap waits for the text, which is then written to its end with the adapter that it began with.
    await lm.disableAdapters();
    assert.is(lm.activeAdapter, null);
    let rest = 1;
    for await (const { ids } of pieces) rest += ids.length;
    assert.is(rest, 3);
  } finally {
    lm.destroy();
  }
});

for (const [dtype, names] of [
  ["f32", ["small", "default", "block", "small", "all", "bitfit", "prefix", "default"]],
  // In mode all nothing is frozen.
  ["f16", ["small", "default", "bitfit", "block", "default"]],
] as const)
  testOnDevices(`what an adapter has in place of the base's own comes and goes with it: ${dtype}`, async () => {
    const { backend, written } = await counting();
    const classifier = await Classifier.load(await CLASSIFIERS.biased(), { device: backend, dtype });
    try {
      for (const name of new Set(names))
        if (name !== "default") await classifier.loadAdapter(await CLASSIFIERS[name](), name);
      for (const name of names) {
        written.clear();
        await classifier.setAdapter(name);
        if (name === "default") assert.ok(baseWrites(written).includes("h.0.attn.c_attn.bias"));
        const directory = join(folder, name === "default" ? "biased" : name);
        assertSameBits(name, await classifier.logits(TEXTS), await fresh(directory, dtype));
      }
    } finally {
      classifier.destroy();
    }
  });

test("an adapter is used with the base model that it was trained on, whatever its name, and with no other of its shape", async () => {
  const [copy, other] = [tinyModel(join(folder, "copy")), join(folder, "replaced")];
  const change = (tensors: StoredTensors) => {
    tensors.get("h.1.mlp.c_fc.weight")!.data[0]! += 0.5;
  };
  const print = async (directory: string) => {
    await using baseModel = await openBaseModel(directory);
    return await fingerprint(baseModel);
  };
  const trained = await adapter(
    "trained",
    CLASSES,
    { r: 2 },
    { base_model: other, base_fingerprint: await print(copy) },
  );
  const second = await adapter(
    "second",
    CLASSES,
    { r: 2 },
    { base_fingerprint: await print(tinyModel(other, change)) },
  );
  const device = await testDevice("wasm 1 thread");
  const refused = ["belongs to another base model", other, (await print(copy)).slice(0, 12), "give the base model"];
  await assertFails("wrong-base-model", refused, () => Classifier.load(trained, { device }));
  const dtype = "f16";
  const classifier = await Classifier.load(trained, { device, model: copy, dtype });
  try {
    await assertFails("wrong-base-model", [copy], () => classifier.loadAdapter(second, "second"));
    // The device goes on with the old one.
    tinyModel(copy, change);
    await assertFails("base-models-differ", ["second"], () => classifier.loadAdapter(second, "second"));
  } finally {
    classifier.destroy();
  }
});

test("what cannot be done is refused, and all stays as it was", async () => {
  const { backend, state } = await counting();
  const classifier = await Classifier.load(await CLASSIFIERS.small(), { device: backend });
  try {
    const before = await classifier.logits(TEXTS);
    const fused = await CLASSIFIERS.fused();
    await classifier.loadAdapter(fused, "fused");
    const lm = await MODELS.tales();
    await assertFails("wrong-task", ["another task", "classification", "lm"], () =>
      classifier.loadAdapter(lm, "tales"),
    );
    await assertFails("invalid-adapter-name", ['"fused" is already loaded'], () => classifier.loadAdapter(lm, "fused"));
    await assertFails("invalid-adapter-name", ["needs a name"], () => classifier.loadAdapter(lm, ""));
    await assertFails("no-such-adapter", ['no adapter "fusd"', "default, fused", "did you mean fused"], () =>
      classifier.setAdapter("fusd"),
    );
    await assertFails("adapter-active", async () => classifier.deleteAdapter("default"));
    state.isFull = true;
    await assertFails("out-of-memory", ["is full"], () => classifier.setAdapter("fused"));
    state.isFull = false;
    const twice = [1, 2].map(() => classifier.loadAdapter(fused, "twice"));
    assert.equal((await Promise.allSettled(twice)).map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    assert.equal([classifier.activeAdapter, state.sessions], ["default", 1]);
    assertSameBits("logits", await classifier.logits(TEXTS), before);
    await classifier.loadAdapter(await CLASSIFIERS.biased(), "biased");
    await classifier.setAdapter("biased");
    renameSync(base, `${base}.away`);
    await assertFails("no-such-model", () => classifier.setAdapter("fused"));
    renameSync(`${base}.away`, base);
    assert.equal([classifier.activeAdapter, state.sessions], ["biased", 1]);
    await classifier.setAdapter("default");
    classifier.deleteAdapter("biased");
    const inTurns = [classifier.logits(TEXTS), classifier.setAdapter("fused"), classifier.logits(TEXTS)] as const;
    const [one, , other] = await Promise.all(inTurns);
    assertSameBits("logits", one, before);
    assertSameBits("logits", other, await classifier.logits(TEXTS));
    assert.not.equal([...other], [...one]);
    classifier.deleteAdapter("default");
    classifier.deleteAdapter("twice");
    assert.equal([classifier.adapters, classifier.activeAdapter, state.sessions], [["fused"], "fused", 1]);
  } finally {
    classifier.destroy();
  }
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
