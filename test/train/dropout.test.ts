/** Runs with dropout: their draws, what it changes, and that they are evaluated without it. */
import * as assert from "uvu/assert";
import { Engine } from "../../src/engine/engine.ts";
import type { TrainArguments } from "../../src/train/job.ts";
import { resolveOptions, withAdapter } from "../../src/train/options.ts";
import type { TrainResult } from "../../src/train/records.ts";
import type { TrainOptions } from "../../src/train/settings.ts";
import { testMeta } from "../helpers/adapters.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test, testAll } from "../helpers/harness.ts";
import { modelAnd } from "../helpers/runs.ts";
import { messages, tinyData } from "../helpers/tiny.ts";
import { train } from "../helpers/train.ts";

const base = modelAnd(() => tinyData(messages(12)));
const SMALL = { rank: 2, alpha: 4, epochs: 2, batchSize: 4, evalEvery: 3, lr: 1e-2, dropout: 0.25 } as const;
/** The same sums in another order, through some steps of AdamW. */
const ROUNDING = { atol: 1e-5, rtol: 1e-5 };

async function run(more: Partial<TrainArguments> = {}, device = "wasm 1 thread"): Promise<TrainResult> {
  return train({ device: await testDevice(device), ...(await base()), ...SMALL, ...more });
}

const losses = ({ steps }: TrainResult) => steps.map(({ loss }) => loss);

testAll("another device has the same masks", async () => {
  assertAllClose("losses", losses(await run({}, "webgpu")), losses(await run()), ROUNDING);
});

test("it changes the steps and no evaluation: before the first step that is the one of a run without", async () => {
  const [dropped, plain] = [await run(), await run({ dropout: 0 })];
  assert.equal(dropped.evaluations[0], plain.evaluations[0]);
  // B is 0 in the first step, so that nothing is lost.
  assertAllClose("first loss", losses(dropped).slice(0, 1), losses(plain).slice(0, 1), ROUNDING);
  for (const [i, loss] of losses(dropped).slice(1).entries()) assert.is.not(loss, losses(plain)[i + 1]);
  assert.is.not(losses(await run({ seed: 2 }))[1], losses(dropped)[1]);
});

test("every sequence that a run draws has a number of its own, across batches, steps and epochs", async () => {
  const { step } = Engine.prototype;
  const draws: number[] = [];
  Engine.prototype.step = function (batches, lr) {
    for (const batch of batches) draws.push(...batch.draws!);
    return step.call(this, batches, lr);
  };
  try {
    const { steps } = await run({ accumulate: 2 });
    const drawn = steps.at(-1)!.examples;
    assert.ok(drawn > 16);
    assert.equal(
      draws,
      Array.from({ length: drawn }, (_, i) => i + 1),
    );
  } finally {
    Engine.prototype.step = step;
  }
});

test("shares that are none are refused, and dropout in a mode without adapters", async () => {
  for (const dropout of [1, -0.1, Number.NaN, 2])
    await assertFails("invalid-value", ["dropout", "a number from 0 to below 1", String(dropout)], () =>
      resolveOptions({ dropout }),
    );
  await assertFails("option-without-effect", ["dropout 0.1"], () => resolveOptions({ mode: "bitfit", dropout: 0.1 }));
});

test("training goes on from an adapter with its dropout, or with another", () => {
  const meta = testMeta({ lora_dropout: 0.1 });
  const dropout = (given: Partial<TrainOptions>, from = meta) => withAdapter(given, from, "classification").dropout;
  assert.equal([dropout({}), dropout({ dropout: 0.5 }), dropout({ dropout: 0 })], [0.1, 0.5, 0]);
  assert.is(dropout({}, testMeta()), 0);
});
