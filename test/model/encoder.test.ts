/**
 * BERT, RoBERTa and XLM-R that transformers wrote, and adapters of them that PEFT wrote (test/golden/encoders): logits,
 * losses, every gradient and 10 steps of AdamW, as they and PyTorch compute them in float64.
 */
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { Engine } from "../../src/engine/engine.ts";
import { loadBase } from "../../src/engine/state.ts";
import { parseModelConfig } from "../../src/io/common.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import type { SafetensorsFile } from "../../src/io/safetensors/safetensors.ts";
import { encodeSafetensors } from "../../src/io/safetensors/safetensors-write.ts";
import type { Mode } from "../../src/methods/index.ts";
import { AdamW } from "../../src/model/adamw.ts";
import type { Batch } from "../../src/model/batch.ts";
import { parameterList } from "../../src/model/trainable.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import {
  assertLoss,
  assertRelative,
  checkAdapter,
  readBatch,
  readGroup,
  type Tolerance,
  withExpected,
} from "../helpers/peft-fixtures.ts";

const folder = packagePath("test/golden/encoders");
const names = ["bert", "roberta", "xlm-roberta"];
/** Of a step: the bias of the keys has no true gradient, and Adam makes whole steps of rounding errors. */
const STEP_LOSS = 1e-5;
/** transformers in float32 is up to 4e-7 from these logits. */
const TOLERANCE: Tolerance = { logits: 2e-6, loss: 2e-6, grad: 1e-5, final: 1e-3 };
const TOKENS = { objective: "tokens", num_labels: 3, pooling: "last-token", head_bias: true } as const;

test("the fixtures are here", () => assert.equal(readdirSync(folder).toSorted(), ["README.md", ...names]));

test("what an encoder cannot do, or is computed otherwise, is refused by name", async () => {
  const path = join(folder, "roberta", "base", "config.json");
  const json = JSON.parse(readFileSync(path, "utf8"));
  const spec = { config: await parseModelConfig(json, path), mode: "all", lora: null, train_head: true } as const;
  await assertFails("unsupported-mode", ["RoBERTa", "a decoder"], () => parameterList({ ...spec, task: TASKS.lm }));
  for (const [key, value, word] of [
    ["pad_token_id", 3, "positions begin behind it"],
    ["position_embedding_type", "relative_key", "absolute"],
    ["is_decoder", true, "false"],
    ["max_position_embeddings", 2, "more than 2"],
  ] as const)
    await assertFails("unsupported-model-config", [key, word], () => parseModelConfig({ ...json, [key]: value }, path));
});

/** Runs `body` with a model and the head of its fixture. */
async function withModel(
  name: string,
  mode: Mode,
  body: (engine: Engine, batch: Batch, file: SafetensorsFile) => Promise<void>,
): Promise<void> {
  const base = join(folder, name, "base");
  await using baseModel = await openBaseModel(base);
  await withExpected(base, async (file) => {
    const batch = await readBatch(file);
    const { betas, eps, weight_decay } = JSON.parse(file.metadata.adamw!);
    const engine = await Engine.create(await testDevice(), {
      spec: { config: baseModel.config, task: TOKENS, mode, lora: null, train_head: true },
      capacity: { tokens: batch.ids.length, sequences: batch.starts.length - 1 },
      optimizer: new AdamW({ betas, eps, weight_decay, clip: 0 }),
    });
    try {
      await loadBase(engine, baseModel);
      const weights = [...baseModel.files!.values()][0]!;
      for (const part of ["weight", "bias"])
        engine.writeParameter(`head.${part}`, await weights.readF32(`classifier.${part}`));
      await body(engine, batch, file);
    } finally {
      engine.destroy();
    }
  });
}

for (const name of names) {
  testOnDevices(`${name}: logits, loss and gradients are transformers' and PyTorch's`, () =>
    withModel(name, "all", async (engine, batch, file) => {
      const { loss } = await engine.result(engine.gradients(batch));
      assertRelative(
        "logits",
        await engine.logits(batch.targets.length),
        await file.readF32("logits"),
        TOLERANCE.logits,
      );
      assertLoss("loss", loss, (await file.readF32("loss"))[0]!, TOLERANCE.loss);
      // The gradients as a checkpoint: their names and places become ours as those of weights do.
      const all = [...(await readGroup(file, "grad."))];
      const directory = temporaryFolder();
      cpSync(join(folder, name, "base", "config.json"), join(directory, "config.json"));
      const tensors = all.map(([name, { shape, data }]) => ({ name, shape, data, dtype: "F32" as const }));
      writeFileSync(join(directory, "model.safetensors"), encodeSafetensors(tensors));
      await using gradients = await openBaseModel(directory);
      const ofHead = new Map(all.map(([key, { data }]) => [key.replace("classifier", "head"), data]));
      for (const one of engine.trainableNames) {
        const want = ofHead.get(one) ?? (await gradients.read(one));
        assertRelative(`gradient of ${one}`, await engine.readGradient(one), want, TOLERANCE.grad);
      }
    }),
  );

  for (const mode of ["all", "bitfit"] as const)
    testOnDevices(`${name}: the losses of 10 steps of mode ${mode} are PyTorch's`, () =>
      withModel(name, mode, async (engine, batch, file) => {
        const { lr } = JSON.parse(file.metadata.adamw!);
        for (const [step, want] of (await file.readF32(`steps.${mode}`)).entries()) {
          const result = await engine.result(engine.step([batch], lr)[0]!);
          assertLoss(`loss of step ${step}`, result.loss, want, STEP_LOSS);
        }
      }),
    );

  for (const form of ["lora", "dora"])
    testOnDevices(
      `${name}: logits, loss, gradients and 10 steps of an adapter (${form}) are PEFT's and PyTorch's`,
      () => checkAdapter(join(folder, name, "base"), join(folder, name, form), TOLERANCE),
    );
}
