/** The sweep command: its lines, shards and what it refuses; killed and restarted, in processes at the same time. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../helpers/border.ts";
import { test, testAll } from "../helpers/harness.ts";
import { assertCode, type Finished, runCommand, type SpawnOptions, snapshot } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
writeFileSync(join(folder, "messages.csv"), messages(20));

/** Four trials, two at once. */
const CPU = ["--device", "wasm", "--threads", "2"];
const GRID = ["--grid", "mode=lora,last_layer", "--seeds", "2", "--rank", "2", "--alpha", "4"];
const SWEEP = [...GRID, "--model", "model", "--data", "messages.csv", "--batch-size", "4", ...CPU];
const SHORT = ["--epochs", "2", "--eval-every", "7"];
/** Each trial is longer than the 200 steps after which it saves a checkpoint. */
const LONG = ["--epochs", "60"];

const sweep = (out: string, args: readonly string[] = SHORT, more: Partial<SpawnOptions> = {}) =>
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

let whole: Promise<Finished> | undefined;
const runWhole = () => {
  whole ??= sweep("whole");
  return whole;
};

test("an uninterrupted sweep", async () => {
  const finished = await runWhole();
  assertCode(finished, 0);
  assert.match(finished.stdout, "report of 4 of 4 trials: whole/report.html");
  // An evaluation every seven steps, and one before the first: a line each, with the trial's name.
  const lines = finished.stderr.trimEnd().split("\n");
  const names = ["LoRA, rank 2, alpha 4, rate 0.001", "head only, rate 0.01"].flatMap((name) =>
    [1, 2].map((seed) => `${name}, seed ${seed}`),
  );
  const step = / step \d+\/14 .*validation loss \d/;
  for (const name of names)
    assert.is(lines.filter((line) => line.startsWith(`${name}:`) && step.test(line)).length, 1 + 14 / 7, name);
  const left = /: step \d+\/\d+ {2}loss \S+ {2}accuracy \S+ % {2}validation loss .* left$/;
  assert.ok(lines.some((line) => left.test(line)));
  assert.is(lines[0], "2 trials at once");
  assert.equal(lines.slice(1, 3).sort(), [`trial 1 of 4: ${names[0]}`, `trial 2 of 4: ${names[1]}`]);
  assert.is(lines.length, 1 + 4 * (1 + 1 + 14 / 7));
  assert.match((await sweep("whole")).stdout, /^(already finished.*\n){4}/m);
  const { stdout } = await sweep("whole", [...SHORT, "--json"]);
  const types = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).type);
  assert.equal(types, ["data", "skip", "skip", "skip", "skip", "end", "saved"]);
});

testAll("killed within trials and restarted, it has the same bits", async () => {
  assertCode(await sweep("long", LONG), 0);
  const killWhen = () => inTrials("killed", /checkpoint\/step-/).length > 0;
  assert.is((await sweep("killed", LONG, { killWhen })).code, null);
  const finished = await sweep("killed", LONG);
  assertCode(finished, 0);
  assert.match(finished.stderr, /^LoRA.*: resumed at step [1-9]\d*00$/m);
  assert.equal(findings("killed"), findings("long"));
});

test("--plan lists the trials, with what each takes", async () => {
  const finished = await sweep("planned", ["--plan"]);
  assertCode(finished, 0);
  assert.match(finished.stdout, /│ 1 │ LoRA, rank 2, alpha 4 +│ 0.001 │ +1 │ +\d/);
  assert.match(finished.stdout, /^4 trials, about .* of training steps one after the other on .*\n/m);
  assert.not.ok(readdirSync(folder).includes("planned"));
});

/** Runs the shards into one directory, and collects them: the results of the whole sweep. */
async function shareBetween(out: string, more: Partial<SpawnOptions> = {}): Promise<void> {
  const part = (i: number) => sweep(out, [...SHORT, "--shard", `${i}/2`], more);
  for (const finished of await Promise.all([1, 2].map(part))) assertCode(finished, 0);
  const merged = await sweep(`${out}-merged`, [...SHORT, "--collect", out]);
  assertCode(merged, 0);
  assert.match(merged.stdout, /^4 trials collected\n(already finished.*\n){4}/m);
  await runWhole();
  assert.equal(findings(`${out}-merged`), findings("whole"));
}

test("shards with a shared directory, and collected", () => shareBetween("shared"));

testAll("shards in processes at the same time", () => shareBetween("separate", { spawned: true }));

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
  const args = ["--model", "model", "--data", "messages.csv", "--batch-size", "4", "--mode", "last_layer", ...CPU];
  const finished = await runCommand("sweep", [...args, "--grid", "lr=1e-3,1e38", "--out", "failing"], { cwd: folder });
  assertCode(finished, 1);
  assert.match(finished.stdout, "report of 1 of 2 trials: failing/report.html");
  // The 28 training rows have 7 steps an epoch.
  assert.match(readFileSync(join(folder, "failing", "report.md"), "utf8"), "epochs: 22, batches of 4");
  assert.match(`${finished.stdout}${finished.stderr}`, /not finite/);
});

test("a trial that does not fit its model is named, and the others run; if none fits, nothing is made", async () => {
  const args = ["messages.csv", "--model", "model", "--rank", "2", "--alpha", "4", "--epochs", "1", ...CPU];
  // The grid takes one word, not the file after it.
  const sweepLayers = (layers: string, out: string) =>
    runCommand("sweep", ["--grid", `layers=${layers}`, ...args, "--out", out], { cwd: folder });
  const some = await sweepLayers("1,7", "some");
  assertCode(some, 1);
  assert.match(some.stderr, /^failed: LoRA, rank 2, alpha 4, in block 7, rate 0.001, seed 1\n.*no such layer/m);
  assert.match(some.stdout, /^report of 1 of 2 trials: .*\n1 trial failed: LoRA, rank 2, alpha 4, in block 7/m);
  const none = await sweepLayers("6,7", "unfit");
  assertCode(none, 2);
  assert.match(none.stderr, "no such layer");
  assert.not.ok(readdirSync(folder).includes("unfit"));
  const planned = await runCommand("sweep", [...args, "--grid", "layers=1,7", "--plan"], { cwd: folder });
  assertCode(planned, 0);
  assert.match(planned.stderr, "cannot be made: LoRA, rank 2, alpha 4, in block 7");
  assert.match(planned.stdout, /^1 trial, about/m);
  // Shards of other data are not collected.
  writeFileSync(join(folder, "more.csv"), messages(24));
  const other = ["more.csv", ...args.slice(1), "--grid", "layers=1"];
  const collected = await runCommand("sweep", [...other, "--collect", "some", "--out", "more"], { cwd: folder });
  assertCode(collected, 2);
  assert.match(collected.stderr, /study of other data\n.*some/);
});

test("too many trials, and a file that is no sweep, are refused before anything is created", async () => {
  const values = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
  const file = (content: unknown) => {
    writeFileSync(join(folder, "sweep.json"), typeof content === "string" ? content : JSON.stringify(content));
    return ["--file", "sweep.json"];
  };
  const one = { arms: [{ rank: 4 }] };
  const cases: [content: () => string[], words: string[], code?: number][] = [
    [
      () => ["--grid", `rank=${values(10_000)}`, "--grid", `alpha=${values(10_000)}`],
      ["at most 100000", "100000000: "],
    ],
    [() => ["--grid", "rank=4,8", "--seeds", "1e9"], ["too many trials", "2000000000: 2 combinations"]],
    [() => ["--grid", "rank=4,8", "--seeds", "1e300"], ["--seeds is invalid"]],
    [() => ["--grid", `rank=${Array(1001).fill(4)}`, "--seeds", "100"], ["too many trials", "100100"]],
    [() => file({ arms: [{ rank: values(1000), alpha: values(1000) }] }), ["too many trials", "1000000"]],
    [() => ["--grid", "rank"], ["--grid is invalid", "key=value,value", "found:    rank"]],
    [
      () => [...file(one), "--grid", "rank=4"],
      ["exactly one of --preset, --file and --grid", "found:    --file, --grid"],
    ],
    [() => file({ ...one, base: { rnak: 4 } }), ['"rnak"', "did you mean rank?"]],
    [() => file({ ...one, base: { out: "elsewhere" } }), ['"out"']],
    [() => file({ arms: [null] }), ["sweep file is invalid", "`arms` is not a list of objects"]],
    [() => file({ ...one, base: [1] }), ["sweep file is invalid", "`base` is not an object"]],
    [() => file("arms: [{rank: 4}]"), ["not a JSON file", "sweep.json"], 1],
    [() => file("[".repeat(60_000)), ["too many levels", "at most 64"], 1],
    [() => file(`${" ".repeat(1 << 16)}{}`), ["too large", "at most 65536 bytes"]],
  ];
  for (const [args, words, expected = 2] of cases) {
    const { code, stderr } = await runCommand("sweep", [...args(), "--out", "refused", "--plan"], { cwd: folder });
    assert.is(code, expected, stderr);
    for (const word of words) assert.ok(stderr.includes(word), stderr);
  }
  assert.not.ok(readdirSync(folder).includes("refused"));
});
