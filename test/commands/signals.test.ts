/** Signals end a command within moments at any time; the trained parameters are saved. */
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { Interruption } from "../../src/commands/cli.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { test, testAll } from "../helpers/harness.ts";
import { assertCode, readTable, runCommand, type SpawnOptions } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
for (const [name, rows] of Object.entries({ few: 8, some: 100 }))
  writeFileSync(join(folder, `${name}.csv`), messages(rows));

const RUN = "--device wasm --threads 1 --json --batch-size 4 --epochs 1".split(" ");
/** A large rank makes an evaluation slow without a large model. */
const SLOW = [...RUN, "--model", "gpt2-micro", "--rank", "1024"];
const setFlags = (train: string, val: string, test: string) =>
  Object.entries({ train, val, test }).flatMap(([set, size]) => [`--${set}`, `${size}.csv`]);

/** Runs train and sends a signal once its output has these words. */
const interrupt = (
  signal: NodeJS.Signals,
  when: (stdout: string) => boolean,
  args: readonly string[],
  more: Partial<SpawnOptions> = {},
) => runCommand("train", args, { cwd: folder, watch: (stdout, kill) => when(stdout) && kill(signal), ...more });

/** The last line of a run's metrics.csv, by its header. */
function lastMetrics(run: string): Record<string, string> {
  const [names, values] = readTable(join(folder, run, "metrics.csv"));
  return Object.fromEntries(names!.map((name, i) => [name, values![i]!]));
}

test("the library installs no signal handlers", async () => {
  const counts = () => ["SIGTERM", "SIGHUP", "SIGINT"].map((name) => process.listenerCount(name));
  const before = counts();
  await import(pathToFileURL(packagePath("dist/index.js")).href);
  assert.equal(counts(), before);
});

test("the first signal aborts; from the second signal on, the system ends the process", async () => {
  const interruption = new Interruption("stopping");
  const listeners = () => process.listenerCount("SIGHUP") + process.listenerCount("SIGTERM");
  interruption.begin();
  interruption.begin();
  assert.is(listeners(), 2);
  // A closed terminal sends several at once.
  for (let i = 0; i < 3; i++) process.kill(process.pid, "SIGHUP");
  const until = async (isSo: () => boolean) => {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  await until(() => interruption.signal.aborted);
  await until(() => listeners() === 0);
});

testAll("during the first evaluation: the run can be resumed, from its beginning", async () => {
  const args = [...SLOW, ...setFlags("few", "some", "few"), "--out", "first"];
  const isBegun = (stdout: string) => stdout.includes('"type":"start"');
  assert.is((await interrupt("SIGTERM", isBegun, args, { spawned: true })).code, null);
  assert.equal(readdirSync(join(folder, "first")), ["run.json"]);
  assertCode(await runCommand("train", ["--resume", "first"], { cwd: folder }), 0);
  assert.ok(Number(lastMetrics("first").final_test_acc) > 0);
});

/** The run is saved with its last figures, can be used and resumed, and then be finished. */
async function stopInLastEvaluation(args: readonly string[], out: string, more: Partial<SpawnOptions> = {}) {
  const step = '"record":{"step":4,"epoch":1,"examples":16,"lr":';
  const isMeasured = (stdout: string) => stdout.includes(step) && stdout.split('"type":"evaluation"').length === 4;
  const ended = await interrupt("SIGHUP", isMeasured, [...args, "--out", out], more);
  assertCode(ended, 130);
  assert.match(ended.stderr, /stopping to save the run.*resume it:/s);
  assert.match(ended.stdout, '"results":null');
  const { final_test_acc, val_loss_last, examples_seen } = lastMetrics(out);
  assert.is(final_test_acc, "");
  assert.ok(Number(val_loss_last) > 0 && Number(examples_seen) > 0);
  assertCode(await runCommand("classify", ["--run", out, "x"], { cwd: folder }), 0);
  assertCode(await runCommand("train", ["--resume", out], { cwd: folder }), 0);
  assert.ok(Number(lastMetrics(out).final_test_acc) > 0);
  assert.not.ok(existsSync(join(folder, out, "checkpoint")));
}

test("during the last evaluation the run is saved, and can be used and finished", () =>
  stopInLastEvaluation([...RUN, "--model", "model", ...setFlags("few", "few", "few")], "last"));

// The signal arrives while the device is at work: the resumed run goes through all of the test set.
testAll("during a long last evaluation, in a process of its own", () =>
  stopInLastEvaluation([...SLOW, ...setFlags("few", "few", "some")], "long", { spawned: true }),
);
