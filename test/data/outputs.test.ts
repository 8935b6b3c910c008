/** Labels that are not classes: scores, and any number of labels a message. */
import * as assert from "uvu/assert";
import { bytesReader } from "../../src/data/corpus.ts";
import { type DatasetOptions, loadDataset } from "../../src/data/datasets.ts";
import { digestData } from "../../src/data/digest.ts";
import type { ErrorCode } from "../../src/error-codes.ts";
import { ConfigError, DataError } from "../../src/errors.ts";
import { dataBlocks } from "../../src/views/data.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

const file = (content: string, name = "a.csv") => bytesReader(name, new TextEncoder().encode(content));
const SCORES = { objective: "regression" } as const;
const LABELS = { objective: "multi-label" } as const;

/** A file with a row for each label. */
const rows = (labels: readonly (string | number)[]) =>
  file(`label,text\n${labels.map((label, i) => `${label},"message ${i}"`).join("\n")}\n`);

const fails = (labels: readonly (string | number)[], options: DatasetOptions, code: ErrorCode, words: string[]) =>
  assertFails(DataError, code, words, () => loadDataset({ file: rows(labels) }, options));

test("scores: one output, split at random, each batch with its values", async () => {
  const scores = [3, -1.5, 0, 1e3, 0.25, "+2", "1e-2", 3, 7, 8];
  const data = await loadDataset({ file: rows(scores) }, SCORES);
  assert.equal([data.objective, data.labels, data.split], ["regression", ["score"], "random"]);
  const found = [data.train, data.val, data.test].flatMap((set) =>
    Array.from({ length: set.size }, (_, row) => [set.place(row), set.values(row)[0]!]),
  );
  assert.equal(
    found.sort(([a], [b]) => a! - b!).map(([, score]) => score),
    scores.map((score) => Math.fround(Number(score))),
  );
  const { values, positions } = data.train.batch([2, 0]);
  assert.equal(
    [...values!],
    [...positions].map((row) => data.train.values(row)[0]),
  );
  assert.equal([data.stats.classesRead, data.stats.train.classes], [{}, {}]);
  assert.match(JSON.stringify(dataBlocks(data, "m", "none")), "Standard deviation");
});

test("scores of files that are split already, each with scores of its own, also in JSON", async () => {
  const json = (some: readonly number[]) =>
    file(some.map((label) => JSON.stringify({ text: `t ${label}`, label })).join("\n"), "a.jsonl");
  const data = await loadDataset({ train: rows([1, 2]), val: json([0.5]), test: json([9, 2, -4]) }, SCORES);
  const scores = (set: typeof data.train) => Array.from({ length: set.size }, (_, row) => set.values(row)[0]);
  assert.equal([scores(data.train), scores(data.val), scores(data.test)], [[1, 2], [0.5], [9, 2, -4]]);
});

test("a label that is no number is reported with its line; so are scores that are all equal", async () => {
  await fails([1, 2, "n/a", 3], SCORES, "score-not-a-number", ["a.csv:4", "n/a"]);
  await fails([1, '"2,5"', 3], SCORES, "score-not-a-number", ["a.csv:3", "a point before decimals"]);
  await fails([1, "", 3], SCORES, "row-without-label", ["a.csv:3"]);
  await fails(Array(12).fill(3), SCORES, "scores-all-equal", ["3"]);
  const sets = { train: rows([3, "3.0"]), val: rows([1]), test: rows([2]) };
  await assertFails(DataError, "scores-all-equal", ["training set", "3"], () => loadDataset(sets, SCORES));
});

test("many different numbers as classes are refused, with the objective that learns them", async () => {
  const many = Array.from({ length: 30 }, (_, i) => i / 7);
  await fails(many, {}, "label-column-is-numeric", ["--objective regression"]);
});

test("several labels a message: sorted names, white space dropped, none in an empty cell", async () => {
  const labels = ["b|a", "a", "", " c | a ", "b", "a|b", "", "c", "a", "b"];
  const data = await loadDataset({ file: rows(labels) }, { ...LABELS, split: "ordered" });
  assert.equal(data.labels, ["a", "b", "c"]);
  const found = [data.train, data.val, data.test].flatMap((set) =>
    Array.from({ length: set.size }, (_, row) => [...set.values(row)].join("")),
  );
  assert.equal(found, ["110", "100", "000", "101", "010", "110", "000", "001", "100", "010"]);
  assert.equal(
    [data.stats.classesRead, data.stats.test.classes],
    [
      { a: 5, b: 4, c: 2 },
      { a: 1, b: 1, c: 0 },
    ],
  );
  assert.match(JSON.stringify(dataBlocks(data, "m", "none")), 'no row of \\"c\\" is in the test set');
});

test("no label at all is refused; so is what needs one class a message", async () => {
  await fails(Array(10).fill(""), LABELS, "no-labels", ["empty cells"]);
  for (const options of [{ split: "stratified" }, { split: "experiment" }, { balance: true }] as const)
    for (const objective of [SCORES, LABELS])
      await assertFails(ConfigError, "options-conflict", [objective.objective], () =>
        loadDataset({ file: rows([1, 2, 3]) }, { ...objective, ...options }),
      );
});

test("the digest of a data set is that of its values", async () => {
  const digest = async (labels: readonly (string | number)[]) =>
    digestData(await loadDataset({ file: rows(labels) }, { ...SCORES, split: "ordered" }));
  const own = await digest([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.is(await digest(["1.0", 2, 3, 4, 5, 6, 7, 8, 9, 10]), own);
  assert.is.not(await digest([1, 2, 3, 4, 6, 6, 7, 8, 9, 10]), own);
});
