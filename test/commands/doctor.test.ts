/** doctor as a person runs it: interrupted, out of time, with wrong flags. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, filesIn, runCommand, type SpawnOptions } from "../helpers/spawn.ts";

const folder = temporaryFolder();
const doctor = (args: readonly string[], more: Partial<SpawnOptions> = {}) =>
  runCommand("doctor", ["--device", "wasm", "--threads", "1", ...args], { cwd: folder, ...more });

test("an interrupted doctor saves and prints what it has; a later one replaces its report, and ends in time", async () => {
  const stopped = await doctor([], {
    watch: (stdout, kill) => /^CPU, /m.test(stdout) && kill("SIGINT"),
  });
  assertCode(stopped, 130);
  assert.match(stopped.stderr, "what was found so far is kept");
  assert.match(stopped.stdout, /note: interrupted; not examined: .* and /);
  assert.match(stopped.stdout, "all figures: lowrank-doctor.json");
  const read = () => JSON.parse(readFileSync(join(folder, "lowrank-doctor.json"), "utf8"));
  const first = read();
  assert.equal([first.kind, first.state, first.device.kind], ["lowrank-doctor", "interrupted", "wasm"]);
  assert.ok(first.leftOut.length > 5 && first.machine.cores > 0);
  // Its seconds pass at once.
  const { setTimeout: wait } = globalThis;
  const fast = (body: () => void, ms = 0) => wait(body, ms === 7000 ? 0 : ms);
  Object.assign(globalThis, { setTimeout: fast });
  const late = await doctor(["--seconds", "7"]).finally(() => Object.assign(globalThis, { setTimeout: wait }));
  assertCode(late, 0);
  assert.match(late.stdout, "out of time; not examined: ");
  const second = read();
  assert.is(second.state, "out of time");
  assert.ok(second.date > first.date);
  assert.equal(filesIn(folder), ["lowrank-doctor.json"]);
});

test("doctor refuses wrong flags, and a file that is not a report of its own", async () => {
  const place = temporaryFolder();
  writeFileSync(join(place, "notes.json"), '{ "kind": "mine" }');
  writeFileSync(join(place, "thesis.txt"), "mine");
  mkdirSync(join(place, "folder"));
  for (const [args, words] of [
    [
      ["--out", "notes.json"],
      ["not a report of doctor", "notes.json", "another --out"],
    ],
    [["--out", "thesis.txt"], ["not a report of doctor"]],
    [["--out", "folder"], ["not a report of doctor"]],
    [["--out", "thesis.txt/report.json"], ["cannot be created"]],
    [
      ["--seconds", "0"],
      ["--seconds", "1 or more"],
    ],
    [["--seconds", "soon"], ["Expected a number"]],
    [["--device", "webgpu:nobody's"], ["no such GPU"]],
    [["--sceonds", "3"], ["Did you mean --seconds?"]],
    [["more"], ["too many arguments"]],
  ] as const) {
    const refused = await doctor(args, { cwd: place });
    assertCode(refused, 2);
    for (const word of words) assert.ok(refused.stderr.includes(word), `"${word}" is not in:\n${refused.stderr}`);
  }
  assert.equal(filesIn(place), ["notes.json", "thesis.txt"]);
  assert.is(readFileSync(join(place, "thesis.txt"), "utf8"), "mine");
});
