/** Messages unlike the training data: the filter, its limit, its place in a run, and what a classifier says. */

import { join } from "node:path";
import * as assert from "uvu/assert";
import { bytesReader } from "../../src/data/corpus.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { ConfigError } from "../../src/errors.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { encodeMeta, parseMeta } from "../../src/io/adapter-meta.ts";
import { loadModel } from "../../src/io/hf.ts";
import { Novelty, type NoveltySettings } from "../../src/io/novelty.ts";
import { readAdapter } from "../../src/io/peft.ts";
import { Rng } from "../../src/rng.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import { fitFilter } from "../../src/train/novelty.ts";
import { testMeta } from "../helpers/adapters.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { tinyModel } from "../helpers/tiny.ts";

/** Rows of `length` token ids, drawn from `vocabulary` ids. */
function randomRows(seed: number, count: number, length: number, vocabulary = 50_257): Uint32Array[] {
  const rng = new Rng(seed);
  return Array.from({ length: count }, () => Uint32Array.from({ length }, () => Math.floor(rng.next() * vocabulary)));
}

const scoreRows = (rows: readonly Uint32Array[], novelty: Novelty) => rows.map((ids) => novelty.score(ids));

test("known pairs are never new, and few new ones pass for known", () => {
  const train = randomRows(1, 3000, 21);
  const novelty = Novelty.from(fitFilter(train, randomRows(2, 50, 21))!);
  assert.equal([...new Set(scoreRows(train, novelty))], [1 / 23], "60,000 known pairs");
  const scores = scoreRows(randomRows(3, 1000, 21), novelty);
  const passed = 1 - scores.reduce((sum, score) => sum + (23 * score - 1) / 20, 0) / scores.length;
  assert.ok(passed < 0.03, `${passed} of the new pairs`);
  assert.equal(
    [[], [7]].map((ids) => novelty.score(Uint32Array.from(ids))),
    [1 / 3, 1 / 3],
  );
});

test("2 of 100 validation messages are above the limit; with fewer than 50 there is none", () => {
  // Row i has i known pairs and 100 - i new ones.
  const train = [Uint32Array.from({ length: 101 }, (_, i) => i)];
  const val = Array.from({ length: 100 }, (_, n) =>
    Uint32Array.from({ length: 101 }, (_, i) => (i <= n ? i : 1000 + i)),
  );
  const novelty = Novelty.from(fitFilter(train, val)!);
  assert.equal(
    val.map((ids) => novelty.isUnlike(ids)),
    val.map((_, i) => i < 2),
  );
  assert.is(fitFilter(train, val.slice(0, 49)), null);
  assert.not.equal(fitFilter(train, val.slice(0, 50)), null);
});

test("a damaged filter is refused", async () => {
  const { pairs } = fitFilter(randomRows(1, 9, 9), randomRows(2, 50, 9))!;
  const parse = (novelty: unknown) =>
    parseMeta(JSON.parse(encodeMeta(testMeta({}, { settings: { novelty } }))), "x.json");
  assert.equal(parse({ limit: 0.5, pairs }).settings.novelty, { limit: 0.5, pairs });
  for (const bad of [
    null,
    1,
    { pairs },
    { limit: "1", pairs },
    { limit: 1, pairs: pairs.slice(4) },
    { limit: 1, pairs: `*${pairs.slice(1)}` },
  ])
    await assertFails(
      ConfigError,
      "invalid-adapter-config",
      ["the filter of the training messages is damaged", "x.json"],
      async () => parse(bad),
    );
});

/** `count` messages of two classes. */
async function twoClasses(count: number) {
  const rng = new Rng(4);
  const words = ["see", "you", "at", "lunch", "friend", "prize", "call", "now", "today", "won"];
  const lines = Array.from({ length: count }, (_, i) => {
    const text = Array.from({ length: 12 }, () => words[rng.below(words.length)]!).join(" ");
    return `${i % 2 ? "ham" : "spam"},${text}\n`;
  });
  return loadDataset({ file: bytesReader("a.csv", new TextEncoder().encode(`label,text\n${lines.join("")}`)) });
}

test("a run keeps its filter, and a classifier says which messages are unlike the training data", async () => {
  const folder = temporaryFolder();
  const device = await testDevice("wasm 1 thread");
  const model = await loadModel(tinyModel(join(folder, "model")));
  const labels: (boolean | undefined)[][] = [];
  for (const count of [500, 100]) {
    const data = await twoClasses(count);
    const run = await fineTune({ device, model, data, epochs: 1, batchSize: 64 }, () => []);
    await run.save(join(folder, `run${count}`));
    const { settings } = (await readAdapter(join(folder, `run${count}`, "adapter"))).meta;
    assert.equal((settings.novelty ?? null) as NoveltySettings | null, run.novelty);
    const classifier = await Classifier.load(join(folder, `run${count}`), { device });
    const texts = [data.train.text(0), "Zażółć gęślą jaźń, for (let i = 0; i < n; i++) x += 2;"];
    labels.push((await classifier.classify(texts)).map(({ unlike }) => unlike));
    assert.is((await classifier.classify(texts[1]!))[0]!.unlike, labels.at(-1)![1]);
    classifier.destroy();
  }
  assert.equal(labels, [
    [false, true],
    [undefined, undefined],
  ]);
  await model.close();
});
