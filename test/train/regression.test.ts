/** Regressions: what is trained and measured, beside which baselines, and how their scores are used. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { fitRidge, fitWithin } from "../../src/classic/fit.ts";
import type { Estimate } from "../../src/core/statistics.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { Classifier, fineTune } from "../../src/entries/engine.ts";
import { loadAdapter } from "../../src/io/peft/open-adapter.ts";
import { trueScores } from "../../src/labels/score.ts";
import type { Baseline } from "../../src/tasks/task.ts";
import { fitBaselines } from "../../src/train/baselines.ts";
import { runBlocks } from "../../src/views/run.ts";
import { runFiles } from "../../src/views/run-report.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { assertPlain, modelAnd } from "../helpers/runs.ts";
import { spelled } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const SETTINGS = { batchSize: 8, epochs: 4, lr: 1e-2, rank: 2, alpha: 4, evalEvery: 4 } as const;

/** How often a message says "please" is its score, less some. */
const rows = Array.from({ length: 60 }, (_, i) => `${i % 5},"message ${spelled(i)}${" please".repeat(i % 5)}"`);
const content = new TextEncoder().encode(`score,text\n${rows.join("\n")}\n`);
const load = () =>
  loadDataset(
    { file: bytesReader("scores.csv", content) },
    { objective: "regression", labelColumn: "score", maxLength: 64 },
  );
const base = modelAnd(load);
const device = () => testDevice("wasm 1 thread");
/** That of the run in `folder`. */
let lowestLoss = Number.NaN;
const all = async () => ({ device: await device(), ...(await base()) });

test("a run: its head begins at the mean score, its measures are those of its scores, the lowest loss is kept", async () => {
  const { data } = await base();
  const run = await fineTune({ ...(await all()), ...SETTINGS, save: join(folder, "run"), onEvent: assertPlain });
  const { results, answers, evaluations, keptStep } = run;
  const lowest = Math.min(...evaluations.slice(1).map(({ val }) => val.loss));
  assert.is(evaluations.find(({ step }) => step === keptStep)!.val.loss, lowest);
  lowestLoss = lowest;
  const truth = trueScores(data.test);
  const { rows, compared } = results!.test;
  const [own, ridge, mean] = compared;
  const figures = ({ measured }: (typeof compared)[0]) =>
    ["rmse", "mae"].map((key) => (measured[key] as Estimate).value);
  const { loss, meanError, accuracy } = results!.after.test;
  assert.equal(rows, { truth, predicted: answers!.test.predicted });
  assertAllClose("rmse", figures(own), [Math.sqrt(loss), meanError!], { atol: 1e-5, rtol: 1e-5 });
  assert.is(accuracy, undefined);
  assert.match(ridge!.name, /^TF-IDF, ridge regression \(alpha /);
  assert.match(mean!.name, "always the mean");
  assert.ok(figures(own)[0]! < figures(mean!)[0]! && mean!.against!.standing === "better");
  // The untrained head: its bias is the mean of the training scores, its weights are random.
  const untrained = await fineTune({ ...(await all()), ...SETTINGS, epochs: 1, lr: 1e-30, keep: "last" });
  const middle = trueScores(data.train).reduce((a, b) => a + b) / data.train.size;
  assertAllClose("bias", untrained.tensors.get("head.bias")!.data, [middle], { atol: 1e-6, rtol: 1e-6 });

  const text = renderBlocks(runBlocks(run.record), 200);
  assert.match(text, /RMSE \S+ on 12 test messages, rank correlation/);
  assert.not.match(text, /accuracy|confusion|%.*correct\b/i);
  const report = new Map(runFiles(run.record, run, data)).get("report.html") as string;
  for (const name of ["baselines.csv", "rmse.svg", "scores.svg"]) assert.match(report, `Save ${name}`);
  for (const name of ["confusion.csv", "accuracy.svg"]) assert.not.match(report, name);
  const [header, first] = readFileSync(join(folder, "run/predictions.csv"), "utf8").split(/\r?\n/);
  assert.is(header, "set,row,text,truth,predicted");
  assert.match(first!, "validation,");
});

test("scores are those of the run, also beside others; classify is refused by name", async () => {
  const { model, data } = await base();
  const classifier = await Classifier.load(join(folder, "run"), { device: await device(), model: model.directory });
  const texts = Array.from({ length: data.test.size }, (_, row) => data.test.text(row));
  const scores = await classifier.score(texts);
  const written = readFileSync(join(folder, "run/predictions.csv"), "utf8").trim().split(/\r?\n/).slice(-texts.length);
  assertAllClose(
    "scores",
    scores.map(({ score }) => score!),
    written.map((line) => Number(line.split(",").at(-1))),
    { atol: 1e-4, rtol: 1e-4 },
  );
  await assertFails("wrong-task", ["use score"], () => classifier.classify(texts));
  classifier.destroy();
});

test("a run continues from a run's adapter, and not from a classifier's", async () => {
  const { model } = await base();
  const adapter = await loadAdapter(join(folder, "run"), model);
  assert.equal([adapter.meta.task.objective, adapter.meta.labels], ["regression", ["score"]]);
  const { evaluations } = await fineTune({ ...(await all()), adapter, epochs: 1, batchSize: 8, evalEvery: 4 });
  assertAllClose("begins with", [evaluations[0]!.val.loss], [lowestLoss], { atol: 1e-4, rtol: 1e-4 });
  const other = { ...adapter, meta: { ...adapter.meta, task: { ...adapter.meta.task, objective: "lm" as const } } };
  const args = { ...(await all()), adapter: other, epochs: 1 };
  await assertFails("wrong-task", ['objective "lm"'], () => fineTune(args));
});

test("ridge regression is the solution of its normal equations, with a bias that is not penalised", async () => {
  // Rows (1, 0), (0, 2), (1, 1), (0, 0) with scores 3, 1, 4, 0 and alpha 0.5: numpy.linalg.solve of the 3 equations.
  const rows = {
    width: 2,
    starts: Uint32Array.of(0, 1, 2, 4, 4),
    columns: Uint32Array.of(0, 1, 0, 1),
    values: Float32Array.of(1, 2, 1, 1),
  };
  const weights = await fitRidge(rows, Float64Array.of(3, 1, 4, 0), 0.5, { take: async () => true });
  assertAllClose("weights", weights, EXPECTED_RIDGE, { atol: 1e-6, rtol: 1e-6 });
});

/** numpy.linalg.solve([[2.5, 1, 2], [1, 5.5, 3], [2, 3, 4]], [7, 6, 8]) */
const EXPECTED_RIDGE = [2.1081081081081083, 0.32432432432432445, 0.7027027027027023];

test("the ridge baseline learns the number of words, and its alpha is one of those that are tried", async () => {
  const { data } = await base();
  const [{ name, limits, values }] = (await fitBaselines(data)).baselines as [Baseline];
  assert.match(name, /\(alpha (100|10|1|0.1|0.01)\)$/);
  assert.is(limits, undefined);
  const errors = trueScores(data.test).map((score, row) => values[row]! - score);
  assert.ok(
    errors.every((error) => Math.abs(error) < 2),
    String(errors),
  );
  assert.is((await fitWithin(data, { mostWork: 1e5 }))!.parts.limits, "stopped after 0.0001 billion multiply-adds");
});
