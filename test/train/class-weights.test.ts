/** The weights of classes in the loss: which, when, and what they do to a run. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { bytesReader } from "../../src/data/corpus.ts";
import { type LoadedDataset, loadDataset } from "../../src/data/datasets.ts";
import { fineTune } from "../../src/entries/engine.ts";
import { type BaseModel, loadModel } from "../../src/io/hf.ts";
import { isUnequal, weighClasses } from "../../src/train/class-weights.ts";
import type { TrainArguments } from "../../src/train/job.ts";
import { ofMode, resolveOptions } from "../../src/train/options.ts";
import { dataBlocks } from "../../src/views/data.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { answersOf } from "../helpers/answers.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { afterAll, test } from "../helpers/harness.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";

/** The same sums in another order, through some steps of AdamW. */
const ROUNDING = { atol: 1e-5, rtol: 1e-5 };

const directory = tinyModel(join(temporaryFolder(), "model"));
let model: Promise<BaseModel> | undefined;
afterAll(async () => (await model)?.close());

async function run(data: LoadedDataset, options: Partial<TrainArguments> = {}) {
  model ??= loadModel(directory);
  const small = { epochs: 2, batchSize: 4, lr: 0.01, rank: 2, alpha: 4, mode: "last_layer" } as const;
  return fineTune({
    device: await testDevice("wasm 1 thread"),
    model: await model,
    data,
    ...ofMode({ ...small, ...options }, options.mode ?? small.mode),
  });
}

/** 42 messages: 32 ham, 10 spam. */
function unequal(): Promise<LoadedDataset> {
  const [head, ...rows] = messages(32).trimEnd().split("\n");
  const some = rows.filter((row, i) => row.startsWith("ham") || i < 20);
  return tinyData([head, ...some, ""].join("\n"), { split: "stratified" });
}

/** A training set with so many rows of each class; the other sets have one of each. */
function withRows(counts: Record<string, number>): Promise<LoadedDataset> {
  const set = (name: string, rows: [string, number][]) => {
    const lines = rows.flatMap(([label, count]) => Array.from({ length: count }, (_, i) => `${label},${name} ${i}`));
    return bytesReader(`${name}.csv`, new TextEncoder().encode(`label,text\n${lines.join("\n")}\n`));
  };
  const one = Object.keys(counts).map((label): [string, number] => [label, 1]);
  return loadDataset({ train: set("train", Object.entries(counts)), val: set("val", one), test: set("test", one) });
}

test("weights are as 1 / sqrt(rows of the class) with mean 1, by class id, where the largest class has over 1.5 times the smallest", async () => {
  // Numeric labels keep their order. 16 * 0.75 + 4 * 1.5 + 1 * 3 is 21, the number of rows.
  const data = await withRows({ "10": 16, "2": 4, "1": 1 });
  assert.equal([...data.labels].sort(), ["1", "10", "2"]);
  const weights = weighClasses(data, "auto")!;
  const expected: Record<string, number> = { "10": 0.75, "2": 1.5, "1": 3 };
  assert.equal(
    [...weights],
    data.labels.map((label) => expected[label]!),
  );
  assert.is(weighClasses(data, "none"), undefined);
  assert.equal([isUnequal(await withRows({ a: 3, b: 2 })), isUnequal(await withRows({ a: 8, b: 5 }))], [false, true]);
});

test("a step's loss is the weighted mean, an evaluation's the mean; macro F1 is that of the test rows", async () => {
  const loaded = await unequal();
  const data = { ...loaded, test: loaded.train };
  const { size } = data.train;
  // One step of all rows, which changes no parameter.
  const done = await run(data, { epochs: 1, batchSize: size, lr: 1e-30 });
  const { steps, results } = done;
  const predictions = answersOf(done);
  const weights = weighClasses(data, "auto")!;
  const of = predictions.map(({ row }) => weights[data.test.label(row)]!);
  const losses = predictions.map(({ row, probabilities }) => -Math.log(probabilities[data.test.label(row)]!));
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  const weighted = sum(losses.map((loss, i) => loss * of[i]!)) / sum(of);
  assertAllClose("losses", [steps[0]!.loss, results!.after.test.loss], [weighted, sum(losses) / size], ROUNDING);
  assert.is(results!.after.test.macroF1, results!.test.compared[0].measured.macro_f1);
});

for (const mode of ["lora", "last_layer"] as const)
  test(`${mode}: two batches of 2 per step equal one batch of 4, whatever the classes in them`, async () => {
    const data = await unequal();
    const [whole, halves] = [await run(data, { mode }), await run(data, { mode, batchSize: 2, accumulate: 2 })];
    for (const key of ["loss", "norm"] as const)
      assertAllClose(
        key,
        halves.steps.map((step) => step[key]),
        whole.steps.map((step) => step[key]),
        ROUNDING,
      );
  });

test("equal classes have no weights, to the bit; unequal ones do, unless the setting is none", async () => {
  const losses = async (data: LoadedDataset, classWeights: "auto" | "none") =>
    (await run(data, { classWeights })).steps.map(({ loss }) => loss);
  const [even, odd] = [await tinyData(messages(20), { split: "stratified" }), await unequal()];
  assert.equal(await losses(even, "auto"), await losses(even, "none"));
  assert.not.equal(await losses(odd, "auto"), await losses(odd, "none"));
});

test("what needs classes is refused by name for other objectives", async () => {
  assert.is(resolveOptions({}, "lm").classWeights, "none");
  const settings = [{ classWeights: "auto" }, { calibrate: true }, { threshold: "f1" }] as const;
  for (const [objective, words, refused] of [
    ["lm", "language model", settings],
    ["regression", "a regression", settings],
    ["multi-label", "several labels", settings.slice(0, 2)],
  ] as const)
    for (const given of refused) await assertFails("options-conflict", [words], () => resolveOptions(given, objective));
});

test("one line says what was read, what was left out and why, and the weights", async () => {
  const line = (data: LoadedDataset, how: "auto" | "none") =>
    dataBlocks(data, "gpt2-micro", how).flatMap((block) =>
      block.kind === "text" && block.text.startsWith("rows:") ? block.text : [],
    )[0];
  const read = "rows: 42 read (ham 32, spam 10); ";
  const odd = await unequal();
  assert.is(line(odd, "auto"), `${read}all kept; loss weighted by class (ham 0.843, spam 1.49)`);
  assert.match(line(odd, "none")!, /all kept; the classes are unequal, their loss is not weighted/);
  const csv = messages(20).split("\n").slice(0, 31).join("\n").replaceAll("spam,", "ham,");
  const balanced = await tinyData(`${csv}\nspam,a\nspam,b\nspam,c\nspam,d\nspam,e\nspam,a\n`, {
    balance: true,
    dedupe: true,
  });
  assert.match(line(balanced, "auto")!, /near-duplicates of earlier rows left out; \d+ rows of the larger/);
});
