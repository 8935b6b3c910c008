/** Token classification: what is trained and measured, compared with which baselines, and what a text gets of it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Estimate } from "../../src/core/statistics.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { loadTagged } from "../../src/data/text/tagged.ts";
import { Classifier, fineTune } from "../../src/entries/engine.ts";
import { readEntities } from "../../src/infer/words.ts";
import { compareWith, keptFigures } from "../../src/tasks/compare.ts";
import type { TaggedText } from "../../src/tasks/predictions.ts";
import { type Sentences, training } from "../../src/tasks/tokens/tokens-training.ts";
import { fitBaselines } from "../../src/train/baselines.ts";
import { runBlocks } from "../../src/views/run.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { assertPlain, modelAnd } from "../helpers/runs.ts";

const folder = temporaryFolder();
const SETTINGS = { batchSize: 4, epochs: 12, lr: 2e-2, rank: 4, alpha: 8, evalEvery: 30 } as const;

/** Who is at the beginning, and where at the end; the words between are no entity. */
const NAMES = ["Ann Lee", "Bob", "Carl Max Poe"];
const PLACES = ["Rome", "New York"];
const sentences = Array.from({ length: 60 }, (_, i) => {
  const tag = (words: string, type: string) =>
    words.split(" ").map((word, at) => `${word}\t${at === 0 ? "B" : "I"}-${type}`);
  const [name, place] = [tag(NAMES[i % 3]!, "PER"), tag(PLACES[i % 2]!, "LOC")];
  return [...name, "works\tO", "in\tO", ...place, ".\tO", ""].join("\n");
});
const content = new TextEncoder().encode(sentences.join("\n"));
const load = () => loadTagged({ file: bytesReader("names.conll", content) }, { maxLength: 32, split: "ordered" });
const base = modelAnd(load);
const device = () => testDevice("wasm 1 thread");

test("a run learns the entities, and is measured on them; its adapter finds them in texts", async () => {
  const args = { device: await device(), ...(await base()) };
  const run = await fineTune({ ...args, ...SETTINGS, save: join(folder, "run"), onEvent: assertPlain });
  const { results, record } = run;
  const { compared, rows } = results!.test;
  assert.equal(
    compared.map(({ name }) => name),
    ["this run", "the most frequent tag of each word", "always O"],
  );
  assert.is(rows.there!.length, args.data.test.size);
  const f1 = (compared[0].measured.entity_f1 as Estimate).value;
  assert.ok(f1 > 0.8, `entity F1 ${f1}`);
  assert.is(f1, results!.after.test.entityF1);
  // What learns nothing finds no entity.
  assert.is((compared.at(-1)!.measured.entity_f1 as Estimate).value, 0);
  const text = renderBlocks(runBlocks(record), 200);
  for (const words of ["Entity F1", "Word accuracy", "always O", "PER", "LOC"]) assert.match(text, words);

  const tagger = await Classifier.load(join(folder, "run"), { device: args.device });
  try {
    const sentence = "Ann Lee works in New York.";
    const [found, blank] = await tagger.tag([sentence, " "]);
    assert.equal(
      found!.entities.map(({ label, text, start, end }) => [label, text, start, end]),
      [
        ["PER", "Ann Lee", 0, 7],
        ["LOC", "New York", 17, 25],
      ],
    );
    for (const { text, start, end, probability } of found!.entities) {
      assert.is(sentence.slice(start, end), text);
      assert.ok(probability > 0.5 && probability <= 1);
    }
    assert.equal(blank, { entities: [] });
    await assertFails("wrong-task", ["use tag"], () => tagger.classify("Ann"));
    // Words that are given are read as they are.
    const [given, none] = await tagger.tag([["Ann", "Lee", "works", "in", "New", "York", "."], []]);
    assert.equal(
      given!.entities.map(({ label, text, start, end }) => [label, text, start, end]),
      [
        ["PER", "Ann Lee", 0, 7],
        ["LOC", "New York", 17, 25],
      ],
    );
    const probability = (one: TaggedText) => one.entities.map((entity) => entity.probability);
    assert.equal([probability(given!), none], [probability(found!), { entities: [] }]);
    await assertFails("invalid-argument", ["lists of words"], () => tagger.tag([["Ann", 3]] as never));
  } finally {
    tagger.destroy();
  }
  const predictions = readFileSync(join(folder, "run", "predictions.csv"), "utf8");
  assert.match(predictions, /^set,row,text,truth,predicted\r?\n/);
  assert.match(predictions, /,PER: [^|]+\|LOC: [^,]+,PER: /);
});

test("an entity is as probable as the least probable of its words", () => {
  const words = [
    { text: "New", start: 0, end: 3 },
    { text: "York", start: 4, end: 8 },
  ];
  const read = { text: "New York", words, ids: Uint32Array.of(1, 2, 3), firsts: Uint32Array.of(0, 2) };
  // Probabilities .9, any (not the first token of a word), .6 and the rest.
  const logits = Float32Array.from([0.9, 0.1, 0.5, 0.5, 0.4, 0.6].map(Math.log));
  const [{ entities }] = readEntities([read], logits, ["B-LOC", "I-LOC"]) as [TaggedText];
  assert.is(entities.length, 1);
  assertAllClose("probability", [entities[0]!.probability], [0.6], { atol: 1e-6, rtol: 0 });
});

const LABELS = ["B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O"];
const asIds = (tags: string) => tags.split(" ").map((tag) => LABELS.indexOf(tag));
const TRUTH = ["B-PER I-PER O B-LOC", "O O B-ORG", "B-PER O", "O", "B-LOC I-LOC I-LOC O B-PER"].map(asIds);
const PREDICTED = ["B-PER I-PER O B-ORG", "O I-ORG I-ORG", "B-PER O", "B-LOC", "B-LOC I-LOC O O B-PER"].map(asIds);

const set: Sentences = {
  size: TRUTH.length,
  labels: LABELS,
  words: (row) => TRUTH[row]!.map((_, i) => `w${i}`),
  tags: (row) => TRUTH[row]!,
};
const CONTEXT = { labels: LABELS, counts: [], options: { calibrate: false, threshold: "none", positive: null } };

test("F1, precision, recall and accuracy are seqeval's (1.2.2), also of the types", () => {
  const columns = training.columns(set, PREDICTED.flat(), LABELS.length);
  const [{ measured }] = compareWith(training.measures, { name: "run", columns }, []);
  const values = ["entity_f1", "precision", "recall", "acc"].map((key) => (measured[key] as Estimate).value);
  assertAllClose("measures", values, [6 / 13, 3 / 7, 3 / 6, 10 / 15], { atol: 1e-12, rtol: 0 });
  const { details, mistakes, samples } = training.describe(set, { values: PREDICTED.flat(), columns }, CONTEXT);
  assert.equal(
    details.types.map(({ type, rows, predicted, f1 }) => [type, rows, predicted, f1!.share]),
    [
      ["LOC", 2, 2, 0],
      ["ORG", 1, 2, 0],
      ["PER", 3, 3, 1],
    ],
  );
  assert.equal(samples, [2]);
  assert.equal([...mistakes].sort(), [0, 1, 3, 4]);
  const { truth, predicted } = training.answers!(set, { values: PREDICTED.flat() }, CONTEXT);
  assert.equal([truth[0], predicted[3]], [["PER: w0 w1", "LOC: w3"], ["LOC: w0"]]);
});

test("an evaluation has the same figures, also of the first sentences alone", () => {
  const logits = (rows: readonly number[][]) =>
    Float32Array.from(rows.flat().flatMap((tag) => LABELS.map((_, id) => Number(id === tag))));
  const figures = (rows: readonly number[][]) => {
    const columns = training.columns(set, training.answer!(logits(rows), LABELS.length), LABELS.length);
    const { accuracy, entityF1 } = keptFigures(training.measures, columns);
    return [entityF1!, accuracy!];
  };
  assertAllClose("all", figures(PREDICTED), [6 / 13, 10 / 15], { atol: 1e-12, rtol: 1e-12 });
  assertAllClose("two", figures(PREDICTED.slice(0, 2)), [1 / 3, 4 / 7], { atol: 1e-12, rtol: 1e-12 });
});

test("the baseline gives each word its most frequent tag, and words that it has not seen that of all", async () => {
  const rows = ["a A a A a B b B\n", "c C a A\n", "b B zzz C\n"];
  const lines = rows.map((row) => row.trim().replace(/(\S+) (\S+) ?/g, "$1 $2\n"));
  const [train, val, testSet] = lines.map((text, i) => bytesReader(`${i}.conll`, new TextEncoder().encode(text)));
  const data = await loadTagged({ train: train!, val: val!, test: testSet! });
  const [byWord, always] = (await fitBaselines(data)).baselines;
  assert.equal(
    [byWord!.values, always!.values],
    [
      [1, 0],
      [0, 0],
    ],
  );
  assert.is(always!.name, "always A");
});
