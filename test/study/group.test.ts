/** Trials of a sweep that are trained together: the same files as from trials alone, whatever happens to one. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type Arm, listCells, runnableTrials, type Trial } from "../../src/study/grid.ts";
import { runTrials, type StudyEvent } from "../../src/study/runner.ts";
import { readFinished, trialDirectory } from "../../src/study/store.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { assertPlain } from "../helpers/runs.ts";
import { snapshot } from "../helpers/spawn.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const model = tinyModel(join(folder, "model"));
const loading = tinyData(messages(12));

async function trialsFor(...arms: Arm[]): Promise<Trial[]> {
  const base = { epochs: 2, batchSize: 4, lr: 1e-2, model };
  return runnableTrials(await listCells({ base, arms }, 1, () => ({})));
}

/** The directory of a sweep. */
const sweepPath = (out: string) => join(folder, "sweeps", out);

/** Runs trials on a CPU of two threads. Returns what is told of them, but for steps and evaluations. */
async function run(out: string, trials: readonly Trial[], onEvent?: (event: StudyEvent) => void): Promise<string[]> {
  const seen: string[] = [];
  const failed = await runTrials({
    ...{
      out: sweepPath(out),
      trials,
      device: await testDevice("wasm 2 threads"),
      dataOf: await loading.then((data) => () => data),
      signal: new AbortController().signal,
      check: async () => {},
    },
    onEvent(event) {
      assertPlain(event);
      if (event.type === "group") seen.push(`${event.type} ${event.count}`);
      else if (event.type === "failed" || event.type === "resumed") seen.push(`${event.type} ${event.trial.name}`);
      onEvent?.(event);
    },
  });
  return [...seen, `${failed} failed`];
}

/** Runs each trial by itself, unless that was done. */
async function runAlone(trials: readonly Trial[]): Promise<void> {
  for (const trial of trials)
    if (!(await readFinished(sweepPath(ALONE), trial)))
      assert.equal(await run(ALONE, [trial]), ["group 1", "0 failed"]);
}

const ALONE = "alone";

/** The files of a trial without its times. */
function filesOf(out: string, trial: Trial): Map<string, string> {
  const directory = trialDirectory(sweepPath(out), trial);
  const files = snapshot(directory);
  const edit = (name: string, change: (text: string) => string) =>
    files.set(name, change(readFileSync(join(directory, name), "utf8")));
  edit("run.json", (text) => text.replace(/^ "(seconds|created)":.*$|"report.html":"\w+"/gm, ""));
  edit("report.html", (text) => text.replace(/(Time|Made)(<\/th><td>[^<]*|,(\\"[^"]*"|[^\\]*))/g, ""));
  return files;
}

/** The trials have the same files as when each runs alone. */
async function assertSame(out: string, trials: readonly Trial[]): Promise<void> {
  await runAlone(trials);
  for (const trial of trials) {
    const [found, wanted] = [filesOf(out, trial), filesOf(ALONE, trial)];
    assert.equal([...found.keys()], [...wanted.keys()], trial.name);
    for (const [name, content] of wanted) assert.is(found.get(name), content, `${trial.name}/${name}`);
  }
}

test("trials that are trained at once leave the files that they leave alone", async () => {
  const trials = await trialsFor({ rank: [2, 4] }, { mode: "last_layer" });
  const left: number[] = [];
  const onEvent = (event: StudyEvent) => {
    if (event.type === "done") left.push(event.left);
    if (event.type !== "step") return;
    // The steps and the time left are those of all trials at once.
    const { step, steps, secondsLeft } = event.together;
    assert.ok(step >= event.record.step && step <= steps && secondsLeft! >= 0);
  };
  assert.equal(await run("once", trials, onEvent), ["group 2", "0 failed"]);
  assert.equal(left, [2, 1, 0]);
  await assertSame("once", trials);
});

test("a trial whose rate is too high is named, and the others are as without it", async () => {
  const trials = await trialsFor({ rank: [2, 4] }, { rank: 2, lr: 1e9 });
  const bad = trials.at(-1)!;
  assert.equal(await run("diverged", trials), ["group 2", `failed ${bad.name}`, "1 failed"]);
  const error = readFileSync(join(sweepPath("diverged"), "trials", `${bad.name}.error.txt`), "utf8");
  assert.match(error, /is not finite\n.*step \d+ of .*learning rate/);
  assert.is(await readFinished(sweepPath("diverged"), bad), null);
  await assertSame("diverged", trials.slice(0, 2));
});

test("trials that cannot begin fail by themselves: a setting, a model, a directory", async () => {
  const [good, other, bad, lost, taken] = (await trialsFor(
    { rank: 2, alpha: [2, 4] },
    { layers: [[9]] },
    { model: join(folder, "lost") },
    { rank: 4, alpha: 2 },
  )) as [Trial, Trial, Trial, Trial, Trial];
  const out = sweepPath("bad");
  mkdirSync(join(out, "trials"), { recursive: true });
  writeFileSync(trialDirectory(out, taken), "mine");
  const seen = await run("bad", [good, other, bad, lost, taken]);
  const failed = [taken, bad, lost].map(({ name }) => `failed ${name}`);
  assert.equal(seen.toSorted(), [...failed, "group 2", "3 failed"].sort());
  await assertSame("bad", [good, other]);
  assert.is(readFileSync(trialDirectory(out, taken), "utf8"), "mine");
});
