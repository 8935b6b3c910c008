/** Signals end a command within moments at any time; the trained parameters are saved. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { Interruption } from "../../src/commands/cli.ts";
import { STAGING } from "../../src/platform/paths.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, runCommand } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
writeFileSync(join(folder, "few.csv"), messages(8));
writeFileSync(join(folder, "some.csv"), messages(100));
writeFileSync(join(folder, "many.csv"), messages(400));

/** The remaining work when the signal arrives takes minutes; even a loaded machine must end within this time. */
const LIMIT_MS = 10_000;

interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Runs a command and sends a signal once `when` says so; it must end within the limit. */
function interrupt(
  signal: NodeJS.Signals,
  [name, ...args]: readonly string[],
  when: (ended: Ended, pid: number) => boolean,
): Promise<Ended> {
  const child = spawn(process.execPath, [packagePath(`dist/${name}.js`), ...args], { cwd: folder });
  const ended: Ended = { code: null, signal: null, stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const)
    child[stream].setEncoding("utf8").on("data", (chunk: string) => {
      ended[stream] += chunk;
    });
  let sent = 0;
  const timer = setInterval(() => {
    if (sent > 0 || !when(ended, child.pid!)) return;
    child.kill(signal);
    sent = performance.now();
  }, 5);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, by) => {
      clearInterval(timer);
      const ms = performance.now() - sent;
      if (sent === 0) reject(new Error(`ended before its moment came\n${ended.stdout}${ended.stderr}`));
      else if (ms > LIMIT_MS) reject(new Error(`${Math.round(ms)} ms after ${signal} it ended\n${ended.stdout}`));
      else resolve({ ...ended, code, signal: by });
    });
  });
}

/** A large rank makes an evaluation slow without a large model. */
const SLOW = [
  "train",
  "--model",
  "gpt2-micro",
  "--rank",
  "1024",
  "--device",
  "wasm",
  "--threads",
  "1",
  "--json",
  "--batch-size",
  "4",
];
const setFlags = (train: string, val: string, test: string) =>
  Object.entries({ train, val, test }).flatMap(([set, size]) => [`--${set}`, `${size}.csv`]);
const says = (text: string) => (ended: Ended) => ended.stdout.includes(text);

/** The last line of a run's metrics.csv, by its header. */
function lastMetrics(run: string): Record<string, string> {
  const [names, values] = readFileSync(join(folder, run, "metrics.csv"), "utf8").split("\r\n");
  return Object.fromEntries(names!.split(",").map((name, i) => [name, values!.split(",")[i]!]));
}

/** Checks a stopped run: it can be used, and has the figures of the last evaluation. */
async function assertKept(run: string, { code, stdout, stderr }: Ended): Promise<void> {
  assertCode({ code, stdout, stderr }, 130);
  assert.match(stderr, "stopping to save the run");
  const { final_test_acc, val_loss_last, examples_seen } = lastMetrics(run);
  assert.is(final_test_acc, "");
  assert.ok(Number(val_loss_last) > 0 && Number(examples_seen) > 0);
  assertCode(await runCommand("classify", ["--run", run, "x"], { cwd: folder }), 0);
}

test("without anything to save there are no signal handlers, neither in the library nor after a lock", async () => {
  const code = `
    const before = process.listenerCount("SIGTERM") + process.listenerCount("SIGHUP") + process.listenerCount("SIGINT");
    await import(${JSON.stringify(packagePath("dist/index.js"))});
    console.log(before, process.listenerCount("SIGTERM") + process.listenerCount("SIGHUP") + process.listenerCount("SIGINT"));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], { cwd: folder });
  let stdout = "";
  for await (const chunk of child.stdout) stdout += chunk;
  assert.is(stdout.trim(), "0 0");
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
  const waited = performance.now();
  while (listeners() > 0 && performance.now() - waited < LIMIT_MS)
    await new Promise((resolve) => setTimeout(resolve, 50));
  assert.is(listeners(), 0);
});

test("while a file is read", async () => {
  const path = join(folder, "large.csv");
  writeFileSync(path, messages(60_000));
  const opened = (_: Ended, pid: number) =>
    readdirSync(`/proc/${pid}/task`).length > 0 &&
    readFileSync(`/proc/${pid}/io`, "utf8").match(/rchar: (\d{7,})/) !== null;
  const { signal, stdout } = await interrupt(
    "SIGTERM",
    ["train", "--model", "gpt2-micro", "--data", "large.csv", "--out", "read"],
    opened,
  );
  assert.equal([signal, stdout], ["SIGTERM", ""]);
});

test("during the first evaluation: there is nothing to save, and no file is left", async () => {
  const before = readdirSync(folder);
  const args = [...SLOW, ...setFlags("few", "many", "few"), "--out", "first"];
  assert.is((await interrupt("SIGTERM", args, says('"type":"start"'))).signal, "SIGTERM");
  assert.equal(readdirSync(folder), before);
});

test("during the last evaluation; the run can be resumed, and then be finished", async () => {
  // The resumed run goes through all of this set.
  const args = [...SLOW, ...setFlags("few", "few", "some"), "--epochs", "1"];
  const last = says('"record":{"step":4,"epoch":1,"examples":16,"lr":');
  const isMeasured = (ended: Ended) => last(ended) && ended.stdout.split('"type":"evaluation"').length === 4;
  const ended = await interrupt("SIGHUP", [...args, "--out", "last"], isMeasured);
  await assertKept("last", ended);
  assert.match(ended.stdout, '"results":null');
  assert.match(ended.stderr, "resume it:");
  assertCode(await runCommand("train", ["--resume", "last"], { cwd: folder }), 0);
  assert.ok(Number(lastMetrics("last").final_test_acc) > 0);
  assert.not.ok(existsSync(join(folder, "last", "checkpoint")));
});

test("while a run is saved: it is saved completely", async () => {
  mkdirSync(join(folder, "runs"));
  const args = [...SLOW, ...setFlags("few", "few", "few"), "--epochs", "1", "--out", join("runs", "saved")];
  const saving = () => existsSync(join(folder, "runs", "saved", STAGING));
  const { code, stdout, stderr } = await interrupt("SIGTERM", args, saving);
  assertCode({ code, stdout, stderr }, 130);
  assert.ok(Number(lastMetrics("runs/saved").final_test_acc) > 0);
  assertCode(await runCommand("classify", ["--run", "runs/saved", "x"], { cwd: folder }), 0);
});
