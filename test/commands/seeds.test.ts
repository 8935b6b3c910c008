/** train --seeds as shipped: which run is kept, beside which figures; stopped, killed, resumed; failing. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { RunRecord } from "../../src/run/record.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, filesIn, readTable, runCommand, type SpawnOptions } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
writeFileSync(join(folder, "messages.csv"), messages(20));

const CPU = ["--device", "wasm", "--threads", "2"];
const RUN = ["messages.csv", "--model", "model", "--epochs", "3", "--batch-size", "4", "--rank", "2", ...CPU];
const SEEDS = [...RUN, "--seed", "5", "--seeds", "2"];

const train = (args: readonly string[], more: Partial<SpawnOptions> = {}) =>
  runCommand("train", args, { cwd: folder, ...more });
const read = (...path: string[]) => readFileSync(join(folder, ...path));
const recordAt = (out: string): RunRecord => JSON.parse(read(out, "run.json").toString());

/** What does not depend on the time. */
function findings(out: string): unknown {
  const { seeds } = recordAt(out);
  return [seeds!.runs.map(({ seconds: _, ...rest }) => rest), read(out, "adapter", "lowrank.safetensors")];
}

test("the seeds share the split; the run with the lowest validation loss is kept, with the figures of all", async () => {
  const finished = await train([...SEEDS, "--out", "whole"]);
  assertCode(finished, 0);
  const record = recordAt("whole");
  const { options, results, data, trial } = record;
  const seeds = record.seeds!.runs;
  assert.equal([seeds.map(({ seed }) => seed), data.seed, trial], [[5, 6], 5, undefined]);
  const lowest = seeds.toSorted((a, b) => a.val!.loss - b.val!.loss)[0]!;
  assert.equal([options.seed, results!.after.val, results!.after.test], [lowest.seed, lowest.val, lowest.test]);
  assert.is(new Set(seeds.map(({ test }) => test!.loss)).size, 2);
  // The others are not left behind, and every file is the record's.
  assert.not.ok(existsSync(join(folder, "whole.seeds")));
  assert.equal(filesIn(join(folder, "whole")), record.files);
  assert.equal(readTable(join(folder, "whole", "seeds.csv")).length, 3);
  const { stdout } = finished;
  assert.match(stdout, `Kept: seed ${lowest.seed}, for its lowest validation loss.`);
  assert.match(stdout, "saved to whole");
  assert.is(stdout.split("device: CPU").length, 2);
  assertCode(await runCommand("classify", ["--run", "whole", "x"], { cwd: folder }), 0);
});

test("stopped, what is finished counts; resumed, it is the run that was never stopped", async () => {
  // One after the other, so that others are left when the first has ended.
  const stopped = await train([...SEEDS, "--threads", "1", "--out", "stopped"], {
    watch: (stdout, kill) => stdout.includes("seed 5: validation") && kill("SIGINT"),
  });
  assertCode(stopped, 130);
  assert.match(stopped.stdout, /│ +5 │[^\n]* │ (finished|lowest loss) +│/);
  assert.match(stopped.stdout, "not finished");
  assert.match(stopped.stderr, "--resume stopped.seeds");
  assert.not.ok(existsSync(join(folder, "stopped")));
  const refused = await train([...SEEDS, "--out", "stopped"]);
  assertCode(refused, 2);
  assert.match(refused.stderr, "an unfinished run exists");
  // By the directory of the run that will be kept.
  const resumed = await train(["--resume", "stopped"]);
  assertCode(resumed, 0);
  assert.match(resumed.stdout, "already finished: seed 5: ");
  assert.not.ok(existsSync(join(folder, "stopped.seeds")));
  assert.equal(findings("stopped"), findings("whole"));
});

test("--force replaces a run when all seeds are finished; --json has the seed in each event", async () => {
  assertCode(await train([...RUN, "--epochs", "1", "--out", "old"]), 0);
  const old = read("old", "run.json");
  const again = await train([...SEEDS, "--out", "old"]);
  assertCode(again, 2);
  assert.match(again.stderr, "--force");
  assert.equal(read("old", "run.json"), old);
  const { code, stdout, stderr } = await train([...SEEDS, "--epochs", "1", "--json", "--force", "--out", "old"]);
  assertCode({ code, stdout, stderr }, 0);
  const events = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const seedsOf = (type: string) =>
    events
      .filter((one) => one.type === type)
      .map(({ seed }) => seed)
      .sort();
  assert.equal(
    [seedsOf("plan"), seedsOf("done")],
    [
      [5, 6],
      [5, 6],
    ],
  );
  assert.ok(seedsOf("step").every((seed) => seed >= 5));
  const [end, saved] = events.slice(-2);
  assert.equal([end.type, end.seeds, saved.directory], ["end", recordAt("old").seeds, "old"]);
});

test("seeds that all diverge leave nothing, and say what to change", async () => {
  const before = readdirSync(folder);
  const { code, stdout, stderr } = await train([...SEEDS, "--lr", "1e30", "--out", "none"]);
  assertCode({ code, stdout, stderr }, 1);
  assert.is(stderr.split("use a smaller --lr").length, 3);
  assert.equal(readdirSync(folder), before);
});
