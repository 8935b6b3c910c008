/**
 * Temperature and threshold, chosen on a validation set, against scikit-learn's (made by test/exchange/measures.py).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath, writeDirectory } from "#platform";
import { planExport } from "../../src/export/index.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { openAdapter } from "../../src/io/peft/open-adapter.ts";
import { readRecord } from "../../src/run/directory.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import { type ClassDetails, choosePositive } from "../../src/tasks/classification/classification-training.ts";
import { chooseDecision, fitTemperature } from "../../src/tasks/decision.ts";
import { decide } from "../../src/tasks/predictions.ts";
import { chooseThreshold, parseThreshold } from "../../src/tasks/threshold.ts";
import { resolveOptions } from "../../src/train/options.ts";
import { describeNotes } from "../../src/views/verdicts.ts";
import { answersOf, shareRight } from "../helpers/answers.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();

interface Case {
  classes: number;
  truth: number[];
  probabilities: number[][];
  temperature: number;
  scaledLoss: number;
  thresholds?: Record<string, number | null>;
}

const { cases } = JSON.parse(readFileSync(packagePath("test/golden/baseline/measures.json"), "utf8")) as {
  cases: Case[];
};

const predictionsOf = (rows: readonly number[][]) =>
  rows.map((row, i) => {
    const label = row.indexOf(Math.max(...row));
    return { row: i, label, probability: row[label]!, probabilities: Float64Array.from(row) };
  });

for (const { classes, truth, probabilities, temperature, scaledLoss, thresholds = {} } of cases)
  test(`temperature and thresholds of ${classes} classes and ${truth.length} rows are scikit-learn's`, () => {
    const predictions = predictionsOf(probabilities);
    const found = fitTemperature(
      predictions.map(({ probabilities }) => probabilities),
      truth,
    );
    assert.ok(Math.abs(found - temperature) < 1e-4 * temperature, `${found} instead of ${temperature}`);
    const losses = predictions.map((one, i) => {
      const { label, probabilities } = decide(one, { temperature: found });
      assert.is(label, one.label);
      return -Math.log(probabilities[truth[i]!]!);
    });
    const loss = losses.reduce((a, b) => a + b, 0) / losses.length;
    assert.ok(Math.abs(loss - scaledLoss) < 1e-6, `${loss} instead of ${scaledLoss}`);
    for (const [rule, expected] of Object.entries(thresholds)) {
      const scores = predictions.map(({ probabilities }) => probabilities[1]!);
      const { threshold = null } = chooseThreshold(parseThreshold(rule)!, scores, truth);
      assert.is(threshold, expected, rule);
    }
  });

test("a precision that no threshold reaches, and a class without validation rows, choose none", () => {
  const some = [
    [0.1, 0.9],
    [0.2, 0.8],
    [0.6, 0.4],
  ].map((row) => Float64Array.from(row));
  const asked = { calibrate: false, threshold: "precision=.9", positive: 1 };
  assert.equal(chooseDecision(asked, some, [0, 1, 1]), { positive: 1, reached: 2 / 3 });
  assert.equal(chooseDecision(asked, some, [0, 0, 0]), { positive: 1, reached: null });
  assert.equal(chooseDecision({ ...asked, threshold: "recall=1" }, some, [0, 1, 0]), {
    ...{ positive: 1, threshold: 0.8, precision: 0.5, recall: 1 },
  });
  assert.is(chooseDecision({ ...asked, threshold: "none" }, some, [0, 1, 1]), null);
});

test("a threshold is the rarer class's, or that of the class that is asked for", () => {
  const choose = (counts: number[], positive: string | null = null, labels = ["bug", "question"]) =>
    choosePositive({ labels, counts, options: { calibrate: false, threshold: "f1", positive } });
  assert.equal([choose([10, 90]), choose([90, 10]), choose([50, 50])], [0, 1, 1]);
  assert.equal([choose([10, 90], "question"), choose([10, 90, 1], null, ["a", "b", "c"])], [1, null]);
  // With the threshold of the first class every row but the last is of it.
  const some = predictionsOf([
    [0.9, 0.1],
    [0.3, 0.7],
    [0.2, 0.8],
  ]);
  const rows = some.map(({ probabilities }) => probabilities);
  const decision = chooseDecision({ calibrate: false, threshold: "recall=1", positive: 0 }, rows, [0, 0, 1])!;
  assert.equal(decision, { positive: 0, threshold: 0.3, precision: 1, recall: 1 });
  assert.equal(
    some.map((one) => decide(one, decision)).map(({ label, probability }) => [label, probability]),
    [
      [0, 0.9],
      [0, 0.3],
      [1, 0.8],
    ],
  );
});

test("without errors on the validation set the temperature is limited", () => {
  assert.ok(Math.abs(fitTemperature([Float64Array.of(0.4, 0.6)], [1]) - 0.1) < 1e-6);
  assert.ok(Math.abs(fitTemperature([Float64Array.of(0.4, 0.6)], [0]) - 10) < 1e-6);
});

test("the rule of a threshold is checked", async () => {
  assert.equal(parseThreshold("precision=.95"), { measure: "precision", least: 0.95 });
  assert.equal(parseThreshold("recall=1"), { measure: "recall", least: 1 });
  for (const text of ["F1", "precision", "precision=0", "precision=95", "recall=-.5", "recall=1.5", "accuracy=.9", 0.5])
    await assertFails("unknown-value", ["none, f1, precision=P or recall=R", String(text)], () =>
      resolveOptions({ threshold: text as string }),
    );
  for (const given of [{ calibrate: true }, { threshold: "f1" }])
    await assertFails("options-conflict", ["language model"], () => resolveOptions(given, "lm"));
});

test("a run's temperature and threshold are in its results and its files, and a classifier uses them", async () => {
  const directory = tinyModel(join(folder, "model"));
  const model = await openBaseModel(directory);
  try {
    const device = await testDevice("wasm 1 thread");
    const data = await tinyData(messages(40));
    const options = { rank: 2, epochs: 1, batchSize: 4, calibrate: true, threshold: "recall=.9" };
    const args = { device, model, data, ...options };
    const save = join(folder, "run");
    await assertFails("unknown-value", ["ham or spam", "bug"], () => fineTune({ ...args, positive: "bug" }));
    const run = await fineTune({ ...args, save });
    const { decision, after } = run.results!;
    const { temperature, threshold, recall } = decision!;
    assert.ok(recall! >= 0.9 && threshold! >= 0 && temperature! > 0, JSON.stringify(decision));
    assert.is(shareRight(run), after.test.accuracy);
    assert.match(
      describeNotes(run.record).join("\n"),
      /Calibrated: logits are divided by .*\nThreshold: "spam" is predicted from/,
    );
    const { details } = (await readRecord(save)).results!.test;
    assert.type((details as ClassDetails).mostProbable, "number");
    assert.is((details as ClassDetails).mostProbable, (run.results!.test.details as ClassDetails).mostProbable);
    const classifier = await Classifier.load(save, { device, model: directory });
    const own = answersOf(run);
    const found = await classifier.classify(own.map(({ row }) => data.test.text(row)));
    found.forEach(({ label, probability }, i) => {
      assert.is(label, own[i]!.predicted);
      assert.ok(Math.abs(probability! - own[i]!.probability) < 1e-6);
    });
    classifier.destroy();
    // The temperature is in the head of an export, which has to tell of the threshold alone.
    const opened = await openAdapter(save, directory);
    const { files, losses } = await planExport("peft", opened);
    await opened.baseModel.close();
    assert.is(losses.length, 1);
    assert.match(losses[0]!, "the run has a threshold");
    const exported = join(folder, "exported");
    await writeDirectory(exported, files);
    assert.not.match(readFileSync(join(exported, "lowrank.json"), "utf8"), "temperature");
    const folded = await Classifier.load(exported, { device, model: directory });
    for (const [i, { label, probability }] of (
      await folded.classify(own.map(({ row }) => data.test.text(row)))
    ).entries()) {
      assert.is(label, own[i]!.predicted);
      assert.ok(Math.abs(probability! - own[i]!.probability) < 1e-6);
    }
    folded.destroy();
    // Nothing asked for leaves probabilities as they are.
    const plain = await fineTune({ ...args, calibrate: false, threshold: "none" });
    assert.is(plain.results!.decision, null);
    assert.ok(answersOf(plain).some(({ probability }, i) => probability !== own[i]!.probability));
    const three = await tinyData(messages(24, ["ham", "spam", "news"]));
    await assertFails("options-conflict", ["threshold needs two classes", "3 classes"], () =>
      fineTune({ ...args, data: three }),
    );
  } finally {
    await model.close();
  }
});
