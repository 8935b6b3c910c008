/** Pairs of texts on the command line: columns, --pair, standard input, tables. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, runCommand } from "../helpers/spawn.ts";
import { tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
tinyModel(at("model"));
const rows = Array.from({ length: 40 }, (_, i) => [`Is it ${i}?`, `Yes, it is ${i % 7}`, i % 2 ? "yes" : "no"]);
const csv = (names: string[]) =>
  `${[names, ...rows].map((row) => row.map((field) => `"${field}"`).join(",")).join("\r\n")}\r\n`;
writeFileSync(at("german.csv"), csv(["frage", "antwort", "label"]));
writeFileSync(at("pairs.csv"), csv(["question", "answer", "label"]));

const run = (name: "train" | "classify", args: string[], input?: string) =>
  runCommand(name, [...args, "--device", "wasm", "--threads", "1"], {
    cwd: folder,
    ...(input === undefined ? {} : { input }),
  });
const classify = (args: string[], input?: string) => run("classify", ["--run", "run", ...args], input);
const lines = (text: string) => text.trimEnd().split("\n");

test("train says which columns it took, and how to try the run", async () => {
  const options = ["--text-column", "frage,antwort", "--model", "model", "--epochs", "1", "--out", "run"];
  const done = await run("train", ["german.csv", ...options]);
  assertCode(done, 0);
  assert.match(done.stdout, /pairs of texts: columns frage and antwort/);
  assert.match(done.stdout, /try it: .*--run run --pair ".+" ".+"/);
});

test("classify --pair: arguments by twos, a line with a tab, JSON; a table by the training's columns", async () => {
  const two = await classify(["--pair", "Is it 1?", "Yes", "Is it 2?", "No"]);
  assertCode(two, 0);
  assert.match(two.stdout, /^(yes|no)\t[01]\.\d{4}\tIs it 1\?\tYes\b.*\n(yes|no)\t[01]\.\d{4}\tIs it 2\?\tNo\b.*\n$/);
  const piped = await classify(["--pair"], "Is it 1?\tYes\nIs it 2?\tNo\n");
  assert.is(piped.stdout, two.stdout);
  const json = await classify(["--pair", "--json", "Is it 1?", "Yes"]);
  assert.equal(JSON.parse(json.stdout).text, ["Is it 1?", "Yes"]);
  const labelled = await classify(["--in", "german.csv", "--out", "out.csv"]);
  assertCode(labelled, 0);
  assert.match(labelled.stderr, /40 rows, texts in column "frage,antwort"/);
  const [, row] = lines(readFileSync(at("out.csv"), "utf8"));
  assert.match(row!, /^"Is it 0\?","Yes, it is 0","no",(yes|no),[01]\.\d{6}\r$/);
  const shown = lines((await classify(["pairs.csv"])).stdout);
  const [label, , first, second] = shown[0]!.split("\t");
  assert.equal([label, first, second], [row!.split(",").at(-2), ...rows[0]!.slice(0, 2)]);
});

test("what is no pair is refused", async () => {
  for (const [args, input, words] of [
    [["--pair", "a", "b", "c"], undefined, /--pair needs two texts each.*3 texts/s],
    [["--pair"], "a\tb\nno tab\n", /--pair needs two texts each.*no tab/s],
    [["a", "b"], undefined, /the model reads pairs of texts.*--pair/s],
    [["--pair", "--in", "pairs.csv"], undefined, /--pair is for texts, not for a table/],
  ] as const) {
    const refused = await classify([...args], input);
    assertCode(refused, 2);
    assert.match(refused.stderr, words);
  }
});
