/** A run on pairs of texts: what it stores and measures, and how its classifier reads them. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { DatasetOptions, DatasetSpec } from "../../src/data/dataset-options.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { peftCode, useCode } from "../../src/export/peft-code.ts";
import { listUsages } from "../../src/export/usage.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { measureInfluences } from "../../src/infer/influence.ts";
import { csvLine } from "../../src/io/csv.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { parseMeta } from "../../src/io/peft/adapter-meta.ts";
import type { AdapterMeta } from "../../src/io/peft/peft.ts";
import type { Pair, TextOrPair } from "../../src/pair.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import { readTrainedTexts } from "../../src/run/trained-texts.ts";
import { fitBaselines } from "../../src/train/baselines.ts";
import { dataBlocks } from "../../src/views/data.ts";
import { runFiles } from "../../src/views/run-files.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { drawTensors, testMeta } from "../helpers/adapters.ts";
import { answersOf } from "../helpers/answers.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { TINY, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const directory = tinyModel(join(folder, "model"));
const file = join(folder, "pairs.jsonl");
const WORDS = ["red", "green", "blue", "white"];
/** Whether both texts have the same word: neither text alone says it. */
const rows = Array.from({ length: 80 }, (_, i) => {
  const [first, second] = [WORDS[i % 4]!, WORDS[(i >> 2) % 4]!];
  const question = `Is it ${first}${" really".repeat(i % 3)}? ${i}`;
  return { question, answer: `It is ${second}, row ${i}`, label: first === second ? "yes" : "no" };
});
writeFileSync(file, rows.map((row) => JSON.stringify(row)).join("\n"));

const save = join(folder, "run");
let training: ReturnType<typeof train> | undefined;
/** The run of all tests. */
const trained = () => {
  training ??= train();
  return training;
};

async function train() {
  const model = await openBaseModel(directory);
  const device = await testDevice("wasm 1 thread");
  // The longest pairs are cut.
  const data = await loadDataset({ file }, { model, maxLength: 13, dedupe: false });
  const run = await fineTune({ device, model, data, rank: 2, epochs: 1, batchSize: 4, save }, runFiles);
  return { model, device, data, run };
}

const METADATA: Partial<AdapterMeta> = { model: TINY, base_fingerprint: "x" };
const SETTINGS = { columns: ["question", "answer"] };

test("the run and its adapter tell the columns and the separator, and the run's data is found again", async () => {
  const { data, run, model } = await trained();
  assert.equal(data.pairs, SETTINGS);
  assert.equal(run.record.pairs, SETTINGS);
  assert.equal(await readTrainedTexts(save), { likelyTextColumn: "question,answer", isPair: true });
  assert.equal(await readTrainedTexts(join(save, "adapter")), { likelyTextColumn: "question,answer", isPair: true });
  const { record } = run;
  const again = await loadDataset(record.data as unknown as DatasetSpec, { ...(record.data as DatasetOptions), model });
  assert.equal(again.pairs, SETTINGS);
  assert.equal(again.stats, data.stats);
  const terminal = renderBlocks(dataBlocks(data, "tiny", "none"), 120);
  assert.match(terminal, /pairs of texts: columns question and answer, with the token that ends a text between them/);
});

test("a classifier reads pairs as training did: the same labels and probabilities, also of pairs that are cut", async () => {
  const { data, run, device } = await trained();
  assert.ok(data.stats.test.cut > 0 && data.stats.test.cut < data.stats.test.rows, "some are cut");
  const classifier = await Classifier.load(save, { device, model: directory });
  const found = await classifier.classify(answersOf(run).map(({ row }) => data.test.text(row)));
  for (const [i, { label, probability }] of found.entries()) {
    const own = answersOf(run)[i]!;
    assert.is(label, own.predicted);
    assert.ok(Math.abs(probability! - own.probability) < 1e-6);
  }
  await assertFails("wrong-text-count", ["pairs of texts", "texts[1]"], () => classifier.classify([["a", "b"], "c"]));
  await assertFails("invalid-argument", ["pairs"], () => classifier.classify([["a", "b", "c"]] as unknown as Pair[]));
  classifier.destroy();
});

test("scores of pairs are read as pairs, too", async () => {
  const { model, device } = await trained();
  const scored = join(folder, "scored.jsonl");
  writeFileSync(scored, rows.map((row, i) => JSON.stringify({ ...row, label: i % 5 })).join("\n"));
  const data = await loadDataset({ file: scored }, { model, maxLength: 32, objective: "regression" });
  const directoryOf = join(folder, "scores");
  const run = await fineTune({ device, model, data, rank: 2, epochs: 1, batchSize: 8, save: directoryOf }, runFiles);
  assert.equal(run.record.pairs, SETTINGS);
  const classifier = await Classifier.load(directoryOf, { device, model: directory });
  const found = await classifier.score(answersOf(run).map(({ row }) => data.test.text(row)));
  for (const [i, { predicted }] of answersOf(run).entries())
    assert.ok(Math.abs(found[i]!.score! - (predicted as number)) < 1e-5);
  classifier.destroy();
});

test("results have both texts: messages, the example, predictions.csv", async () => {
  const { data, run } = await trained();
  const { test: results } = run.results!;
  for (const { text } of [...results!.samples, ...results!.mistakes]) assert.is(text.length, 2);
  assert.ok(
    rows.some(({ question, answer }) => String([question, answer]) === String(results!.example)) ||
      results!.example[0] === "some text",
  );
  const predictions = readFileSync(join(save, "predictions.csv"), "utf8");
  for (const { row, truth } of answersOf(run))
    assert.ok(predictions.includes(csvLine([...data.test.text(row), truth as string]).trimEnd()));
});

test("the baseline has features of each text: it learns what one of them says, whichever it is", async () => {
  for (const told of [0, 1]) {
    const lines = Array.from({ length: 120 }, (_, i) => {
      const label = i % 2 ? "a" : "b";
      const texts = [`${i} ${["x", "y"][(i >> 1) % 2]}x`, `${i} ${["x", "y"][(i >> 1) % 2]}x`];
      texts[told] = `${i} ${label}${label}`;
      return JSON.stringify({ question: texts[0], answer: texts[1], label });
    });
    const path = join(folder, `told${told}.jsonl`);
    writeFileSync(path, lines.join("\n"));
    const data = await loadDataset({ file: path });
    const [tfidf] = (await fitBaselines(data)).baselines;
    const right = Array.from(tfidf!.values).filter((label, row) => label === data.test.label(row)).length;
    assert.is(right, data.test.size, `text ${told}`);
  }
});

/** A classifier with random parameters and these settings. */
async function randomClassifier(meta: Partial<AdapterMeta>) {
  const { device, model } = await trained();
  const all = testMeta({}, { model: TINY, ...meta });
  return Classifier.of({ meta: all, tensors: drawTensors(all) }, model, device);
}

test("single texts are refused where pairs were trained on, and pairs where they were not; PEFT's adapters take both", async () => {
  const { base_fingerprint: _, ...unknown } = METADATA;
  const pair: TextOrPair = ["you have won", "a prize"];
  const peft = await randomClassifier(unknown);
  const [joined] = await peft.classify([pair]);
  assert.ok((await peft.classify(pair[0]))[0]!.probability! > 0);
  peft.destroy();
  const pairs = await randomClassifier({ ...unknown, settings: { pairs: SETTINGS } });
  assert.equal((await pairs.classify([pair]))[0]!.probabilities, joined!.probabilities);
  await assertFails("wrong-text-count", ["pairs of texts"], () => pairs.classify("you have won"));
  pairs.destroy();
  assert.equal(
    parseMeta({ ...encoded(METADATA), settings: { pairs: SETTINGS } }, "lowrank.json").settings.pairs,
    SETTINGS,
  );
  for (const [pairs, named] of [
    [1, "pairs"],
    [null, "pairs"],
    [{}, "columns"],
    [{ columns: "question" }, "columns"],
  ] as const)
    await assertFails("invalid-field", [named], () =>
      parseMeta({ ...encoded(METADATA), settings: { pairs } }, "lowrank.json"),
    );
});

const encoded = (meta: Partial<AdapterMeta>) => ({
  format: "lowrank-adapter",
  version: 1,
  sha256: "",
  ...testMeta({}, meta),
});

test("leave one out in both texts of a pair", async () => {
  const { base_fingerprint: _, ...unknown } = METADATA;
  const classifier = await randomClassifier(unknown);
  const pair: Pair = ["is it red", "yes"];
  const { label, parts, words } = await measureInfluences(classifier, pair);
  const logOdds = async (text: TextOrPair) => {
    const { [label]: own, ...others } = (await classifier.classify([text]))[0]!.probabilities;
    return Math.log(own!) - Math.log(Object.values(others).reduce((sum, share) => sum + share, 0));
  };
  const whole = await logOdds(pair);
  assert.equal(
    [words, parts.map(({ of, start, end }) => [of, pair[of]!.slice(start, end)])],
    [
      1,
      [
        [0, "is"],
        [0, "it"],
        [0, "red"],
        [1, "yes"],
      ],
    ],
  );
  const without: Pair[] = [
    ["it red", "yes"],
    ["is red", "yes"],
    ["is it", "yes"],
    ["is it red", ""],
  ];
  for (const [i, variant] of without.entries())
    assert.is(parts[i]!.influence, whole - (await logOdds(variant)), String(variant));
  classifier.destroy();
});

test("the code for Python joins pairs as training did, and the code for pages and Node takes two texts", () => {
  const meta = testMeta({}, { ...METADATA, settings: { pairs: SETTINGS } });
  const end = { id: 50256, text: "<|endoftext|>" };
  const python = [...peftCode(meta, end, "gpt2", "."), ...useCode(meta, end, ["Is it?", "Yes"])].join("\n");
  assert.match(python, /# GPT-2's tokenizer joins the texts of a pair with nothing between them/);
  assert.ok(python.includes('pair=["$A", "<|endoftext|>", "$B"], special_tokens=[("<|endoftext|>", 50256)]'), python);
  assert.ok(python.includes('tokenizer(["Is it?"], ["Yes"], '), python);
  assert.not.match(useCode(testMeta({}, METADATA), end).join("\n"), /TemplateProcessing/);
  const [page, node] = listUsages({
    meta,
    base: { name: "gpt2", place: "hub" },
    end,
    example: ["Is it?", "Yes"],
    obstacle: null,
  });
  assert.ok(node!.code!.includes('classify([["Is it?","Yes"]])'), node!.code!);
  assert.ok(page!.code!.includes('classify([["Is it?","Yes"]])'), page!.code!);
});
