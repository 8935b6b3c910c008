/** Language models as they are used: loading, scoring. */
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { Engine } from "../../src/engine/engine.ts";
import { loadBase } from "../../src/engine/state.ts";
import { loadModel } from "../../src/io/hf.ts";
import { GPT2_VOCABULARY } from "../../src/io/tokenizer/vocabulary.ts";
import { drawTensors, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { withModel } from "../helpers/language-model.ts";
import { TASKS } from "../helpers/models.ts";
import { TINY, tinyModel } from "../helpers/tiny.ts";

const END = GPT2_VOCABULARY.end.id;

const folder = temporaryFolder();
const model = tinyModel(join(folder, "model"));
const TEXT = "The quick brown fox — 😀 naïve — jumps over the lazy dog. ".repeat(11);
const LOSS = { atol: 1e-6, rtol: 1e-6 };

/** An adapter of a language model on the tiny model, with B not 0. */
async function adapter(name: string, objective: "lm" | "classification" = "lm"): Promise<string> {
  const directory = join(folder, name);
  const meta = testMeta(
    { target_modules: ["q", "v", "o", "fc"] },
    { base_model: model, model: TINY, task: TASKS[objective], labels: objective === "lm" ? [] : ["ham", "spam"] },
  );
  await writeAdapter(directory, { meta, tensors: drawTensors(meta) });
  return directory;
}

/** Mean loss of the tokens first + 1 .. first + count, from the logits of an engine of its own. */
async function referenceLoss(ids: Uint32Array, first: number, count: number): Promise<number> {
  const baseModel = await loadModel(model);
  const engine = await Engine.create(await testDevice(), {
    spec: { config: TINY, task: TASKS.lm, mode: "all", lora: null, train_head: false },
    capacity: { tokens: 64, sequences: 1 },
    optimizer: null,
  });
  await loadBase(engine, baseModel);
  await baseModel.close();
  engine.forward({
    ids: ids.slice(first, first + count),
    starts: Uint32Array.of(0, count),
    rows: new Uint32Array(),
    targets: new Int32Array(count),
  });
  const logits = await engine.logits(count);
  engine.destroy();
  let sum = 0;
  for (let n = 0; n < count; n++) {
    const row = logits.subarray(n * TINY.vocab_size, (n + 1) * TINY.vocab_size);
    const total = row.reduce((s, x) => s + Math.exp(x), 0);
    sum += Math.log(total) - row[ids[first + n + 1]!]!;
  }
  return sum;
}

testOnDevices("the score of a text is the mean loss of its tokens, block by block", async () => {
  const encoded = (await Tokenizer.load()).encode(TEXT);
  assert.ok(encoded.length > 2 * 64, `${encoded.length} tokens`);
  const ids = Uint32Array.of(END, ...encoded);
  let expected = 0;
  for (let first = 0; first < ids.length - 1; first += 64)
    expected += await referenceLoss(ids, first, Math.min(64, ids.length - 1 - first));
  const score = await withModel(model, (lm) => lm.score(TEXT));
  assert.is(score.tokens, encoded.length);
  assert.is(score.bytes, Buffer.byteLength(TEXT));
  assertAllClose("loss", [score.loss], [expected / score.tokens], LOSS);
  assertAllClose(
    "the rest",
    [score.perplexity, score.bitsPerByte],
    [Math.exp(expected / score.tokens), expected / Math.log(2) / score.bytes],
    { atol: 0, rtol: 1e-5 },
  );
});

testOnDevices("an adapter changes the score, by whatever name it is loaded", async () => {
  const directory = await adapter("adapter");
  const run = join(folder, "run");
  mkdirSync(run, { recursive: true });
  cpSync(directory, join(run, "adapter"), { recursive: true });
  const plain = await withModel(model, (lm) => lm.score(TEXT));
  const adapted = await withModel(directory, (lm) => lm.score(TEXT));
  assert.ok(Math.abs(plain.loss - adapted.loss) > 1e-3, `${plain.loss} and ${adapted.loss}`);
  assert.equal(await withModel(run, (lm) => lm.score(TEXT), { model }), adapted);
});

test("what cannot be loaded or scored is refused by name", async () => {
  const directory = await adapter("classifier", "classification");
  await assertFails("wrong-task", ["classifier", "CAUSAL_LM", "SEQ_CLS"], () => withModel(directory, async () => {}));
  await assertFails("nothing-to-predict", ["empty text"], () => withModel(model, (lm) => lm.score("")));
});
