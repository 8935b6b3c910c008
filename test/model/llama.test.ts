/**
 * Llama-type models that transformers wrote, and adapters of them that PEFT wrote (test/golden/llama): logits, losses,
 * every gradient and 10 steps of AdamW, as they and PyTorch compute them in float64.
 */
import { cpSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { Engine } from "../../src/engine/engine.ts";
import { loadBase } from "../../src/engine/state.ts";
import { type GPT2Checkpoint, openGPT2 } from "../../src/io/hf.ts";
import type { SafetensorsFile } from "../../src/io/safetensors.ts";
import { encodeSafetensors } from "../../src/io/safetensors-write.ts";
import type { Batch } from "../../src/model/batch.ts";
import { assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { OPTIMIZER, TASKS } from "../helpers/models.ts";
import {
  assertLoss,
  assertRelative,
  checkAdapter,
  readBatch,
  readGroup,
  type Tolerance,
  withExpected,
} from "../helpers/peft-fixtures.ts";

const folder = packagePath("test/golden/llama");
const names = readdirSync(folder).filter((name) => name !== "README.md");

/** transformers in float32 is up to 7e-7 from these logits. */
const TOLERANCE: Tolerance = { logits: 2e-6, loss: 2e-6, grad: 1e-5, final: 1e-3 };

/** The models' heads, by the names of PEFT's tasks. */
const HEADS = { SEQ_CLS: TASKS.classification, CAUSAL_LM: TASKS.lm };

test("the fixtures are here", () => {
  assert.equal(names, ["llama", "llama-linear", "llama3", "qwen2"]);
});

/** Runs `body` with all parameters of a model to be trained. */
async function withModel(
  name: string,
  task: keyof typeof HEADS,
  body: (engine: Engine, batch: Batch, file: SafetensorsFile) => Promise<void>,
): Promise<void> {
  const base = join(folder, name, "base");
  await using checkpoint = await openGPT2(base);
  await withExpected(base, async (file) => {
    const batch = await readBatch(file, `${task}.labels`);
    const engine = await Engine.create(await testDevice(), {
      spec: { config: checkpoint.config, task: HEADS[task], mode: "all", lora: null, train_head: true },
      capacity: { tokens: batch.ids.length, sequences: batch.rows.length },
      optimizer: OPTIMIZER,
    });
    try {
      await loadBase(engine, checkpoint);
      if (task === "SEQ_CLS") engine.writeParameter("head.weight", await checkpoint.read("score.weight"));
      await body(engine, batch, file);
    } finally {
      engine.destroy();
    }
  });
}

/** The gradients of all parameters as a checkpoint, so that their names and places become ours as those of weights do. */
async function openGradients(name: string, file: SafetensorsFile): Promise<GPT2Checkpoint & AsyncDisposable> {
  const directory = temporaryFolder();
  const tensors = [...(await readGroup(file, "grad."))].map(([key, { shape, data }]) => {
    return { name: key, shape, data, dtype: "F32" as const };
  });
  cpSync(join(folder, name, "base", "config.json"), join(directory, "config.json"));
  writeFileSync(join(directory, "model.safetensors"), encodeSafetensors(tensors));
  return openGPT2(directory);
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

  testOnDevices(`${name}: a message has the same logits, to the bit, in a batch and alone`, () =>
    withModel(name, "CAUSAL_LM", async (engine, batch) => {
      const { ids, starts, targets } = batch;
      const { vocab_size } = engine.plan.spec.config;
      engine.forward(batch);
      const packed = await engine.logits(ids.length);
      for (let b = 0; b < starts.length - 1; b++) {
        const [from, to] = [starts[b]!, starts[b + 1]!];
        engine.forward({
          ids: ids.subarray(from, to),
          starts: Uint32Array.of(0, to - from),
          rows: Uint32Array.of(to - from - 1),
          targets: targets.subarray(from, to),
        });
        const alone = await engine.logits(to - from);
        assertSameBits(`message ${b}`, alone, packed.subarray(from * vocab_size, to * vocab_size));
      }
    }),
  );

  testOnDevices(`${name}: logits, loss, gradients and 10 steps of an adapter are PEFT's and PyTorch's`, () =>
    checkAdapter(join(folder, name, "base"), join(folder, name, "lora"), TOLERANCE),
  );
}
