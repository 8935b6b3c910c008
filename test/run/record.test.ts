/** The record of a run, folded from the trainer's events. */
import * as assert from "uvu/assert";
import type { TrainEvent } from "../../src/index.ts";
import { type Curve, EMPTY_CURVE, extendCurve } from "../../src/run/curve.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import { advance, dataFiles, moveFiles, within } from "../../src/run/record.ts";
import type { StepRecord } from "../../src/train/records.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { modelAnd } from "../helpers/runs.ts";
import { messages, tinyData } from "../helpers/tiny.ts";

const usual = modelAnd(() => tinyData(messages(24)));
const SETTINGS = { rank: 2, epochs: 2, batchSize: 4, evalEvery: 2 };
const noFiles = () => [];

/** A run with its events. */
async function run() {
  const events: TrainEvent[] = [];
  const onEvent = (event: TrainEvent) => void events.push(event);
  const args = { device: await testDevice("wasm 1 thread"), ...(await usual()), ...SETTINGS, onEvent };
  return { events, ...(await fineTune(args, noFiles)) };
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
