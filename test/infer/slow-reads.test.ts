/** A device that takes 100 ms to answer, as WebGPU does in Firefox: how often it is waited for. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { GenerateOptions } from "../../src/infer/text/generation.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { RunLength } from "../../src/infer/text/run-length.ts";
import { MOST_STEPS } from "../../src/model/decoder.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { onSlowDevice } from "../helpers/slow-device.ts";
import { tinyModel } from "../helpers/tiny.ts";

const model = tinyModel(join(temporaryFolder(), "model"));
const TOKENS = 60;

/** Texts on a device with these milliseconds for an answer and a step: when each token arrived, from the start. */
async function write(times: { wait: number; step: number }, prompts: string[], options: GenerateOptions = {}) {
  const arrivals: number[] = [];
  const ids: number[][] = prompts.map(() => []);
  let [loaded, before] = [0, 0];
  const work = (segments: readonly string[]) => (segments.includes("decode") ? times.step : 0);
  const device = await testDevice("wasm 1 thread");
  const { ms, waits } = await onSlowDevice(device, { wait: times.wait, work }, async (slow, counted) => {
    const lm = await LanguageModel.load(model, { device: slow, batchSize: 2 });
    loaded = performance.now();
    before = counted();
    for await (const chunk of lm.generate(prompts, { maxNewTokens: TOKENS, ...options })) {
      for (const _ of chunk.ids) arrivals.push(performance.now() - loaded);
      ids[chunk.prompt]!.push(...chunk.ids);
    }
    lm.destroy();
  });
  return { ms, waits: waits - before, arrivals, ids };
}

test("tokens are read in runs of 100 ms, or of three waits, the first one at once", async () => {
  for (const [times, most, longest] of [
    // One wait for each token would be 60, and 6.3 s.
    [{ wait: 100, step: 5 }, 5, 270],
    [{ wait: 100, step: 1 }, 5, 140],
    [{ wait: 100, step: 60 }, 15, 400],
    [{ wait: 0, step: 5 }, 7, 105],
    // As slow as ever: every token is read.
    [{ wait: 0, step: 90 }, 61, 91],
  ] as const) {
    const { waits, arrivals, ids } = await write(times, ["x"]);
    assert.is(ids[0]!.length, TOKENS);
    const what = `${JSON.stringify(times)}: ${waits} waits, tokens at ${arrivals}`;
    assert.ok(waits <= most, what);
    assert.is(arrivals[0], times.wait, what);
    for (const [i, at] of arrivals.entries()) assert.ok(at - (arrivals[i - 1] ?? 0) <= longest, what);
  }
});

test("the text does not depend on how it is read, with a penalty, a context that overflows and texts that end early", async () => {
  const prompts = ["a b", "", "c d e f", "g"];
  for (const [options, most] of [
    [{ repetitionPenalty: 1.2 }, 0.25],
    [{ temperature: 0.9, topK: 40, topP: 0.9, repetitionPenalty: 1.2 }, 0.25],
    // Where a text ends, its slot is free at the end of the run.
    [{ temperature: 2, stop: ["e", "0"] }, 1],
  ] as const) {
    const [often, rarely] = [
      await write({ wait: 0, step: 500 }, prompts, options),
      await write({ wait: 100, step: 1 }, prompts, options),
    ];
    assert.ok(rarely.waits <= most * often.waits, `${rarely.waits} waits, ${often.waits}`);
    assert.equal(rarely.ids, often.ids);
    assert.ok(most < 1 || rarely.ids.some(({ length }) => length < TOKENS), "no text ended early");
  }
});

test("the length of a run follows the device: an answer is no work, and one time is forgotten with the next", async () => {
  const length = new RunLength(Promise.resolve(40));
  await Promise.resolve();
  for (const [steps, ms, isAfterRead, expected] of [
    [1, 41, false, MOST_STEPS],
    [1, 500, true, 1],
    [10, 120, true, 10],
    [10, 0, false, MOST_STEPS],
  ] as const) {
    length.measure(steps, ms, isAfterRead);
    assert.is(length.steps, expected);
  }
});
