/** Token classification: a target for each token, and a head of its own, in a model, in features and in PEFT's files. */

import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import { targetLogits } from "../../src/engine/targets.ts";
import { readAdapter } from "../../src/io/peft/peft.ts";
import type { Mode } from "../../src/methods/index.ts";
import type { Batch } from "../../src/model/batch.ts";
import { frozenBlocks, type ModelSpec } from "../../src/model/trainable.ts";
import { IGNORE_INDEX } from "../../src/ops/crossentropy.ts";
import { drawTensors, model, modeMeta, readAll, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { assertAllClose, relativeError } from "../helpers/allclose.ts";
import { assertSameBits, numbers, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { fillRandom, OPTIMIZER, randomBatch, smallSpec } from "../helpers/models.ts";

const folder = temporaryFolder();
/** The same sums in another order, in f32. */
const ROUNDING = 2e-6;
const CLOSE = { atol: 1e-6, rtol: 1e-6 };

const tokens = "tokens" as const;
const LENGTHS = [7, 1, 24 - 2, 12];

/** A batch of texts with their classes, and the same as one whose last tokens alone have a target. */
function batches(spec: ModelSpec): [ofTexts: Batch, ofTokens: Batch] {
  const batch = randomBatch(spec, LENGTHS, 1);
  const targets = new Int32Array(batch.ids.length).fill(IGNORE_INDEX);
  for (const [b, row] of batch.rows.entries()) targets[row] = batch.targets[b]!;
  return [batch, { ...batch, rows: new Uint32Array(), targets }];
}

/** Logits of the last tokens, loss and gradients. */
async function measure(spec: ModelSpec, batch: Batch, last: Uint32Array, options: Partial<EngineOptions> = {}) {
  const capacity = { tokens: 60, sequences: 6 };
  const engine = await Engine.create(await testDevice(), { spec, capacity, optimizer: OPTIMIZER, ...options });
  try {
    fillRandom(engine, 11);
    const head = numbers(3);
    for (const name of ["head.weight", "head.bias"]) engine.writeParameter(name, head(engine.parameter(name).shape));
    const { loss } = await engine.result(engine.gradients(batch));
    const all = await targetLogits(engine, batch);
    const classes = spec.task.num_labels;
    const logits = [...last].flatMap((row) => [...all.subarray(row * classes, (row + 1) * classes)]);
    const gradients = new Map<string, Float32Array>();
    for (const name of engine.trainableNames) gradients.set(name, await engine.readGradient(name));
    return { loss, logits, gradients };
  } finally {
    engine.destroy();
  }
}

for (const mode of ["lora", "all", "prompt", "last_layer"] as Mode[])
  test(`${mode}: a model whose last tokens alone have targets is a classifier of texts`, async () => {
    const ofTexts = smallSpec(mode);
    const ofTokens = { ...ofTexts, task: { ...ofTexts.task, objective: tokens } as const };
    const [texts, words] = batches(ofTexts);
    const expected = await measure(ofTexts, texts, Uint32Array.from(LENGTHS.keys()));
    const found = await measure(ofTokens, words, texts.rows);
    assertAllClose("loss", [found.loss], [expected.loss], CLOSE);
    assert.ok(relativeError(Float32Array.from(found.logits), Float32Array.from(expected.logits)) < ROUNDING);
    assert.equal([...found.gradients.keys()], [...expected.gradients.keys()]);
    for (const [name, gradient] of expected.gradients)
      assert.ok(relativeError(found.gradients.get(name)!, gradient) < ROUNDING, name);
  });

test("features of a frozen model are rows of tokens", async () => {
  const { task, ...rest } = smallSpec("last_layer");
  const spec = { ...rest, task: { ...task, objective: tokens } };
  assert.is(frozenBlocks(spec), spec.config.n_layer);
  const [{ rows }, batch] = batches(smallSpec("last_layer"));
  const whole = await measure(spec, batch, rows);
  const options = { spec, capacity: { tokens: 60, sequences: 6 }, optimizer: null, part: "lower" } as const;
  const lower = await Engine.create(await testDevice(), options);
  fillRandom(lower, 11);
  const features = await lower.computeFeatures(batch);
  lower.destroy();
  assert.is(features.length, batch.ids.length * spec.config.n_embd);
  const upper = await measure(spec, { ...batch, features }, rows, { part: "upper" });
  assert.is(upper.loss, whole.loss);
  for (const [name, gradient] of whole.gradients) assertSameBits(name, upper.gradients.get(name)!, gradient);
});

for (const mode of ["lora", "prompt"] as const)
  test(`PEFT's files, ${mode}: the head has its own name, and a bias`, async () => {
    const task = { objective: tokens, num_labels: 3, pooling: "last-token", head_bias: true } as const;
    const labels = ["LABEL_0", "LABEL_1", "LABEL_2"];
    const meta = testMeta({ target_modules: ["o"] }, { task, labels, ...(mode === "lora" ? {} : modeMeta(mode)) });
    const directory = join(folder, mode);
    const tensors = drawTensors(meta);
    assert.ok((await writeAdapter(directory, { meta, tensors })).peft);
    const config = JSON.parse(readFileSync(join(directory, "adapter_config.json"), "utf8"));
    assert.is(config.task_type, "TOKEN_CLS");
    const theirs = await readAll(join(directory, "adapter_model.safetensors"));
    const wrapper = mode === "lora" ? "base_model.model" : "base_model";
    assertSameBits("weight", theirs.get(`${wrapper}.classifier.weight`)!.data, tensors.get("head.weight")!.data);
    const check = async (base?: { config: typeof model }) => {
      const read = await readAdapter(directory, base && { base });
      assert.equal(read.meta.task, meta.task);
      assert.equal([...read.tensors.keys()].sort(), [...tensors.keys()].sort());
      assertSameBits("bias", read.tensors.get("head.bias")!.data, tensors.get("head.bias")!.data);
    };
    await check();
    rmSync(join(directory, "lowrank.json"));
    await check({ config: model });
  });
