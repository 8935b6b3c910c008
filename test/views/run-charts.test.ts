/** A run's record as charts, for the page and as files. */
import * as assert from "uvu/assert";
import type { RunRecord } from "../../src/record/record.ts";
import { DEFAULTS } from "../../src/train/options.ts";
import { chartSvg } from "../../src/views/charts/svg.tsx";
import { type RunChart, runCharts } from "../../src/views/run-charts.ts";
import { test } from "../helpers/harness.ts";
import { assertWellFormed } from "../helpers/markup.ts";

const evaluation = (examples: number, loss: number | null, accuracy: number) => ({ examples, val: { loss, accuracy } });

function record(more: object = {}): RunRecord {
  return {
    ...{ objective: "classification", data: { name: "spam" }, settings: {}, stepsPerEpoch: 2 },
    options: { ...DEFAULTS, rank: 8, alpha: 16, batchSize: 8, accumulate: 1 },
    curve: { examples: [8, 16, 24], loss: [3, 1, 2], accuracy: [0.5, 0.8, 0.9] },
    evaluations: [evaluation(0, 4, 0.43), { ...evaluation(32, 0.5, 0.75), train: { loss: 0.25, accuracy: 0.9 } }],
    labels: ["ham", "spam"],
    unequal: false,
    ...more,
  } as unknown as RunRecord;
}

const names = (charts: readonly RunChart[]) => charts.map(({ name }) => name);

test("a classifier has loss and accuracy, a language model loss and perplexity", () => {
  const [loss, accuracy] = runCharts([record()]) as [RunChart, RunChart];
  assert.equal(names([loss, accuracy]), ["loss", "accuracy"]);
  assert.equal(loss.chart.upper, { title: "epochs", per: 16 });
  assert.equal(
    loss.chart.lines.map(({ name, look, xs, ys }) => ({ name, look, xs, ys })),
    [
      { name: "training", look: "faint", xs: [8, 16, 24], ys: [3, 1, 2] },
      { name: "validation", look: "solid", xs: [0, 32], ys: [4, 0.5] },
    ],
  );
  assert.is(loss.description, "Validation: from 4.0000 to 0.5000 after 32 examples. Training: 0.2500.");
  assert.is(accuracy.chart.y.tick!(0.5), "50\u00a0%");
  const lm = runCharts([record({ objective: "lm", results: null })]);
  assert.equal(names(lm), ["loss", "perplexity"]);
  assert.equal(lm[1]!.chart.lines[1]!.ys, [Math.exp(4), Math.exp(0.5)]);
  assert.match(lm[1]!.description, "after 32 blocks");
});

test("a measure that steps do not have is drawn of evaluations alone, and its chart has its name", () => {
  const evaluations = [0.25, 0.5].map((microF1, i) => ({ examples: i, val: { loss: 1, microF1 } }));
  const [loss, f1] = runCharts([record({ objective: "multi-label", evaluations })]) as [RunChart, RunChart];
  assert.equal([loss.chart.y.title, f1.name, f1.chart.lines.length], ["binary cross-entropy (nats)", "micro-f1", 1]);
  assert.equal(f1.chart.lines[0]!.ys, [0.25, 0.5]);
  assert.is(f1.description.replaceAll("\u00a0", " "), "Validation: from 25.0 % to 50.0 % after 1 examples.");
  // Without a validation set it has no chart, and the loss has one line, which has the run's name if there are several.
  const untested = record({ objective: "multi-label", evaluations: [] });
  const [only, ...none] = runCharts([untested]) as [RunChart];
  assert.equal([none, only.chart.lines.map(({ name }) => name)], [[], ["training"]]);
  assert.is(only.description, "Training: from 3.0000 to 2.0000 after 24 examples.");
  const both = runCharts([untested, record({ objective: "multi-label", evaluations })], { names: ["a", "b"] });
  assert.equal(
    both.map(({ chart }) => chart.lines.map(({ name }) => name)),
    [["a", null, "b"], ["b"]],
  );
});

test("the axis of accuracies begins at the multiple of 10 % below the lowest", () => {
  const from = (value: number) => {
    const curve = { examples: [8], loss: [1], accuracy: [value] };
    return runCharts([record({ curve, evaluations: [evaluation(0, 1, Number.NaN)] })])[1]!.chart.y.from;
  };
  assert.equal([1, 0.95, 0.5, 0.04, 0, Number.NaN].map(from), [0.9, 0.9, 0.4, 0, 0, 0.9]);
});

test("several runs: a colour each, by data set, named by their methods or as they are called", () => {
  const other = record({ data: { file: "/x/other.csv" }, options: { ...record().options, mode: "all" } });
  const [loss] = runCharts([record(), other, record({ stepsPerEpoch: 5 })], { smooth: true }) as [RunChart];
  assert.equal(
    loss.chart.lines.map(({ name, color, group }) => `${color} ${group} ${name}`),
    [
      ...["0 spam null", "0 spam LoRA, rank 8, alpha 16", "1 spam null", "1 spam LoRA, rank 8, alpha 16"],
      ...["2 other.csv null", "2 other.csv full fine-tuning"],
    ],
  );
  assert.match(loss.chart.note!, "Values on different data are not comparable");
  assert.equal(loss.chart.lines[0]!.ys, [3, 2.2, 2.12]);
  // Their epochs differ.
  assert.is(loss.chart.upper, undefined);
  const named = runCharts([record(), other], { names: ["a", "b"] });
  assert.equal(named[0]!.chart.lines.map(({ name }) => name).filter(Boolean), ["a", "b"]);
});

test("a loss that was not finite, null in a stored record, is not drawn", () => {
  for (const objective of ["classification", "lm"]) {
    const charts = runCharts([record({ objective, evaluations: [evaluation(0, null, 0.5)], results: null })]);
    assert.is(charts[0]!.chart.lines[1]!.ys[0], null);
    if (objective === "lm") assert.is(charts[1]!.chart.lines[1]!.ys[0], null);
  }
});

test("a run without a step has charts too", () => {
  const curve = { examples: [], loss: [], accuracy: [] };
  for (const { chart } of runCharts([record({ curve, evaluations: [], stepsPerEpoch: 0 })])) {
    const svg = chartSvg(chart);
    assertWellFormed(svg);
    assert.not.match(svg, /NaN|undefined|Infinity/);
  }
});
