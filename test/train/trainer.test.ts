/** Complete training runs: results, unchanged tensors, and errors. */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { requestGPU } from "#platform";
import type { Backend, Session } from "../../src/backend/backend.ts";
import { openWebGPU } from "../../src/backend/webgpu.ts";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { DeviceError } from "../../src/core/errors.ts";
import type { LoadedDataset } from "../../src/data/datasets.ts";
import { type FineTuneRun, fineTune } from "../../src/entries/engine.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { loadModel } from "../../src/io/hf.ts";
import { loadAdapter } from "../../src/io/peft/open-adapter.ts";
import { MODES, takesSteps } from "../../src/methods/index.ts";
import type { ModelPlan } from "../../src/model/model.ts";
import type { Evaluation } from "../../src/tasks/evaluation.ts";
import type { Objective } from "../../src/tasks/index.ts";
import type { TrainArguments } from "../../src/train/job.ts";
import { type Known, LARGE, ofMode, PAPER, resolveOptions } from "../../src/train/options.ts";
import { prepareRun } from "../../src/train/prepare.ts";
import { RunFailed, type TrainEvent } from "../../src/train/records.ts";
import { SCHEDULES, scheduleFactor, warmupSteps } from "../../src/train/schedule.ts";
import { SETTINGS, type TrainOptions } from "../../src/train/settings.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { answersOf, shareRight } from "../helpers/answers.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test, testAll } from "../helpers/harness.ts";
import { assertPlain, assertSameTensors, modelAnd } from "../helpers/runs.ts";
import { messages, spelled, TINY, tinyData, tinyModel } from "../helpers/tiny.ts";

/** The same sums in another order, through some steps of AdamW. */
const ROUNDING = { atol: 1e-5, rtol: 1e-5 };
/** The same message in another batch: the order of its sums is the same. */
const PACKING = { atol: 1e-6, rtol: 1e-6 };

const folder = temporaryFolder();
/** The model and the data set of most tests: 24 rows, of which 16 are the training set. */
const usual = modelAnd(() => tinyData(messages(12)));
const ONE_STEP = { epochs: 1, batchSize: 16 } as const;
const SMALL = { epochs: 2, batchSize: 4, lr: 0.01, rank: 2, alpha: 4 } as const;

/** Where a test names no device: what it is about does not depend on it, and a software GPU is slow. */
const cpu = () => testDevice("wasm 1 thread");

test("few rows have more epochs and very few a smaller batch, unless they are given", async () => {
  for (const [rows, expected, given = {}, objective = "classification"] of [
    // 21 rows: two batches of 8 an epoch. 400 rows: 50.
    [21, [8, 75, 15]],
    [399, [8, 4, 20]],
    [400, [8, 3, 0]],
    [undefined, [8, 3, 0]],
    [7, [7, 150, 15]],
    [7, [2, 50, 15], { batchSize: 2 }],
    [16, [8, 150, 15], { accumulate: 2 }, "lm"],
    [21, [8, 3, 0], { epochs: 3 }],
    [21, [8, 75, 7], { evalEvery: 7 }],
    [21, [8, 20, 0], PAPER],
  ] as [number, number[], Partial<TrainOptions>?, Objective?][]) {
    const { batchSize, epochs, evalEvery } = resolveOptions(given, objective, { rows });
    assert.equal([batchSize, epochs, evalEvery], expected, JSON.stringify([rows, given]));
  }
  const patience = (known: Known, given = {}) => {
    const options = resolveOptions(given, "classification", { validated: true, ...known });
    return [options.epochs, options.evalEvery, options.patience];
  };
  assert.equal(patience({ rows: 80, labels: 2 }), [15, 15, 8]);
  assert.equal(patience({ rows: 80, labels: 5 }), [30, 30, 4]);
  assert.equal(patience({ rows: 80, labels: 2, pairs: true }), [45, 45, 3]);
  assert.equal(patience({ rows: 80, labels: 30 }, { evalEvery: 10 }), [45, 10, 12]);
  assert.equal(patience({ rows: 80 }, { epochs: 4 }), [4, 0, 0]);
  assert.equal(patience({ rows: 80, validated: false }), [15, 15, 0]);
  const { epochs, ...given } = SMALL;
  const { options, stepCounts } = prepareRun({ device: await cpu(), ...(await usual()), ...given });
  assert.equal([options.epochs, stepCounts.total], [38, 152]);
});

test("a small Llama that is read as a mean has adapters in its upper third, unless blocks are given", () => {
  const cut = { model_type: "llama", n_layer: 6, parameters: 35e6 } as const;
  const { model_type: _, ...gpt2 } = cut;
  for (const [given, expected, known = cut, objective = "classification"] of [
    [{}, [4, 5]],
    [{ dora: true }, [4, 5]],
    [{ layers: [0] }, [0]],
    [{}, [1], { ...cut, n_layer: 2 }, "regression"],
    [{}, null, gpt2],
    [{}, null, { ...cut, parameters: LARGE }],
    [{ layers: null }, null],
    [{ pooling: "last" }, null],
    [{ targets: ["head"] }, null],
    [{ mode: "last_layer" }, null],
    [{}, null, cut, "lm"],
  ] as [Partial<TrainOptions>, number[] | null, Known?, Objective?][])
    assert.equal(resolveOptions(given, objective, known).layers, expected, JSON.stringify(given));
});

async function run(options: Partial<TrainArguments> = {}): Promise<FineTuneRun> {
  const settings = ofMode({ ...SMALL, ...options }, options.mode ?? "lora");
  return fineTune({ device: await cpu(), ...(await usual()), onEvent: assertPlain, ...settings });
}

/** A run that changes nothing: its learning rate is 0 in f32. */
function untouched(options: Partial<TrainArguments> = {}): Promise<FineTuneRun> {
  return run({ ...options, epochs: 1, lr: Number.MIN_VALUE });
}

const sameBits = (a: Float32Array, b: Float32Array) => Buffer.from(a.buffer).equals(Buffer.from(b.buffer));

test("one seed gives the same bits, another seed others", async () => {
  const [first, again, other] = [await run(), await run(), await run({ seed: 2 })];
  assertSameTensors(again.tensors, first.tensors);
  assert.equal(again.steps, first.steps);
  assert.equal(again.results!.after, first.results!.after);
  for (const [name, { data }] of first.tensors)
    assert.not(sameBits(other.tensors.get(name)!.data, data), `${name} is the same with another seed`);
});

/** A device that allows reading all parameters of a run, after the work submitted so far. */
async function openedDevice() {
  const device = await cpu();
  let session: Session;
  let plan: ModelPlan;
  const backend: Backend = {
    info: device.info,
    limits: device.limits,
    destroy() {},
    async prepare(program) {
      session = await device.prepare(program);
      plan = program as ModelPlan;
      return session;
    },
  };
  const read = () =>
    [...plan.parameters.all].map(([name, { pieces }]) => {
      assert.is(pieces.length, 1);
      return [name, session.read(pieces[0]!.tensor)] as const;
    });
  return { backend, read };
}

for (const mode of MODES.filter(takesSteps))
  test(`mode ${mode} trains its tensors and does not change any other bit`, async () => {
    const { model } = await usual();
    const { backend, read } = await openedDevice();
    let left: ReturnType<typeof read> = [];
    const { tensors, results } = await run({
      ...{ device: backend, mode, epochs: 3, keep: "last" },
      // Read after the last step, because a run then restores its initial parameters to evaluate them.
      onEvent: ({ type }) => {
        if (type === "evaluation") left = read();
      },
    });
    const learns = (name: string) =>
      name.startsWith("head.") ||
      {
        lora: name.startsWith("lora."),
        all: true,
        last_block: name.startsWith("h.1."),
        last_layer: false,
        bitfit: name.endsWith(".bias"),
        adapter: name.includes(".adapter."),
        prompt: name === "prompt.weight",
        prefix: name === "prefix.weight",
        probe: false,
        classic: false,
      }[mode];
    for (const [name, reading] of left) {
      const values = await reading;
      assert.is(tensors.has(name), learns(name), name);
      if (tensors.has(name)) assertSameBits(name, tensors.get(name)!.data, values);
      if (model.names.includes(name)) assert.is(sameBits(values, await model.read(name)), !learns(name), name);
    }
    // B is initialized to zero.
    for (const [name, { data }] of tensors)
      if (name.endsWith(".B"))
        assert.ok(
          data.some((x) => x !== 0),
          name,
        );
    const { before, after } = results!;
    assert.ok(after.train.loss < before.train.loss, `${before.train.loss} -> ${after.train.loss}`);
  });

test("the evaluation before training is that of a run that changes nothing", async () => {
  const { before } = (await run({ epochs: 1 })).results!;
  const { after } = (await untouched()).results!;
  // A head of zeros makes all classes as likely: the loss is that of no device, ln 2.
  const close = ({ loss, ...rest }: Evaluation) => ({ ...rest, loss: Number(loss.toFixed(7)) });
  for (const set of ["train", "val", "test"] as const) assert.equal(close(before[set]!), close(after[set]!));
});

test("schedules by value, each with a name in the page", () => {
  const rise = [1 / 4, 2 / 4, 3 / 4];
  for (const [name, warmup, expected] of [
    ["constant", 3, [...rise, 1, 1, 1]],
    // transformers: (steps - step) / (steps - warmup).
    ["linear", 3, [...rise, 1, 4 / 5, 3 / 5, 2 / 5, 1 / 5]],
    ["linear", 0, [1, 3 / 4, 2 / 4, 1 / 4]],
    ["linear", 3, rise],
    // transformers: (1 + cos(pi (step - warmup) / (steps - warmup))) / 2; cos of 0, 45, 90 and 135 degrees.
    ["cosine", 3, [...rise, 1, (1 + Math.SQRT1_2) / 2, 1 / 2, (1 - Math.SQRT1_2) / 2]],
  ] as const) {
    const factors = expected.map((_, step) => scheduleFactor(name, step, expected.length, warmup));
    assertAllClose(name, factors, expected, { atol: 1e-12, rtol: 0 });
  }
  const names = { constant: "constant", linear: "linear decay", cosine: "cosine decay" };
  for (const name of SCHEDULES) assert.is(SETTINGS.schedule.named?.[name] ?? name, names[name]);
});

test("warm-up: fractions are rounded down, whole numbers are steps", async () => {
  for (const [
    warmup,
    of,
    steps,
  ] of [[0, 10, 0], [0.05, 60, 3], [0.05, 59, 2], [0.29, 100, 29], [1, 10, 1], [10, 10, 10], [0.999, 10, 9]] as const) // biome-ignore format: short
    assert.is(warmupSteps(warmup, of), steps);
  for (const wrong of [-0.1, 1.5, 11, Number.NaN])
    await assertFails("invalid-value", ["warm-up", "up to 10", String(wrong)], () => warmupSteps(wrong, 10));
});

test("steps, learning rates, evaluations and events of a run", async () => {
  const events: TrainEvent[] = [];
  const options = { schedule: "linear", warmup: 0.25, evalEvery: 3, keep: "last" } as const;
  const result = await run({ ...options, onEvent: (event) => events.push(event) });
  const { data } = await usual();
  assert.is(data.train.size, 16);
  const kinds = events.map(({ type }) => type[0]).join("");
  assert.is(kinds, "psessse" + "ssse" + "sse" + "mmmm" + "e", "plan start evaluation step ... evaluation measure end");
  const left = events.flatMap((event) => (event.type === "measure" ? event.secondsLeft : []));
  assert.ok(left[0]! > 0 && left.at(-1) === 0, "nothing is left when all rows are measured");
  assert.equal(
    result.steps.map(({ step, epoch, examples }) => [step, epoch, examples]),
    [1, 2, 3, 4, 5, 6, 7, 8].map((step) => [step, step / 4, 4 * step]),
  );
  assertAllClose(
    "learning rates",
    result.steps.map(({ lr }) => lr),
    [1 / 3, 2 / 3, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6].map((factor) => factor * SMALL.lr),
    { atol: 1e-15, rtol: 0 },
  );
  assert.equal(
    result.evaluations.map(({ step }) => step),
    [0, 3, 6, 8],
  );
  const [start, first] = result.evaluations;
  assert.is(start!.train, undefined);
  const mean = (of: readonly number[]) => of.reduce((sum, x) => sum + x, 0) / of.length;
  assert.is(first!.train!.loss, mean(result.steps.slice(0, 3).map(({ loss }) => loss)));
  assert.equal(result.evaluations.at(-1)!.val, result.results!.after.val);
  assert.equal(start!.val, result.results!.before.val);
  for (const event of events) {
    if (event.type === "start") assert.equal([event.steps, event.stepsPerEpoch], [8, 4]);
    if (event.type !== "step") continue;
    assert.is(event.steps, 8);
    assert.ok(event.examplesPerSecond > 0 && event.secondsLeft >= 0);
    const { loss, accuracy, norm } = event.record;
    assert.ok(loss > 0 && loss < 20 && accuracy >= 0 && accuracy <= 1 && norm > 0);
  }
  const { results: reached, keptStep, seconds, aborted } = result;
  assert.equal(events.at(-1), { type: "end", results: reached, keptStep, seconds, aborted });
  const { rows } = result.results!.after.test;
  assert.equal([rows, answersOf(result).length, result.results!.after.train.rows], [data.test.size, rows, rows]);
  assert.is(shareRight(result), result.results!.after.test.accuracy);
  assert.equal(
    (await run({ ...options, evalEvery: 0 })).evaluations.map(({ step }) => step),
    [0, 2, 4, 6, 8],
    "0: twice per epoch",
  );
});

test("two batches of 2 per step equal one batch of 4; an incomplete step at the end of an epoch is dropped", async () => {
  const [whole, halves] = [await run(), await run({ batchSize: 2, accumulate: 2 })];
  for (const key of ["loss", "norm", "accuracy", "examples", "epoch", "lr"] as const) {
    const [actual, expected] = [halves, whole].map(({ steps }) => steps.map((step) => step[key]));
    assertAllClose(key, actual!, expected!, ROUNDING);
  }
  const { steps } = await run({ batchSize: 4, accumulate: 3 });
  assert.is(steps.map(({ examples }) => examples).join(), "12,24");
});

test("clipping: none below the limit, to the limit above it", async () => {
  // One step, after which AdamW has moved each value by lr g / (|g| + eps): by lr, unless g is as small as eps.
  const one = { epochs: 1, batchSize: 16, schedule: "constant", warmup: 0, weightDecay: 0 } as const;
  const [none, wide, narrow] = [await run(one), await run({ ...one, clip: 1e6 }), await run({ ...one, clip: 1e-9 })];
  assertSameTensors(wide.tensors, none.tensors);
  assert.is(narrow.steps[0]!.norm, none.steps[0]!.norm, "the norm is that before clipping");
  const weight = ({ tensors }: FineTuneRun) => Math.abs(tensors.get("head.weight")!.data[0]!);
  assertAllClose("the step", [weight(none)], [SMALL.lr], { atol: 0, rtol: 1e-3 });
  assert.ok(weight(narrow) > 0 && weight(narrow) < SMALL.lr / 5, `${weight(narrow)}`);
});

test("an AbortSignal stops the run; the trained parameters can be used", async () => {
  const abort = new AbortController();
  const aborted = await run({
    batchSize: 1,
    signal: abort.signal,
    onEvent: (event) => event.type === "step" && event.record.step === 3 && abort.abort(),
  });
  assert.is(aborted.aborted, true);
  // Submitted steps are finished or dropped; an epoch has 16.
  assert.ok(aborted.steps.length >= 3 && aborted.steps.length <= 10, `${aborted.steps.length} steps`);
  assert.ok(aborted.evaluations.at(-1)!.step <= aborted.steps.length);
  assert.equal([aborted.results, aborted.answers, aborted.record.state], [null, null, "stopped"]);
  const classifier = await Classifier.of(aborted.adapter, (await usual()).model, await testDevice());
  assert.is((await classifier.classify(["a"])).length, 1);
  classifier.destroy();
  const reason = new Error("enough");
  const never = await run({ signal: AbortSignal.abort(reason) }).catch((error) => error);
  assert.is(never, reason, "before the first step there is nothing to keep");
  assert.is((await run()).aborted, false);
});

/** Saves a run and loads it, in each way: its predictions for the test set must be those of the run. */
async function assertReloads(result: FineTuneRun, name: string, data?: LoadedDataset): Promise<void> {
  const { test, labels } = data ?? (await usual()).data;
  const device = await cpu();
  const saved = `${folder}/runs/${name}`;
  await result.save(saved);
  const classify = async (load = () => Classifier.load(saved, { device })) => {
    const classifier = await load();
    try {
      assert.equal(classifier.labels, labels);
      return await classifier.classify(answersOf(result).map(({ row }) => test.text(row)));
    } finally {
      classifier.destroy();
    }
  };
  const loaded = await classify();
  assert.is(loaded.length, test.size);
  for (const [i, { label, probability, probabilities }] of loaded.entries()) {
    const own = answersOf(result)[i]!;
    assert.is(label, own.predicted, `${name}, row ${i}`);
    assert.is(probability, probabilities[label!]);
    assertAllClose(name, Object.values(probabilities), own.probabilities, PACKING);
  }
  assert.equal(await classify(), loaded, "a second time the same bits");
  const { model } = await usual();
  assert.equal(await classify(() => Classifier.of(result.adapter, model, device)), loaded, "from memory");
  assert.equal(await classify(() => Classifier.load(saved, { device, model })), loaded, "on a model that is open");
  assert.equal((await model.read("wpe.weight")).length, TINY.n_positions * TINY.n_embd, "which stays open");
}

/** The error of a run that must fail because numbers are not finite. */
async function failure(options: Partial<TrainArguments>): Promise<RunFailed> {
  try {
    // A figure that is not finite is null in JSON.
    await run({ onEvent: () => {}, ...options });
  } catch (error) {
    if (error instanceof RunFailed) return error;
    throw error;
  }
  throw new Error("the run did not fail");
}

test("a learning rate of 1e30 ends the run; the error has the step and the state before it", async () => {
  // An epoch is one step, so that a run with one epoch less ends right before the failed step.
  const options = { lr: 1e30, batchSize: 16, schedule: "constant", warmup: 0 } as const;
  const error = await failure({ ...options, epochs: 9 });
  const [, step] = /the loss is not finite\n.*step (\d) of 9 .*1e\+30/.exec(error.message) ?? [];
  assert.ok(Number(step) >= 2, error.message);
  const good = await run({ ...options, epochs: Number(step) - 1, onEvent: () => {} });
  assertSameTensors(error.contents.tensors, good.tensors);
});

test("NaN in a frozen weight ends the run at step 1, with the weight's name and no parameter changed", async () => {
  const broken = tinyModel(`${folder}/broken`, (tensors) =>
    tensors.get("h.1.mlp.c_fc.weight")!.data.fill(Number.NaN, 3, 4),
  );
  const model = await loadModel(broken);
  const error = await failure({ model });
  assert.match(error.message, /h\.1\.mlp\.c_fc\.weight is not finite\n.*step 1 of 8/);
  // New adapters do not depend on the base model.
  assertSameTensors(error.contents.tensors, (await untouched()).tensors);
  await model.close();
});

test("gradients whose norm is not finite end the run, even with a finite loss", async () => {
  // B is 0, so that the factor affects only its gradient: squares of 1e29 overflow f32.
  const options = { alpha: 1e30, scaling: "alpha" } as const;
  const error = await failure(options);
  assert.match(error.message, /the norm of the gradients is not finite\n.*step 1 of 8/);
  assert.match(error.message, /found: +loss \d+\.\d+, gradient norm (NaN|Infinity)/);
  assertSameTensors(error.contents.tensors, (await untouched()).tensors);
});

for (const [name, options, padding] of [
  ["lora without bias", { headBias: false, targets: ["q", "v"], scaling: "alpha/sqrt(r)", init: "gaussian" }],
  ["all", { mode: "all" }],
  ["padded, at the last row", { pooling: "last", scaling: "alpha", init: "paper", lr: 1e-3 }, "longest"],
] as [string, Partial<TrainArguments>, "longest"?][])
  test(`a saved run classifies as it did before: ${name}`, async () => {
    const data = padding ? await tinyData(messages(12), { padding }) : (await usual()).data;
    const result = await run({ ...options, data });
    await assertReloads(result, name, data);
    assert.ok(new Set(result.answers!.test.probability).size > 1);
  });

test("weights that are not finite are an error, not a label", async () => {
  const result = await untouched();
  await result.save(`${folder}/runs/damaged`);
  const classifier = await Classifier.load(`${folder}/runs/damaged`, { device: await cpu() });
  const head = result.tensors.get("head.weight")!;
  classifier.update(new Map(result.tensors).set("head.weight", { ...head, data: head.data.map(() => Number.NaN) }));
  await assertFails("not-finite", ["probabilities are not finite", "learning rate"], () => classifier.classify("a"));
  classifier.destroy();
});

test("a run continues from the adapter of every mode: its first evaluation is the adapter's last", async () => {
  const { model } = await usual();
  for (const mode of MODES.filter(takesSteps)) {
    const first = await run({ mode, ...ONE_STEP });
    await first.save(`${folder}/begun-${mode}`);
    const adapter = await loadAdapter(`${folder}/begun-${mode}`, model);
    assert.equal(first.adapter.meta, adapter.meta, mode);
    assertSameTensors(first.adapter.tensors, adapter.tensors);
    const next = await fineTune({ device: await cpu(), ...(await usual()), ...ONE_STEP, adapter });
    assert.is(next.spec.mode, mode);
    const [begun, ended] = [next.results!.before.test, first.results!.after.test];
    assert.equal({ ...begun, loss: 0 }, { ...ended, loss: 0 }, mode);
    assert.is(begun.loss, ended.loss, mode);
  }
});

test("save replaces only this run, or with force another run", async () => {
  const [result, other] = [await run({ epochs: 1 }), await run({ epochs: 1, seed: 2 })];
  const directory = join(folder, "runs", "twice");
  await result.save(directory);
  await result.save(directory);
  await assertFails("output-exists", ["a finished run", "force: true"], () => other.save(directory));
  const others = ["adapter/thesis.txt", "notes.csv"];
  for (const name of others) writeFileSync(join(directory, name), "mine");
  await assertFails("output-exists", others, () => other.save(directory, { force: true }));
  for (const name of others) {
    assert.is(readFileSync(join(directory, name), "utf8"), "mine", name);
    rmSync(join(directory, name));
  }
  await other.save(directory, { force: true });
  assert.is(JSON.parse(readFileSync(join(directory, "run.json"), "utf8")).options.seed, 2);
  await assertFails("output-exists", ["a new path, or an empty directory", "runs"], () => result.save(folder));
  // Other programs' files can have the same names as a run's.
  const foreign = join(folder, "foreign");
  mkdirSync(foreign);
  await result.save(foreign);
  assert.ok(existsSync(join(foreign, "adapter", "lowrank.json")), "an empty directory is taken");
  for (const [name, content] of [
    ["run.json", JSON.stringify({ name: "thesis", version: "1.0.0" })],
    ["config.json", JSON.stringify(TINY)],
    ["predictions.csv", "a,b"],
  ] as const) {
    rmSync(foreign, { recursive: true });
    mkdirSync(foreign);
    writeFileSync(join(foreign, name), content);
    await assertFails("output-exists", ["a new path, or an empty directory", name], () =>
      result.save(foreign, { force: true }),
    );
    assert.equal([readdirSync(foreign), readFileSync(join(foreign, name), "utf8")], [[name], content]);
  }
});

test("refused before anything is allocated", async () => {
  const { info, limits } = await cpu();
  const prepare = () => Promise.reject(new Error("something was allocated"));
  const device: Backend = { info, limits, prepare, destroy() {} };
  const rows = `label,text\n${Array.from({ length: 18 }, (_, i) => `${"ab"[i % 2]},${spelled(i)}\n`).join("")}a,${"word ".repeat(70)}\nb,z\n`;
  const head = ["DoRA outside the blocks", "leave head and wte out"];
  for (const [code, words, options] of [
    ["exceeds-context", ["at most 64", "maxLength 64"], { data: await tinyData(rows, { maxLength: 1024 }) }],
    ["invalid-batch-size", ["1 to 16", "17"], { batchSize: 17 }],
    ["invalid-value", ["warm-up", "up to 8", "9"], { warmup: 9 }],
    ["invalid-value", ["accumulate", "at most 4", "5"], { accumulate: 5 }],
    ["unknown-value", ["target module", '"qk"', "did you mean q?"], { targets: ["qk"] }],
    ["invalid-value", ["rank", "1 or more", "0"], { rank: 0 }],
    ["invalid-value", ["alpha", "NaN"], { alpha: Number.NaN }],
    ["unknown-value", ["schedule", '"cosin"', "did you mean cosine?"], { schedule: "cosin" }],
    ["unknown-value", ["headInit", "did you mean zeros?"], { headInit: "zeroes" }],
    ["invalid-lora-config", head, { dora: true, targets: ["q", "head"] }],
    ["unknown-option", ["learningRate"], { learningRate: 1 }],
  ] as [ErrorCode, string[], object][])
    await assertFails(code, words, () => run({ ...options, device }));
});

test("an evaluation handles the failure of each of its batches", async () => {
  const device = await cpu();
  let fails = false;
  const read: Session["read"] = () => Promise.reject(new DeviceError("device-failed", "reading failed"));
  const failing: Backend = {
    info: device.info,
    limits: device.limits,
    destroy() {},
    async prepare(program) {
      const session = await device.prepare(program);
      return Object.create(session, { read: { get: () => (fails ? read : session.read) } }) as Session;
    },
  };
  // Many more rows than a batch holds, so that several batches are in flight. An unhandled rejection ends the process.
  const data = await tinyData(messages(60));
  const onEvent = ({ type }: TrainEvent) => {
    fails ||= type === "plan";
  };
  await assertFails("device-failed", ["reading failed"], () => run({ data, device: failing, batchSize: 2, onEvent }));
  // Unhandled rejections are reported after this turn of the event loop.
  await new Promise((resolve) => setTimeout(resolve));
});

for (const [moment, declare] of [
  ["plan", testAll],
  ["step", test],
] as const)
  declare(`a device that is lost after the first ${moment} ends the run with a DeviceError`, async () => {
    const device = await openWebGPU(await requestGPU());
    const lose = () => (device as unknown as { device: GPUDevice }).device.destroy();
    const { model, data } = await usual();
    const running = fineTune({
      ...{ device, model, data, ...SMALL, epochs: 50 },
      onEvent: ({ type }) => type === moment && lose(),
    });
    await assertFails("device-lost", ["hint"], () => running);
    await assertFails("device-lost", () => fineTune({ device, model, data, ...SMALL }));
    device.destroy();
  });
