/** Labels that are not classes: scores, and any number of labels a message. */
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { plain } from "../../src/core/setting.ts";
import type { DatasetOptions } from "../../src/data/dataset-options.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { digestData } from "../../src/data/digest.ts";
import { findCombined, settingsOfSeveral } from "../../src/labels/cells.ts";
import { LABELS as KINDS } from "../../src/labels/index.ts";
import { TASKS } from "../../src/tasks/index.ts";
import { dataBlocks } from "../../src/views/data.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { fileOf, jsonLines, setsOf } from "../helpers/tiny.ts";

const file = (content: string, name = "a.csv") => fileOf(name, content);
const SCORES = { objective: "regression" } as const;
const LABELS = { objective: "multi-label" } as const;
const ALL = { fractions: [1, 0, 0], split: "ordered" } as const;

/** A file with a row for each label. */
const rows = (labels: readonly (string | number)[]) =>
  file(`label,text\n${labels.map((label, i) => `${label},"message ${i}"`).join("\n")}\n`);

const fails = (labels: readonly (string | number)[], options: DatasetOptions, code: ErrorCode, words: string[]) =>
  assertFails(code, words, () => loadDataset({ file: rows(labels) }, options));

test("scores: one output, split at random, each batch with its values; the digest is that of the values", async () => {
  const scores = [3, -1.5, 0, 1e3, 0.25, "+2", "1e-2", 3, 7, 8];
  const data = await loadDataset({ file: rows(scores) }, SCORES);
  assert.equal([data.objective, data.labels, data.split], ["regression", ["score"], "random"]);
  const found: number[] = [];
  for (const set of setsOf(data)) for (const row of set.positions()) found[set.place(row)] = set.values(row)[0]!;
  assert.equal(
    found,
    scores.map((score) => Math.fround(Number(score))),
  );
  const { values, positions } = data.train.batch([2, 0]);
  assert.equal(
    [...values!],
    [...positions].map((row) => data.train.values(row)[0]),
  );
  assert.equal([data.stats.classesRead, data.stats.train.classes], [{}, {}]);
  assert.match(JSON.stringify(dataBlocks(data, "m", "none")), "Standard deviation");
  const digest = async (first: string | number) =>
    digestData(await loadDataset({ file: rows([first, ...scores.slice(1)]) }, SCORES));
  assert.is(await digest("3.0"), await digest(3));
  assert.is.not(await digest(4), await digest(3));
});

test("a label that is no number is reported with its line; so are scores that are all equal", async () => {
  const thousands = ["ambiguous-scores", ["a.csv:3", "1234 or 1.234"]] as const;
  const both = ["score-not-a-number", ["a.csv:2", "nothing between thousands"]] as const;
  for (const [labels, code, words, skipFaulty = false] of [
    [[1, 2, 3.5, '"2,5"', 3], "score-not-a-number", ["a.csv:5", "a point before decimals", "2,5"]],
    // Commas that may be between thousands, also where faults are skipped.
    [[7, ...quoted(["1,234", "-12,500"]), "n/a", 9], ...thousands],
    [[7, ...quoted(["1,234", "-12,500"]), "n/a", 9], ...thousands, true],
    [quoted(["1,234.50", "7", "2.5"]), ...both],
    [quoted(["1.234,50", "7", "8,5"]), ...both],
    [["good", "bad", "good", "bad"], "score-not-a-number", ['for classes, leave out objective "regression"'], true],
  ] as [(string | number)[], ErrorCode, string[], boolean?][])
    await fails(labels, { ...SCORES, skipFaulty }, code, words);
  const sets = { train: rows([3, "3.0"]), val: rows([1]), test: rows([2]) };
  await assertFails("scores-all-equal", ["training set", "3"], () => loadDataset(sets, SCORES));
});

const quoted = (labels: readonly string[]) => labels.map((label) => `"${label}"`);

test("decimal commas are read where no score has a point, in all files as in the training set", async () => {
  const labels = ["3,5", "4", "-0,25", "1,125", ",5", "+2,0", "1,5e1", "7"];
  for (const [given, values] of [
    [labels, [3.5, 4, -0.25, 1.125, 0.5, 2, 15, 7]],
    [
      ["0,125", "0,250", ..."01010101"],
      [0.125, 0.25, 0, 1, 0, 1, 0, 1, 0, 1],
    ],
  ] as const) {
    const { train } = await loadDataset({ file: rows(quoted(given)) }, { ...SCORES, ...ALL });
    assert.equal(values.map((_, row) => train.values(row)[0]), values); // biome-ignore format: short
  }
  // The training set's sign holds: of the others a comma with three digits is no thousands, a point is a fault.
  const sets = (val: string) => ({ train: rows(quoted(["3,5", "4"])), val: rows(quoted([val])), test: rows([2]) });
  const given = setsOf(await loadDataset(sets("1,234"), SCORES));
  assert.equal(given.map((set) => set.values(0)[0]), [3.5, Math.fround(1.234), 2]); // biome-ignore format: short
  const words = ["a.csv:2", "a comma before decimals", "2.5"];
  await assertFails("score-not-a-number", words, () => loadDataset(sets("2.5"), SCORES));
});

test("several labels a message: sorted names, white space dropped, none in an empty cell", async () => {
  const labels = ["b|a", "a", "", " c | a ", "b", "a|b", "", "c", "a", "b"];
  const data = await loadDataset({ file: rows(labels) }, { ...LABELS, split: "ordered" });
  assert.equal(data.labels, ["a", "b", "c"]);
  const found = setsOf(data).flatMap((set) => Array.from(set.positions(), (row) => set.values(row).join("")));
  assert.equal(found, ["110", "100", "000", "101", "010", "110", "000", "001", "100", "010"]);
  assert.equal(data.stats.classesRead, { a: 5, b: 4, c: 2 });
  assert.equal(data.stats.test.classes, { a: 1, b: 1, c: 0 });
  assert.match(JSON.stringify(dataBlocks(data, "m", "none")), 'no row of \\"c\\" is in the test set');
});

test("several labels with another sign between them; it is for several labels alone", async () => {
  const labels = quoted(["price, delivery", "price", "", "delivery,price ,", "quality", ..."12345"]);
  const data = await loadDataset({ file: rows(labels) }, { ...LABELS, split: "ordered", labelSeparator: "," });
  const { labels: names, train } = data;
  assert.is(data.stats.combined, null);
  assert.equal(names, ["1", "2", "3", "4", "5", "delivery", "price", "quality"]);
  assert.equal([...train.values(3)], [0, 0, 0, 0, 0, 1, 1, 0]);
  await fails(Array(10).fill(""), { ...LABELS, labelSeparator: ";" }, "no-labels", ['with ";" between them']);
  for (const options of [{ labelSeparator: "," }, { ...SCORES, labelSeparator: "," }])
    await assertFails("options-conflict", ["labelSeparator"], () => loadDataset({ file: rows(labels) }, options));
});

test("several labels with a column each, in the order that is asked for, named by their paths in JSON", async () => {
  const cells = ["late,1,0,no", "broken,0,1,yes", "both,1.0, TRUE ,", "nothing,0,false,x"].map((row) => row.split(","));
  const csv = `text,"a, b",c,n,d\n${cells.map(([text, a, c, d]) => [text, a, c, 7, d]).join("\n")}\n`;
  const json = jsonLines(cells.map(([text, a, c, d]) => ({ d, c, more: { text, a } })));
  for (const [content, name, labelColumn, textColumn, expected] of [
    [csv, "a.csv", "c,d", "text", "00 11 10 01"],
    [json, "a.jsonl", "d,c", "more.text", "00 11 01 10"],
  ] as const) {
    const options = { ...LABELS, ...ALL, labelColumn, textColumn };
    const { train, labels, origin } = await loadDataset({ file: file(content, name) }, options);
    assert.equal([origin.labelColumn, labels.join(), train.text(0)], [labelColumn, labelColumn, "late"]);
    assert.is(cells.map((_, row) => train.values(row).join("")).join(" "), expected);
  }
  for (const [labelColumn, code, options] of [
    ["c,e", "no-such-column", LABELS],
    ["c,c", "same-column", LABELS],
    ["c,d", "no-such-column", {}],
  ] as [string, ErrorCode, DatasetOptions][])
    await assertFails(code, () => loadDataset({ file: file(csv) }, { ...options, ...ALL, labelColumn }));
});

test("kinds of labels are recognised: scores, also with decimal commas, several in a cell, tags; others are classes", () => {
  const recognize = (...labels: string[]) => {
    const classes = Object.fromEntries(labels.map((label) => [label, 2]));
    return KINDS.flatMap(({ recognize }) => recognize?.(classes) ?? [])[0];
  };
  for (const [labels, expected, why = ""] of [
    ["1,5;2;3,25", "scores", "comma"],
    ["1.5;2;3.25", "scores", "point"],
    ["1;2;3", null],
    ["1.0;2.0;3.0", null],
    ["a|b;a;b", "several-labels", '"|" between several labels in 33'],
    ["a, b;b, c;a;c;b", "several-labels", '","'],
    ["New York, NY;Boston;Paris", null],
    ["B-LOC;O;I-LOC", "tags"],
    ["O;yes", null],
  ] as const) {
    const found = recognize(...labels.split(";"));
    assert.is(found?.code ?? null, expected, labels);
    assert.ok((found?.why ?? "").includes(why), found?.why);
  }
});

test("labels that look like several in one, and the settings that separate them", async () => {
  const how = (...rest: Parameters<typeof settingsOfSeveral>) => plain(settingsOfSeveral(...rest));
  const bars = findCombined(["a", "b", "a|b", "b; c", "|", "d;"])!;
  assert.equal([bars, how(bars)], [{ labels: ["a|b", "b; c"], separator: "|" }, 'objective "multi-label"']);
  const several = ["price, delivery", "quality, price"];
  const commas = findCombined(["price", "delivery", "quality", ...several, "Paris, France", "3,5", "5"])!;
  assert.equal(commas, { labels: several, separator: "," });
  assert.equal(
    [how(commas), how(commas, true)],
    ['objective "multi-label" and labelSeparator ","', 'labelSeparator ","'],
  );
  assert.is(findCombined(["Paris, France", "Lyon, France", "Rome, Italy", "1,5", "1,0", "5,1", "0,5"]), null);
  const prices = ["price", "price, delivery", "delivery", "delivery"];
  const data = await loadDataset({ file: rows(prices.flatMap((label) => Array(5).fill(`"${label}"`))) });
  assert.match(
    renderBlocks(dataBlocks(data, "", "auto"), 1000),
    '1 of 3 labels look like several in one: "price, delivery". Each combination is a class of its own, unless several ' +
      "labels a message are learned (--objective multi-label and --label-separator ,)",
  );
});

test("what needs one class a message is refused", async () => {
  for (const options of [{ split: "stratified" }, { split: "experiment" }, { balance: true }] as const)
    for (const objective of [SCORES, LABELS])
      await assertFails("options-conflict", [TASKS[objective.objective].title], () =>
        loadDataset({ file: rows([1, 2, 3]) }, { ...objective, ...options }),
      );
});
