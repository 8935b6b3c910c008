/** A resumed run has the same bits as an uninterrupted one. */

import { existsSync, readdirSync, truncateSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { openWasm, type WasmBackend } from "../../src/backend/wasm.ts";
import type { LoadedDataset } from "../../src/data/datasets.ts";
import { keepCheckpoint, lastCheckpoint } from "../../src/run/checkpoint.ts";
import { bestEvaluation, isAboveChance } from "../../src/train/best.ts";
import type { TrainArguments } from "../../src/train/job.ts";
import { ofMode } from "../../src/train/options.ts";
import type { Checkpoint, TrainEvent, TrainResult } from "../../src/train/records.ts";
import { shareRight } from "../helpers/answers.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test, testAll } from "../helpers/harness.ts";
import { assertPlain, assertSameRun, modelAnd, stopAfter } from "../helpers/runs.ts";
import { messages, tinyData } from "../helpers/tiny.ts";
import { train } from "../helpers/train.ts";

const folder = temporaryFolder();
const OPTIONS = { rank: 2, alpha: 4, epochs: 3, batchSize: 4, accumulate: 2, evalEvery: 2, clip: 1, lr: 1e-2 };

const base = modelAnd(() => tinyData(messages(24)));

/** On the CPU where no device is given: what is kept, and when, does not depend on it, and a software GPU is slow. */
async function run(more: Partial<TrainArguments> = {}): Promise<TrainResult> {
  return train({
    device: await testDevice("wasm 1 thread"),
    ...(await base()),
    onEvent: assertPlain,
    ...ofMode({ ...OPTIONS, ...more }, more.mode ?? "lora"),
  });
}

/** Throws unless a run that is stopped after each of the steps and resumed from disk has the bits of a straight one. */
async function assertResumes(name: string, settings: Partial<TrainArguments>, steps: readonly number[]): Promise<void> {
  const straight = await run(settings);
  for (const step of steps) {
    assert.ok(step < straight.steps.length);
    const directory = join(folder, `${name}-${step}`);
    await keepCheckpoint(directory, await stopAfter(step, (stop) => run({ ...settings, ...stop })));
    assertSameRun(await run({ ...settings, resume: await lastCheckpoint(directory) }), straight);
  }
}

// Between two evaluations, and at an epoch's end.
test("lora: stopped at any step and resumed from disk", () => assertResumes("lora", {}, [1, 4]));

testAll("lora on WebGPU: stopped at any step and resumed from disk", async () =>
  assertResumes("webgpu", { device: await testDevice() }, [1, 4]),
);

for (const [name, settings] of Object.entries({
  DoRA: { dora: true },
  all: { mode: "all" },
  "draws of dropout, with recomputation": { dropout: 0.25, recompute: "on" },
} as Record<string, Partial<TrainArguments>>))
  test(`${name}: stopped and resumed from disk`, () => assertResumes(name, { ...settings, epochs: 2 }, [3]));

/** Data whose validation set contradicts the training set: the validation loss rises. */
async function contradiction(): Promise<LoadedDataset> {
  const { data } = await base();
  const wrong = messages(8).replaceAll("ham,", "other,").replaceAll("spam,", "ham,").replaceAll("other,", "spam,");
  return { ...data, val: (await tinyData(wrong)).train };
}

test("keep: the parameters of the best evaluation, or of the last", async () => {
  const data = await contradiction();
  const at = new Map<number, Checkpoint["tensors"]>();
  const keepAll = async ({ step, tensors }: Checkpoint) => void at.set(step, tensors);
  const last = await run({ data, keep: "last", checkpointEvery: "evaluation", onCheckpoint: keepAll });
  const best = await run({ data, keep: "best" });
  const losses = last.evaluations.slice(1).map(({ val }) => val.loss);
  const { step, val } = last.evaluations[1 + losses.indexOf(Math.min(...losses))]!;
  assert.ok(step < last.steps.length, "the best evaluation is the last");
  assert.equal([best.keptStep, last.keptStep], [step, last.steps.length]);
  assert.equal(best.evaluations, last.evaluations);
  assert.equal(best.results!.after.val, val);
  assert.equal(last.results!.after.val, last.evaluations.at(-1)!.val);
  for (const [name, { data: values }] of best.tensors) {
    assert.equal(values, at.get(step)!.get(name)!.data, name);
    assert.not.equal(values, last.tensors.get(name)!.data, name);
  }
  for (const one of [best, last])
    for (const set of ["val", "test"] as const) assert.is(shareRight(one, set), one.results!.after[set]!.accuracy);
});

test("the validation set is evaluated once at each evaluation, and no further time for its predictions", async () => {
  for (const keep of ["best", "last"] as const) {
    const data = await contradiction();
    let times = 0;
    const batch = data.val.batch.bind(data.val);
    data.val.batch = (order) => {
      if (order[0] === 0) times++;
      return batch(order);
    };
    const { evaluations, answers } = await run({ data, keep });
    assert.equal([times, answers!.val!.predicted.length], [evaluations.length, data.val!.size]);
  }
});

test("patience: ends after so many evaluations without a lower loss, but not at chance", async () => {
  const data = await contradiction();
  const headInit = "uniform";
  const { evaluations } = await run({ data, headInit });
  const best = bestEvaluation(evaluations)!;
  for (const patience of [1, 3]) {
    const result = await run({ data, headInit, patience });
    assert.is(result.steps.length, best.step + patience * OPTIONS.evalEvery);
    assert.equal([result.keptStep, result.aborted], [best.step, false]);
    assert.equal(result.evaluations, evaluations.slice(0, result.evaluations.length));
  }
  const { data: usual } = await base();
  const improving = await run({ data: usual, patience: 1, lr: 1e-4 });
  assert.is(improving.steps.length, 12, "ended early although every evaluation was better");
  const atChance = await run({ data, patience: 1 });
  assert.not(isAboveChance(atChance.evaluations));
  assert.is(atChance.steps.length, 12, "ended early although nothing was learned");
});

test("finish: ends before the next step and is measured; a stopped run is measured as it is, with the same result", async () => {
  const enough = new AbortController();
  const onEvent = (event: TrainEvent) => {
    if (event.type === "step" && event.record.step === 5) enough.abort();
  };
  const early = await run({ finish: enough.signal, onEvent });
  const { length } = early.steps;
  assert.ok(length >= 5 && length < 12, `${length} steps`);
  assert.equal([early.aborted, early.evaluations.at(-1)!.step], [false, length]);
  assert.ok(early.results);
  const checkpoint = await stopAfter(length, (stop) => run(stop));
  const tested = await run({ resume: checkpoint, finish: AbortSignal.abort() });
  assertSameRun(tested, early);
});

test("keep and patience: stopped at the best step, after it, or after the last, and resumed from disk", async () => {
  const data = await contradiction();
  const settings = { data, headInit: "uniform", patience: 3 } as const;
  const straight = await run(settings);
  assert.ok(straight.keptStep < straight.steps.length);
  await assertResumes("keep", settings, [straight.keptStep, straight.keptStep + 1]);
  // Aborted when the kept parameters have been restored for the evaluations at the end.
  const abort = new AbortController();
  const directory = join(folder, "keep-end");
  let isEnd = false;
  const stopped = await run({
    ...settings,
    signal: abort.signal,
    onEvent: (event) => {
      if (event.type === "measure" && isEnd) abort.abort();
      isEnd ||= event.type === "evaluation" && event.record.step === straight.steps.length;
    },
    onCheckpoint: (checkpoint) => keepCheckpoint(directory, checkpoint),
  });
  assert.ok(stopped.aborted);
  assertSameRun(await run({ ...settings, resume: await lastCheckpoint(directory) }), straight);
});

test("the best parameters must be in the checkpoint; patience needs a validation set", async () => {
  const data = await contradiction();
  const checkpoint = await stopAfter(5, (stop) => run({ data, ...stop }));
  const without = new Map([...checkpoint.tensors].filter(([name]) => !name.startsWith("best.")));
  assert.ok(without.size < checkpoint.tensors.size);
  await assertFails("wrong-checkpoint", ["best evaluation"], () =>
    run({ data, resume: { ...checkpoint, tensors: without } }),
  );
  const empty = { ...data, val: data.val.select([]) };
  await assertFails("no-validation-set", () => run({ data: empty, patience: 1 }));
});

/** The tiny data with its rows in these shares. */
const inShares = (fractions: readonly [number, number, number]) => tinyData(messages(24), { fractions });

test("without a validation set nothing is evaluated, without a test set nothing measured; both resume", async () => {
  const whole = await run({ data: await inShares([0.8, 0.1, 0.1]) });
  assert.ok(whole.results && whole.evaluations.length > 0);
  for (const [fractions, has] of [
    [[1, 0, 0], { val: false, test: false }],
    [[0.8, 0.2, 0], { val: true, test: false }],
    [[0.8, 0, 0.2], { val: false, test: true }],
  ] as const) {
    const data = await inShares(fractions);
    const events = new Set<string>();
    const args = { data, onEvent: ({ type }: TrainEvent) => void events.add(type) };
    const { results, answers, evaluations, keptStep, steps } = await run(args);
    assert.equal([evaluations.length > 0, events.has("evaluation"), results !== null], [has.val, has.val, has.test]);
    assert.equal(answers && [answers.val, answers.test.truth.length], has.test ? [null, data.test.size] : null);
    assert.equal(
      results && [results.before.val, results.after.val, results.decision],
      has.test ? [null, null, null] : null,
    );
    assert.is(results?.after.train.rows, has.test ? data.test.size : undefined);
    if (!has.val) assert.is(keptStep, steps.length);
    await assertResumes(fractions.join(), { data }, [3]);
  }
});

test("what the validation set chooses needs it, and a test set to be measured on", async () => {
  for (const choice of [{ calibrate: true }, { threshold: "f1" }, { patience: 1 }]) {
    const [name] = Object.keys(choice);
    const data = await inShares([0.8, 0, 0.2]);
    await assertFails("no-validation-set", [`${name} needs a validation set`], () => run({ data, ...choice }));
    if (choice.patience) continue;
    const untested = await inShares([0.8, 0.2, 0]);
    await assertFails("no-test-set", [`${name} needs a test set`], () => run({ data: untested, ...choice }));
  }
});

const INSIDE = { epochs: 1, batchSize: 2, evalEvery: 0 };

/**
 * Aborts a run in the `piece`-th piece of work of the device's threads after the first step has been read. Every record
 * is a piece, because the clock makes each appear slow. Returns the checkpoint and the number of pieces so far.
 */
async function stopInside(piece: number): Promise<{ checkpoint: Checkpoint; pieces: number }> {
  const device = (await openWasm({ threads: 1 })) as WasmBackend;
  const { pool } = device;
  const abort = new AbortController();
  let pieces = 0;
  let [stepped, slow] = [false, 0];
  const { now } = performance;
  performance.now = () => now.call(performance) + slow;
  const replay = pool.run.bind(pool);
  pool.run = async (...args) => {
    slow += 1000;
    if (stepped && ++pieces === piece) abort.abort();
    return replay(...args);
  };
  let checkpoint: Checkpoint | undefined;
  try {
    await run({
      ...INSIDE,
      device,
      signal: abort.signal,
      onEvent: ({ type }) => {
        stepped ||= type === "step";
      },
      onCheckpoint: async (kept) => {
        checkpoint = kept;
      },
    });
  } finally {
    performance.now = now;
    device.destroy();
  }
  assert.ok(checkpoint, `no checkpoint in piece ${piece}`);
  return { checkpoint, pieces };
}

test("stopped inside a step: dropped before its update, finished during it; both resume with the same bits", async () => {
  const device = await openWasm({ threads: 1 });
  try {
    const straight = await run({ ...INSIDE, device });
    // The first piece for which the second step is not dropped is the start of its update.
    let [dropped, finished] = [1, 400];
    while (finished - dropped > 1) {
      const piece = (dropped + finished) >> 1;
      const { checkpoint, pieces } = await stopInside(piece);
      if (checkpoint.step > 1) finished = piece;
      else {
        dropped = piece;
        assert.is(pieces, piece, "work after the abort");
      }
    }
    for (const [piece, step] of [
      [dropped >> 1, 1],
      [dropped, 1],
      [finished, 2],
    ] as const) {
      const { checkpoint, pieces } = await stopInside(piece);
      assert.is(checkpoint.step, step);
      assert.is(pieces > piece, step === 2, "only an update is finished after the abort");
      assertSameRun(await run({ ...INSIDE, device, resume: checkpoint }), straight);
    }
  } finally {
    device.destroy();
  }
});

test("the speed of a resumed run is measured from its own steps", async () => {
  const checkpoint = await stopAfter(3, run);
  const { now } = performance;
  let clock = 0;
  performance.now = () => clock;
  const events: Extract<TrainEvent, { type: "step" }>[] = [];
  try {
    await run({
      resume: checkpoint,
      onEvent: (event) => {
        if (event.type !== "step") return;
        events.push(event);
        // The first step takes no time, the next two seconds.
        clock = 2000;
      },
    });
  } finally {
    performance.now = now;
  }
  const { record, steps, examplesPerSecond, secondsLeft } = events[1]!;
  assert.is(record.step, 5);
  assert.is(examplesPerSecond, (record.examples - checkpoint.steps.at(-1)!.examples) / 2);
  assert.is(secondsLeft, (((steps - 5) / 5) * record.examples) / examplesPerSecond);
});

test("paused and resumed; a checkpoint after every evaluation and at the pause", async () => {
  const straight = await run();
  const kept: number[] = [];
  const evaluated: number[] = [];
  let asked = 0;
  let proceed: (() => void) | undefined;
  const pause = () => {
    if (++asked !== 4) return undefined;
    return new Promise<void>((resolve) => {
      proceed = resolve;
    });
  };
  const result = await run({
    pause,
    checkpointEvery: "evaluation",
    onCheckpoint: async ({ step }) => {
      kept.push(step);
      // The checkpoint is emitted before the run waits; otherwise it would wait forever.
      proceed?.();
    },
    onEvent: (event) => {
      if (event.type === "evaluation") evaluated.push(event.record.step);
    },
  });
  assertSameRun(result, straight);
  const between = evaluated.filter((step) => step > 0 && step < result.steps.length);
  assert.equal(kept, [...between.slice(0, 1), 3, ...between.slice(1)]);
});

test("two checkpoints are stored; if the last is damaged, the previous one is used", async () => {
  const directory = join(folder, "generations");
  const checkpoints: Checkpoint[] = [];
  await run({ checkpointEvery: 2, onCheckpoint: async (checkpoint) => void checkpoints.push(checkpoint) });
  for (const checkpoint of checkpoints) await keepCheckpoint(directory, checkpoint);
  const files = readdirSync(join(directory, "checkpoint")).sort();
  assert.is(files.length, 2);
  const [before, last] = checkpoints.slice(-2) as [Checkpoint, Checkpoint];
  assert.is((await lastCheckpoint(directory)).step, last.step);
  truncateSync(join(directory, "checkpoint", files[1]!), 100);
  assert.is((await lastCheckpoint(directory)).step, before.step);
  truncateSync(join(directory, "checkpoint", files[0]!), 0);
  await assertFails("invalid-safetensors", ["safetensors", "no checkpoint of this run can be read"], () =>
    lastCheckpoint(directory),
  );
});

test("no checkpoint, and one of another model", async () => {
  await assertFails("no-checkpoint", () => lastCheckpoint(join(folder, "nothing")));
  assert.not(existsSync(join(folder, "nothing")));
  const checkpoint = await stopAfter(1, run);
  await assertFails("wrong-checkpoint", () => run({ rank: 3, resume: checkpoint }));
});
