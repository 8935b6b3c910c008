/**
 * Llama-type models and GPT-NeoX that transformers wrote, and adapters of them that PEFT wrote (test/golden/llama and
 * neox): logits, losses, every gradient and 10 steps of AdamW, as they and PyTorch compute them in float64.
 */
import { cpSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { ConfigError } from "../../src/core/errors.ts";
import { Decoder } from "../../src/engine/decoder.ts";
import { Engine } from "../../src/engine/engine.ts";
import { loadBase } from "../../src/engine/state.ts";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import type { SafetensorsFile } from "../../src/io/safetensors/safetensors.ts";
import { encodeSafetensors } from "../../src/io/safetensors/safetensors-write.ts";
import type { Batch } from "../../src/model/batch.ts";
import { parameterList } from "../../src/model/trainable.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { fillRandom, LLAMA, NEOX, OPTIMIZER, randomBatch, smallSpec, TASKS } from "../helpers/models.ts";
import {
  assertLoss,
  assertRelative,
  checkAdapter,
  readBatch,
  readGroup,
  type Tolerance,
  withExpected,
} from "../helpers/peft-fixtures.ts";

const folder = packagePath("test/golden");
const names = ["llama", "neox"].flatMap((family) =>
  readdirSync(join(folder, family)).flatMap((name) => (name === "README.md" ? [] : `${family}/${name}`)),
);

/** transformers in float32 is up to 7e-7 from these logits. */
const TOLERANCE: Tolerance = { logits: 2e-6, loss: 2e-6, grad: 1e-5, final: 1e-3 };

/** The models' heads, by the names of PEFT's tasks. */
const HEADS = { SEQ_CLS: TASKS.classification, CAUSAL_LM: TASKS.lm };

test("the fixtures are here", () => {
  const llamas = ["llama", "llama-linear", "llama3", "qwen2"].map((name) => `llama/${name}`);
  assert.equal(names, [...llamas, "neox/pythia", "neox/sequential"]);
});

/** Runs `body` with all parameters of a model to be trained. */
async function withModel(
  name: string,
  task: keyof typeof HEADS,
  body: (engine: Engine, batch: Batch, file: SafetensorsFile) => Promise<void>,
): Promise<void> {
  const base = join(folder, name, "base");
  await using baseModel = await openBaseModel(base);
  await withExpected(base, async (file) => {
    const batch = await readBatch(file, `${task}.labels`);
    const engine = await Engine.create(await testDevice(), {
      spec: { config: baseModel.config, task: HEADS[task], mode: "all", lora: null, train_head: true },
      capacity: { tokens: batch.ids.length, sequences: batch.rows.length },
      optimizer: OPTIMIZER,
    });
    try {
      await loadBase(engine, baseModel);
      if (task === "SEQ_CLS") engine.writeParameter("head.weight", await baseModel.read("score.weight"));
      await body(engine, batch, file);
    } finally {
      engine.destroy();
    }
  });
}

/**
 * The gradients of all parameters as a checkpoint, so that their names and places become ours as those of weights do.
 */
async function openGradients(name: string, file: SafetensorsFile): Promise<BaseModel & AsyncDisposable> {
  const directory = temporaryFolder();
  const tensors = [...(await readGroup(file, "grad."))].map(([key, { shape, data }]) => {
    return { name: key, shape, data, dtype: "F32" as const };
  });
  cpSync(join(folder, name, "base", "config.json"), join(directory, "config.json"));
  writeFileSync(join(directory, "model.safetensors"), encodeSafetensors(tensors));
  return openBaseModel(directory);
}

for (const name of names) {
  for (const task of ["SEQ_CLS", "CAUSAL_LM"] as const)
    testOnDevices(`${name}, ${task}: logits, loss and gradients are transformers' and PyTorch's`, () =>
      withModel(name, task, async (engine, batch, file) => {
        const { loss } = await engine.result(engine.gradients(batch));
        const logits = await engine.logits(batch.targets.length);
        assertRelative("logits", logits, await file.readF32(`${task}.logits`), TOLERANCE.logits);
        assertLoss("loss", loss, (await file.readF32(`${task}.loss`))[0]!, TOLERANCE.loss);
        if (task !== file.metadata.gradients) return;
        await using gradients = await openGradients(name, file);
        for (const one of engine.trainableNames) {
          const want = await gradients.read(one === "head.weight" ? "score.weight" : one);
          assertRelative(`gradient of ${one}`, await engine.readGradient(one), want, TOLERANCE.grad);
        }
        // transformers has the same parameters: nothing learns here that does not learn there, or the other way round.
        const size = (sum: number, one: string) =>
          sum + engine.parameter(one).pieces.reduce((n, p) => n + p.tensor.size, 0);
        const theirs = [...(await readGroup(file, "grad.")).values()].reduce((sum, { data }) => sum + data.length, 0);
        assert.is(engine.trainableNames.reduce(size, 0), theirs);
      }),
    );

  testOnDevices(`${name}: behind a cache of half a message, token by token, the logits are transformers'`, async () => {
    const base = join(folder, name, "base");
    await using baseModel = await openBaseModel(base);
    await withExpected(base, async (file) => {
      const { ids, starts } = await readBatch(file, "CAUSAL_LM.labels");
      const messages = [...starts.subarray(1)].map((end, slot) => ({
        slot,
        ids: [...ids.subarray(starts[slot], end)],
      }));
      const spec = { config: baseModel.config, task: TASKS.lm, mode: "all", lora: null, train_head: true } as const;
      const capacity = { tokens: 64, sequences: messages.length };
      const decoder = await Decoder.create(await testDevice(), { spec, capacity });
      try {
        await loadBase(decoder, baseModel);
        const half = (length: number) => Math.ceil(length / 2);
        await decoder.prefill(
          messages.map(({ slot, ids }) => ({ slot, position: 0, ids: ids.slice(0, half(ids.length)) })),
        );
        const { vocab_size } = baseModel.config;
        const want = await file.readF32("CAUSAL_LM.logits");
        for (const { slot, ids } of messages)
          for (let position = half(ids.length); position < ids.length; position++) {
            const got = await decoder.decode([{ slot, position, ids: [ids[position]!] }]);
            const at = (starts[slot]! + position) * vocab_size;
            const row = want.subarray(at, at + vocab_size);
            assertRelative(`token ${position} of message ${slot}`, got, row, TOLERANCE.logits);
          }
      } finally {
        decoder.destroy();
      }
    });
  });

  // DoRA is of some of the matrices that are one here: PEFT leaves the others as they are.
  for (const form of name === "llama/llama" ? ["lora", "dora"] : ["lora"])
    testOnDevices(
      `${name}: logits, loss, gradients and 10 steps of an adapter (${form}) are PEFT's and PyTorch's`,
      () => checkAdapter(join(folder, name, "base"), join(folder, name, form), TOLERANCE),
    );
}

/** Of the slope along a direction, from losses in float32. */
const SLOPE = 5e-3;

const QWEN2 = { ...LLAMA, model_type: "qwen2" } as const;
for (const [mode, objective, config] of [
  ["lora", "classification", LLAMA],
  ["adapter", "classification", LLAMA],
  ["prompt", "lm", LLAMA],
  ["prefix", "classification", LLAMA],
  ["last_block", "classification", LLAMA],
  ["bitfit", "lm", QWEN2],
  ["lora", "lm", NEOX],
  ["adapter", "lm", NEOX],
  ["prompt", "classification", NEOX],
  ["prefix", "lm", NEOX],
  ["last_block", "classification", NEOX],
  ["bitfit", "classification", NEOX],
] as const)
  test(`the gradients of ${mode} are the slopes of the loss (${config.model_type}, ${objective})`, async () => {
    const spec = smallSpec(mode, { objective, config });
    const engine = await Engine.create(await testDevice("wasm 2 threads"), {
      spec,
      capacity: { tokens: 40, sequences: 4 },
      optimizer: OPTIMIZER,
    });
    try {
      fillRandom(engine, 7);
      const batch = randomBatch(spec, [5, 1, 17], 3);
      await engine.result(engine.gradients(batch));
      const gradients = new Map<string, Float32Array>();
      for (const name of engine.trainableNames) gradients.set(name, await engine.readGradient(name));
      for (const [name, gradient] of gradients) {
        const values = await engine.readParameter(name);
        const length = Math.hypot(...gradient);
        const losses: number[] = [];
        for (const step of [1e-2, -1e-2]) {
          engine.writeParameter(
            name,
            values.map((value, i) => value + (step * gradient[i]!) / length),
          );
          losses.push((await engine.result(engine.forward(batch))).loss);
        }
        engine.writeParameter(name, values);
        const slope = (losses[0]! - losses[1]!) / 2e-2;
        assert.ok(Math.abs(slope - length) <= SLOPE * length + 1e-4, `${name}: ${slope}, not ${length}`);
      }
    } finally {
      engine.destroy();
    }
  });

test("a model without biases has no mode bitfit", async () => {
  const spec = smallSpec("bitfit", { config: LLAMA });
  assert.throws(
    () => parameterList(spec),
    (error: unknown) => error instanceof ConfigError && error.code === "unsupported-mode",
  );
});
