/**
 * Each built command in a process of its own: its exit code, what it does with signals, closed pipes and full disks.
 * Signals to commands in this process reach the same listeners.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { Interruption } from "../../src/commands/cli.ts";
import type { RunRecord } from "../../src/record/record.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { test, testAll } from "../helpers/harness.ts";
import { assertCode, filesIn, runCommand, type SpawnOptions, snapshot } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
for (const [name, rows] of Object.entries({ messages: 12, few: 8, some: 100 }))
  writeFileSync(join(folder, `${name}.csv`), messages(rows));

const CPU = ["--device", "wasm", "--threads", "1"];
const DATA = ["--model", "model", "--data", "messages.csv", "--batch-size", "4", "--epochs", "1", ...CPU];

/** A command in a process of its own. */
const spawned = (name: Parameters<typeof runCommand>[0], args: readonly string[], more: Partial<SpawnOptions> = {}) =>
  runCommand(name, args, { cwd: folder, spawned: true, ...more });
const train = (args: readonly string[]) => runCommand("train", args, { cwd: folder });
const stateOf = (run: string) => JSON.parse(readFileSync(join(folder, run, "run.json"), "utf8")).state;
const adapterOf = (run: string) => snapshot(join(folder, run, "adapter"));

// First: what the commands load is not loaded again.
test("the library installs no signal handlers", async () => {
  const counts = () => ["SIGTERM", "SIGHUP", "SIGINT"].map((name) => process.listenerCount(name));
  const before = counts();
  await import(pathToFileURL(packagePath("dist/node.js")).href);
  assert.equal(counts(), before);
});

test("train: a reader that closes the pipe ends nothing", async () => {
  assertCode(await spawned("train", [...DATA, "--out", "run"], { stdout: "closed" }), 0);
  assert.is(stateOf("run"), "finished");
});

testAll("train: a full disk behind its output is reported when the run is saved", async () => {
  const unprinted = await spawned("train", [...DATA, "--out", "full"], { stdout: "full" });
  assertCode(unprinted, 1);
  assert.match(unprinted.stderr, "cannot write the output: ENOSPC");
  assertCode(await train([...DATA, "--out", "printed"]), 0);
  assert.equal(adapterOf("full"), adapterOf("printed"));
});

test("train: stopped by Ctrl-C, resumed, killed, and resumed by the next command, it has the same bits", async () => {
  const long = [...DATA, "--epochs", "50", "--checkpoint-every", "20"];
  const stopped = await spawned("train", [...long, "--json", "--out", "stopped"], {
    watch: (stdout, kill) => stdout.includes('"step":3,') && kill("SIGINT"),
  });
  assertCode(stopped, 130);
  assert.match(stopped.stderr, /^resume it: {2}node \S+train\.js --resume stopped$/m);
  const checkpoints = () => readdirSync(join(folder, "stopped", "checkpoint")).filter((name) => /^step-/.test(name));
  const before = checkpoints();
  const isLater = () => checkpoints().some((name) => !before.includes(name));
  const killed = await spawned("train", ["--resume", "stopped", "--checkpoint-every", "20"], { killWhen: isLater });
  assert.is(killed.code, null);
  assert.is(stateOf("stopped"), "training");
  const resumed = await train(["--resume", "stopped"]);
  assertCode(resumed, 0);
  assert.match(resumed.stderr, /^resumed at step [1-9]/m);
  assertCode(await train([...long, "--out", "straight"]), 0);
  assert.equal(adapterOf("stopped"), adapterOf("straight"));
  assert.equal(filesIn(join(folder, "stopped")), filesIn(join(folder, "straight")));
});

test("classify: a full disk is an error", async () => {
  const full = await spawned("classify", ["--run", "run", ...CPU, "see you"], { stdout: "full" });
  assertCode(full, 1);
  assert.match(full.stderr, "cannot write the output: ENOSPC");
});

test("generate reads a pipe", async () => {
  const args = ["--model", "model", "--max-new-tokens", "1", ...CPU];
  const finished = await spawned("generate", args, { input: "see you\nat\n" });
  assertCode(finished, 0);
  assert.match(finished.stdout, /^see you.*\n\nat/s);
});

test("sweep, export and bench do their work, and verify among the tests; what is wrong with a command line has exit code 2", async () => {
  assertCode(await spawned("sweep", [...DATA, "--grid", "rank=1", "--seeds", "1", "--out", "sweep"]), 0);
  assert.ok(existsSync(join(folder, "sweep", "report.html")));
  assertCode(await spawned("export", ["--run", "run", "--to", "peft", "--out", "peft"]), 0);
  assert.ok(existsSync(join(folder, "peft", "adapter_model.safetensors")));
  const fixture = packagePath("test/golden/08_cls_last_layer_4_labels.safetensors");
  const verify = (...args: string[]) => spawned("lowrank", ["dev", "verify", ...args]);
  const verified = await verify("--device", "wasm", fixture);
  assertCode(verified, 0);
  assert.match(verified.stdout, "1 files, all within tolerance");
  const printed = await verify("--wgsl", "matmul_gemv");
  assert.match(printed.stdout, /struct Dims \{[\s\S]*override b_type: u32;[\s\S]*fn b_at\([\s\S]*fn main\(/);
  const measured = await spawned("bench", ["step", ...CPU, "--steps", "1", "--batch-size", "1"]);
  assertCode(measured, 0);
  assert.match(measured.stdout, "tokens/s");
  assertCode(await verify("--devcie", "wasm"), 2);
});

test("doctor: an interruption leaves what was found so far", async () => {
  const stopped = await spawned("doctor", CPU, {
    watch: (stdout, kill) => /^CPU, /m.test(stdout) && kill("SIGINT"),
  });
  assertCode(stopped, 130);
  assert.match(stopped.stderr, "what was found so far is kept");
  assert.is(JSON.parse(readFileSync(join(folder, "lowrank-doctor.json"), "utf8")).state, "interrupted");
});

const RUN = [...CPU, "--json", "--batch-size", "4", "--epochs", "1"];
/** A large rank makes an evaluation slow without a large model. */
const SLOW = [...RUN, "--model", "gpt2-micro", "--rank", "1024"];
const setFlags = (data: string, val: string, test: string) =>
  Object.entries({ data, val, test }).flatMap(([set, size]) => [`--${set}`, `${size}.csv`]);

/** Runs train and sends a signal once its output has these words. */
const interrupt = (
  signal: NodeJS.Signals,
  when: (stdout: string) => boolean,
  args: readonly string[],
  more: Partial<SpawnOptions> = {},
) => runCommand("train", args, { cwd: folder, watch: (stdout, kill) => when(stdout) && kill(signal), ...more });

const recordOf = (run: string): RunRecord => JSON.parse(readFileSync(join(folder, run, "run.json"), "utf8"));

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
  assert.ok(recordOf("first").results!.after.test.accuracy! > 0);
});

/** The run is saved with its last figures, can be used and resumed, and then be finished. */
async function stopInLastEvaluation(args: readonly string[], out: string, more: Partial<SpawnOptions> = {}) {
  const step = '"record":{"step":4,"epoch":1,"examples":16,"lr":';
  const isMeasured = (stdout: string) => stdout.includes(step) && stdout.split('"type":"evaluation"').length === 4;
  const ended = await interrupt("SIGHUP", isMeasured, [...args, "--out", out], more);
  assertCode(ended, 130);
  assert.match(ended.stderr, /stopping to save the run.*resume it:/s);
  assert.match(ended.stdout, '"results":null');
  const { results, evaluations, examples } = recordOf(out);
  assert.is(results, null);
  assert.ok(evaluations.at(-1)!.val.loss > 0 && examples > 0);
  assertCode(await runCommand("classify", ["--run", out, "x"], { cwd: folder }), 0);
  assertCode(await runCommand("train", ["--resume", out], { cwd: folder }), 0);
  assert.ok(recordOf(out).results!.after.test.accuracy! > 0);
  assert.not.ok(existsSync(join(folder, out, "checkpoint")));
}

test("during the last evaluation the run is saved, and can be used and finished", () =>
  stopInLastEvaluation([...RUN, "--model", "model", ...setFlags("few", "few", "few")], "last"));

// The signal arrives while the device is at work: the resumed run goes through all of the test set.
testAll("during a long last evaluation, in a process of its own", () =>
  stopInLastEvaluation([...SLOW, ...setFlags("few", "few", "some")], "long", { spawned: true }),
);
