/** Records of runs of every objective, with all that a run.json can have, and what is made of a record. */
import type { LoadedDataset } from "../../src/data/datasets.ts";
import { EMPTY_CURVE, extendCurve } from "../../src/record/curve.ts";
import { FORMAT, type RunRecord, VERSION } from "../../src/record/record.ts";
import { compareWith } from "../../src/tasks/compare.ts";
import type { Evaluation } from "../../src/tasks/evaluation.ts";
import type { Baseline, Results } from "../../src/tasks/task.ts";
import { TRAINING } from "../../src/tasks/training.ts";
import { measureTest, measuringContext } from "../../src/train/measure.ts";
import { objectiveDefaults } from "../../src/train/options.ts";
import { describeForCard } from "../../src/views/card.ts";
import { chartSvg } from "../../src/views/charts/svg.tsx";
import { tableToCsv } from "../../src/views/csv.ts";
import { toHtml } from "../../src/views/html.tsx";
import { runBlocks } from "../../src/views/run.ts";
import { runCharts } from "../../src/views/run-charts.ts";
import { evaluationsTable, metricsTable } from "../../src/views/run-tables.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";

const ROWS = 8;

/** A test set whose rows have these labels, or values. */
function testSet(
  objective: LoadedDataset["objective"],
  labels: readonly string[],
  values: (row: number) => readonly number[] = () => [],
): LoadedDataset {
  const test = {
    size: ROWS,
    label: (row: number) => row % labels.length,
    text: (row: number) => `message ${row}`,
    values: (row: number) => Float32Array.from(values(row)),
  };
  const classes = Object.fromEntries(labels.map((label) => [label, ROWS / labels.length]));
  return { objective, labels, test, stats: { train: { classes }, leaks: { test: 0 } } } as unknown as LoadedDataset;
}

const splits = <T>(one: T) => ({ train: one, val: one, test: one });

/** A record with these results. */
function recordOf(
  objective: RunRecord["objective"],
  labels: readonly string[],
  measured: Partial<Evaluation>,
  results: Partial<Results> & Pick<Results, "test">,
) {
  const options = { ...objectiveDefaults(objective), epochs: 2 };
  const evaluation = { rows: 8, loss: 0.5, ...measured };
  const train = { loss: 0.4, accuracy: 0.75, norm: 1 };
  const at = (step: number) => ({ step, epoch: step / 2, examples: 8 * step, lr: 0.001 });
  const curve = [1, 2, 3, 4].reduce((all, step) => extendCurve(all, { ...at(step), ...train }), EMPTY_CURVE);
  const record: RunRecord = {
    ...{ format: FORMAT, version: VERSION, lowrank: "0.1.0", platform: "node", created: 1, objective },
    ...{ settings: { rank: 8 }, options, model: "gpt2-micro", base: "00", revision: "1", vocabulary: "v" },
    data: { file: "messages.csv", labelColumn: "label", seed: 3, fractions: [0.7, 0.1, 0.2] },
    ...{ padTo: 0, maxLength: 256, labels, unequal: true },
    counts: { rows: [16, 2, 8], tokens: [70, 10, 20], sha256: "00" },
    trial: { name: "t", key: "k", model: "gpt2-micro" },
    ...{ state: "finished", device: { kind: "wasm", name: "CPU", software: true, why: "no GPU" }, trainable: 10 },
    ...{ parameters: 100, memory: 1000, flops: 1000, step: 4, steps: 4, stepsPerEpoch: 2, epoch: 2, examples: 32 },
    ...{
      seconds: 2,
      evaluations: [
        { ...at(0), val: evaluation },
        { ...at(4), train, val: evaluation },
      ],
      curve,
    },
    ...{ keptStep: 4, error: null, files: { "predictions.csv": "0" }, saved: 10, peftObstacle: null },
    results: { before: splits(evaluation), after: splits(evaluation), parts: [], decision: null, ...results },
  };
  return record;
}

/** The results of a model that says this of the test set of some data. */
function resultsOf(
  data: LoadedDataset,
  predicted: { values: ArrayLike<number>; probabilities?: ArrayLike<number> },
  ...baselines: Baseline[]
) {
  const context = measuringContext(data, { calibrate: false, threshold: "none", positive: null });
  return measureTest(data, predicted, baselines, context);
}

const classified = testSet("classification", ["ham", "spam"]);
const scored = testSet("regression", ["score"], (row) => [row]);
const labelled = testSet("multi-label", ["a", "b"], (row) => [1, row % 2]);
const rows = [...Array(ROWS).keys()];
const values = Float32Array.from({ length: 2 * ROWS }, (_, i) => Number(i % 3 > 0));

const CLASSES = resultsOf(
  classified,
  {
    values: rows.map((row) => Number(row > 4)),
    probabilities: rows.flatMap((row) => [0.9 - 0.1 * row, 0.1 + 0.1 * row]),
  },
  { name: "TF-IDF, logistic regression (C 1)", values: rows.map((row) => row % 2) },
  { name: "always ham", values: rows.map(() => 0) },
);
const always = { name: "always the mean, 2", values: rows.map(() => 2) };
const SCORES = resultsOf(scored, { values: rows.map((row) => 1 + row) }, always);
const LABELS = resultsOf(
  labelled,
  { values, probabilities: values },
  { name: "always a", values: values.map(() => 1) },
);

/** The results of a language model on two documents. */
function textResults(): Results["test"] {
  const columns = { loss: [1, 2], tokens: [10, 20], bytes: [40, 80] };
  const before = { name: "before training", columns: { ...columns, loss: [3, 4] } };
  const compared = compareWith(TRAINING.lm.measures, { name: "this run", columns }, [before]);
  return { compared, rows: columns, samples: [], mistakes: [], example: "some text", details: { of: "documents" } };
}

/** A record of each objective, as JSON. */
export function makeRecords(): object[] {
  const figures = { accuracy: 0.75, macroF1: 0.7 };
  const records = [
    recordOf("classification", classified.labels, figures, {
      test: CLASSES,
      parts: [{ name: "part", rows: 4, loss: 1, ...figures }],
      decision: { temperature: 1.5, threshold: 0.4, positive: 1, precision: 0.9, recall: 0.8 },
    }),
    recordOf("regression", scored.labels, { meanError: 0.5 }, { test: SCORES }),
    recordOf(
      "multi-label",
      labelled.labels,
      { ...figures, microF1: 0.7 },
      { test: LABELS, decision: { thresholds: [0.5, 0.4] } },
    ),
    recordOf("lm", [], { accuracy: 0.2, perplexity: 10, bitsPerByte: 1 }, { test: textResults() }),
  ];
  return records.map((record) => JSON.parse(JSON.stringify(record)));
}

/** Makes all that is shown of a record. */
export function showRecord(record: RunRecord): string {
  const blocks = runBlocks(record);
  return [
    describeForCard(record),
    renderBlocks(blocks, 100),
    toHtml("run", blocks),
    ...[metricsTable([record]), evaluationsTable(record)].map(tableToCsv),
    ...runCharts([record]).map(({ chart }) => chartSvg(chart)),
  ].join("\n");
}
