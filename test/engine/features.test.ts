/** Frozen lower blocks that run once per example: the bits of the whole model in every batch, and no memory left. */
import * as assert from "uvu/assert";
import { Engine } from "../../src/engine/engine.ts";
import { FeatureStore, featureBytes } from "../../src/engine/features.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import type { ModelSpec } from "../../src/model/trainable.ts";
import { frozenBlocks } from "../../src/model/trainable.ts";
import { formatBytes } from "../../src/plan/memory.ts";
import type { TrainArguments } from "../../src/train/job.ts";
import { RunFailed, type TrainResult } from "../../src/train/records.ts";
import { planBlocks } from "../../src/views/plan.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { randomBatch, smallSpec } from "../helpers/models.ts";
import { assertSameRun, modelAnd, stopAfter } from "../helpers/runs.ts";
import { messages, TINY, tinyData, tinyModel } from "../helpers/tiny.ts";
import { train } from "../helpers/train.ts";

const folder = temporaryFolder();
const SMALL = { epochs: 2, batchSize: 4, lr: 0.01, evalEvery: 3, clip: 1 } as const;

const base = modelAnd(() => tinyData(messages(12)));

async function run(options: Partial<TrainArguments>): Promise<TrainResult> {
  return train({ device: await testDevice(), ...(await base()), ...SMALL, ...options });
}

const WHOLE = { featureBudget: 0 };

const VARIANTS: [name: string, options: Partial<TrainArguments>, padding?: "longest"][] = [
  ["last_block, accumulated, without bias", { mode: "last_block", accumulate: 2, headBias: false }],
  ["last_block, padded", { mode: "last_block" }, "longest"],
  ["last_block, padded, at the last token", { mode: "last_block", pooling: "last-token" }, "longest"],
  ["last_block, padded, at the last row", { mode: "last_block", pooling: "last" }, "longest"],
  ["last_layer, accumulated, without bias", { mode: "last_layer", accumulate: 2, headBias: false }],
  ["last_layer, padded", { mode: "last_layer" }, "longest"],
  ["last_layer, padded, at the last token", { mode: "last_layer", pooling: "last-token" }, "longest"],
  ["last_layer, padded, at the last row", { mode: "last_layer", pooling: "last" }, "longest"],
  ["lora on the head alone", { targets: ["head"], rank: 2 }],
  ["lora in the upper block", { layers: [1], rank: 2, accumulate: 2 }],
  ["lora with dropout in the upper block", { layers: [1], rank: 2, dropout: 0.25 }],
  ["lora with dropout on the head alone", { targets: ["head"], rank: 2, dropout: 0.25 }],
  ["lora on one matrix of the upper block, padded", { layers: [1], targets: ["proj"], rank: 2 }, "longest"],
];

for (const mode of ["last_block", "last_layer"] as const)
  testOnDevices(`the same run with and without features, bit for bit: ${mode}`, async () => {
    assertSameRun(await run({ mode }), await run({ mode, ...WHOLE }));
  });

for (const [name, options, padding] of VARIANTS)
  test(`the same run with and without features, bit for bit: ${name}`, async () => {
    const more = padding ? { ...options, data: await tinyData(messages(12), { padding }) } : options;
    const [cut, whole] = [await run(more), await run({ ...more, ...WHOLE })];
    assert.is(whole.plan.features, null);
    assert.ok(cut.plan.features !== null && !cut.plan.parameters.all.has("wte.weight"), "it ran as a whole");
    assertSameRun(cut, whole);
  });

for (const mode of ["last_block", "last_layer"] as const)
  test(`${mode}: a run that stopped as a whole resumes with features`, async () => {
    const straight = await run({ mode, ...WHOLE });
    const resume = await stopAfter(3, (stop) => run({ mode, ...WHOLE, ...stop }));
    assertSameRun(await run({ mode, resume }), straight);
  });

test("runs that freeze the same blocks read each text once, and have the bits that each has alone", async () => {
  const store = new FeatureStore(1e9);
  const readings = new Set<Map<string, Float32Array>>();
  let read = 0;
  store.reading = (name) => {
    const one = FeatureStore.prototype.reading.call(store, name);
    if (!readings.has(one.kept)) {
      const set = one.kept.set.bind(one.kept);
      one.kept.set = (...entry) => {
        read++;
        return set(...entry);
      };
    }
    readings.add(one.kept);
    return one;
  };
  const { model, data } = await base();
  // Another division of the same rows, as folds have.
  const other = { ...data, train: data.train.select(data.train.order(3, 0)) };
  const args = { ...SMALL, device: await testDevice(), model, data };
  for (const more of [{}, { lr: 0.02 }, { data: other }, { layers: [1], rank: 2, mode: "lora" }] as const) {
    const settings = { ...args, mode: "last_block", ...more } as const;
    assertSameRun(await train(settings, { store }), await train(settings));
  }
  const texts = new Set(
    [data.train, data.val, data.test].flatMap((set) => [...set.positions()].map((i) => set.text(i))),
  );
  assert.equal([readings.size, read], [1, texts.size]);
});

test("what was read the longest ago is dropped first", () => {
  const store = new FeatureStore(10);
  for (const name of ["a", "b", "a", "c"]) store.reading(name).bytes = 4;
  store.trim();
  assert.equal(
    ["a", "b", "c"].map((name) => store.reading(name).bytes),
    [4, 0, 4],
  );
});

testOnDevices("a run that is stopped while it measures keeps its last step, and measures when it resumes", async () => {
  for (const at of [1, 2]) {
    const abort = new AbortController();
    let [measured, resume] = [0, undefined as TrainArguments["resume"]];
    const { aborted } = await run({
      mode: "last_block",
      signal: abort.signal,
      onEvent: ({ type }) => type === "measure" && ++measured === at && abort.abort(),
      onCheckpoint: async (checkpoint) => {
        resume = checkpoint;
      },
    });
    assert.equal([aborted, resume?.step], [true, 8]);
    assertSameRun(await run({ mode: "last_block", resume: resume! }), await run({ mode: "last_block" }));
  }
});

test("where everything learns down to the first block, or memory is short, the whole model runs", async () => {
  const plans: boolean[] = [];
  const spec = (mode: ModelSpec["mode"]) => ({ ...smallSpec(mode), config: TINY });
  const { data } = await base();
  const rows = data.train.size + data.val.size + data.test.size;
  const need = featureBytes(spec("last_layer"), data);
  assert.is(need, rows * TINY.n_embd * 4);
  const tokens = [data.train, data.val, data.test].flatMap(({ lengths }) => [...lengths]).reduce((a, b) => a + b, 0);
  assert.is(featureBytes(spec("last_block"), data), tokens * TINY.n_embd * 4);
  const padded = await tinyData(messages(12), { padding: 40 });
  assert.is(featureBytes(spec("last_block"), padded), rows * 40 * TINY.n_embd * 4);
  for (const mode of ["lora", "all"] as const) assert.is(featureBytes(spec(mode), data), 0, mode);
  // A run ends where the plan is made, before anything is trained.
  const plan = async (settings: Parameters<typeof run>[0]) => {
    const controller = new AbortController();
    const onEvent: TrainArguments["onEvent"] = (event) => {
      if (event.type !== "plan") return;
      plans.push(event.features !== null);
      // What is printed is what the record keeps: the peak, with the lower blocks and the features.
      const { peak, byRole } = event.memory;
      const bytes = Object.values(byRole).reduce((sum, one) => sum + one, event.features?.kept ?? 0);
      assert.is(bytes, peak);
      assert.match(renderBlocks(planBlocks(event)), `memory: ${formatBytes(peak)} (`);
      controller.abort();
    };
    const { signal } = controller;
    assert.is(await run({ ...settings, signal, onEvent }).catch((reason) => reason), signal.reason);
  };
  for (const featureBudget of [need, need - 1]) await plan({ mode: "last_layer", featureBudget });
  await plan({ mode: "lora" });
  assert.equal(plans, [true, false, false]);
});

test("frozen blocks end below the lowest thing that learns", () => {
  const blocks = (...args: Parameters<typeof smallSpec>) => frozenBlocks(smallSpec(...args));
  assert.is(blocks("all"), 0);
  assert.is(blocks("lora", { targets: ["proj"] }), 0);
  assert.is(blocks("lora", { targets: ["head"], train_head: false }), 2);
  assert.is(blocks("lora", { objective: "lm", targets: ["head"] }), 0);
  assert.is(blocks("lora", { layers: [3, 4], config: { n_layer: 5 } }), 3);
  assert.is(blocks("lora", { layers: [0, 4], config: { n_layer: 5 } }), 0);
  assert.equal([blocks("last_block"), blocks("last_layer")], [1, 2]);
  assert.is(blocks("last_block", { config: { n_layer: 1 } }), 0);
  assert.is(blocks("last_block", { config: { n_layer: 5 } }), 4);
});

test("the upper part of a model refuses a batch without its features", async () => {
  for (const [mode, size] of [
    ["last_block", 8 * 12],
    ["last_layer", 2 * 12],
  ] as const) {
    const spec = smallSpec(mode);
    const options = { spec, capacity: { tokens: 20, sequences: 3 }, optimizer: null, part: "upper" } as const;
    const engine = await Engine.create(await testDevice(), options);
    const batch = randomBatch(spec, [3, 5], 1);
    const words = [`${size} elements`, mode === "last_block" ? "block.0" : "pooled"];
    await assertFails("missing-features", words, () => engine.forward(batch));
    await assertFails("missing-features", words, () =>
      engine.forward({ ...batch, features: new Float32Array(size + 12) }),
    );
    await engine.result(engine.forward({ ...batch, features: new Float32Array(size) }));
    engine.destroy();
  }
});

test("NaN in a weight of the lower part ends the run at step 1, with the weight's name", async () => {
  for (const [mode, name] of [
    ["last_block", "h.0.mlp.c_fc.weight"],
    ["last_layer", "h.1.ln_1.bias"],
    ["last_block", "h.1.ln_1.bias"],
  ] as const) {
    const broken = tinyModel(`${folder}/broken`, (tensors) => tensors.get(name)!.data.fill(Number.NaN, 3, 4));
    const model = await openBaseModel(broken);
    const error = await run({ mode, model }).catch((reason: unknown) => reason);
    await model.close();
    assert.instance(error, RunFailed);
    assert.ok((error as RunFailed).message.startsWith(`${name} is not finite`), (error as RunFailed).message);
    assert.match((error as RunFailed).message, "step 1 of 8");
    assert.ok((error as RunFailed).contents.tensors.has("head.weight"));
  }
});
