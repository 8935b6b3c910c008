/** Pairs of texts on the command line: columns, --pair, standard input, tables. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, runCommand } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
tinyModel(at("model"));
const rows = Array.from({ length: 40 }, (_, i) => [`Is it ${i}?`, `Yes, it is ${i % 7}`, i % 2 ? "yes" : "no"]);
const csv = (names: string[]) =>
  `${[names, ...rows].map((row) => row.map((field) => `"${field}"`).join(",")).join("\r\n")}\r\n`;
writeFileSync(at("pairs.csv"), csv(["question", "answer", "label"]));
writeFileSync(at("german.csv"), csv(["frage", "antwort", "label"]));
writeFileSync(at("messages.csv"), messages(20));

const run = (name: "train" | "classify", args: string[], input?: string) =>
  runCommand(name, [...args, "--device", "wasm", "--threads", "1"], {
    cwd: folder,
    ...(input === undefined ? {} : { input }),
  });
const train = (file: string, out: string, more: string[] = []) =>
  run("train", [file, "--model", "model", "--epochs", "1", "--out", out, ...more]);
const classify = (args: string[], input?: string) => run("classify", ["--run", "run", ...args], input);
const lines = (text: string) => text.trimEnd().split("\n");

test("train says which columns it took, and how to try the run", async () => {
  const done = await train("pairs.csv", "run");
  assertCode(done, 0);
  assert.match(
    done.stdout,
    /pairs of texts: columns question and answer, with the token that ends a text between them/,
  );
  assert.match(done.stdout, /try it: .*--run run --pair ".+" ".+"/);
  const german = await train("german.csv", "german", ["--text-column", "frage,antwort"]);
  assertCode(german, 0);
  assert.match(german.stdout, /columns frage and antwort/);
  const settings = JSON.parse(readFileSync(at("german/adapter/lowrank.json"), "utf8")).settings;
  assert.equal(settings.pairs, { columns: ["frage", "antwort"] });
});

test("classify --pair: arguments by twos, a line with a tab, JSON", async () => {
  const two = await classify(["--pair", "Is it 1?", "Yes", "Is it 2?", "No"]);
  assertCode(two, 0);
  assert.match(two.stdout, /^(yes|no)\t[01]\.\d{4}\tIs it 1\?\tYes\b.*\n(yes|no)\t[01]\.\d{4}\tIs it 2\?\tNo\b.*\n$/);
  const piped = await classify(["--pair"], "Is it 1?\tYes\nIs it 2?\tNo\n");
  assert.is(piped.stdout, two.stdout);
  const [first] = lines((await classify(["--pair", "--json", "Is it 1?", "Yes"])).stdout).map((line) =>
    JSON.parse(line),
  );
  assert.equal(first.text, ["Is it 1?", "Yes"]);
});

test("what is no pair is refused, and pairs for a model of single texts", async () => {
  assertCode(await train("messages.csv", "single"), 0);
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
  const single = await run("classify", ["--run", "single", "--pair", "a", "b"]);
  assertCode(single, 2);
  assert.match(single.stderr, /the model reads single texts/);
});

test("tables: the columns of the training, or those that are named", async () => {
  const labelled = await classify(["--in", "pairs.csv", "--out", "out.csv"]);
  assertCode(labelled, 0);
  assert.match(labelled.stderr, /40 rows, texts in column "question,answer"/);
  const out = lines(readFileSync(at("out.csv"), "utf8"));
  assert.match(out[1]!, /^"Is it 0\?","Yes, it is 0","no",(yes|no),[01]\.\d{6}\r$/);
  const other = await classify(["--in", "german.csv", "--text-column", "frage,antwort", "--out", "german-out.csv"]);
  assertCode(other, 0);
  assert.equal(lines(readFileSync(at("german-out.csv"), "utf8")).slice(1), out.slice(1));
  const refused = await classify(["--in", "german.csv", "--out", "none.csv"]);
  assertCode(refused, 1);
  assert.match(refused.stderr, /The model reads pairs of texts: two columns are needed.*--text-column FIRST,SECOND/s);
  const shown = await classify(["pairs.csv"]);
  assert.is(lines(shown.stdout).length, 40);
  const [label, , first, second] = lines(shown.stdout)[0]!.split("\t");
  assert.equal([first, second], rows[0]!.slice(0, 2));
  assert.is(out[1]!.split(",").at(-2), label);
});
