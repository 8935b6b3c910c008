/** Trials of a sweep that are trained at once: the same files as of trials that ran alone, whatever happens to one of them. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Backend } from "../src/backend/backend.ts";
import { DeviceError } from "../src/errors.ts";
import { loadModel } from "../src/io/hf.ts";
import type { ModelPlan } from "../src/model/gpt2.ts";
import { type Arm, listCells, type Trial, trialsOf } from "../src/sweep/grid.ts";
import { runTrials, type SweepEvent } from "../src/sweep/runner.ts";
import { readResult, trialDirectory } from "../src/sweep/store.ts";
import { divideRuns, groupMemory } from "../src/train/group.ts";
import { assertFails, temporaryFolder } from "./border.ts";
import { testDevice, within } from "./device.ts";
import { test } from "./harness.ts";
import { snapshot } from "./spawn.ts";
import { messages, tinyData, tinyModel } from "./tiny.ts";

const folder = temporaryFolder();
const model = tinyModel(join(folder, "model"));
const loading = tinyData(messages(24));
const CPU = "wasm 2 threads";

async function trialsFor(...arms: Arm[]): Promise<Trial[]> {
  const base = { epochs: 2, batchSize: 4, lr: 1e-2, model };
  return trialsOf(await listCells({ base, arms }, 1, () => ({})));
}

const GRID: Arm = { rank: [2, 4], alpha: [2, 4] };

interface Options {
  device?: Backend;
  /** Called with every event, and what stops the sweep. */
  onEvent?: (event: SweepEvent, abort: AbortController) => void;
}

/** Runs trials. Returns what is told of them, but for steps and evaluations. */
async function run(out: string, trials: readonly Trial[], { device, onEvent }: Options = {}): Promise<string[]> {
  const abort = new AbortController();
  const seen: string[] = [];
  const failed = await runTrials({
    ...{ out: join(folder, out), trials, data: await loading, signal: abort.signal, check: async () => {} },
    device: device ?? (await testDevice(CPU)),
    onEvent(event) {
      if (event.type === "group" || event.type === "divided") seen.push(`${event.type} ${event.count}`);
      else if (event.type === "failed" || event.type === "resumed") seen.push(`${event.type} ${event.trial.name}`);
      onEvent?.(event, abort);
    },
  });
  return [...seen, `${failed} failed`];
}

/** Runs each trial by itself, in a directory of that name. */
async function runAlone(out: string, trials: readonly Trial[], options?: Options): Promise<void> {
  for (const trial of trials) assert.equal(await run(out, [trial], options), ["group 1", "0 failed"]);
}

/** The files of a trial without its times. */
function filesOf(out: string, trial: Trial): Map<string, string> {
  const directory = trialDirectory(join(folder, out), trial);
  const files = snapshot(directory);
  const edit = (name: string, change: (text: string) => string) =>
    files.set(name, change(readFileSync(join(directory, name), "utf8")));
  edit("result.json", (text) => text.replace(/"seconds":[^,]+,/, ""));
  edit("metrics.csv", (text) => {
    const [header, row] = text.split("\r\n").map((line) => line.split(","));
    return row!.filter((_, i) => header![i] !== "minutes").join();
  });
  return files;
}

function assertSame(out: string, expected: string, trials: readonly Trial[]): void {
  for (const trial of trials) {
    const [found, wanted] = [filesOf(out, trial), filesOf(expected, trial)];
    assert.equal([...found.keys()], [...wanted.keys()], trial.name);
    for (const [name, content] of wanted) assert.is(found.get(name), content, `${trial.name}/${name}`);
  }
}

test("trials that are trained at once leave the files that they leave when they run alone", async () => {
  const trials = await trialsFor(GRID, { mode: "last_layer" });
  const device = await testDevice();
  assert.equal(await run("once", trials, { device }), ["group 4", "group 1", "0 failed"]);
  await runAlone("alone", trials, { device });
  assertSame("once", "alone", trials);
});

/** Trials of one group that have other batches, lengths, evaluations, matrices and blocks, one of which ends early. */
const unlike = () =>
  trialsFor(
    { rank: 2, epochs: [1, 6] },
    { rank: 4, batchSize: 6, evalEvery: 3, clip: 1, seed: 3 },
    { targets: [["q", "head"]], layers: [[0]], pooling: "last", headBias: false, lrRatio: 4 },
    { rank: 2, lr: 0.3, epochs: 9, evalEvery: 2, patience: 1, keep: "last", schedule: "constant" },
  );

test("unlike trials of a group, stopped and resumed again and again, have the same bits", async () => {
  const trials = await unlike();
  await runAlone("unlike alone", trials);
  const [short, long] = trials as [Trial, Trial];
  const early = (await readResult(join(folder, "unlike alone"), trials.at(-1)!))!;
  assert.ok(early.evaluations.at(-1)!.step < 9 * 9, "patience ended it");
  // In the middle of all, then after one has ended.
  const stops: [Trial, number][] = [
    [short, 3],
    [long, 7],
    [long, 40],
  ];
  const resumed: string[][] = [];
  for (const [trial, step] of stops)
    resumed.push(
      await run("unlike", trials, {
        onEvent(event, abort) {
          if (event.type === "step" && event.trial === trial && event.record.step === step) abort.abort();
        },
      }),
    );
  resumed.push(await run("unlike", trials));
  const counts = resumed.map((seen) => seen.filter((event) => event.startsWith("resumed")).length);
  assert.is(counts[0], 0);
  assert.is(counts[1], trials.length);
  assert.ok(counts[3]! > 0 && counts[3]! < trials.length, counts.join());
  assertSame("unlike", "unlike alone", trials);
});

test("a trial whose rate is too high is named, and the others of its group are as without it", async () => {
  const trials = await trialsFor(GRID, { rank: 2, alpha: 2, lr: 1e9 });
  const bad = trials.at(-1)!;
  assert.equal(await run("diverged", trials), ["group 5", `failed ${bad.name}`, "1 failed"]);
  const error = readFileSync(join(folder, "diverged", "trials", `${bad.name}.error.txt`), "utf8");
  assert.match(error, /is not finite\n.*step \d+ of .*learning rate/);
  assert.is(await readResult(join(folder, "diverged"), bad), null);
  await runAlone("converged", trials.slice(0, 4));
  assertSame("diverged", "converged", trials.slice(0, 4));
});

test("trials of other types of weights, modes, models or steps are in other groups, and it is said why", async () => {
  const common = { device: await testDevice(CPU), model: await loadModel(model), data: await loading };
  const trials = await trialsFor(
    { rank: [2, 4] },
    { dtype: "f16", rank: [2, 4] },
    { mode: "bitfit" },
    { accumulate: 2 },
    { layers: [[1]] },
    { layers: [[9]] },
  );
  const options = trials.map((trial) => trial.options);
  assert.equal(divideRuns(common, options), [
    { runs: [0, 1], apart: "" },
    { runs: [2, 3], apart: "base model in f16" },
    { runs: [4], apart: "mode bitfit" },
    { runs: [5], apart: "2 batches a step" },
    { runs: [6], apart: "only blocks from 1 on run" },
    { runs: [7], apart: divideRuns(common, options.slice(7))[0]!.apart },
  ]);
  assert.match(divideRuns(common, options.slice(7))[0]!.apart, "no such layer");
  await common.model.close();
  const other = tinyModel(join(folder, "other"), (tensors) => tensors.get("ln_f.bias")!.data.fill(0.1));
  const both = await trialsFor({ rank: [2, 4], model: [model, other] });
  assert.equal(await run("models", both), ["group 2", "group 2", "0 failed"]);
  await runAlone("models alone", both);
  assertSame("models", "models alone", both);
});

test("a group has as many trials as fit into memory", async () => {
  const device = await testDevice(CPU);
  const trials = await trialsFor(GRID);
  const common = { device, model: await loadModel(model), data: await loading };
  const options = trials.map((trial) => trial.options);
  const three = groupMemory(common, options.slice(0, 3));
  assert.ok(groupMemory(common, options) > three);
  const small = within(device, three);
  assert.equal(divideRuns({ ...common, device: small }, options), [
    { runs: [0, 1, 2], apart: "" },
    { runs: [3], apart: "no room for more" },
  ]);
  await common.model.close();
  assert.equal(await run("small", trials, { device: small }), ["group 3", "group 1", "0 failed"]);
  assertSame("small", "converged", trials);
});

test("a group for which the device has no memory in the end is divided", async () => {
  const device = await testDevice(CPU);
  // As a graphics card, which does not tell its memory before it has too little.
  const full: Backend = {
    ...within(device, Infinity),
    prepare: async (program, sharedFrom) => {
      if (((program as ModelPlan).members?.length ?? 1) > 2) throw new DeviceError("out of memory");
      return device.prepare(program, sharedFrom);
    },
  };
  const trials = await trialsFor(GRID);
  assert.equal(await run("full", trials, { device: full }), ["group 4", "divided 4", "0 failed"]);
  assertSame("full", "converged", trials);
});

test("trials that cannot begin fail by themselves: a setting, a model, a directory", async () => {
  const [good, other, bad, lost, taken] = (await trialsFor(
    { rank: 2, alpha: [2, 4] },
    { layers: [[9]] },
    { model: join(folder, "lost") },
    { rank: 4, alpha: 2 },
  )) as [Trial, Trial, Trial, Trial, Trial];
  const directory = trialDirectory(join(folder, "bad"), taken);
  mkdirSync(join(folder, "bad", "trials"), { recursive: true });
  writeFileSync(directory, "mine");
  const seen = await run("bad", [good, other, bad, lost, taken]);
  assert.equal(seen, [
    "group 3",
    `failed ${taken.name}`,
    "group 1",
    `failed ${bad.name}`,
    `failed ${lost.name}`,
    "3 failed",
  ]);
  assertSame("bad", "converged", [good, other]);
  assert.is(readFileSync(directory, "utf8"), "mine");
});

test("an error that is a bug ends the sweep, and the trials of its group stop after a checkpoint", async () => {
  const trials = await trialsFor(GRID);
  const onEvent = (event: SweepEvent) => {
    if (event.type === "step" && event.trial === trials[1] && event.record.step === 9) throw new RangeError("a bug");
  };
  let thrown: unknown;
  await run("bug", trials, { onEvent }).catch((error) => {
    thrown = error;
  });
  assert.instance(thrown, RangeError);
  for (const trial of trials) assert.is(await readResult(join(folder, "bug"), trial), null);
  const seen = await run("bug", trials);
  assert.is(seen.filter((event) => event.startsWith("resumed")).length, 3);
  assertSame("bug", "converged", trials);
});

test("a sweep whose directory another process took over ends, with all trials of the group", async () => {
  const trials = await trialsFor(GRID);
  const device = await testDevice(CPU);
  const signal = new AbortController().signal;
  const check = async () => {
    throw new DeviceError("taken over");
  };
  const args = { out: join(folder, "taken"), trials, device, data: await loading, signal, check, onEvent: () => {} };
  await assertFails(DeviceError, ["taken over"], () => runTrials(args));
  for (const trial of trials) assert.is(await readResult(args.out, trial), null);
});

test("the steps and the time left are those of all trials of a group", async () => {
  const trials = await unlike();
  const left: number[] = [];
  let [last, made] = [0, 0];
  await run("progress", trials, {
    onEvent(event) {
      if (event.type === "done") {
        left.push(event.left);
        assert.ok(event.secondsLeft >= 0 && Number.isFinite(event.secondsLeft));
      }
      if (event.type !== "step") return;
      made++;
      const { step, steps, secondsLeft, count } = event.together;
      assert.is(count, trials.length);
      // Those that a trial left out when it ended early count.
      assert.ok(step > last && step >= made && step <= steps);
      last = step;
      if (event.record.step > 1) assert.ok(secondsLeft >= 0 && Number.isFinite(secondsLeft));
    },
  });
  assert.equal(left, [4, 3, 2, 1, 0]);
  assert.ok(made > 4 * 8);
});

test("the memory of a group is that of its plan, and far below that of its trials together", async () => {
  const common = { device: await testDevice(CPU), model: await loadModel(model), data: await loading };
  const options = (await trialsFor(GRID)).map((trial) => trial.options);
  const alone = groupMemory(common, options.slice(0, 1));
  assert.ok(groupMemory(common, options) < 2 * alone);
  await common.model.close();
});
