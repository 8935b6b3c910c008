/** The page's comparison of methods, and its smoothed curves, without a browser. */
import * as assert from "uvu/assert";
import { formatShare } from "../../src/format.ts";
import { MODES } from "../../src/methods/index.ts";
import { describeMethod } from "../../src/methods/training.ts";
import { trainOptions } from "../../src/run/settings.ts";
import { wilson } from "../../src/statistics.ts";
import { compareWith } from "../../src/tasks/compare.ts";
import { TRAINING } from "../../src/tasks/training.ts";
import { DEFAULTS } from "../../src/train/options.ts";
import type { TrainOptions } from "../../src/train/settings.ts";
import { smoothed } from "../../src/views/run-charts.ts";
import { compareRuns, comparisonChart, comparisonTable, describeOutcomes } from "../../src/web/page/compare-results.ts";
import { nextRun, type PageRun, type PageSettings } from "../../src/web/protocol.ts";
import { methodSettings } from "../../src/web/worker/compare.ts";
import { test } from "../helpers/harness.ts";

const MEASURES = TRAINING.classification.measures;

const SETTINGS: PageSettings = {
  ...{ dataset: "spam", model: "gpt2-micro", adapter: "1", device: "wasm", balance: false },
  ...{ mode: "prompt", epochs: 2, seed: 7, virtualTokens: 5 },
};

test("a comparison has seven methods with valid settings, each at its own rate, and the visitor's other settings", () => {
  const [small, large] = [7e6, 124e6].map((parameters) => methodSettings(SETTINGS, MODES, { parameters }));
  assert.equal(
    small!.map((one) => describeMethod(trainOptions(one))),
    [
      ...["LoRA, rank 1, alpha 2", "LoRA, rank 4, alpha 8", "LoRA, rank 16, alpha 32", "full fine-tuning"],
      ...["last block", "head only", "biases only (BitFit)"],
    ],
  );
  for (const { adapter, device, epochs, seed, virtualTokens } of small!)
    assert.equal([adapter, device, epochs, seed, virtualTokens], [undefined, "wasm", 2, 7, undefined]);
  const rates = (some: PageSettings[]) => some.map(({ lr }) => lr!);
  assert.ok(rates(large!).every((rate, i) => rate <= rates(small!)[i]!));
  assert.ok(rates(large!)[3]! < 1e-4, "full fine-tuning of a large model");
});

/** A finished run that is right about some of 100 test messages. */
function finishedRun(
  id: string,
  options: Partial<TrainOptions>,
  loss: number,
  isRight: (i: number) => boolean,
): PageRun {
  const truth = Array.from({ length: 100 }, () => 1);
  const rows = { truth, predicted: truth.map((_, i) => Number(isRight(i))) };
  const evaluation = { rows: 100, loss };
  const after = { train: evaluation, val: evaluation, test: evaluation };
  const record = {
    ...{
      created: Number(id),
      data: { name: "spam, ham" },
      settings: {},
      options: { ...DEFAULTS, epochs: 2, ...options },
    },
    ...{ trainable: 258, parameters: 7_334_292, seconds: 2.5, saved: 1000, evaluations: [] },
    objective: "classification",
    results: {
      after,
      test: { rows, details: {}, compared: compareWith(MEASURES, { name: "this run", columns: rows }, []) },
    },
  };
  return { id, record, model: "gpt2-micro", state: "finished", comparison: "c" } as unknown as PageRun;
}

const FULL = finishedRun("1", { mode: "all" }, 0.1, (i) => i < 95);
const LORA = finishedRun("2", { mode: "lora", rank: 4, alpha: 8 }, 0.2, (i) => i < 93);
const HEAD = finishedRun("3", { mode: "last_layer" }, 0.3, (i) => i < 60);

test("runs are compared with the one of the lowest validation loss, on the same messages, with Holm's correction", () => {
  const outcomes = compareRuns([LORA, HEAD, FULL, { ...HEAD, state: "stopped" }]);
  assert.equal(
    outcomes.map(({ estimate, standing }) => [estimate.value, standing]),
    [
      [0.93, "not distinguishable"],
      [0.6, "worse"],
      [0.95, "best"],
    ],
  );
  // Two discordant messages: p = 0.5. The smaller of two p-values is doubled.
  const [lora, head, full] = outcomes;
  assert.equal(
    [lora, head, full].map((one) => one!.words),
    ["not distinguishable (p = 0.500)", "worse (p < 0.001)", "lowest validation loss"],
  );
  // Four discordant messages: p = 0.125. The smallest of three p-values is multiplied by 3, the others are no smaller.
  const near = (id: string, wrong: number) => finishedRun(id, { mode: "lora" }, 0.5, (i) => i < 95 - wrong);
  assert.equal(
    compareRuns([FULL, near("6", 7), near("7", 4), near("8", 6)]).map(({ words }) => words),
    [
      "lowest validation loss",
      "worse (p = 0.047)",
      "not distinguishable (p = 0.125)",
      "not distinguishable (p = 0.063)",
    ],
  );
  assert.ok(full!.estimate.low < 0.95 && full!.estimate.high > 0.95);
});

test("a comparison in figures: a run that trains has its progress; the chart has the numbers of the table's rows", () => {
  const training = { ...LORA, state: "training", record: { ...LORA.record, step: 3, steps: 4 } } as PageRun;
  const runs = [training, HEAD, FULL];
  const outcomes = compareRuns(runs);
  const { caption, rows } = comparisonTable(runs, outcomes);
  assert.is(caption, "Methods on spam, ham, gpt2-micro");
  assert.equal(rows[0], ["1 LoRA rank 4", 258, "training, 75\u00a0%", undefined, undefined, undefined, undefined]);
  const full = { value: 0.95, ...wilson(95, 100) };
  assert.equal(rows[2], ["3 full fine-tuning", 258, full, 2.5, 1000, null, "lowest validation loss"]);
  const { difference } = outcomes.find(({ run }) => run === HEAD)!;
  assert.equal(Math.round(100 * difference!.value), -35);
  assert.ok(difference!.low < -0.35 && difference!.high > -0.35 && difference!.high < 0, JSON.stringify(difference));
  const { points } = comparisonChart(runs, outcomes);
  assert.equal(
    points.map(({ label, name, x, y }) => [label, name, x, y]),
    [
      ["2", "head only", 258, 0.6],
      ["3", "full fine-tuning", 258, 0.95],
    ],
  );
});

test("runs of any task are compared by what they are judged by", () => {
  const run = (id: string, loss: number, errors: number[]): PageRun => {
    const one = finishedRun(id, { mode: id === "1" ? "all" : "last_layer" }, loss, () => true);
    const columns = { truth: errors.map((_, i) => i), predicted: errors.map((error, i) => i + error) };
    const compared = compareWith(TRAINING.regression.measures, { name: "this run", columns }, []);
    const results = { ...one.record.results!, test: { ...one.record.results!.test, rows: columns, compared } };
    return { ...one, record: { ...one.record, objective: "regression", results } };
  };
  const runs = [run("1", 0.1, [1, -1, 1, -1, 1, -1]), run("2", 0.2, [2, -2, 2, 2, 2, -2])];
  const outcomes = compareRuns(runs);
  assert.equal(
    outcomes.map(({ estimate, words }) => [estimate.value, words]),
    [
      [1, "lowest validation loss"],
      [2, "worse (p < 0.001)"],
    ],
  );
  assert.is(comparisonTable(runs, outcomes).columns[2]!.title, "Test RMSE (95 %)");
  assert.is(comparisonChart(runs, outcomes).y.to, undefined);
  assert.match(describeOutcomes(outcomes)[1]!, "The paired bootstrap on the same rows");
});

test("a comparison in words: the lowest validation loss, and what is not distinguishable from it", () => {
  const [first, second] = describeOutcomes(compareRuns([LORA, HEAD, FULL]));
  assert.is(
    first,
    "Full fine-tuning has the lowest validation loss. Compared with it on 100 test rows: LoRA rank 4 not distinguishable (p = 0.500) and head only worse (p < 0.001).",
  );
  assert.match(second!, "Holm's method for 2 comparisons");
  assert.equal(describeOutcomes(compareRuns([FULL])), []);
  assert.equal(describeOutcomes(compareRuns([])), []);
});

test("the next run of a comparison begins when none is active and none was stopped", () => {
  const waiting = ["5", "6"].map((id): PageRun => ({ ...LORA, id, state: "waiting" }));
  const other: PageRun = { ...LORA, id: "7", state: "waiting", comparison: "other" };
  const after = (first: PageRun) => {
    // Newest first.
    return nextRun(first, [other, ...waiting.toReversed(), first])?.id;
  };
  for (const state of ["finished", "failed"] as const) assert.is(after({ ...FULL, state }), "5");
  for (const state of ["stopped", "paused", "training", "stopping"] as const)
    assert.is(after({ ...FULL, state }), undefined, state);
  const { comparison, ...alone } = FULL;
  assert.is(after(alone), undefined);
});

test("a smoothed curve begins with its first value, and moves the less the more the past weighs", () => {
  assert.equal(smoothed([], 0.6), []);
  assert.equal(smoothed([3, 3, 3], 0.6), [3, 3, 3]);
  assert.equal(smoothed([1, 0, 0], 0.5), [1, 0.5, 0.25]);
  assert.equal(smoothed([1, 0, 0], 0.75), [1, 0.75, 0.5625]);
});

test("a share in percent: small ones keep two digits", () => {
  assert.equal([0, 258 / 7_259_266, 0.0102, 1].map(formatShare), ["0.00 %", "0.0036 %", "1.02 %", "100.00 %"]);
});
