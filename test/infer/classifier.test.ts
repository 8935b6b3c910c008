/** A classifier on long texts: its capacity follows the context. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { Classifier } from "../../src/infer/classifier.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { drawTensors, testMeta } from "../helpers/adapters.ts";
import { assertSameBits, numbers, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { TINY, tinyModel } from "../helpers/tiny.ts";

test("a context of more than 1024 tokens is read to its end, and no further", async () => {
  const length = 1100;
  const directory = tinyModel(join(temporaryFolder(), "long"), (tensors) => {
    const shape = [length, TINY.n_embd];
    tensors.set("wpe.weight", { name: "wpe.weight", shape, dtype: "F32", data: numbers(3)(shape) });
  });
  const config = JSON.parse(readFileSync(join(directory, "config.json"), "utf8"));
  writeFileSync(join(directory, "config.json"), JSON.stringify({ ...config, n_positions: length }));
  const baseModel = await openBaseModel(directory);
  const meta = testMeta({}, { base_model: directory, model: { ...TINY, n_positions: length }, settings: {} });
  const classifier = await Classifier.of({ meta, tensors: drawTensors(meta) }, baseModel, await testDevice());
  const words = (count: number) => " word".repeat(count);
  const logits = (count: number, end = "") => classifier.logits(words(count) + end);
  const whole = await logits(length);
  assertSameBits("beyond", await logits(length, " and more"), whole);
  assert.not.equal(await logits(length - 1, " end"), whole);
  assertSameBits("several", (await classifier.logits([words(length), words(length), "short"])).slice(2, 4), whole);
  classifier.destroy();
  await baseModel.close();
});
