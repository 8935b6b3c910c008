/**
 * Results in flight: how long a device that takes 100 ms to answer, as WebGPU does in Firefox, keeps the host waiting.
 */
import * as assert from "uvu/assert";
import { concat } from "../../src/core/concat.ts";
import { Engine } from "../../src/engine/engine.ts";
import { evaluate } from "../../src/engine/evaluate.ts";
import { InFlight } from "../../src/engine/in-flight.ts";
import { fineTune } from "../../src/entries/engine.ts";
import { computeRows } from "../../src/infer/rows.ts";
import type { SegmentName } from "../../src/plan/plan.ts";
import type { TrainEvent } from "../../src/train/records.ts";
import { assertSameBits } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { fillRandom, smallSpec } from "../helpers/models.ts";
import { modelAnd } from "../helpers/runs.ts";
import { onSlowDevice } from "../helpers/slow-device.ts";
import { messages, tinyData } from "../helpers/tiny.ts";

const WORK = 5;
const step = (segments: readonly SegmentName[]) => (segments.includes("forward") ? WORK : 0);
const cpu = () => testDevice("wasm 1 thread");

test("a training step does not wait for the loss of each; the losses are the same", async () => {
  const { model, data } = await modelAnd(() => tinyData(messages(60)))();
  const settings = { epochs: 4, batchSize: 1, lr: 0.01, rank: 2, alpha: 4, evalEvery: 1000 } as const;
  const train = async (wait: number) => {
    const at: number[] = [];
    const losses: number[] = [];
    const onEvent = (event: TrainEvent) => {
      if (event.type !== "step") return;
      at.push(performance.now());
      losses.push(event.record.loss);
    };
    await onSlowDevice(await cpu(), { wait, work: step }, async (device) => {
      await fineTune({ device, model, data, ...settings, onEvent });
    });
    return { each: (at.at(-1)! - at[0]!) / (at.length - 1), losses };
  };
  const [often, rarely] = [await train(0), await train(100)];
  assert.equal(rarely.losses, often.losses);
  assert.ok(often.losses.length > 300, `${often.losses.length} steps`);
  assert.ok(often.each <= 1.01 * WORK, `${often.each} ms a step`);
  // With four in flight each step would take 21 ms.
  assert.ok(rarely.each <= 1.3 * WORK, `${rarely.each} ms a step`);
});

test("an evaluation and a classification have many batches in flight", async () => {
  const { test: set } = await tinyData(messages(400));
  const spec = smallSpec("lora", { config: { vocab_size: 50257, n_positions: 64 } });
  const run = async (wait: number) => {
    const times: number[] = [];
    const results: Float32Array[] = [];
    await onSlowDevice(await cpu(), { wait, work: step }, async (device) => {
      const capacity = { tokens: 64, sequences: 2 };
      const engine = await Engine.create(device, { spec, capacity, optimizer: null });
      fillRandom(engine, 3);
      const timed = async (work: () => Promise<unknown>) => {
        const begun = performance.now();
        await work();
        times.push(performance.now() - begun);
      };
      await timed(async () => {
        results.push((await evaluate(engine, set, { pooling: "last-token" }))[1] as Float32Array);
      });
      const tokens = Array.from({ length: 100 }, (_, i) => Uint32Array.from({ length: 40 }, (_, j) => i + j));
      await timed(async () => {
        const logits: Float32Array[] = [];
        const rows = tokens.map((tokens) => ({ tokens }));
        await computeRows(engine, { padTo: 0, pad: 0, task: spec.task }, rows, (_, some) => logits.push(some));
        results.push(concat(Float32Array, logits));
      });
      engine.destroy();
    });
    return { times, results };
  };
  const [often, rarely] = [await run(0), await run(100)];
  for (const [i, logits] of often.results.entries()) assertSameBits(`batch ${i}`, rarely.results[i]!, logits);
  for (const [i, ms] of often.times.entries())
    assert.ok(rarely.times[i]! <= 1.5 * ms + 200, `${rarely.times[i]} ms, without waits ${ms}`);
});

test("as few as ever are in flight where answers take no time, or work takes long; a failure is told in its turn", async () => {
  for (const answer of [0, 100]) {
    const inFlight = new InFlight<number>(Promise.resolve(answer), 2);
    await Promise.resolve();
    const { now } = performance;
    let clock = 0;
    performance.now = () => clock;
    try {
      for (let i = 0; i < 40; i++) {
        inFlight.add(i === 38 ? Promise.reject(new Error("38")) : Promise.resolve(i));
        while (inFlight.isFull) {
          clock += 150;
          await inFlight.next();
        }
        assert.ok(inFlight.length <= 2);
      }
      const failed = await inFlight.next().catch((error: Error) => error.message);
      assert.is(failed, "38");
      inFlight.clear();
      assert.is(inFlight.length, 0);
    } finally {
      performance.now = now;
    }
  }
});
