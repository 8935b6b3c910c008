/** Data sets by file and by name, as a command loads them. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import languages from "../../data/datasets/languages.json" with { type: "json" };
import description from "../../data/datasets/spam.json" with { type: "json" };
import { bytesReader } from "../../src/data/corpus.ts";
import type { DatasetOptions, DatasetSpec } from "../../src/data/dataset-options.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { digestData } from "../../src/data/digest.ts";
import { divideFolds } from "../../src/data/sets/folds.ts";
import { loadTexts } from "../../src/data/text/texts.ts";
import { DataModule } from "../../src/data/wasm.ts";
import type { ErrorCode } from "../../src/error-codes.ts";
import { csvLine, sheetLine } from "../../src/io/csv.ts";
import { loadModel } from "../../src/io/hf.ts";
import { joinPair, type TextOrPair } from "../../src/pair.ts";
import { isSameCell } from "../../src/quote.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { allTexts, messages } from "../helpers/tiny.ts";

const loading = DataModule.load();

const times = <T>(count: number, of: (i: number) => T) => Array.from({ length: count }, (_, i) => of(i));

function textFile(content: string, name = "a.csv") {
  return bytesReader(name, new TextEncoder().encode(content));
}

/** A CSV file with `ham` and `spam` rows, each text its own. */
function mails(ham: number, spam: number, name = "a.csv") {
  const rows = Array.from({ length: ham + spam }, (_, i) => `${i < ham ? "ham" : "spam"},mail number ${i}`);
  return textFile(`label,text\n${rows.join("\n")}\n`, name);
}

async function load(spec: DatasetSpec, options: DatasetOptions = {}) {
  return loadDataset(spec, { module: await loading, ...options });
}

const fails = (spec: DatasetSpec, code: ErrorCode, words: string[], options: DatasetOptions = {}) =>
  assertFails(code, words, () => load(spec, options));

test("random: a file is shuffled and split 70/10/20 by the seed; balanced on request", async () => {
  const balance = { split: "random", balance: true } as const;
  const { train, val, test, labels, stats, source } = await load({ file: mails(120, 50) }, balance);
  assert.equal([train.size, val.size, test.size], [70, 10, 20]);
  assert.equal([...labels], ["ham", "spam"]);
  assert.is(stats.rowsRead, 170);
  assert.equal(stats.classesRead, { ham: 120, spam: 50 });
  assert.is(source, "a.csv");
  const total = [train, val, test].map((part) => part.stats().classes);
  assert.is(
    total.reduce((n, c) => n + c.spam!, 0),
    50,
  );
  const all = [train, val, test].flatMap(allTexts);
  assert.is(new Set(all).size, 100);
  const again = await load({ file: mails(120, 50) }, { ...balance, chunkBytes: 7 });
  assert.equal([again.train, again.val, again.test].flatMap(allTexts), all);
  const other = await load({ file: mails(120, 50) }, { ...balance, seed: 2 });
  assert.not.equal([other.train, other.val, other.test].flatMap(allTexts), all);
  const whole = await load({ file: mails(120, 50) }, { split: "random", fractions: [0.5, 0.25, 0.25] });
  assert.equal([whole.train.size, whole.val.size, whole.test.size], [85, 42, 43]);
});

const WHOLE = [1, 0, 0] as const;

test("folds test each row once, with the classes in equal shares, and validate on others", async () => {
  const data = await load({ file: mails(53, 14) }, { fractions: WHOLE });
  const folds = divideFolds(data, 5);
  const places = (set: typeof data.train) => [...set.positions()].map((i) => set.place(i));
  assert.equal(
    folds.flatMap(({ test }) => places(test)).sort((a, b) => a - b),
    [...Array(67).keys()],
  );
  for (const { train, val, test, stats, origin } of folds) {
    assert.is(new Set([train, val, test].flatMap(places)).size, 67);
    const { ham, spam } = stats.test.classes;
    assert.ok([10, 11].includes(ham!) && [2, 3].includes(spam!), JSON.stringify(stats.test.classes));
    assert.ok([5, 6].includes(val.size), String(val.size));
    const { folds: _, fold, ...whole } = origin;
    assert.equal([whole, fold], [data.origin, folds.findIndex(({ test: own }) => own === test) + 1]);
  }
  const inOrder = divideFolds(await load({ file: mails(9, 2) }, { fractions: WHOLE, split: "ordered" }), 2);
  assert.equal(
    inOrder.map(({ val, test }) => [places(test), places(val)]),
    [
      [[0, 1, 2, 3, 4, 5], [10]],
      [[6, 7, 8, 9, 10], [5]],
    ],
  );
  const split = await load({ file: mails(53, 14) });
  for (const [words, make] of [
    ["split already", () => divideFolds(split, 5)],
    ['"spam" (14)', () => divideFolds(data, 20)],
    ["folds 14", () => divideFolds(data, 20)],
    ["folds is invalid", () => divideFolds(data, 1)],
  ] as const)
    assert.throws(make, (error: Error) => error.message.includes(words));
});

test("rows of a group are in one fold; those of none are by themselves", async () => {
  const customers = times(60, (i) => (i % 4 === 0 ? "" : `c${i % 11}`));
  const lines = customers.map((customer, i) => `${i % 3 ? "ham" : "spam"},mail number ${i},${customer}`);
  const file = () => textFile(`label,text,customer\n${lines.join("\n")}\n`);
  const data = await load({ file: file() }, { fractions: WHOLE, groupColumn: "customer" });
  assert.equal(
    data.groups,
    customers.map((customer) => customer || undefined),
  );
  for (const { train, val, test } of divideFolds(data, 4)) {
    const [a, b, c] = [train, val, test].map(
      (set) => new Set([...set.positions()].flatMap((i) => customers[set.place(i)] || [])),
    ) as [Set<string>, Set<string>, Set<string>];
    assert.is(a.size + b.size + c.size, 11);
    assert.ok(test.size >= 12 && test.size <= 18, String(test.size));
  }
  await fails({ file: file() }, "option-without-effect", ["groupColumn has an effect on folds alone"], {
    groupColumn: "customer",
  });
  await fails({ file: file() }, "no-such-column", ['"kunde"'], { fractions: WHOLE, groupColumn: "kunde" });
  const one = textFile(`label,text,customer\n${lines.map((line) => line.replace(/,[^,]*$/, ",c")).join("\n")}\n`);
  const whole = await load({ file: one }, { fractions: WHOLE, groupColumn: "customer" });
  assert.throws(() => divideFolds(whole, 2), /fewer groups than folds/);
});

test("corrections replace labels and leave rows out; what they are of is checked", async () => {
  const folder = temporaryFolder();
  const review = (lines: string[], name = "review.csv", head = "row,text,given label,correct label") => {
    writeFileSync(join(folder, name), `${[head, ...lines].join("\n")}\n`);
    return join(folder, name);
  };
  const rows = times(20, (i) => `${i === 3 ? "smap" : i % 2 ? "ham" : "spam"},"mail ${i}, to you"`);
  const file = () => textFile(`label,text\n${rows.join("\n")}\n`);
  const corrections = review([
    '4,"mail 3, to you",smap,spam',
    '6,"mail 5,\r to you",ham,drop',
    '8,"mail 7, to you",ham,',
    '9,"mail 8, to you",spam,new: news',
    '11,"mail 10, to you",spam,news',
  ]);
  const options = { fractions: WHOLE, split: "ordered" } as const;
  const { train, labels, stats, origin } = await load({ file: file() }, { ...options, corrections });
  assert.equal([...labels], ["ham", "news", "spam"]);
  assert.equal(stats.corrected, { labels: 3, dropped: 1, added: ["news"] });
  assert.equal([origin.corrections, train.size, train.place(5)], [[corrections], 19, 6]);
  assert.equal(
    [...train.positions()].slice(0, 9).map((i) => [labels[train.label(i)], train.text(i)]),
    [0, 1, 2, 3, 4, 6, 7, 8, 9].map((i) => [
      i === 3 ? "spam" : i === 8 ? "news" : i % 2 ? "ham" : "spam",
      `mail ${i}, to you`,
    ]),
  );
  const again = review(['4,"mail 3, to you",spam,ham'], "again.csv");
  const both = await load({ file: file() }, { ...options, corrections: [corrections, again] });
  assert.is(both.labels[both.train.label(3)], "ham");

  const refused = (path: string, code: ErrorCode, ...words: string[]) =>
    fails({ file: file() }, code, words, { ...options, corrections: path });
  await refused(review(["21,x,ham,spam"]), "inputs-changed", "review.csv:2", "a row from 1 to 20", "row 21: x");
  await refused(review(["4,other,ham,spam"]), "inputs-changed", "another text", "review.csv:2", "mail 3, to you");
  const typos = ['9,"mail 8, to you",spam,', '11,"mail 10, to you",spam,hamm', '13,"mail 12, to you",spam,yes'];
  const places = ["review.csv:3", '"hamm" (line 3), "yes" (line 4)', "did you mean ham?", '"new: hamm"'];
  await refused(review(typos), "unknown-label", ...places);
  // A correction leaves a class with one row, which is named as the column "row" does.
  const last = review(['4,"mail 3, to you",smap,DROP', '6,"mail 5, to you",ham,new: eggs'], "last.csv");
  const singles = ['"eggs" (row 6)', "a.csv, row 6"];
  await fails({ file: file() }, "class-with-one-row", singles, { corrections: last });
  await refused(review(["4,x,ham,"]), "no-labels", 'column "correct label"');
  await refused(review(["4,x,ham,spam"], "b.csv", "row,text,given label,correct"), "no-such-column", '"correct label"');
  await refused(join(folder, "none.csv"), "no-such-file", "none.csv");
  await fails({ train: file(), val: file(), test: file() }, "option-without-effect", ["corrections needs the rows"], {
    corrections,
  });
});

test("corrections are written for a spreadsheet, and read as one writes them", async () => {
  const texts = ["=1+2 wins", " @home", "'-tis", "0042", "4111111111111111", "true"];
  const rows = times(12, (i) => csvLine([texts[i] ?? `mail ${i}`, i % 2 ? "-1" : "true"]));
  const written = [...texts.slice(0, 3), "42", "4.11111E+15", "TRUE"];
  const lines = written.map((text, i) => sheetLine([i + 1, text, i % 2 ? "TRUE" : "-1"]));
  assert.equal(lines.slice(0, 3), ["1,'=1+2 wins,'-1\r\n", "2,' @home,TRUE\r\n", "3,'-tis,'-1\r\n"]);
  const corrections = join(temporaryFolder(), "review.csv");
  writeFileSync(corrections, ["row,text,correct label\r\n", ...lines].join(""));
  const options = { fractions: WHOLE, split: "ordered", corrections } as const;
  const { train, labels, stats } = await load({ file: textFile(`text,label\r\n${rows.join("")}`) }, options);
  assert.equal([[...labels], stats.corrected?.labels], [["-1", "true"], 6]);
  assert.equal(
    times(6, (i) => train.text(i)),
    texts,
  );
  assert.not(isSameCell("4.2E+15", "4111111111111111"));
});

test("three files keep their rows; the training set's labels hold for all", async () => {
  const files = {
    train: mails(5, 3, "train.csv"),
    val: mails(2, 1, "val.csv"),
    test: textFile("label,text\nspam,x\n", "t.csv"),
  };
  const { train, val, test, stats } = await load(files);
  assert.equal([train.size, val.size, test.size], [8, 3, 1]);
  assert.is(test.label(0), 1);
  assert.is(stats.rowsRead, 12);
  assert.is(val.text(2), "mail number 2");
  const balanced = await load(files, { balance: true });
  assert.equal([balanced.train.size, balanced.val.size, balanced.test.size], [6, 2, 1]);
  const bad = { ...files, val: textFile("label,text\nham,a\neggs,b\n", "val.csv") };
  await fails(bad, "unknown-label", ["val.csv:3", "expected: ham, spam", "found:    eggs"]);
});

test("padding to the longest training row cuts longer rows of the other sets", async () => {
  const files = {
    train: textFile("label,text\na,one two three\nb,one\n", "train.csv"),
    val: textFile("label,text\na,one two three four five\n", "val.csv"),
    test: textFile("label,text\nb,one two\n", "test.csv"),
  };
  const { train, val, test, stats } = await load(files, { padding: "longest" });
  assert.equal(
    [train, val, test].map((set) => set.padTo),
    [3, 3, 3],
  );
  assert.is(val.batch([0]).ids.length, 3);
  assert.equal(Array.from(test.batch([0]).lengths), [2]);
  assert.equal([stats.val.cut, stats.train.cut], [1, 0]);
  const four = await load(files, { padding: 4 });
  assert.is(four.val.batch([0]).ids.length, 4);
  assert.is((await load(files)).val.batch([0]).ids.length, 5);
  for (const padding of [0, 5, 1.5])
    await fails(files, "invalid-value", ["padding is invalid"], { padding, maxLength: 4 });
});

test("data that cannot be loaded is reported", async () => {
  await fails({ name: "spma" }, "no-such-dataset", ['did you mean "spam"']);
  await fails({ file: "no/such/file.csv" }, "no-such-file", ["no/such/file.csv"]);
  await fails({ train: "a.csv", source: "b" } as never, "unknown-option", [
    "unknown option source",
    "file, rows, train, val",
  ]);
  await fails({ train: "a.csv", val: "b.csv" } as never, "no-data-source", ["{ train, val, test }", "train, val"]);
  await fails({ fiel: "a.csv" } as never, "unknown-option", ["unknown option fiel", "did you mean file?"]);
  await fails("a.csv" as never, "invalid-argument", ['the string "a.csv"', 'did you mean { file: "a.csv" }?']);
  await fails("spam" as never, "invalid-argument", ['did you mean { name: "spam" }?']);
  const stray = { file: mails(20, 20), textColumn: "txt" };
  await fails(stray, "invalid-argument", ["textColumn is an option", "{ file }, { textColumn }"]);
  await fails(stray, "no-such-column", ['no column "txt"'], stray as never);

  await fails({ file: textFile("label,text\nham,a\nham,b\n") }, "only-one-class", ['"ham"', "2 rows"]);
  await fails({ file: mails(2, 2) }, "too-few-rows", []);
  await fails({ file: mails(20, 20) }, "invalid-value", ["maxLength is invalid"], { maxLength: 0 });
  await fails({ file: mails(20, 20) }, "no-such-column", ['no column "txt"', 'did you mean "text"'], {
    textColumn: "txt",
  });
  await fails({ file: mails(20, 20) }, "unknown-encoding", ["utf-9"], { encoding: "utf-9" });
});

test("rows in memory are read as those of a file, with their labels as they are", async () => {
  const lines = times(
    30,
    (i) => [i % 3 ? "ham" : "spam", `mail "of" ${String.fromCharCode(97 + i)},\nto \u{1f600}`] as const,
  );
  const file = textFile(lines.map(([label, text]) => JSON.stringify({ text, label })).join("\n"), "a.jsonl");
  const rows = lines.map(([label, text]) => ({ text, label }));
  for (const options of [
    {},
    { split: "ordered", trainRows: 9 },
    { balance: true, dedupe: true },
    { maxLength: 5 },
  ] as const)
    assert.is(
      await digestData(await loadDataset({ rows }, options)),
      await digestData(await loadDataset({ file }, options)),
    );
  const { origin, source, testParts } = await load({ rows });
  assert.equal([origin, source, testParts], [{ rows: 30, split: "stratified" }, "rows in memory", []]);

  const numbers = await load({ rows: rows.map((row, i) => ({ ...row, label: i % 2 })) });
  assert.equal([...numbers.labels], ["0", "1"]);
  assert.is((await load({ rows: rows.map((row, i) => ({ ...row, text: `${i}` })) })).train.size, 21);
  const scores = await load(
    { rows: rows.map((row, i) => ({ ...row, label: i / 4 - 1 })) },
    { objective: "regression" },
  );
  assert.equal([...scores.train.values(0)], [scores.train.place(0) / 4 - 1]);
  const several = await load(
    { rows: rows.map((row, i) => ({ ...row, label: i % 2 ? ["b, c|d", "a"] : i % 3 ? "a|e" : [] })) },
    { objective: "multi-label", split: "ordered" },
  );
  assert.equal([...several.labels], ["a", "b, c|d", "e"]);
  assert.equal(
    times(4, String).map((_, i) => [...several.train.values(i)]),
    [
      [0, 0, 0],
      [1, 1, 0],
      [1, 0, 1],
      [1, 1, 0],
    ],
  );
  const pairs = await load(
    { rows: rows.map((row) => ({ ...row, text: [row.text, row.label] as const })) },
    { split: "ordered" },
  );
  assert.equal([pairs.train.text(1), pairs.pairs], [[rows[1]!.text, "ham"], { columns: ["sentence1", "sentence2"] }]);
});

test("texts that are all empty are refused; among others an empty one is a message", async () => {
  const rows = (text: (i: number) => TextOrPair) => times(24, (i) => ({ text: text(i), label: i % 2 ? "a" : "b" }));
  for (const text of [() => "", () => " \n", () => ["", " "] as const])
    await fails({ rows: rows(text) }, "column-without-text", ["all empty", "rows in memory", "16 rows"]);
  await fails({ file: textFile(`text,label\n${'"",a\n" ",b\n'.repeat(12)}`) }, "column-without-text", ["16 rows"]);
  const { train } = await load({ rows: rows((i) => (i % 3 ? "" : `text ${i}`)) });
  assert.is(train.stats().empty > 0, true);
});

test("a row in memory without a text or a label is named by its place, or skipped", async () => {
  const rows = times(10, (i) => ({ text: `mail ${i}`, label: i % 2 ? "ham" : "spam" })) as object[];
  const refused = (bad: unknown, code: ErrorCode, words: string[], options: DatasetOptions = {}) =>
    fails({ rows: [...rows.slice(0, 3), bad, ...rows] as never }, code, ["rows[3]", ...words], options);
  await refused("text", "row-not-json-object", ['{ text: "...", label: "..." }']);
  await refused({ label: "ham" }, "value-not-text", ["text: a string\n", "undefined"]);
  await refused({ text: ["a", "b"], label: "ham" }, "value-not-text", [
    "all rows have single texts, or all have pairs",
  ]);
  await refused({ text: "a" }, "row-without-label", ["undefined"]);
  await refused({ text: "a", label: " " }, "row-without-label", ["an empty string"]);
  await refused({ text: "a", label: ["ham"] }, "row-without-label", ["a list", 'objective "multi-label"']);
  const scores = rows.map((row, i) => ({ ...row, label: i === 3 ? "x" : i }));
  await fails({ rows: scores } as never, "score-not-a-number", ["rows[3]", "found:    x"], { objective: "regression" });
  await fails({ rows: [{ label: "x" }] as never }, "value-not-text", ["rows[0]", "array of two strings"]);
  const { stats, train } = await load({ rows: [{}, ...rows, null] as never }, { skipFaulty: true, split: "ordered" });
  assert.equal([stats.rowsRead, stats.leftOut.rows, train.text(0)], [10, 2, "mail 0"]);
  assert.equal(
    stats.leftOut.rowErrors.map(({ details }) => details.where),
    ["rows[0]", "rows[11]"],
  );
  await fails({ rows: [{}] as never }, "value-not-text", ["rows[0]"], { skipFaulty: true });

  await fails({ rows: [] }, "no-rows", ["rows in memory"]);
  await fails({ rows: 8 } as never, "invalid-argument", ["rows: 8", "an array of rows"]);
  await fails(rows as never, "invalid-argument", ["did you mean { rows: [...] }?"]);
  await fails({ rows } as never, "option-without-effect", ["labelColumn has no effect on rows"], {
    labelColumn: "label",
  });
  await fails({ rows: [...rows, { text: "a", label: "one" }] as never }, "class-with-one-row", ['"one" (rows[10])']);
  await fails({ rows: [{ text: "a", label: "one" }] }, "only-one-class", ["the first on rows[0]", "labels"]);
});

test("labels come first in their order, whether rows have them or not", async () => {
  const labels = ["spam", "2", "none", "10"];
  const three = times(30, (i) => ["ham", "spam", "apple"][i % 3]!);
  const { train, val, ...data } = await load({ file: labelled(three) }, { labels, split: "ordered" });
  assert.equal([...data.labels], [...labels, "apple", "ham"]);
  assert.equal(data.stats.classesRead, { spam: 10, "2": 0, none: 0, "10": 0, apple: 10, ham: 10 });
  assert.equal([train.label(0), train.label(1), train.label(2), val.label(0)], [5, 0, 4, 5]);
  // A set of its own may have a class that the training set has not, if it is named.
  const sets = { train: labelled(three), val: labelled(three), test: labelled(["none", "ham"]) };
  assert.is((await load(sets, { labels })).test.label(0), 2);
  // Of named classes all rows may have one, and each may have one row.
  assert.equal([...(await load({ file: labelled(times(10, () => "b")) }, { labels: ["a"] })).labels], ["a", "b"]);
  const set = await load(
    { rows: times(10, (i) => ({ text: `mail ${i}`, label: ["b", "a"] })) },
    { objective: "multi-label", labels: ["c", "b"] },
  );
  assert.equal(
    [set.labels, [...set.test.values(0)]],
    [
      ["c", "b", "a"],
      [0, 1, 1],
    ],
  );

  for (const wrong of [[""], [" a"], ["a", "b", "a"]])
    await fails({ file: labelled(three) }, "invalid-value", ["labels is invalid"], { labels: wrong });
  await fails({ file: labelled(three) }, "options-conflict", ["labels is invalid for a regression"], {
    objective: "regression",
    labels,
  });
});

/** A CSV file with these labels, each with a text of its own. */
const labelled = (labels: readonly string[]) =>
  textFile(`label,text\n${labels.map((label, i) => `${label},mail number ${i} of some`).join("\n")}\n`);
test("labels that are not classes are refused, with their lines", async () => {
  const two = times(40, (i) => (i % 2 === 0 ? "ham" : "spam"));
  await fails({ file: labelled([...two, "spma", ...two, "eggs"]) }, "class-with-one-row", [
    "a.csv:42",
    '"spma" (line 42), "eggs" (line 83)',
  ]);
  await fails({ file: labelled([...two, '"ham, spam"']) }, "class-with-one-row", [
    'for several labels a message: objective "multi-label" and labelSeparator ","',
  ]);
  // Such a row is skipped with invalid ones, and the classes behind it move up.
  const left = await load({ file: labelled(["egg", ...two, "zebra"]) }, { skipFaulty: true });
  assert.equal(
    [[...left.labels], left.stats.classesRead, left.stats.leftOut.rows],
    [["ham", "spam"], { ham: 20, spam: 20 }, 2],
  );
  assert.equal(
    left.stats.leftOut.rowErrors.map(({ details }) => details.where),
    ["a.csv:2", "a.csv:43"],
  );
  for (const i of left.train.positions())
    assert.is(left.train.label(i), Number(/\d+/.exec(joinPair(left.train.text(i)))) % 2 === 1 ? 0 : 1);
  assert.equal([...left.train.batch([0, 1]).labels], [left.train.label(0), left.train.label(1)]);
  // A set of its own may have one row of a class.
  await load({ train: labelled([...two, "eggs"]), val: mails(1, 1), test: mails(1, 1) });
  await fails({ file: labelled(times(5, (i) => `c${i}`)) }, "all-labels-different", [
    'All labels in "label" are different',
    '5 labels in 5 rows: "c0" (line 2)',
  ]);
  const score = ["this looks like a score", 'objective "regression"', "group the numbers into a few"];
  await fails({ file: labelled(times(60, (i) => `${i / 2}`)) }, "label-column-is-numeric", score);
  await fails({ file: labelled(times(400, (i) => `${3 * (i % 100)}`)) }, "label-column-is-numeric", [
    "100 different numbers",
    ...score,
  ]);
  const graded = times(60, (i) => `${1 + (i % 5) / 2}`);
  await fails({ file: labelled(graded) }, "label-column-is-numeric", ["5 different numbers", ...score]);
  await fails(
    { rows: graded.map((label, i) => ({ text: `mail ${i}`, label: Number(label) })) },
    "label-column-is-numeric",
    ["rows[0]", "name the classes with labels"],
  );
  assert.is((await load({ file: labelled(graded) }, { labels: graded.slice(0, 5) })).labels.length, 5);
  // Twenty whole numbers, also as pandas writes them, and the numbers of classes, are classes.
  for (const [count, label] of [
    [20, (i: number) => `${(i % 20) * 2}`],
    [5, (i: number) => `${i % 5}.0`],
    [77, (i: number) => `${i % 77}`],
    [77, (i: number) => `${1 + (i % 77)}`],
  ] as const)
    assert.is((await load({ file: labelled(times(4 * count, label)) })).labels.length, count);
});

test("a text column of numbers is refused", async () => {
  const file = (last: (i: number) => string) =>
    textFile(`label,body,words\n${times(30, (i) => `${i % 2 ? "ham" : "spam"},${i * 7},${last(i)}`).join("\n")}\n`);
  const numbers = ['"body" has only numbers', "0, 7, 14", "textColumn"];
  await fails({ file: file((i) => `${i}.5`) }, "text-column-is-numeric", numbers);
  await fails({ file: file((i) => `mail ${i}`) }, "text-column-is-numeric", numbers, { textColumn: "body" });
  assert.is((await load({ file: file((i) => `mail ${i}`) })).train.text(0).slice(0, 4), "mail");
  const lines = times(30, (i) => JSON.stringify({ label: i % 2 ? "ham" : "spam", text: i })).join("\n");
  await fails({ file: textFile(lines, "a.jsonl") }, "text-column-is-numeric", ['"text" has only numbers']);
});

test("two concurrent loads use separate modules", async () => {
  const [a, b] = await Promise.all([
    loadDataset({ file: mails(60, 40) }, { chunkBytes: 9 }),
    loadDataset({ file: mails(30, 30) }, { chunkBytes: 9 }),
  ]);
  assert.equal([a.train.size, b.train.size], [70, 42]);
  assert.match(joinPair(a.train.text(0)), /^mail number \d+$/);
});

test("spam is the file that its description promises", async () => {
  const bytes = readFileSync(packagePath(`data/${description.file}`));
  assert.is(createHash("sha256").update(bytes).digest("hex"), description.sha256);
  const { train, val, test, labels, stats, source } = await load({ name: "spam" }, { maxLength: 256 });
  assert.equal([...labels], ["ham", "spam"]);
  assert.equal([stats.rowsRead, stats.classesRead, stats.leftOut.rows], [description.rows, description.labels, 0]);
  const sets = [train, val, test];
  assert.is(
    sets.reduce((sum, set) => sum + set.size, 0),
    description.rows,
    "no row is dropped",
  );
  assert.equal(stats.leaks, { val: 0, test: 0 });
  assert.is(stats.train.cut + stats.val.cut + stats.test.cut, 0, "every row fits into 256 tokens");
  assert.match(source, /^spam: /);
});

test("the parts of spam: their rows, and those of the test set", async () => {
  const { parts } = description;
  assert.is(
    parts.reduce((sum, { rows }) => sum + rows, 0),
    description.rows,
  );
  const { test, testParts } = await load({ name: "spam" }, { maxLength: 256 });
  assert.equal(
    testParts.map(({ name }) => name),
    parts.map(({ name }) => name),
  );
  const lines = new Set(
    readdirSync("data/messages").flatMap((file) => readFileSync(join("data/messages", file), "utf8").split("\n")),
  );
  const isShort = Array.from({ length: test.size }, (_, i) => lines.has(joinPair(test.text(i))));
  assert.equal(
    testParts.map(({ positions }) => [...positions]),
    [false, true].map((short) => [...isShort.keys()].filter((i) => isShort[i] === short)),
  );
  assert.equal((await load({ file: mails(40, 40) })).testParts, []);
});

test("languages: no article, sentence or near copy stands in two sets, and every class has as many rows", async () => {
  const bytes = readFileSync(packagePath(`data/${languages.file}`));
  assert.is(createHash("sha256").update(bytes).digest("hex"), languages.sha256);
  const { train, val, test, split, stats } = await load({ name: "languages" });
  assert.is(split, "ordered");
  assert.equal(stats.leaks, { val: 0, test: 0 });
  const share = (rows: number) => Object.fromEntries(Object.keys(languages.labels).map((name) => [name, rows]));
  assert.equal(
    [train, val, test].map((set) => set.stats().classes),
    [share(810), share(36), share(54)],
  );
  // The beginnings of articles 2 (training), 3 (validation) and 1 (test).
  const starts = ["Everyone is entitled to all", "Everyone has the right to life", "All human beings are born"];
  for (const [i, start] of starts.entries())
    assert.equal(
      [train, val, test].map((set) => allTexts(set).some((text) => text.startsWith(start))),
      [i === 0, i === 1, i === 2],
    );
});

test("ordered: the sets follow one another as the rows were read, whatever the seed", async () => {
  const { train, val, test } = await load({ file: mails(6, 4) }, { split: "ordered", balance: false, seed: 5 });
  const texts = [train, val, test].map(allTexts);
  assert.equal(
    texts.map((some) => some.length),
    [7, 1, 2],
  );
  const numbers = texts.flat().map((text) => Number(/\d+/.exec(text)));
  assert.equal(numbers, [...numbers.keys()]);
});

test("stratified: every set has its fraction of every class, chosen by the seed", async () => {
  const { train, val, test, split } = await load({ file: mails(100, 40) });
  const sets = [train, val, test];
  assert.is(split, "stratified");
  assert.equal(
    sets.map((set) => set.stats().classes),
    [
      { ham: 70, spam: 28 },
      { ham: 10, spam: 4 },
      { ham: 20, spam: 8 },
    ],
  );
  const all = sets.flatMap(allTexts);
  assert.is(new Set(all).size, 140);
  assert.not.equal(allTexts(train), allTexts(train).sort(), "shuffled");
  const again = await load({ file: mails(100, 40) }, { split: "stratified", chunkBytes: 7 });
  assert.equal([again.train, again.val, again.test].flatMap(allTexts), all);
  const other = await load({ file: mails(100, 40) }, { seed: 2 });
  assert.not.equal([other.train, other.val, other.test].flatMap(allTexts), all);
  const even = await load({ file: mails(100, 40) }, { balance: true });
  assert.equal(even.val.stats().classes, { ham: 4, spam: 4 });
});

test("train rows: training and validation set shrink, each class in proportion; the test set stays", async () => {
  const few = { split: "stratified", trainRows: 20 } as const;
  const whole = await load({ file: mails(200, 100) }, { split: "stratified" });
  const wholeTest = allTexts(whole.test);
  const { train, val, test, origin, stats } = await load({ file: mails(200, 100) }, few);
  assert.is(stats.undrawn, 216);
  assert.equal(
    [train, val, test].map((set) => set.stats().classes),
    [
      { ham: 14, spam: 7 },
      { ham: 2, spam: 1 },
      { ham: 40, spam: 20 },
    ],
  );
  assert.equal(allTexts(test), wholeTest);
  assert.is(origin.trainRows, 20);
  const trained = allTexts(train);
  assert.equal(allTexts((await load({ file: mails(200, 100) }, few)).train), trained);
  assert.not.equal(allTexts((await load({ file: mails(200, 100) }, { ...few, seed: 2 })).train), trained);
  // More than there are: all.
  assert.is((await load({ file: mails(20, 20) }, { trainRows: 1000 })).train.size, 28);
  // One of each class at least.
  assert.equal((await load({ file: mails(200, 100) }, { trainRows: 1 })).train.stats().classes, { ham: 1, spam: 1 });
  await fails({ file: mails(9, 9) }, "invalid-value", ["trainRows is invalid", "a whole number of 1 or more", "0.5"], {
    trainRows: 0.5,
  });
});

test("train rows: scores have no classes, and sets in files of their own shrink, too", async () => {
  const scores = textFile(`score,text\n${Array.from({ length: 50 }, (_, i) => `${i}.5,text ${i}`).join("\n")}\n`);
  const { train, val, test } = await load({ file: scores }, { objective: "regression", trainRows: 7 });
  assert.equal([train.size, val.size, test.size], [7, 1, 10]);
  const files = { train: mails(20, 20), val: mails(10, 10), test: mails(5, 5) };
  const given = await load(files, { trainRows: 10 });
  assert.equal([given.train.size, given.val.size, given.test.size], [10, 6, 10]);
});

test("stratified: a class of three rows is in all sets, one of two in training and test set", async () => {
  const countSpam = async (spam: number, options?: DatasetOptions) => {
    const { train, val, test } = await load({ file: mails(100, spam) }, options);
    return [train, val, test].map((set) => set.stats().classes.spam);
  };
  for (const text of ["1 0 1", "1 1 1", "2 1 1", "3 1 1", "5 1 1", "6 1 2", "9 1 3", "13 2 4"]) {
    const sizes = text.split(" ").map(Number);
    assert.equal(await countSpam(sizes.reduce((a, b) => a + b)), sizes);
  }
  assert.equal(await countSpam(6, { fractions: [0.2, 0.2, 0.6] }), [1, 1, 4]);
  await fails({ file: mails(2, 2) }, "too-few-rows", ["70 %, 10 %, 20 %", "4 rows"]);
  await fails({ file: mails(9, 9) }, "invalid-split", ["0.5, 0.5, 0.5"], { fractions: [0.5, 0.5, 0.5] });
});

test("a part of a share of 0 is empty; without a test set a class may have one row", async () => {
  const rows = [
    ...times(11, (i) => ({ text: `mail ${i}`, label: i % 2 ? "ham" : "spam" })),
    { text: "a", label: "one" },
  ];
  for (const [split, sizes] of [
    [
      "stratified",
      [
        [12, 0, 0],
        [10, 2, 0],
      ],
    ],
    [
      "random",
      [
        [12, 0, 0],
        [9, 3, 0],
      ],
    ],
    [
      "ordered",
      [
        [12, 0, 0],
        [9, 3, 0],
      ],
    ],
  ] as const)
    for (const [i, fractions] of (
      [
        [1, 0, 0],
        [0.8, 0.2, 0],
      ] as const
    ).entries()) {
      const { train, val, test: last, stats, origin } = await load({ rows }, { split, fractions });
      assert.equal([train.size, val.size, last.size], sizes[i], split);
      assert.equal([stats.test.mean, stats.test.cutShare, stats.test.rows, origin.fractions], [0, 0, 0, fractions]);
      if (split === "stratified") assert.is(stats.train.classes.one, 1);
    }
  const tested = await load({ rows: rows.slice(0, 10) }, { fractions: [0.8, 0, 0.2] });
  assert.equal([tested.train.size, tested.val.size, tested.test.size], [8, 0, 2]);
  await fails({ rows }, "class-with-one-row", ["rows[11]"], { fractions: [0.8, 0, 0.2] });
  assert.is((await load({ rows: rows.slice(0, 4) }, { fractions: [1, 0, 0] })).train.size, 4);
  await fails({ rows: rows.slice(0, 4) }, "too-few-rows", ["70 %, 10 %, 20 %", "fractions [1,0,0]"]);
  await fails({ rows: rows.slice(0, 4) }, "too-few-rows", ["10 %, 90 %\n"], {
    fractions: [0.1, 0.9, 0],
    split: "ordered",
  });
  for (const fractions of [
    [0, 0.5, 0.5],
    [1.5, -0.5, 0],
    [0.5, 0.2, 0.2],
    [Number.NaN, 1, 0],
  ] as const)
    await fails({ rows: rows.slice(0, 11) }, "invalid-split", ["add up to 1, the first above 0"], { fractions });
  await fails({ rows }, "invalid-argument", ["three numbers"], { fractions: [0.8, 0.2] as never });
  const sets = { train: mails(4, 4), val: mails(1, 1), test: mails(1, 1) };
  await fails(sets, "already-split", ["fractions [1,0,0]"], { fractions: [1, 0, 0] });
});

test("a split that is none, that of the experiment for other data, and one of sets that are given", async () => {
  await fails({ file: mails(9, 6) }, "options-conflict", ["the data set sms", "split random"], {
    split: "experiment",
  });
  await fails({ name: "spam" }, "options-conflict", ["the data set sms"], { split: "experiment" });
  await fails({ name: "sms" }, "options-conflict", ["balanced rows"], { balance: false });
  await fails({ file: mails(9, 6) }, "unknown-value", ["unknown split"], { split: "half" as "random" });
  const files = { train: mails(2, 2), val: mails(1, 1), test: mails(1, 1) };
  await fails(files, "already-split", [], { split: "random" });
});

test("near-duplicates between sets are counted, and dropped on demand", async () => {
  const files = {
    train: textFile("label,text\nspam,Win 100 now!\nham,See you\nham,see  YOU!!\n", "train.csv"),
    val: textFile("label,text\nspam,win 9 NOW\nham,other\n", "val.csv"),
    test: textFile("label,text\nham,Other.\nspam,Win now\nham,see you\nham,...\n", "test.csv"),
  };
  const { stats } = await load(files);
  assert.equal([stats.leaks, stats.copies], [{ val: 1, test: 2 }, 0]);
  const without = await load(files, { dedupe: true });
  assert.equal([without.stats.leaks, without.stats.copies, without.stats.rowsRead], [{ val: 0, test: 0 }, 4, 9]);
  assert.equal([without.train, without.val, without.test].map(allTexts), [
    ["Win 100 now!", "See you"],
    ["other"],
    ["Win now", "..."],
  ]);
  await fails(
    { ...files, val: textFile("label,text\nham,see you\n", "val.csv") },
    "only-near-duplicates",
    ["val.csv", "1 rows"],
    {
      dedupe: true,
    },
  );
  const one = await load({ file: mails(40, 40) }, { dedupe: false });
  assert.is(one.stats.leaks.test, one.test.size, "numbers are no difference");
});

test("the digest of a data set is that of its rows, their classes and their order", async () => {
  const digest = async (content: string, options: DatasetOptions = {}) =>
    digestData(await loadDataset({ file: textFile(content) }, options));
  const good = await digest(messages(20));
  assert.match(good, /^[0-9a-f]{64}$/);
  assert.is(await digest(messages(20)), good);
  const swapped = messages(20).replaceAll(/^(ham|spam)/gm, (word) => (word === "ham" ? "spam" : "ham"));
  for (const other of [swapped, messages(20, ["ham", "news"]), messages(20).replace("lunch", "brunch")])
    assert.is.not(await digest(other), good);
  for (const options of [{ seed: 2 }, { padding: "longest" }, { maxLength: 5 }] as const)
    assert.is.not(await digest(messages(20), options), good);
  const texts = (content: string) => loadTexts({ file: textFile(content, "a.txt") }, { maxLength: 16 });
  const text = "See you at lunch.\n".repeat(40);
  assert.is(await digestData(await texts(text)), await digestData(await texts(text)));
  assert.is.not(await digestData(await texts(text)), await digestData(await texts(text.replace("lunch", "brunch"))));
});

test("a class may have any name, that of an object's own methods too", async () => {
  const rows = Array.from({ length: 20 }, (_, i) => `constructor,see you ${i}\nspam,win ${i}\n`).join("");
  const { stats } = await loadDataset({ file: textFile(`label,text\n${rows}`) });
  assert.equal(stats.classesRead, { constructor: 20, spam: 20 });
});

test("a data set stores its origin, with which it can be loaded again", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "m.csv");
  writeFileSync(path, messages(20));
  const options = { maxLength: 9, dedupe: true, seed: 3, fractions: [0.5, 0.2, 0.3] as const };
  const data = await loadDataset({ file: relative(".", path) }, { ...options, onProgress: () => {} });
  assert.equal(data.origin, { file: path, ...options, split: "stratified" });
  const again = await loadDataset(data.origin as never, data.origin);
  assert.equal([again.origin, again.stats], [data.origin, data.stats]);
  const opened = await loadDataset({ file: textFile(messages(20)) });
  assert.equal(opened.origin, { file: "a.csv", split: "stratified" });
});

test("rows and blocks are cut to the model's context, unless maxLength is given", async () => {
  await using model = await loadModel("gpt2-micro");
  const long = `label,text\nham,${"word ".repeat(400)}\n${"spam,b\nham,a\n".repeat(9)}`;
  const longest = async (options: DatasetOptions) => {
    const { train, val, test: last } = await load({ file: textFile(long) }, options);
    return Math.max(...[train, val, last].map((set) => set.stats().max));
  };
  assert.equal([await longest({ model }), await longest({ model, maxLength: 7 }), await longest({})], [256, 7, 401]);
  const texts = await loadTexts({ file: textFile("a line of a book\n".repeat(600), "book.txt") }, { model });
  assert.is(texts.maxLength, 256);
});
