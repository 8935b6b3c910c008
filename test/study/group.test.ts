/** Trials of a sweep that are trained together: the same files as from trials alone, whatever happens to one. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { loadModel } from "../../src/io/hf.ts";
import { type Arm, listCells, runnableTrials, type Trial } from "../../src/study/grid.ts";
import { runTrials, type StudyEvent } from "../../src/study/runner.ts";
import { readFinished, trialDirectory } from "../../src/study/store.ts";
import type { SharedArguments } from "../../src/train/arguments.ts";
import { divideIntoPlans } from "../../src/train/group.ts";
import { peakMemory } from "../../src/train/plan-event.ts";
import { prepareRun } from "../../src/train/prepare.ts";
import { runFiles } from "../../src/views/run-files.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice, within } from "../helpers/device.ts";
import { graphicsCard } from "../helpers/graphics-card.ts";
import { test, testAll } from "../helpers/harness.ts";
import { assertPlain } from "../helpers/runs.ts";
import { snapshot } from "../helpers/spawn.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const model = tinyModel(join(folder, "model"));
const loading = tinyData(messages(12));

/** Trials share a plan on a GPU, and on the CPU under the name of one; on a CPU of two threads each has one. */
let card: Promise<Backend> | undefined;
const DEVICES = {
  webgpu: () => testDevice("webgpu"),
  "a graphics card": () => {
    card ??= graphicsCard();
    return card;
  },
  "wasm 2 threads": () => testDevice("wasm 2 threads"),
};
type Device = keyof typeof DEVICES;

async function trialsFor(...arms: Arm[]): Promise<Trial[]> {
  const base = { epochs: 2, batchSize: 4, lr: 1e-2, model };
  return runnableTrials(await listCells({ base, arms }, 1, () => ({})));
}

const GRID: Arm = { rank: [2, 4], alpha: [2, 4] };

interface Options {
  /** Called with every event, and what stops the sweep. */
  onEvent?: (event: StudyEvent, abort: AbortController) => void;
}

/** The directory of a sweep on a device. */
const sweepPath = (on: Device, out: string) => join(folder, on, out);

/** Runs trials. Returns what is told of them, but for steps and evaluations. */
async function run(on: Device, out: string, trials: readonly Trial[], options: Options = {}): Promise<string[]> {
  const { onEvent } = options;
  const abort = new AbortController();
  const seen: string[] = [];
  const failed = await runTrials({
    ...{
      out: sweepPath(on, out),
      trials,
      device: await DEVICES[on](),
      dataOf: await loading.then((data) => () => data),
      signal: abort.signal,
      check: async () => {},
      views: runFiles,
    },
    onEvent(event) {
      assertPlain(event);
      if (event.type === "group" || event.type === "divided") seen.push(`${event.type} ${event.count}`);
      else if (event.type === "failed" || event.type === "resumed") seen.push(`${event.type} ${event.trial.name}`);
      onEvent?.(event, abort);
    },
  });
  return [...seen, `${failed} failed`];
}

/** Runs each trial by itself, unless that was done. */
async function runAlone(on: Device, trials: readonly Trial[]): Promise<void> {
  for (const trial of trials)
    if (!(await readFinished(sweepPath(on, ALONE), trial)))
      assert.equal(await run(on, ALONE, [trial]), ["group 1", "0 failed"]);
}

const ALONE = "alone";

/** The files of a trial without its times. */
function filesOf(on: Device, out: string, trial: Trial): Map<string, string> {
  const directory = trialDirectory(sweepPath(on, out), trial);
  const files = snapshot(directory);
  const edit = (name: string, change: (text: string) => string) =>
    files.set(name, change(readFileSync(join(directory, name), "utf8")));
  edit("run.json", (text) => text.replace(/^ "(seconds|created)":.*$/gm, ""));
  edit("report.html", (text) => text.replace(/(Time|Made)<\/th><td>[^<]*/g, ""));
  edit("metrics.csv", (text) => {
    const [header, row] = text.split("\r\n").map((line) => line.split(","));
    return row!.filter((_, i) => header![i] !== "minutes").join();
  });
  return files;
}

/** The trials have the same files as when each runs alone. */
async function assertSame(on: Device, out: string, trials: readonly Trial[]): Promise<void> {
  await runAlone(on, trials);
  for (const trial of trials) {
    const [found, wanted] = [filesOf(on, out, trial), filesOf(on, ALONE, trial)];
    assert.equal([...found.keys()], [...wanted.keys()], trial.name);
    for (const [name, content] of wanted) assert.is(found.get(name), content, `${trial.name}/${name}`);
  }
}

for (const [on, declare] of [
  ["webgpu", testAll],
  ["a graphics card", test],
  ["wasm 2 threads", test],
] as const)
  declare(`trials that are trained at once leave the files that they leave alone, on ${on}`, async () => {
    const trials = await trialsFor({ rank: [2, 4] }, { mode: "last_layer" });
    const groups = on === "wasm 2 threads" ? ["group 2"] : ["group 2", "group 1"];
    const left: number[] = [];
    const onEvent = (event: StudyEvent) => {
      if (event.type === "done") left.push(event.left);
      if (event.type !== "step") return;
      // The steps and the time left are those of all trials at once.
      const { step, steps, secondsLeft } = event.together;
      assert.ok(step >= event.record.step && step <= steps && secondsLeft! >= 0);
    };
    assert.equal(await run(on, "once", trials, { onEvent }), [...groups, "0 failed"]);
    assert.equal(left, [2, 1, 0]);
    await assertSame(on, "once", trials);
  });

/** Trials of one group that have other batches, lengths, evaluations, matrices and blocks, one of which ends early. */
const unlike = () =>
  trialsFor(
    { rank: 2, epochs: [1, 6], pooling: "last-token" },
    { rank: 4, batchSize: 6, evalEvery: 3, clip: 1, seed: 3, pooling: "last-token" },
    { targets: [["q", "head"]], layers: [[0]], pooling: "last", headBias: false, lrRatio: 4 },
    { rank: 2, lr: 0.3, epochs: 9, evalEvery: 2, patience: 1, keep: "last", schedule: "constant", pooling: "last" },
  );

testAll("unlike trials, stopped and resumed again and again, have the same bits", async () => {
  const on = "webgpu";
  const trials = await unlike();
  const [short, long] = trials as [Trial, Trial];
  const resumed: number[] = [];
  const runTo = async (trial?: Trial, step?: number) => {
    const seen = await run(on, "unlike", trials, {
      onEvent(event, abort) {
        if (event.type === "step" && event.trial === trial && event.record.step === step) abort.abort();
      },
    });
    resumed.push(seen.filter((event) => event.startsWith("resumed")).length);
  };
  await runTo(short, 3);
  await runTo(long, 7);
  // When others have ended.
  await runTo(long, 20);
  await runTo();
  assert.is(resumed[0], 0);
  assert.is(resumed[1], trials.length);
  assert.ok(resumed[3]! > 0 && resumed[3]! < trials.length, resumed.join());
  await assertSame(on, "unlike", trials);
  const early = (await readFinished(sweepPath(on, "unlike"), trials.at(-1)!))!;
  assert.ok(early.evaluations.at(-1)!.step < 9 * 4, "patience ended it");
});

test("a trial whose rate is too high is named, and the others are as without it", async () => {
  const on = "a graphics card";
  const trials = await trialsFor({ rank: [2, 4] }, { rank: 2, lr: 1e9 });
  const bad = trials.at(-1)!;
  assert.equal(await run(on, "diverged", trials), ["group 3", `failed ${bad.name}`, "1 failed"]);
  const error = readFileSync(join(sweepPath(on, "diverged"), "trials", `${bad.name}.error.txt`), "utf8");
  assert.match(error, /is not finite\n.*step \d+ of .*learning rate/);
  assert.is(await readFinished(sweepPath(on, "diverged"), bad), null);
  await assertSame(on, "diverged", trials.slice(0, 2));
});

/** The places of the trials in each group. */
function groups(common: SharedArguments, trials: readonly Trial[]): number[][] {
  const jobs = trials.map((trial) => ({ trial, settings: trial.options }));
  return divideIntoPlans(common, jobs).map(({ jobs: some }) => some.map(({ trial }) => trials.indexOf(trial)));
}

test("trials of other types of weights, modes or steps are in other groups", async () => {
  const common = { device: await testDevice("webgpu"), model: await loadModel(model), data: await loading };
  const trials = await trialsFor(
    { rank: [2, 4] },
    { dtype: "f16", rank: [2, 4] },
    { mode: "bitfit" },
    { dora: true },
    { accumulate: 2 },
    { layers: [[1]] },
    { pooling: "last-token" },
    { layers: [[9]] },
  );
  assert.equal(groups(common, trials), [[0, 1], [2, 3], [4], [5], [6], [7], [8], [9]]);
  await common.model.close();
});

test("a group has as many trials as fit into memory, which is far below that of its trials together", async () => {
  const device = await testDevice("webgpu");
  const trials = await trialsFor(GRID);
  const common = { device, model: await loadModel(model), data: await loading };
  const one = peakMemory(prepareRun({ ...common, ...trials[0]!.options }));
  assert.equal(groups({ ...common, device: within(device, 2 * one) }, trials), [[0, 1, 2, 3]]);
  assert.equal(groups({ ...common, device: within(device, one) }, trials), [[0], [1], [2], [3]]);
  await common.model.close();
});

test("trials that cannot begin fail by themselves: a setting, a model, a directory", async () => {
  const on = "wasm 2 threads";
  const [good, other, bad, lost, taken] = (await trialsFor(
    { rank: 2, alpha: [2, 4] },
    { layers: [[9]] },
    { model: join(folder, "lost") },
    { rank: 4, alpha: 2 },
  )) as [Trial, Trial, Trial, Trial, Trial];
  const out = sweepPath(on, "bad");
  mkdirSync(join(out, "trials"), { recursive: true });
  writeFileSync(trialDirectory(out, taken), "mine");
  const seen = await run(on, "bad", [good, other, bad, lost, taken]);
  const failed = [taken, bad, lost].map(({ name }) => `failed ${name}`);
  assert.equal(seen.toSorted(), [...failed, "group 2", "3 failed"].sort());
  await assertSame(on, "bad", [good, other]);
  assert.is(readFileSync(trialDirectory(out, taken), "utf8"), "mine");
});
