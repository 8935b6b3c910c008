/** A run on pairs of texts: what it stores and measures, and how its classifier reads them. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Pair } from "../../src/core/pair.ts";
import type { DatasetOptions, DatasetSpec } from "../../src/data/dataset-options.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { peftCode, useCode } from "../../src/export/peft-code.ts";
import { listUsages } from "../../src/export/usage.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { measureInfluences } from "../../src/infer/influence.ts";
import { csvLine } from "../../src/io/csv.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { parseMeta } from "../../src/io/peft/adapter-meta.ts";
import { GPT2_VOCABULARY } from "../../src/io/tokenizer/vocabulary.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import { readTrainedTexts } from "../../src/run/trained-texts.ts";
import { fitBaselines } from "../../src/train/baselines.ts";
import { dataBlocks } from "../../src/views/data.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { drawTensors, testMeta } from "../helpers/adapters.ts";
import { answersOf } from "../helpers/answers.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { spelled, TINY, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const directory = tinyModel(join(folder, "model"));
const SETTINGS = { columns: ["question", "answer"] };

/** A file of so many rows. */
function write(name: string, rows: number, row: (i: number) => object): string {
  const path = join(folder, name);
  writeFileSync(path, Array.from({ length: rows }, (_, i) => JSON.stringify(row(i))).join("\n"));
  return path;
}

test("a run tells its columns, and its classifier reads pairs as training did, also pairs that are cut", async () => {
  const words = ["red", "green", "blue", "white"];
  const file = write("pairs.jsonl", 80, (i) => {
    const [first, second] = [words[i % 4]!, words[(i >> 2) % 4]!];
    const question = `Is it ${first}${" really".repeat(i % 3)}? ${i}`;
    return { question, answer: `It is ${second}, row ${i}`, label: first === second ? "yes" : "no" };
  });
  const [model, device] = [await openBaseModel(directory), await testDevice("wasm 1 thread")];
  const data = await loadDataset({ file }, { model, maxLength: 13, dedupe: false });
  assert.ok(data.stats.test.cut > 0 && data.stats.test.cut < data.stats.test.rows, "some are cut");
  const save = join(folder, "run");
  const run = await fineTune({ device, model, data, rank: 2, epochs: 1, batchSize: 4, save });

  const { record } = run;
  assert.equal([data.pairs, record.pairs], [SETTINGS, SETTINGS]);
  for (const place of [save, join(save, "adapter")])
    assert.equal(await readTrainedTexts(place), { likelyTextColumn: "question,answer", isPair: true });
  const again = await loadDataset(record.data as unknown as DatasetSpec, { ...(record.data as DatasetOptions), model });
  assert.equal([again.pairs, again.stats], [SETTINGS, data.stats]);
  const terminal = renderBlocks(dataBlocks(data, "tiny", "none"), 120);
  assert.match(terminal, /pairs of texts: columns question and answer, with the token that ends a text between them/);

  const classifier = await Classifier.load(save, { device, model: directory });
  const found = await classifier.classify(answersOf(run).map(({ row }) => data.test.text(row)));
  const predictions = readFileSync(join(save, "predictions.csv"), "utf8");
  for (const [i, { row, truth, predicted, probability }] of answersOf(run).entries()) {
    assert.is(found[i]!.label, predicted);
    assert.ok(Math.abs(found[i]!.probability! - probability) < 1e-6);
    assert.ok(predictions.includes(csvLine([...data.test.text(row), truth as string]).trimEnd()));
  }
  const { samples, mistakes } = run.results!.test!;
  for (const { text } of [...samples, ...mistakes]) assert.is(text.length, 2);
  await assertFails("wrong-text-count", ["pairs of texts", "texts[1]"], () => classifier.classify([["a", "b"], "c"]));
  await assertFails("invalid-argument", ["pairs"], () => classifier.classify([["a", "b", "c"]] as unknown as Pair[]));
  classifier.destroy();
});

test("the baseline has features of each text: it learns what one of them says, whichever it is", async () => {
  for (const told of [0, 1]) {
    const file = write(`told${told}.jsonl`, 120, (i) => {
      const label = i % 2 ? "a" : "b";
      const [question, answer] = [0, 1].map(
        (k) => `${spelled(i)} ${k === told ? label + label : `${"xy"[(i >> 1) % 2]}x`}`,
      );
      return { question, answer, label };
    });
    const data = await loadDataset({ file });
    const [tfidf] = (await fitBaselines(data)).baselines;
    const right = Array.from(tfidf!.values).filter((label, row) => label === data.test.label(row)).length;
    assert.is(right, data.test.size, `text ${told}`);
  }
});

test("an adapter of PEFT takes single texts and pairs, one of pairs no others; what leaves them out is refused", async () => {
  const [model, device] = [await openBaseModel(directory), await testDevice("wasm 1 thread")];
  const open = (settings: object) => {
    const meta = testMeta({}, { model: TINY, settings: { ...settings } });
    return Classifier.of({ meta, tensors: drawTensors(meta) }, model, device);
  };
  const [peft, pairs] = [await open({}), await open({ pairs: SETTINGS })];
  const pair: Pair = ["is it red", "yes"];
  const [joined] = await peft.classify([pair]);
  assert.ok((await peft.classify(pair[0]))[0]!.probability! > 0);
  assert.equal((await pairs.classify([pair]))[0]!.probabilities, joined!.probabilities);
  await assertFails("wrong-text-count", ["pairs of texts"], () => pairs.classify("you have won"));
  pairs.destroy();

  const { label, parts, words } = (await measureInfluences(peft, pair))!;
  const logOdds = async (text: Pair) => {
    const { [label]: own, ...others } = (await peft.classify([text]))[0]!.probabilities;
    return Math.log(own!) - Math.log(Object.values(others).reduce((sum, share) => sum + share, 0));
  };
  const found = parts.map(({ of, start, end }) => [of, pair[of]!.slice(start, end)]);
  assert.equal([words, found.join(" ")], [1, "0,is 0,it 0,red 1,yes"]);
  const whole = await logOdds(pair);
  for (const [i, without] of ["it red|yes", "is red|yes", "is it|yes", "is it red|"].entries())
    assert.is(parts[i]!.influence, whole - (await logOdds(without.split("|") as unknown as Pair)), without);
  peft.destroy();

  const meta = { format: "lowrank-adapter", version: 1, sha256: "", ...testMeta({}, { model: TINY }) };
  const parse = (pairs: unknown) => parseMeta({ ...meta, settings: { pairs } }, "lowrank.json");
  assert.equal(parse(SETTINGS).settings.pairs, SETTINGS);
  for (const [invalid, named] of [
    [null, "pairs"],
    [{}, "columns"],
    [{ columns: "question" }, "columns"],
  ] as const)
    await assertFails("invalid-field", [named], () => parse(invalid));
});

test("the code for Python joins pairs as training did, and the code for pages and Node takes two texts", () => {
  const meta = testMeta({}, { model: TINY, settings: { pairs: SETTINGS } });
  const frame = GPT2_VOCABULARY;
  const example = ["Is it?", "Yes"] as const;
  const python = [...peftCode(meta, frame.end, "gpt2", "."), ...useCode(meta, frame, example)].join("\n");
  for (const words of [
    "# GPT-2's tokenizer joins the texts of a pair with nothing between them",
    'pair=["$A", "<|endoftext|>", "$B"], special_tokens=[("<|endoftext|>", 50256)]',
    'tokenizer(["Is it?"], ["Yes"], ',
  ])
    assert.ok(python.includes(words), python);
  assert.not.match(useCode(testMeta({}, { model: TINY }), frame).join("\n"), /TemplateProcessing/);
  for (const { code } of listUsages({
    meta,
    base: { name: "gpt2", place: "hub" },
    frame,
    example,
    obstacle: null,
  }).slice(0, 2))
    assert.ok(code!.includes('classify([["Is it?","Yes"]])'), code!);
});
