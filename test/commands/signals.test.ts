/** Signals end a command within moments at any time; the trained parameters are saved. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { Interruption } from "../../src/commands/cli.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, readTable, runCommand } from "../helpers/spawn.ts";
import { messages } from "../helpers/tiny.ts";

const folder = temporaryFolder();
writeFileSync(join(folder, "few.csv"), messages(8));
writeFileSync(join(folder, "some.csv"), messages(100));
writeFileSync(join(folder, "many.csv"), messages(400));

/** A large rank makes an evaluation slow without a large model. */
const SLOW = "--model gpt2-micro --rank 1024 --device wasm --threads 1 --json --batch-size 4".split(" ");
const setFlags = (train: string, val: string, test: string) =>
  Object.entries({ train, val, test }).flatMap(([set, size]) => [`--${set}`, `${size}.csv`]);

/** Runs train and sends a signal once its output has these words. */
const interrupt = (signal: NodeJS.Signals, when: (stdout: string) => boolean, args: readonly string[]) =>
  runCommand("train", [...SLOW, ...args], { cwd: folder, watch: (stdout, kill) => when(stdout) && kill(signal) });

/** The last line of a run's metrics.csv, by its header. */
function lastMetrics(run: string): Record<string, string> {
  const [names, values] = readTable(join(folder, run, "metrics.csv"));
  return Object.fromEntries(names!.map((name, i) => [name, values![i]!]));
}

test("the library installs no signal handlers", async () => {
  const count = 'console.log(["SIGTERM", "SIGHUP", "SIGINT"].map((name) => process.listenerCount(name)).join());';
  const code = `await import(${JSON.stringify(packagePath("dist/index.js"))}); ${count}`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" });
  assert.is(stdout.trim(), "0,0,0");
});

test("the first signal aborts; from the second signal on, the system ends the process", async () => {
  const interruption = new Interruption("stopping");
  const listeners = () => process.listenerCount("SIGHUP") + process.listenerCount("SIGTERM");
  interruption.begin();
  interruption.begin();
  assert.is(listeners(), 2);
  // A closed terminal sends several at once.
  for (let i = 0; i < 3; i++) process.kill(process.pid, "SIGHUP");
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.is(interruption.signal.aborted, true);
  while (listeners() > 0) await new Promise((resolve) => setTimeout(resolve, 50));
});

test("during the first evaluation: the run can be resumed, from its beginning", async () => {
  const args = [...setFlags("few", "some", "few"), "--epochs", "1", "--out", "first"];
  assert.is((await interrupt("SIGTERM", (stdout) => stdout.includes('"type":"start"'), args)).code, null);
  assert.equal(readdirSync(join(folder, "first")), ["run.json"]);
  assertCode(await runCommand("train", ["--resume", "first"], { cwd: folder }), 0);
  assert.ok(Number(lastMetrics("first").final_test_acc) > 0);
});

test("during the last evaluation: the run is saved with its last figures, can be used and resumed, and then be finished", async () => {
  // The resumed run goes through all of the test set.
  const args = [...setFlags("few", "few", "some"), "--epochs", "1", "--out", "last"];
  const step = '"record":{"step":4,"epoch":1,"examples":16,"lr":';
  const isMeasured = (stdout: string) => stdout.includes(step) && stdout.split('"type":"evaluation"').length === 4;
  const ended = await interrupt("SIGHUP", isMeasured, args);
  assertCode(ended, 130);
  assert.match(ended.stderr, /stopping to save the run.*resume it:/s);
  assert.match(ended.stdout, '"results":null');
  const { final_test_acc, val_loss_last, examples_seen } = lastMetrics("last");
  assert.is(final_test_acc, "");
  assert.ok(Number(val_loss_last) > 0 && Number(examples_seen) > 0);
  assertCode(await runCommand("classify", ["--run", "last", "x"], { cwd: folder }), 0);
  assertCode(await runCommand("train", ["--resume", "last"], { cwd: folder }), 0);
  assert.ok(Number(lastMetrics("last").final_test_acc) > 0);
  assert.not.ok(existsSync(join(folder, "last", "checkpoint")));
});
