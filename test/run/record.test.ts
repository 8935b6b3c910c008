/** The record of a run, folded from the trainer's events. */
import * as assert from "uvu/assert";
import type { TrainEvent } from "../../src/entries/engine.ts";
import { type Curve, EMPTY_CURVE, extendCurve } from "../../src/record/curve.ts";
import { advance, dataFiles, moveFiles, within } from "../../src/record/record.ts";
import { parseRecord } from "../../src/run/check-record.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import type { StepRecord } from "../../src/train/records.ts";
import { describeForCard } from "../../src/views/card.ts";
import { dataBlocks } from "../../src/views/data.ts";
import { runBlocks } from "../../src/views/run.ts";
import { runCharts } from "../../src/views/run-charts.ts";
import { predictionsFile } from "../../src/views/run-tables.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { headline } from "../../src/views/verdicts.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { modelAnd } from "../helpers/runs.ts";
import { messages, tinyData } from "../helpers/tiny.ts";

const usual = modelAnd(() => tinyData(messages(24)));
const SETTINGS = { rank: 2, epochs: 2, batchSize: 4, evalEvery: 2 };
const STEP = { step: 1, epoch: 1, examples: 4, lr: 1 };

/** A run with its events. */
async function run() {
  const events: TrainEvent[] = [];
  const onEvent = (event: TrainEvent) => void events.push(event);
  const args = { device: await testDevice("wasm 1 thread"), ...(await usual()), ...SETTINGS, onEvent };
  return { events, ...(await fineTune(args)) };
}

test("a record is plain JSON, and says what the run's result says", async () => {
  const { record, results, steps, evaluations, keptStep, trainable, device } = await run();
  assert.equal(JSON.parse(JSON.stringify(record)), record);
  assert.equal([record.results, record.evaluations, record.keptStep], [results, evaluations, keptStep]);
  assert.equal([record.state, record.step, record.steps], ["finished", steps.length, steps.length]);
  assert.equal([record.trainable, record.device, record.error], [trainable, device, null]);
  assert.equal(record.settings, SETTINGS);
  assert.is(record.options.rank, 2);
  assert.is(record.curve.loss[0], steps[0]!.loss);
});

test("a run without a validation or a test set is read as it was stored, and says what is not measured", async () => {
  const untested = "No test set: nothing was measured on unseen messages";
  for (const [fractions, said, charts] of [
    [[1, 0, 0], /^No test set: nothing was measured on unseen messages$/, 1],
    [[0.8, 0.2, 0], /^No test set: measured on the validation set alone, loss [\d.]+, accuracy [\d.]+.%$/, 2],
    [[0.8, 0, 0.2], /^\d+ of \d+ test messages right/, 1],
  ] as const) {
    const { model } = await usual();
    const data = await tinyData(messages(24), { fractions });
    const { record, answers } = await fineTune({ device: await testDevice("wasm 1 thread"), model, data, ...SETTINGS });
    assert.equal(await parseRecord(JSON.parse(JSON.stringify(record)), "run.json"), record);
    assert.match(headline(record)!, said);
    const text = renderBlocks([...dataBlocks(data, "m", "auto"), ...runBlocks(record)], 100);
    assert.not.match(text, /NaN|undefined/);
    assert.is(text.includes("Validation"), fractions[1] > 0, text);
    assert.is(text.includes("│ Test "), fractions[2] > 0, text);
    assert.is(describeForCard(record).includes(`## Results\n\n${untested}.`), fractions[1] + fractions[2] === 0);
    assert.is(predictionsFile({ answers }, data).length, fractions[2] > 0 ? 1 : 0);
    for (const { chart, description } of runCharts([record])) {
      assert.is(chart.lines.length, charts);
      assert.match(
        description,
        fractions[1] > 0 ? /^Validation: from/ : /^Training: from [\d.]+.* after 64 examples\.$|/,
      );
    }
    for (const [key, wrong] of [
      ["evaluations", { evaluations: fractions[1] > 0 ? [] : [{ ...STEP, val: { rows: 1, loss: 1 } }] }],
      [
        "results.after.val",
        record.results && {
          results: { ...record.results, after: { ...record.results.after, val: { rows: 1, loss: 1 } } },
        },
      ],
    ] as const)
      if (record.results && wrong)
        await assertFails("invalid-field", [key], () => parseRecord({ ...record, ...wrong }, "run.json"));
  }
});

test("a run that begins again and ends while it is prepared keeps what it had", async () => {
  const { record, events } = await run();
  const [plan, start] = events as [TrainEvent, TrainEvent];
  assert.equal([plan.type, start.type], ["plan", "start"]);
  const prepared = advance(record, plan);
  assert.equal([prepared.step, prepared.evaluations], [record.step, record.evaluations]);
  const begun = advance(prepared, start);
  assert.equal([begun.state, begun.step, begun.evaluations, begun.results], ["training", 0, [], null]);
});

test("a curve has at most 80 points, each the mean of equally many steps", () => {
  const losses = Array.from({ length: 1000 }, (_, i) => 1 / (i + 1));
  let curve: Curve = EMPTY_CURVE;
  for (const [i, loss] of losses.entries())
    curve = extendCurve(curve, { step: i + 1, examples: 4 * (i + 1), loss, accuracy: loss } as StepRecord);
  const { group, examples, loss } = curve;
  assert.equal([group, examples.length], [16, 62]);
  assert.equal([examples[0], examples.at(-1)], [64, 4 * 62 * 16]);
  const mean = (first: number) => losses.slice(first, first + 16).reduce((sum, x) => sum + x, 0) / 16;
  const means = Array.from({ length: 62 }, (_, i) => mean(16 * i));
  assertAllClose("means", loss, means, { atol: 1e-12, rtol: 0 });
});

test("files in the run's directory are found there, others where they are", () => {
  const data = { train: "data/a.csv", val: "/home/me/b.csv", test: "data/c.csv", seed: 1 };
  assert.equal(dataFiles(data), ["data/a.csv", "/home/me/b.csv", "data/c.csv"]);
  const found = within("runs/one", { objective: "classification", data, adapter: "start" });
  assert.equal(found.data, { ...data, train: "runs/one/data/a.csv", test: "runs/one/data/c.csv" });
  assert.is(found.adapter, "runs/one/start");
  const texts = { file: ["a.txt", "b.txt"], maxLength: 9 };
  assert.equal(
    moveFiles(texts, (path) => `data/${path}`),
    { file: ["data/a.txt", "data/b.txt"], maxLength: 9 },
  );
});
