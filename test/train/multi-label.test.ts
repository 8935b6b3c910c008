/** Classifiers with any number of labels a message: what is trained and measured, and how labels are chosen. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { fitWithin } from "../../src/classic/fit.ts";
import { setTexts } from "../../src/classic/tfidf.ts";
import { type Estimate, f1Of } from "../../src/core/statistics.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { Classifier, fineTune } from "../../src/entries/engine.ts";
import { hitsOf, isExact, labelColumns, training } from "../../src/tasks/multi-label/multi-label-training.ts";
import { fitBaselines } from "../../src/train/baselines.ts";
import { measureTest, measuringContext } from "../../src/train/measure.ts";
import { runBlocks } from "../../src/views/run.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { assertPlain, modelAnd } from "../helpers/runs.ts";
import { spelled } from "../helpers/tiny.ts";

const folder = temporaryFolder();

/** Each label is a word of the message. */
const SETS = ["a", "b", "a|b", "", "c", "b|c"];
const rows = Array.from({ length: 72 }, (_, i) => {
  const set = SETS[i % SETS.length]!;
  return `${set},"${spelled(i)} ${set.split("|").join(" and ")} ${i % 7}"`;
});
const content = new TextEncoder().encode(`label,text\n${rows.join("\n")}\n`);
const load = () =>
  loadDataset({ file: bytesReader("labels.csv", content) }, { objective: "multi-label", maxLength: 64 });
const base = modelAnd(load);
const device = () => testDevice("wasm 1 thread");

test("F1 of all labels together and their mean, as scikit-learn's", () => {
  // f1_score([[1,0,0],[1,1,0],[0,1,0]], [[1,1,0],[0,1,0],[0,1,0]], average="micro" | "macro", zero_division=0)
  const { microF1, macroF1 } = f1Of(hitsOf(labelColumns([1, 0, 0, 1, 1, 0, 0, 1, 0], [1, 1, 0, 0, 1, 0, 0, 1, 0], 3)));
  assertAllClose("f1", [microF1, macroF1], [0.75, (2 / 3 + 0.8 + 0) / 3], { atol: 1e-12, rtol: 1e-12 });
});

test("thresholds: 0.5, or each label's own by a rule on the validation set; one without rows keeps 0.5", () => {
  const logits = [0.2, 0.9, 0.6, 0.3, 0.8, 0.7, 0.1, 0.6, 0.2].map((share) => Math.log(share / (1 - share)));
  const values = [
    [1, 1, 0],
    [1, 0, 0],
    [0, 0, 0],
  ];
  const set = { size: 3, text: String, label: () => 0, values: (row: number) => Float32Array.from(values[row]!) };
  const choose = (threshold: string) => {
    const options = { calibrate: false, threshold, positive: null };
    return training.choose!({ labels: ["a", "b", "c"], counts: [], options }, set, Float32Array.from(logits))!;
  };
  assert.equal(choose("none"), { thresholds: [0.5, 0.5, 0.5] });
  assertAllClose("thresholds", choose("f1").thresholds!, [0.2, 0.9, 0.5], { atol: 1e-7, rtol: 0 });
});

test("a run beside a regression a label and the most frequent set; each label with its measures", async () => {
  const { data, model } = await base();
  const settings = { batchSize: 8, epochs: 8, lr: 2e-2, rank: 2, alpha: 4, evalEvery: 9, threshold: "f1" } as const;
  const more = { save: join(folder, "run"), onEvent: assertPlain };
  const run = await fineTune({ device: await device(), model, data, ...settings, ...more });
  const { test: results, after, decision } = run.results!;
  const [own, tfidf, always] = results.compared;
  const { thresholds } = decision!;
  const [microF1, exact, macroF1] = ["micro_f1", "exact", "macro_f1"].map((key) => own.measured[key] as Estimate);
  assert.match(tfidf!.name, /^TF-IDF, a logistic regression a label \(C /);
  assert.match(always!.name, /^always /);
  assert.ok(microF1!.low <= microF1!.value && microF1!.value <= microF1!.high);
  const right = [...Array(own.rows).keys()].filter((row) => isExact(results.rows, row));
  assert.is(right.length, Math.round(exact!.value * own.rows));
  assert.equal(
    hitsOf(results.rows).map(({ there }) => there),
    data.labels.map((label) => data.stats.test.classes[label]),
  );
  // With the thresholds that were chosen, as beside the baselines.
  assert.equal(
    [after.test.accuracy, after.test.microF1, after.test.macroF1],
    [exact!.value, microF1!.value, macroF1!.value],
  );
  const text = renderBlocks(runBlocks(run.record), 200);
  assert.match(text, /Micro F1 \S+\s%, and exactly its labels for/);
  assert.match(text, "each label is predicted from a probability of its own");
  const [header] = readFileSync(join(folder, "run/predictions.csv"), "utf8").split(/\r?\n/);
  assert.is(header, "set,row,text,truth,predicted,probability a,probability b,probability c");

  const classifier = await Classifier.load(join(folder, "run"), { device: await device(), model: model.directory });
  const texts = Array.from({ length: data.test.size }, (_, row) => data.test.text(row));
  const found = await classifier.classify(texts);
  assertAllClose(
    "probabilities",
    found.flatMap(({ probabilities }) => Object.values(probabilities)),
    run.answers!.test.probabilities!,
    { atol: 1e-5, rtol: 1e-4 },
  );
  for (const { labels, label, probability, probabilities } of found) {
    assert.equal(
      labels,
      data.labels.filter((name, i) => probabilities[name]! >= thresholds![i]!),
    );
    const [first] = labels!.toSorted((a, b) => probabilities[b]! - probabilities[a]!);
    assert.equal(
      [label, probability],
      [first ?? null, first === undefined ? Math.max(...Object.values(probabilities)) : probabilities[first]],
    );
  }
  await assertFails("wrong-task", ["use classify"], () => classifier.score(texts));
  classifier.destroy();
});

test("the baselines: labels that are words are learned, and the most frequent set is that of the training set", async () => {
  const { data } = await base();
  const [tfidf, always] = (await fitBaselines(data)).baselines;
  const truth = Array.from({ length: data.test.size }, (_, row) => [...data.test.values(row)]).flat();
  const wrong = truth.filter((value, i) => value !== tfidf!.values[i]).length;
  assert.ok(wrong <= 0.1 * truth.length, `${wrong} of ${truth.length}`);
  const [set, ...others] = Array.from({ length: data.test.size }, (_, row) =>
    Array.from(always!.values)
      .slice(3 * row, 3 * row + 3)
      .join(),
  );
  assert.ok(others.every((other) => other === set));
  // Each label has its share of the work.
  const stopped = (await fitWithin(data, { mostWork: 5e5 }))!;
  const logits = await stopped.logits([...setTexts(data.test, data.test.positions())]);
  assert.is(stopped.parts.limits, "stopped after 0.0005 billion multiply-adds");
  for (const label of data.labels.keys())
    assert.ok(
      logits.some((logit, i) => i % data.labels.length === label && logit > 0),
      data.labels[label]!,
    );
});

test("right and wrong messages with their labels, against baselines that are worse, or the same", async () => {
  const { data } = await base();
  const k = data.labels.length;
  const truth = Float32Array.from(
    Array.from({ length: data.test.size }, (_, row) => [...data.test.values(row)]).flat(),
  );
  const flipped = truth.map((value, i) => (i === 1 ? 1 - value : value));
  const none = new Float32Array(truth.length);
  const found = measureTest(
    data,
    { values: flipped, probabilities: flipped },
    [
      { name: "the same", values: flipped },
      { name: "none", values: none },
    ],
    measuringContext(data, { calibrate: false, threshold: "none", positive: null }),
  );
  assert.equal(
    [...Array(data.test.size).keys()].filter((row) => !isExact(found.rows, row)),
    [0],
  );
  const [own, same, worse] = found.compared;
  assert.equal([same!.against!.standing, same!.against!.p], ["not distinguishable", 1]);
  assert.is(worse!.against!.standing, "better");
  const [best, least] = [own, worse!].map(({ measured }) => (measured.micro_f1 as Estimate).value);
  assert.ok(best! > least! && least === 0);
  const [mistake] = found.mistakes;
  assert.is(mistake!.text, data.test.text(0));
  assert.equal(
    mistake!.predicted as string[],
    data.labels.filter((_, i) => flipped[i % k] === 1),
  );
});
