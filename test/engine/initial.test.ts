/** Initial values: those of a head, and DoRA's magnitudes, the lengths of the columns of a matrix as it is stored. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { HEAD_INITS, type HeadInit, magnitudeName } from "../../src/core/names.ts";
import { Engine } from "../../src/engine/engine.ts";
import { initialize, initialTensors } from "../../src/engine/initial.ts";
import { loadBase } from "../../src/engine/state.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import type { ModelSpec } from "../../src/model/trainable.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { randomBatch, smallSpec, TASKS } from "../helpers/models.ts";
import { TINY, tinyModel } from "../helpers/tiny.ts";

/** Sums of some hundred squares in f64, rounded to f32 once. */
const ROUNDED = { atol: 0, rtol: 1e-6 };
/** A norm in f32 beside that in f64: z times a factor that is 1 but for some roundings, through the blocks. */
const LOGITS = { atol: 1e-5, rtol: 1e-5 };

const folder = temporaryFolder();
const tiny = tinyModel(join(folder, "tiny"), () => {}, { ...TINY, n_embd: 64 });

test("a head begins with zeros, N(0, .02^2) or U(+-1/sqrt(C)); its bias is 0; an unknown word is refused", async () => {
  await using baseModel = await openBaseModel(tiny);
  const { config } = baseModel;
  const spec = {
    ...smallSpec("lora", { config }),
    task: { ...TASKS.classification, num_labels: 100, head_bias: true },
  };
  const draw = async (headInit: HeadInit) => {
    const tensors = await initialTensors(spec, { seed: 5, headInit }, baseModel);
    assert.ok(tensors.get("head.bias")!.data.every((value) => value === 0));
    const { data } = tensors.get("head.weight")!;
    return {
      most: Math.max(...data.map(Math.abs)),
      spread: Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length),
    };
  };
  const [zeros, normal, uniform] = await Promise.all(HEAD_INITS.map(draw));
  assert.equal(zeros, { most: 0, spread: 0 });
  // 6,400 values: their spread is known to about 1 in 100.
  assertAllClose("normal", [normal!.spread], [0.02], { atol: 0, rtol: 0.05 });
  assert.ok(normal!.most > 0.06 && normal!.most < 0.12, `${normal!.most}`);
  assertAllClose("uniform", [uniform!.spread], [1 / 8 / Math.sqrt(3)], { atol: 0, rtol: 0.05 });
  assert.ok(uniform!.most > 0.12 && uniform!.most <= 1 / 8, `${uniform!.most}`);
  await assertFails("unknown-value", ["zeros", "ones"], () => draw("ones" as HeadInit));
});

for (const dtype of ["f32", "f16", "q8", "q4"] as const)
  test(`in ${dtype}: magnitudes are norms, and the model begins as without DoRA`, async () => {
    await using baseModel = await openBaseModel(tiny);
    const { config } = baseModel;
    const start = async (spec: ModelSpec) => {
      const capacity = { tokens: 40, sequences: 4 };
      const engine = await Engine.create(await testDevice("wasm 2 threads"), { spec, capacity, optimizer: null });
      await loadBase(engine, baseModel);
      await initialize(engine, { seed: 3, headInit: "uniform" }, baseModel);
      engine.forward(randomBatch(spec, [5, 1, 8], 4));
      return { engine, logits: await engine.logits(3) };
    };
    const [dora, lora] = [
      await start({ ...smallSpec("lora", { config, dora: true }), dtype }),
      await start({ ...smallSpec("lora", { config, targets: ["q", "k", "v", "o", "fc", "proj"] }), dtype }),
    ];
    for (const layer of ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"] as const) {
      const weight = await dora.engine.readParameter(`h.0.${layer}.weight`);
      const found = await dora.engine.readParameter(magnitudeName({ block: 0, layer }));
      const squares = new Float64Array(found.length);
      for (const [i, value] of weight.entries()) squares[i % found.length]! += value * value;
      assertAllClose(layer, found, squares.map(Math.sqrt), ROUNDED);
      assert.ok(found.every((norm) => norm > 0));
    }
    for (const name of ["lora.h.0.attn.k.A", "head.weight"])
      assertSameBits(name, await dora.engine.readParameter(name), await lora.engine.readParameter(name));
    assertAllClose("logits", dora.logits, lora.logits, LOGITS);
    dora.engine.destroy();
    lora.engine.destroy();
  });
