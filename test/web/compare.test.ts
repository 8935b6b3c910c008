/** The page's comparison of methods, and its smoothed curves, without a browser. */
import * as assert from "uvu/assert";
import { formatShare } from "../../src/core/format.ts";
import { type Estimate, wilson } from "../../src/core/statistics.ts";
import type { Table } from "../../src/document/blocks.ts";
import type { ScatterChart } from "../../src/document/chart.ts";
import { MODES } from "../../src/methods/index.ts";
import { describeMethod } from "../../src/methods/training.ts";
import { trainOptions } from "../../src/run/settings.ts";
import { compareWith } from "../../src/tasks/compare.ts";
import { TRAINING } from "../../src/tasks/training.ts";
import { DEFAULTS } from "../../src/train/options.ts";
import type { TrainOptions } from "../../src/train/settings.ts";
import { smoothed } from "../../src/views/run-charts.ts";
import { compareFinished, comparisonBlocks } from "../../src/web/page/runs/compared.tsx";
import { nextRun, type PageRun, type PageSettings } from "../../src/web/protocol.ts";
import { methodSettings } from "../../src/web/worker/train/runs.ts";
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
  const evaluation = { rows: 100, loss, accuracy: rows.predicted.filter(Boolean).length / 100 };
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

/** What a comparison shows of these runs: the rows of its table, by the titles of their columns, and the rest. */
function show(runs: readonly PageRun[]) {
  const finished = runs.filter(({ state }) => state === "finished");
  const blocks = comparisonBlocks(runs, compareFinished(finished));
  const { caption, columns, rows } = blocks.find(({ kind }) => kind === "table") as Table;
  const cell = (row: Table["rows"][number], title: string) => row[columns.findIndex((one) => one.title === title)];
  return {
    caption,
    column: (title: string) => rows.map((row) => cell(row, title)),
    chart: blocks.flatMap((block) => (block.kind === "figure" ? [block.chart as ScatterChart] : []))[0],
    words: blocks.flatMap((block) => (block.kind === "text" ? [block.text] : [])),
  };
}

const [TEST, STANDING] = ["Test accuracy (95 %)", "Compared with the best"];

test("runs are compared with the one of the lowest validation loss, on the same messages, with Holm's correction", () => {
  const { column, words } = show([LORA, HEAD, FULL, { ...HEAD, id: "4", state: "stopped" }]);
  assert.equal(column(TEST), [
    { value: 0.93, ...wilson(93, 100) },
    { value: 0.6, ...wilson(60, 100) },
    { value: 0.95, ...wilson(95, 100) },
    "stopped",
  ]);
  // Two discordant messages: p = 0.5. The smaller of two p-values is doubled.
  assert.equal(column(STANDING), [
    "not distinguishable (p = 0.500)",
    "worse (p < 0.001)",
    "lowest validation loss",
    null,
  ]);
  assert.match(
    words[0]!,
    "Full fine-tuning has the lowest validation loss. Compared with it, of the 2 others 1 is worse and 1 is not distinguishable: McNemar's exact test on the same 100 test rows, corrected with Holm's method for 2 comparisons",
  );
  // Four discordant messages: p = 0.125. The smallest of three p-values is multiplied by 3, the others are no smaller.
  const near = (id: string, wrong: number) => finishedRun(id, { mode: "lora" }, 0.5, (i) => i < 95 - wrong);
  assert.equal(show([FULL, near("6", 7), near("7", 4), near("8", 6)]).column(STANDING), [
    "lowest validation loss",
    "worse (p = 0.047)",
    "not distinguishable (p = 0.125)",
    "not distinguishable (p = 0.063)",
  ]);
  assert.equal(show([FULL]).words, []);
});

test("a comparison in figures: a run that trains has its progress; the chart has the numbers of the table's rows", () => {
  const training = { ...LORA, state: "training", record: { ...LORA.record, step: 3, steps: 4 } } as PageRun;
  const { caption, column, chart } = show([training, HEAD, FULL]);
  assert.is(caption, "Methods on spam, ham, gpt2-micro");
  assert.equal(column("Run"), ["1 LoRA, rank 4, alpha 8", "2 head only", "3 full fine-tuning"]);
  assert.equal(column(TEST)[0], "training, 75\u00a0%");
  assert.equal(column("Time"), [undefined, 2.5, 2.5]);
  assert.equal(column("Trainable"), [258, 258, 258]);
  const [, difference] = column("Minus the best") as Estimate[];
  assert.equal(Math.round(100 * difference!.value), -35);
  assert.ok(difference!.low < -0.35 && difference!.high > -0.35 && difference!.high < 0, JSON.stringify(difference));
  assert.equal(
    chart!.points.map(({ label, name, x, y }) => [label, name, x, y]),
    [
      ["2", "head only", 258, 0.6],
      ["3", "full fine-tuning", 258, 0.95],
    ],
  );
  // Before the first is finished.
  assert.is(show([training, { ...HEAD, state: "waiting" }]).chart, undefined);
});

test("seeds are compared by what they reach on average; runs that were finished early are named", () => {
  const seeds = [93, 95, 91].map((right, i) => finishedRun(String(i + 1), { seed: i + 1 }, 0.1, (row) => row < right));
  const early = { ...seeds[2]!, record: { ...seeds[2]!.record, epoch: 0.5 } };
  const { caption, column, chart, words } = show([...seeds.slice(0, 2), early, { ...HEAD, id: "4", state: "waiting" }]);
  assert.match(caption, /^Seeds of LoRA, rank 8, alpha 16, on spam, ham/);
  assert.equal(column("Run").slice(0, 3), ["seed 1", "seed 2", "seed 3"]);
  assert.is(column(TEST)[3], "waiting");
  assert.is(chart, undefined);
  assert.match(words[0]!, /The test accuracy of 3 seeds is 93\.0\s% on average/);
  assert.is(words[1], "Ended before their last epoch: run 3 after 0.5 of 2. More training may change what they reach.");
});

test("runs of any task are compared by what they are judged by", () => {
  const run = (id: string, loss: number, errors: number[]): PageRun => {
    const one = finishedRun(id, { mode: id === "1" ? "all" : "last_layer" }, loss, () => true);
    const columns = { truth: errors.map((_, i) => i), predicted: errors.map((error, i) => i + error) };
    const { after, ...others } = one.record.results!;
    const evaluation = { ...after.test, loss: TRAINING.regression.measures[0].of(columns) ** 2 };
    const results = { ...others, after: { ...after, test: evaluation }, test: { ...others.test, rows: columns } };
    return { ...one, record: { ...one.record, objective: "regression", results } };
  };
  const { column, chart, words } = show([run("1", 0.1, [1, -1, 1, -1, 1, -1]), run("2", 0.2, [2, -2, 2, 2, 2, -2])]);
  assert.equal(
    (column("Test RMSE (95 %)") as Estimate[]).map(({ value }) => value),
    [1, 2],
  );
  assert.equal(column(STANDING), ["lowest validation loss", "worse (p = 0.031)"]);
  assert.is(chart!.y.to, undefined);
  assert.match(
    words[0]!,
    "Compared with it, head only is worse (p = 0.031): the paired bootstrap on the same 6 test rows;",
  );
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
