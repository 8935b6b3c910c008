/** train --seeds and --folds as shipped: a study of one setting; stopped, resumed; failing; refused where it stands. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { RunRecord } from "../../src/record/record.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, type Finished, runCommand, type SpawnOptions, snapshot } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
writeFileSync(join(folder, "messages.csv"), messages(20));

const CPU = ["--device", "wasm", "--threads", "2"];
const SHORT = ["--epochs", "3", "--batch-size", "4", "--rank", "2", ...CPU];
const RUN = ["messages.csv", "--model", "model", ...SHORT];
const SEEDS = [...RUN, "--seed", "5", "--seeds", "2"];

const train = (args: readonly string[], more: Partial<SpawnOptions> = {}) =>
  runCommand("train", args, { cwd: folder, ...more });
const trialsOf = (out: string) => readdirSync(join(folder, out, "trials")).sort();
const recordOf = (out: string, trial: string): RunRecord =>
  JSON.parse(readFileSync(join(folder, out, "trials", trial, "run.json"), "utf8"));
const adaptersOf = (out: string) =>
  trialsOf(out).map((name) => [name, snapshot(join(folder, out, "trials", name, "adapter"))]);
const studyOf = (out: string) => JSON.parse(readFileSync(join(folder, out, "study.json"), "utf8"));

let whole: Promise<Finished> | undefined;
const runWhole = () => {
  whole ??= train([...SEEDS, "--out", "whole"]);
  return whole;
};

test("a study of seeds has a run of each, a report, and names the best one", async () => {
  const finished = await runWhole();
  assertCode(finished, 0);
  const records = trialsOf("whole").map((name) => recordOf("whole", name));
  assert.equal(
    records.map(({ options, data }) => [options.seed, data.seed]),
    [
      [5, 5],
      [6, 5],
    ],
  );
  assert.equal(
    ["report.html", "report.md", "metrics.csv"].filter((file) => !existsSync(join(folder, "whole", file))),
    [],
  );
  const { seeds, objective, bases } = studyOf("whole");
  assert.equal([seeds, objective, Object.keys(bases)], [2, "classification", [join(folder, "model")]]);
  const { stdout } = finished;
  assert.is(stdout.split("device: CPU").length, 2);
  assert.match(stdout, "Another seed moves it by");
  assert.match(stdout, "report of 2 of 2 trials: whole/report.html");
  // What it advises works as it is.
  const [first, second] = records.map(({ results }) => results!.after.val!.loss);
  const best = trialsOf("whole")[first! <= second! ? 0 : 1]!;
  assert.match(stdout, `--run whole "`);
  assertCode(await runCommand("classify", ["--run", "whole", "x"], { cwd: folder }), 0);
  assert.is(studyOf("whole").best, best);
});

test("stopped, it is resumed by its directory or a trial's, with the bits of one that was never stopped", async () => {
  // One after the other, so that others are left when the first has ended.
  const stopped = await train([...SEEDS, "--threads", "1", "--out", "stopped"], {
    watch: (stdout, kill) => stdout.includes("seed 5: validation") && kill("SIGINT"),
  });
  assertCode(stopped, 130);
  assert.match(stopped.stderr, "--resume stopped\n");
  assert.not.ok(existsSync(join(folder, "stopped", "report.html")));
  const refused = await train(["--resume", "stopped", "--rank", "4"]);
  assertCode(refused, 2);
  assert.match(refused.stderr, "keeps its settings");
  // From another folder: the study knows where its model and its data are.
  const [begun] = trialsOf("stopped");
  const trial = join(folder, "stopped", "trials", begun!);
  mkdirSync(join(folder, "elsewhere"));
  const resumed = await runCommand("train", ["--resume", trial, ...CPU], { cwd: join(folder, "elsewhere") });
  assertCode(resumed, 0);
  assert.match(resumed.stdout, "already finished: seed 5: ");
  assert.match(resumed.stdout, "report of 2 of 2 trials");
  await runWhole();
  assert.equal(adaptersOf("stopped"), adaptersOf("whole"));
  // The same command goes on with what is there, too.
  const again = await train([...SEEDS, "--seeds", "3", "--json", "--out", "stopped"]);
  assertCode(again, 0);
  const events = again.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const seedsOf = (type: string) => events.filter((one) => one.type === type).map(({ seed }) => seed);
  assert.equal([seedsOf("skip"), seedsOf("done")], [[5, 6], [7]]);
  const [end, saved] = events.slice(-2);
  assert.equal(
    end.trials.map(({ trial, seed, test }: { trial: string; seed: number; test: unknown }) => [trial, seed, test]),
    [5, 6, 7].map((seed) => {
      const name = trialsOf("stopped").find((one) => one.includes(`-s${seed}-`))!;
      return [name, seed, recordOf("stopped", name).results!.after.test];
    }),
  );
  assert.equal([saved.type, saved.directory, trialsOf("stopped").includes(end.best)], ["saved", "stopped", true]);
});

test("a study of another split is refused, and what is no study, too", async () => {
  await runWhole();
  const before = studyOf("whole");
  const { code, stderr } = await train([...RUN, "--seed", "6", "--seeds", "2", "--out", "whole"]);
  assert.is(code, 2, stderr);
  assert.match(stderr, /study of other data.*rows and split/s);
  assert.equal(studyOf("whole"), before);
  mkdirSync(join(folder, "mine"));
  writeFileSync(join(folder, "mine", "notes.txt"), "mine");
  const foreign = await train([...SEEDS, "--out", "mine"]);
  assertCode(foreign, 2);
  assert.match(foreign.stderr, /something else than a study.*notes.txt/s);
  assert.equal(readdirSync(join(folder, "mine")), ["notes.txt"]);
});

test("what only a single run can do is refused, with what to do", async () => {
  for (const [flag, hint] of Object.entries({
    "--force": "--out",
    "--dtype": "name the type",
  })) {
    const { code, stderr } = await train([...SEEDS, flag, ...(flag === "--dtype" ? ["auto"] : []), "--out", "none"]);
    assert.is(code, 2, stderr);
    assert.match(stderr, hint);
  }
  for (const set of ["train", "val", "test"])
    for (const label of ["ham", "spam"]) {
      mkdirSync(join(folder, "sets", set, label), { recursive: true });
      for (const i of [1, 2]) writeFileSync(join(folder, "sets", set, label, `${i}.txt`), `${label} ${i}`);
    }
  const split = await train(["sets", "--model", "model", ...SHORT, "--folds", "2", "--out", "none"]);
  assert.match(split.stderr, /folds are invalid for data that is split already.*found: +--data sets/s);
  assert.not.ok(existsSync(join(folder, "none")));
});

test("--plan says what each of several seeds takes, as JSON too, and leaves nothing", async () => {
  const { code, stdout, stderr } = await train([...SEEDS, "--plan", "--out", "planned"]);
  assertCode({ code, stdout, stderr }, 0);
  assert.match(stdout, /│ 2 │ LoRA.* │ +6 │ +\d.*\n.*\n2 trials, about /);
  assert.is(stderr.match(/timing a few steps/g)?.length, 1);
  const { type, trials } = JSON.parse((await train([...SEEDS, "--plan", "--json", "--out", "planned"])).stdout);
  assert.equal([type, trials.length, trials[0].bytes > 0, trials[0].seconds > 0], ["plan", 2, true, true]);
  const folds = await train([...RUN, "--folds", "2", "--plan", "--out", "planned"]);
  assert.match(folds.stderr, /--plan is invalid with --folds.*omit --folds/s);
  assert.not.ok(existsSync(join(folder, "planned")));
});

test("seeds that all diverge leave no run, and say what to change", async () => {
  const { code, stdout, stderr } = await train([...SEEDS, "--lr", "1e30", "--out", "diverged"]);
  assertCode({ code, stdout, stderr }, 1);
  assert.is(stderr.split("use a smaller --lr").length, 3);
  assert.match(stdout, "2 trials failed: seed 5, seed 6");
  assert.ok(trialsOf("diverged").every((name) => name.endsWith(".error.txt")));
});

const FOLDS = [...RUN, "--folds", "3"];

test("folds test every row, and the run that is saved has learned from all of them", async () => {
  // Interrupted while one of the folds is trained, and resumed by the study's directory.
  const stopped = await train([...FOLDS, "--out", "folds"], {
    watch: (stdout, kill) => stdout.includes("fold 2 of 3: validation") && kill("SIGINT"),
  });
  assertCode(stopped, 130);
  assert.match(stopped.stderr, "--resume folds\n");
  // The best so far is kept: a run that has ended answers.
  assert.match(stopped.stderr, "until then the run of fold 1 of 3 answers");
  const answered = runCommand("classify", [...CPU, "--run", "folds", "win a prize"], { cwd: folder });
  assertCode(await answered, 0);
  assert.not.ok(existsSync(join(folder, "folds", "report.html")));
  const resumed = await train(["--resume", "folds", ...CPU]);
  assertCode(resumed, 0);
  assert.match(resumed.stdout, "already finished: fold 1 of 3: ");
  assert.match(resumed.stdout, /All 40 rows were tested, each by the one of 3 models that had not learned from it/);

  const [final, ...folds] = trialsOf("folds");
  const record = recordOf("folds", final!);
  const { rows, nearDuplicates } = record.counts;
  assert.equal([record.folds, rows, nearDuplicates, record.evaluations], [3, [40, 0, 0], 0, []]);
  assert.match(resumed.stdout, `--run folds "`);
  assert.is(studyOf("folds").best, final);
  const lines = readFileSync(join(folder, "folds", "out-of-fold.csv"), "utf8")
    .trim()
    .split("\r\n");
  assert.is(lines[0], "fold,row,text,truth,predicted,probability ham,probability spam");
  assert.equal(
    lines.slice(1).map((line) => Number(line.split(",")[1])),
    Array.from({ length: 40 }, (_, i) => i + 1),
  );
  const right = lines.slice(1).filter((line) => /,(ham|spam),\1,[\d.e-]+,[\d.e-]+$/.test(line)).length;
  const { after, test: tested } = record.results!;
  assert.equal([after.test.accuracy, after.test.rows, tested.compared[0].rows], [right / 40, 40, 40]);
  const rightOf = ({ results }: RunRecord) => results!.after.test.accuracy! * results!.after.test.rows;
  const ofFolds = folds.map((name) => recordOf("folds", name));
  assert.is(
    ofFolds.reduce((sum, one) => sum + Math.round(rightOf(one)), 0),
    right,
  );
  assert.equal(
    ofFolds.map(({ data }) => [data.folds, data.fold]),
    [1, 2, 3].map((fold) => [3, fold]),
  );
  const mean = ofFolds.reduce((sum, { keptStep, stepsPerEpoch }) => sum + keptStep / stepsPerEpoch, 0) / 3;
  assert.is(record.options.epochs, Math.max(1, Math.round(mean)));
  assert.match(readFileSync(join(folder, "folds", "report.md"), "utf8"), "not measured itself");
  for (const how of [[], ["--classic"]])
    assertCode(await runCommand("classify", ["--run", `folds/trials/${final}`, ...how, "x"], { cwd: folder }), 0);

  const again = await train([...FOLDS, "--final", "none", "--json", "--out", "folds"]);
  const events = again.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.equal(events.filter(({ type }) => type === "skip" || type === "done").length, 3);
  assert.equal([events.at(-2).compared[0].rows, events.at(-2).best, events.at(-1).run], [40, null, null]);
});

test("labels that folds find improbable are a table to correct, and corrections are trained on", async () => {
  const [head, ...lines] = messages(20).trim().split("\n");
  // A spreadsheet would take it for a formula.
  lines[4] = lines[4]!.replace(',"', ',"=');
  const wrong = lines.map((line, i) =>
    i === 4 ? line.replace(/^(ham|spam)/, (l) => (l === "ham" ? "spam" : "ham")) : line,
  );
  writeFileSync(join(folder, "wrong.csv"), `${[head, ...wrong].join("\n")}\n`);
  const args = [
    "wrong.csv",
    ...RUN.slice(1),
    "--lr",
    "1e-2",
    "--epochs",
    "10",
    "--folds",
    "2",
    "--final",
    "none",
    "--out",
    "review",
  ];
  const { code, stdout, stderr } = await train(args);
  assertCode({ code, stdout, stderr }, 0);
  assert.match(
    stdout,
    /look at next: {2}review\/report.html; \d+ labels? to review: review\/review.csv, for --corrections review\/review.csv/,
  );
  const [columns, first] = readFileSync(join(folder, "review", "review.csv"), "utf8").split("\r\n");
  const [before, after] = wrong[4]!.startsWith("ham") ? ["ham", "spam"] : ["spam", "ham"];
  const text = lines[4]!.slice(lines[4]!.indexOf(",") + 1).replace('"=', `"'=`);
  assert.is(columns, "row,text,given label,correct label,probability ham,probability spam");
  const allRows = readFileSync(join(folder, "review", "out-of-fold.csv"), "utf8");
  assert.ok(allRows.includes(`,5,${text},${before},`), allRows);
  assert.ok(first!.startsWith(`5,${text},${before},${after},`), first);
  writeFileSync(join(folder, "corrected.csv"), `${columns}\n${first}\n`);
  const corrected = [...args.slice(0, -6), "--epochs", "1", "--corrections", "corrected.csv", "--out", "corrected"];
  const trained = await train(corrected);
  assertCode(trained, 0);
  assert.match(trained.stdout, "(ham 20, spam 20); corrections: 1 labels changed, 0 rows left out");
  const record = JSON.parse(readFileSync(join(folder, "corrected", "run.json"), "utf8"));
  assert.equal(record.data.corrections, [join(folder, "corrected.csv")]);
});

test("what has no folds is refused", async () => {
  for (const [args, ...words] of [
    [["--folds", "30"], "fewer rows than there are folds", '"ham" (20), "spam" (20)', "use --folds 20"],
    [["--folds", "3", "--seeds", "2"], "--seeds is invalid with --folds"],
    [["--folds", "3", "--fractions", "1,0,0"], "folds divide all rows"],
    [["--final", "none"], "folds alone", "--folds 5"],
    [["--split", "ordered", "--group-column", "text"], "--group-column has an effect on drawn sets alone"],
  ] as const) {
    const { code, stderr } = await train([...RUN, ...args, "--out", "none"]);
    assert.is(code, words[0].startsWith("fewer") ? 1 : 2, stderr);
    for (const word of words) assert.match(stderr, word);
  }
  for (const set of ["train", "val", "test"])
    for (const label of ["ham", "spam"]) {
      mkdirSync(join(folder, "sets", set, label), { recursive: true });
      for (const i of [1, 2]) writeFileSync(join(folder, "sets", set, label, `${i}.txt`), `${label} ${i}`);
    }
  const split = await train(["sets", "--model", "model", ...SHORT, "--folds", "2", "--out", "none"]);
  assert.match(split.stderr, /folds are invalid for data that is split already.*found: +--data sets/s);
  assert.not.ok(existsSync(join(folder, "none")));
});
