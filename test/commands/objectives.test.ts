/** train, classify, export and sweep of scores, and of several labels a message, as a person runs them. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, filesIn, runCommand } from "../helpers/spawn.ts";
import { tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
tinyModel(join(folder, "model"));
const rows = (label: (i: number) => string) =>
  `label,text\n${Array.from({ length: 40 }, (_, i) => `${label(i)},"message ${i}${" please".repeat(i % 4)}"`).join("\n")}\n`;
writeFileSync(
  join(folder, "scores.csv"),
  rows((i) => String(i % 4)),
);
writeFileSync(
  join(folder, "labels.csv"),
  rows((i) => ["red|blue", "red", "", "blue"][i % 4]!),
);

/** Runs a command line; `texts` are further arguments. */
function run(line: string, ...texts: string[]) {
  const [name, ...args] = line.split(" ");
  return runCommand(name as "train", [...args, ...texts], { cwd: folder });
}
const SETTINGS = "--model model --device wasm --threads 1 --epochs 2 --batch-size 4";

test("regression: a run directory, scores of texts and of a table", async () => {
  const { stdout, ...rest } = await run(`train scores.csv --objective regression ${SETTINGS} --out scores`);
  assertCode({ stdout, ...rest }, 0);
  assert.match(stdout, /RMSE \S+ on 8 test messages.*too few to tell/);
  assert.match(stdout, "always the mean");
  const files = filesIn(join(folder, "scores"));
  for (const name of ["baselines.csv", "predictions.csv", "rmse.svg", "scores.svg"])
    assert.ok(files.includes(name), name);
  for (const name of ["accuracy.svg", "classes.csv", "confusion.csv"]) assert.not.ok(files.includes(name), name);
  const texts = await run("classify --run scores --device wasm", "message please", " ");
  assert.match(texts.stdout, /^-?\d+\.\d{4}\tmessage please\n\t \n$/);
  assert.match(texts.stderr, "1 of 2 texts are empty and have no score");
  const labelled = await run("classify --run scores --device wasm --in scores.csv --out out.csv");
  assertCode(labelled, 0);
  assert.match(labelled.stderr, "with column score");
  assert.match(readFileSync(join(folder, "out.csv"), "utf8").split("\n")[0]!, "label,text,score");
  assertCode(await run("export --run scores --to merged --out merged"), 0);
  assert.is(JSON.parse(readFileSync(join(folder, "merged/config.json"), "utf8")).problem_type, "regression");
});

test("several labels: those above their thresholds, in text and JSON", async () => {
  const { stdout, ...rest } = await run(
    `train labels.csv --objective multi-label ${SETTINGS} --threshold f1 --out labels`,
  );
  assertCode({ stdout, ...rest }, 0);
  assert.match(stdout, /Micro F1 \S+\s%, and exactly its labels for/);
  const { stdout: json } = await run("classify --run labels --device wasm --json", "message please");
  const { labels, probabilities } = JSON.parse(json);
  const { results } = JSON.parse(readFileSync(join(folder, "labels/run.json"), "utf8"));
  const names = Object.keys(probabilities);
  assert.equal(names, ["blue", "red"]);
  assert.equal(
    labels,
    names.filter((name, i) => probabilities[name] >= results.multiLabel.labels[i].threshold),
  );
});

test("a sweep of regressions compares their RMSE", async () => {
  const grid = "--grid rank=1,2 --seeds 1 --out sweep";
  const { stdout, ...rest } = await run(`sweep --data scores.csv --objective regression ${SETTINGS} ${grid}`);
  assertCode({ stdout, ...rest }, 0);
  assert.match(stdout, /validation RMSE \S+, test RMSE/);
  assert.match(
    readFileSync(join(folder, "sweep/report.md"), "utf8"),
    /Test RMSE.*the paired bootstrap: the difference in RMSE/s,
  );
});

test("what is wrong with labels is said with the line; a column of numbers among classes with the objective", async () => {
  const many = Array.from({ length: 30 }, (_, i) => `${i / 7},text ${i}`).join("\n");
  writeFileSync(join(folder, "many.csv"), `label,text\n${many}\n`);
  const classes = await run(`train many.csv ${SETTINGS}`);
  assertCode(classes, 1);
  assert.match(classes.stderr, "give --objective regression");
  writeFileSync(
    join(folder, "words.csv"),
    rows((i) => (i % 2 === 0 ? "1" : "two")),
  );
  const words = await run(`train words.csv --objective regression ${SETTINGS}`);
  assertCode(words, 1);
  assert.match(words.stderr, /not a number.*words\.csv:3/s);
});
