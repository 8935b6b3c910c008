/**
 * Language models beside PEFT and PyTorch (test/exchange/language.py; versions in expect.json): perplexity of a text,
 * and a whole training curve from the same adapter, in the same order, on gpt2-micro.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { bytesReader } from "../../src/data/corpus.ts";
import { Blocks } from "../../src/data/text/blocks.ts";
import { loadTexts } from "../../src/data/text/texts.ts";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { Engine } from "../../src/engine/engine.ts";
import { evaluate } from "../../src/engine/evaluate.ts";
import { loadBase } from "../../src/engine/state.ts";
import { loadModel } from "../../src/io/hf.ts";
import { loadAdapter } from "../../src/io/peft/open-adapter.ts";
import { testDevice } from "../helpers/device.ts";
import { test, testAll } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import { train } from "../helpers/train.ts";

const folder = packagePath("test/golden/lm");
const text = readFileSync(join(folder, "sotu-1904.txt"));
const expected = JSON.parse(readFileSync(join(folder, "expect.json"), "utf8"));
/** gpt2-micro is F32 here and float64 there; four digits of the perplexity are asked for. */
const LOSS = 2e-5;

function near(what: string, got: number, want: number): void {
  assert.ok(Math.abs(got - want) <= LOSS * want, `${what}: ${got} in place of ${want}`);
}

testAll("the perplexity of 20 kB is PyTorch's", async () => {
  const { bytes, loss } = expected.perplexity[0];
  const tokenizer = await Tokenizer.load();
  const model = await loadModel("gpt2-micro");
  const { config } = model;
  const length = config.n_positions;
  const document = tokenizer.encodeBytes(text.subarray(0, bytes));
  const blocks = Blocks.pack([document], { length, stride: length, tokenizer });
  assert.is(blocks.stats().bytes, bytes);
  const engine = await Engine.create(await testDevice("wasm 1 thread"), {
    spec: { config, task: TASKS.lm, mode: "all", lora: null, train_head: false },
    capacity: { tokens: 2 * length, sequences: 2 },
    optimizer: null,
  });
  try {
    await loadBase(engine, model);
    const [measured] = await evaluate(engine, blocks, { pooling: "last-token" });
    near("loss", measured.loss, loss);
    assert.is(measured.perplexity!.toPrecision(4), Math.exp(loss).toPrecision(4));
    near("bits per byte", measured.bitsPerByte!, (loss * blocks.stats().tokens) / Math.LN2 / bytes);
  } finally {
    engine.destroy();
    await model.close();
  }
});

/** Trains the adapter that PEFT began, to its end or for some steps. */
async function assertTrained(steps = expected.losses.length): Promise<void> {
  const { settings, losses, evaluations } = expected;
  const { length, block, epochs, batch, every, seed, adamw } = settings;
  const part = (name: string, from: number, to: number) =>
    bytesReader(`${name}.txt`, text.subarray(Math.floor(from * length), Math.floor(to * length)));
  const sets = { train: part("train", 0, 0.8), val: part("val", 0.8, 0.9), test: part("test", 0.9, 1) };
  const model = await loadModel("gpt2-micro");
  const abort = new AbortController();
  try {
    const result = await train({
      device: await testDevice("wasm 1 thread"),
      model,
      data: await loadTexts(sets, { maxLength: block }),
      adapter: await loadAdapter(join(folder, "adapter"), model),
      epochs,
      batchSize: batch,
      evalEvery: every,
      seed,
      lr: adamw.lr,
      weightDecay: adamw.weight_decay,
      schedule: "constant",
      warmup: 0,
      signal: abort.signal,
      onEvent: (event) => {
        if (event.type === "step" && event.record.step === steps && steps < losses.length) abort.abort();
      },
    });
    assert.ok(result.steps.length >= steps);
    for (const { step, loss } of result.steps) near(`loss of step ${step}`, loss, losses[step - 1]);
    assert.ok(result.evaluations.length > steps / every);
    for (const [i, { val }] of result.evaluations.entries()) near(`evaluation ${i}`, val.loss, evaluations[i]);
    if (result.aborted) return;
    assert.is(result.steps.length, losses.length);
    assert.ok(result.results!.after.val!.perplexity! < 0.95 * result.results!.before.val!.perplexity!);
  } finally {
    await model.close();
  }
}

test("an adapter that PEFT began is trained as PyTorch trains it: the first steps, the first evaluations", () =>
  assertTrained(7));

testAll("every step and every evaluation", () => assertTrained());
