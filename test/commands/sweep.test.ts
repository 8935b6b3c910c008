/** The sweep command as shipped: killed and restarted, split between processes, merged. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, type Finished, runCommand, type SpawnOptions, snapshot } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
writeFileSync(join(folder, "messages.csv"), messages(20));

/** Four trials, two at once, each longer than the 200 steps after which a trial saves a checkpoint. */
const CPU = ["--device", "wasm", "--threads", "2"];
const GRID = ["--grid", "mode=lora,last_layer", "--seeds", "2", "--rank", "2", "--alpha", "4"];
const LENGTH = ["--epochs", "60", "--batch-size", "4", "--eval-every", "20"];
const SWEEP = [...GRID, "--model", "model", "--data", "messages.csv", ...LENGTH, ...CPU];

const sweep = (out: string, args: readonly string[] = [], more: Partial<SpawnOptions> = {}) =>
  runCommand("sweep", [...SWEEP, "--out", out, ...args], { cwd: folder, ...more });

/** The matching paths in a sweep's trials, except temporary files, whose names start with a dot. */
function inTrials(out: string, pattern: RegExp): string[] {
  try {
    const paths = readdirSync(join(folder, out, "trials"), { recursive: true }).map(String);
    return paths.filter((path) => pattern.test(path) && !/(^|\/)\./.test(path));
  } catch {
    return []; // not there yet, or changing as it is read
  }
}

/** The results of a sweep: every adapter's bytes, and the tables without the minutes. */
function findings(out: string): unknown {
  const trials = join(folder, out, "trials");
  const adapters = [...snapshot(trials)].filter(([path]) => /^[^.].*\/adapter\//.test(path));
  const tables = ["metrics", "metrics-lora", "metrics-last_layer"].map((name) =>
    readFileSync(join(folder, out, `${name}.csv`), "utf8").replaceAll(/,[^,\r]*((,[^,\r]*){3}\r\n)/g, "$1"),
  );
  assert.is(new Set(adapters.map(([path]) => path.split("/")[0])).size, 4);
  return { adapters, tables };
}

test("an uninterrupted sweep", async () => {
  const finished = await sweep("whole");
  assertCode(finished, 0);
  assert.match(finished.stdout, "report of 4 of 4 trials: whole/report.html");
  // An evaluation every twenty steps, and one before the first: a line each, with the trial's name.
  const lines = finished.stderr.trimEnd().split("\n");
  const names = ["LoRA, rank 2, alpha 4, rate 0.001", "head only, rate 0.01"].flatMap((name) =>
    [1, 2].map((seed) => `${name}, seed ${seed}`),
  );
  const step = / step \d+\/420 .*validation loss \d/;
  for (const name of names)
    assert.is(lines.filter((line) => line.startsWith(`${name}:`) && step.test(line)).length, 1 + 420 / 20, name);
  const left = /: step \d+\/\d+ {2}loss \S+ {2}accuracy \S+ % {2}validation loss .* left$/;
  assert.ok(lines.filter((line) => left.test(line)).length > 30);
  assert.is(lines[0], "2 trials at once");
  assert.equal(lines.slice(1, 3).sort(), [`trial 1 of 4: ${names[0]}`, `trial 2 of 4: ${names[1]}`]);
  assert.is(lines.length, 1 + 4 * (1 + 1 + 420 / 20));
  findings("whole");
});

test("killed within trials and restarted, it has the same bits", async () => {
  const checkpoint = /checkpoint\/step-/;
  const kills = [
    () => inTrials("killed", checkpoint).length > 0,
    () => inTrials("killed", /predictions\.csv$/).length > 0 && inTrials("killed", checkpoint).length > 0,
  ];
  const killed: Finished[] = [];
  for (const killWhen of kills) killed.push(await sweep("killed", [], { killWhen }));
  for (const { code } of killed) assert.is(code, null);
  // One of the two may have been killed before its first checkpoint.
  const [at, ...told] = killed[1]!.stderr
    .split(/^LoRA.* step \d/m)[0]!
    .trimEnd()
    .split("\n");
  assert.is(at, "2 trials at once");
  const known = /^trial [12] of 4: LoRA, .*|^LoRA, .*: resumed at step [1-9]\d*00$/;
  for (const one of told) assert.match(one, known);
  assert.match(killed[1]!.stderr, /^LoRA, .*: resumed at step [1-9]\d*00$/m);
  const finished = await sweep("killed");
  assertCode(finished, 0);
  assert.match(finished.stdout, /^(already finished.*\n){1,3}(?!already)/);
  assert.equal(findings("killed"), findings("whole"));
});

test("interrupted when one of two trials has ended, the other saves, and continues with the same bits", async () => {
  const grid = ["--grid", "epochs=2,200", "--rank", "2", "--alpha", "4", "--model", "model", "--data", "messages.csv"];
  const part = (out: string, args: readonly string[], more = {}) =>
    runCommand("sweep", [...grid, "--batch-size", "4", ...CPU, "--out", out, ...args], { cwd: folder, ...more });
  const stopped = await part("stopped", [], {
    watch: (stdout: string, kill: (signal: NodeJS.Signals) => void) => stdout.includes("\n") && kill("SIGINT"),
  });
  assertCode(stopped, 130);
  assert.match(stopped.stderr, /^stopping after a checkpoint/m);
  assert.match(stopped.stdout, /^LoRA, .*; \S+ \S+ left\n$/);
  const resumed = await part("stopped", []);
  assertCode(resumed, 0);
  assert.match(resumed.stdout, /^already finished: LoRA/);
  assert.match(resumed.stderr, /^trial 2 of 2: LoRA.*\nresumed at step \d+\nstep /);
  for (const shard of ["1/2", "2/2"]) assertCode(await part("alone", ["--shard", shard]), 0);
  const adapters = (out: string) =>
    [...snapshot(join(folder, out, "trials"))].filter(([path]) => path.includes("/adapter/"));
  assert.is(adapters("alone").length, adapters("stopped").length);
  assert.equal(adapters("stopped"), adapters("alone"));
});

test("the dry run says which trials run at once, with their memory, and why others do not", async () => {
  const grids = ["--grid", "mode=lora,last_layer", "--grid", "dtype=f32,f16", "--grid", "rank=2,4"];
  const told = async (device: string[]) => {
    const args = [...grids, "--model", "model", "--data", "messages.csv", ...device, "--dry-run"];
    const finished = await runCommand("sweep", args, { cwd: folder });
    assertCode(finished, 0);
    assert.match(finished.stdout, /│ 1 │ LoRA, rank 2, alpha 16 +│ 0.001 │ +1 │ /);
    return finished.stdout.split(/^6 trials, about .* of training steps one after the other on .*\n/m)[1]!;
  };
  assert.is(await told(CPU), "trials 1-6: 2 at a time, each on threads of its own\n");
  assert.match(
    await told(["--device", "webgpu"]),
    /^trials 1-2 at once, \d\S* MB\ntrials 3-4 at once, \d\S* MB: base model in f16\ntrials 5-6 one after the other: mode last_layer\n$/,
  );
});

test("shards in separate processes: with a shared directory, and collected", async () => {
  const shared = await Promise.all([1, 2].map((i) => sweep("shared", ["--shard", `${i}/2`])));
  const apart = await Promise.all([1, 2].map((i) => sweep(`part-${i}`, ["--shard", `${i}/2`])));
  for (const finished of [...shared, ...apart]) assertCode(finished, 0);
  const merged = await sweep("merged", ["--collect", "part-1", "part-2"]);
  assertCode(merged, 0);
  assert.match(merged.stdout, /^4 trials collected\n(already finished.*\n){4}/);
  assertCode(await sweep("shared"), 0);
  for (const out of ["shared", "merged"]) assert.equal(findings(out), findings("whole"), out);
});

test("a trial can be resumed from another directory", async () => {
  assert.is(
    (await sweep("trial", [], { killWhen: () => inTrials("trial", /checkpoint\/step-/).length > 0 })).code,
    null,
  );
  const name = inTrials("trial", /checkpoint\/step-/)[0]!.split("/")[0]!;
  const trial = join(folder, "trial", "trials", name);
  const resumed = await runCommand("train", ["--resume", trial], { cwd: join(folder, "model") });
  assertCode(resumed, 0);
  assert.match(resumed.stderr, /^resumed at step [1-9]\d*00\n/);
  assert.equal(snapshot(join(trial, "adapter")), snapshot(join(folder, "whole", "trials", name, "adapter")));
  // The sweep accepts the trial as finished, with the same result.
  const result = (out: string) => {
    const record = JSON.parse(readFileSync(join(folder, out, "trials", name, "run.json"), "utf8"));
    const { seconds: _, created: _c, ...rest } = record;
    return rest;
  };
  assert.equal(result("trial"), result("whole"));
  const finished = await sweep("trial");
  assertCode(finished, 0);
  assert.match(finished.stdout, /^already finished/m);
});

test("shards choose a learning rate when the trials at all rates are there, and say what they wait for", async () => {
  writeFileSync(join(folder, "choose.yaml"), "arms: [{mode: last_layer, lr: {choose: [1e-3, 1e-2]}}]");
  const args = ["--file", "choose.yaml", "--seeds", "2", "--model", "model", "--data", "messages.csv", "--epochs", "1"];
  const part = async (shard: string) => {
    const finished = await runCommand("sweep", [...args, "--out", "chosen", "--shard", shard], { cwd: folder });
    assertCode(finished, 0);
    return finished.stdout;
  };
  const first = await part("1/2");
  assert.match(first, "report of 1 of 3 trials");
  assert.match(
    first,
    "the learning rate of 1 setting is chosen after 1 trial of other shards, such as: head only, rate 0.01, seed 1",
  );
  const collecting = [...args, "--collect", "chosen", "--out", "gathered"];
  const gathered = await runCommand("sweep", collecting, { cwd: folder });
  assertCode(gathered, 0);
  assert.match(
    gathered.stdout,
    /^1 trial collected\n1 trial missing, and 1 more at learning rates that are not chosen yet:\n {2}head only, rate 0.01, seed 1: part 2\/2\n/,
  );
  assert.match(gathered.stdout, "report of 3 of 3 trials");
  const second = await part("2/2");
  assert.match(second, "report of 2 of 3 trials");
  assert.not.match(second, "chosen after");
  const last = await part("1/2");
  assert.match(
    last,
    /^already finished: head only, rate 0.001, seed 1.*\nhead only, rate 0.01, seed 2:.*\nreport of 3 of 3 trials/,
  );
});

test("a part without trials says so, and is no error; a part beyond the count is one", async () => {
  const empty = await sweep("empty", ["--shard", "5/5"]);
  assertCode(empty, 0);
  assert.is(empty.stdout, "part 5/5 has no trials: the sweep has 4\n");
  const beyond = await sweep("empty", ["--shard", "6/5"]);
  assertCode(beyond, 2);
  assert.match(beyond.stderr, /--shard is invalid\n.*i\/n with i from 1 to n.*\n.*6\/5/);
  assert.not.ok(readdirSync(folder).includes("empty"));
});

test("a failed trial is reported, the others finish, and the exit code is 1", async () => {
  const args = ["--model", "model", "--data", "messages.csv", "--batch-size", "4"];
  const finished = await runCommand("sweep", [...args, "--grid", "lr=1e-3,1e38", "--out", "failing"], { cwd: folder });
  assertCode(finished, 1);
  assert.match(finished.stdout, "report of 1 of 2 trials: failing/report.html");
  // The 28 training rows have 7 steps an epoch.
  assert.match(readFileSync(join(folder, "failing", "report.md"), "utf8"), "epochs: 22, batches of 4");
  assert.match(`${finished.stdout}${finished.stderr}`, /not finite/);
});

test("another model in the same directory creates other trials", async () => {
  const weights = readFileSync(join(folder, "model", "model.safetensors"));
  tinyModel(join(folder, "model"), (tensors) => tensors.get("h.1.attn.c_attn.weight")!.data.fill(0.01, 0, 1));
  const finished = await sweep("whole", ["--shard", "1/4"]);
  writeFileSync(join(folder, "model", "model.safetensors"), weights);
  assertCode(finished, 0);
  assert.not.match(finished.stdout, /^already finished/m);
});

test("an unknown setting in a sweep file is reported by name", async () => {
  for (const [base, words] of [
    [{ rnak: 4 }, ['"rnak"', "did you mean rank?"]],
    [{ out: "elsewhere" }, ['"out"']],
  ] as const) {
    writeFileSync(join(folder, "sweep.yaml"), JSON.stringify({ base, arms: [{ rank: 4 }] }));
    const { code, stderr } = await runCommand("sweep", ["--file", "sweep.yaml", "--out", "refused"], { cwd: folder });
    assert.is(code, 2, stderr);
    for (const word of words) assert.ok(stderr.includes(word), stderr);
  }
});

test("too many trials, and a file that expands when it is parsed, are refused before anything is created", async () => {
  const values = (count: number) => Array.from({ length: count }, (_, i) => i + 1).join(",");
  const nine = (name: string) => Array(9).fill(name).join(",");
  const laughs = ["a: &a [x]", ..."bcdefghij".split("").map((c, i) => `${c}: &${c} [${nine(`*${"abcdefghij"[i]}`)}]`)];
  const file = (content: string) => {
    writeFileSync(join(folder, "sweep.yaml"), content);
    return ["--file", "sweep.yaml"];
  };
  const cases: [content: () => string[], words: string[]][] = [
    [
      () => ["--grid", `rank=${values(10_000)}`, "--grid", `alpha=${values(10_000)}`],
      ["at most 100000", "100000000: "],
    ],
    [() => ["--grid", "rank=4,8", "--seeds", "1e9"], ["too many trials", "2000000000: 2 combinations"]],
    [() => ["--grid", "rank=4,8", "--seeds", "1e300"], ["--seeds is invalid"]],
    [() => ["--grid", `rank=${Array(1001).fill(4)}`, "--seeds", "100"], ["too many trials", "100100"]],
    [() => ["--preset", "rank", "--seeds", "20000"], ["too many trials", "140000"]],
    [() => file(`arms: [{rank: [${values(1000)}], alpha: [${values(1000)}]}]`), ["too many trials", "1000000"]],
    [() => file(`${laughs.join("\n")}\narms: [{rank: *j}]`), ["sweep file is invalid", "Excessive alias count"]],
    [() => file("[".repeat(60_000)), ["sweep file is invalid", "nested too deeply"]],
    [() => file(`${"- ".repeat(30_000)}x`), ["sweep file is invalid", "indented too far"]],
    [() => file("arms: [null]"), ["sweep file is invalid", "`arms` is not a list of objects"]],
    [() => file("arms: [{rank: 4}]\nbase: [1]"), ["sweep file is invalid", "`base` is not an object"]],
    [() => file(`# ${"x".repeat(1 << 16)}\narms: [{rank: 4}]`), ["too large", "at most 65536 bytes"]],
  ];
  for (const [args, words] of cases) {
    const started = performance.now();
    const { code, stderr } = await runCommand("sweep", [...args(), "--out", "refused", "--dry-run"], { cwd: folder });
    assert.is(code, 2, stderr);
    for (const word of words) assert.ok(stderr.includes(word), stderr);
    assert.ok(performance.now() - started < 20_000, words.join());
  }
  assert.not.ok(readdirSync(folder).includes("refused"));
});
