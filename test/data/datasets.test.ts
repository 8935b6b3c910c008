/** Data sets by file and by name, as a command loads them. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import humanRights from "../../data/datasets/human-rights.json" with { type: "json" };
import languages from "../../data/datasets/languages.json" with { type: "json" };
import description from "../../data/datasets/spam.json" with { type: "json" };
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { joinPair } from "../../src/core/pair.ts";
import { isSameCell } from "../../src/core/quote.ts";
import type { DatasetOptions, DatasetSpec } from "../../src/data/dataset-options.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { digestData } from "../../src/data/digest.ts";
import { describeCopies } from "../../src/data/problems.ts";
import { divideFolds } from "../../src/data/sets/folds.ts";
import { loadTexts } from "../../src/data/text/texts.ts";
import { DataModule } from "../../src/data/wasm.ts";
import { csvLine, sheetLine } from "../../src/io/csv.ts";
import { loadModel } from "../../src/io/hf.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { allTexts, fileOf, messages, setsOf, sizesOf, spelled } from "../helpers/tiny.ts";

const loading = DataModule.load();
const WHOLE = [1, 0, 0] as const;
const ORDERED = { fractions: WHOLE, split: "ordered" } as const;

const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
const times = <T>(count: number, of: (i: number) => T) => Array.from({ length: count }, (_, i) => of(i));

const textFile = (content: string, name = "a.csv") => fileOf(name, content);

const table = (header: string, rows: number, row: (i: number) => string, name?: string) =>
  textFile(`${[header, ...times(rows, row)].join("\n")}\n`, name);
/** A CSV file with these labels, each with a text of its own. */
const labelled = (labels: readonly string[], name?: string) =>
  table("label,text", labels.length, (i) => `${labels[i]},mail number ${i}`, name);
/** A CSV file with `ham` and `spam` rows. */
const mails = (ham: number, spam: number, name?: string) =>
  labelled(
    times(ham + spam, (i) => (i < ham ? "ham" : "spam")),
    name,
  );
const listed = (rows: readonly string[], name?: string) => table("label,text", rows.length, (i) => rows[i]!, name);
const turns = (i: number) => (i % 2 ? "ham" : "spam");

const load = async (spec: DatasetSpec, options: DatasetOptions = {}) =>
  loadDataset(spec, { module: await loading, ...options });

type Loaded = Awaited<ReturnType<typeof load>>;
const texts = (data: Loaded) => setsOf(data).map(allTexts);
const classes = (data: Loaded) => setsOf(data).map((set) => Object.values(set.stats().classes));

/** What is refused: a source and options, the error's code, and words of its message, separated by " & ". */
type Refusal = [spec: unknown, options: object, code: ErrorCode, words?: string];

async function refuses(refusals: readonly Refusal[]) {
  for (const [spec, options, code, words = ""] of refusals)
    await assertFails(code, words.split(" & "), () => load(spec as DatasetSpec, options));
}

test("a split has its sizes, whatever is read at a time, the same by the same seed, each row once", async () => {
  for (const [ham, spam, options, expected] of [
    [120, 50, { split: "random", balance: true }, [70, 10, 20]],
    [120, 50, { split: "random", fractions: [0.5, 0.25, 0.25] }, [85, 42, 43]],
    // 0.7 * 90 must not lose a row to rounding.
    [45, 45, { split: "random" }, [63, 9, 18]],
    [100, 40, {}, ["70,28", "10,4", "20,8"]],
    [100, 40, { split: "stratified", balance: true }, ["28,28", "4,4", "8,8"]],
    [6, 4, { split: "ordered", balance: false }, [7, 1, 2]],
  ] as const) {
    const read = (more: DatasetOptions = {}) => load({ file: mails(ham, spam) }, { ...options, ...more });
    const data = await read();
    assert.equal(typeof expected[0] === "string" ? classes(data).map(String) : sizesOf(data), expected);
    assert.equal([[...data.labels], data.source], [["ham", "spam"], "a.csv"]);
    assert.equal([data.stats.rowsRead, data.stats.classesRead], [ham + spam, { ham, spam }]);
    if ("balance" in options && options.balance)
      assert.is(new Set(classes(data).reduce((a, b) => a.map((n, i) => n + b[i]!))).size, 1);
    const all = texts(data).flat();
    assert.is(new Set(all).size, sum(sizesOf(data)));
    assert.equal(texts(await read({ chunkBytes: 7 })).flat(), all);
    const isOrdered = data.split === "ordered";
    assert.is(String(texts(await read({ seed: 2 })).flat()) === String(all), isOrdered);
    assert.is(String(all) === String(times(10, (i) => `mail number ${i}`)), isOrdered);
  }
});

test("stratified: a class of three rows is in all sets, one of two in training and test set", async () => {
  for (const expected of ["1 0 1", "1 1 1", "2 1 1", "3 1 1", "5 1 1", "6 1 2", "9 1 3", "13 2 4", "1 1 4 of 2 2 6"]) {
    const [shares, fractions] = expected.split(" of ").map((words) => words.split(" ").map(Number));
    const options = fractions ? { fractions: fractions.map((n) => n / 10) as [number, number, number] } : {};
    const data = await load({ file: mails(100, sum(shares!)) }, options);
    assert.equal(
      classes(data).map(([, spam]) => spam),
      shares,
    );
  }
});

test("a part of a share of 0 is empty; without a test set a class may have one row", async () => {
  const rows = [
    ...times(11, (i) => ({ text: `mail ${spelled(i)}`, label: i % 2 ? "ham" : "spam" })),
    { text: "a", label: "one" },
  ];
  for (const [split, count, fractions, expected] of [
    ["stratified", 12, WHOLE, [12, 0, 0]],
    ["stratified", 12, [0.8, 0.2, 0], [10, 2, 0]],
    ["random", 12, [0.8, 0.2, 0], [9, 3, 0]],
    ["ordered", 12, [0.8, 0.2, 0], [9, 3, 0]],
    ["stratified", 10, [0.8, 0, 0.2], [8, 0, 2]],
    ["stratified", 4, WHOLE, [4, 0, 0]],
  ] as const) {
    const data = await load({ rows: rows.slice(0, count) }, { split, fractions });
    assert.equal([sizesOf(data), data.origin.fractions], [expected, fractions], split);
    const { mean, cutShare, rows: tested } = data.stats.test;
    if (expected[2] === 0) assert.equal([mean, cutShare, tested], [0, 0, 0]);
  }
  await refuses([
    [{ rows }, { fractions: [0.8, 0, 0.2] }, "class-with-one-row", "rows[11]"],
    [{ rows: rows.slice(0, 4) }, {}, "too-few-rows", "70 %, 10 %, 20 % & 4 rows & fractions [1,0,0]"],
    [{ rows: rows.slice(0, 4) }, { fractions: [0.1, 0.9, 0], split: "ordered" }, "too-few-rows", "10 %, 90 %\n"],
    [{ rows }, { fractions: [0.8, 0.2] }, "invalid-argument", "three numbers"],
  ]);
  for (const shares of ["0 .5 .5", "1.5 -.5 0", ".5 .2 .2", "NaN 1 0", ".5 .5 .5"]) {
    const options = { fractions: shares.split(" ").map(Number) };
    await refuses([[{ file: mails(9, 9) }, options, "invalid-split", "add up to 1, the first above 0"]]);
  }
});

test("train rows: training and validation set shrink, each class in proportion; the test set stays", async () => {
  const read = (options: DatasetOptions) => load({ file: mails(200, 100) }, options);
  const whole = texts(await read({}));
  const few = await read({ trainRows: 20 });
  assert.equal([classes(few).map(String), few.stats.undrawn], [["14,7", "2,1", "40,20"], 216]);
  assert.is(few.origin.trainRows, 20);
  const drawn = texts(few);
  assert.equal(drawn[2], whole[2]);
  assert.equal(texts(await read({ trainRows: 20 })), drawn);
  assert.not.equal(texts(await read({ trainRows: 20, seed: 2 })), drawn);
  // One of each class at least.
  assert.equal(classes(await read({ trainRows: 1 }))[0], [1, 1]);
  // More than there are: all. Scores have no classes. Sets in files of their own shrink, too.
  const scores = table("score,text", 50, (i) => `${i}.5,text ${i}`);
  const given = { train: mails(20, 20), val: mails(10, 10), test: mails(5, 5) };
  for (const [spec, options, expected] of [
    [{ file: mails(20, 20) }, { trainRows: 1000 }, [28, 4, 8]],
    [{ file: scores }, { objective: "regression", trainRows: 7 }, [7, 1, 10]],
    [given, { trainRows: 10 }, [10, 6, 10]],
    // A set that is missing is a part of the training set; what is held out is the test set.
    [{ train: mails(20, 20), test: mails(5, 5) }, {}, [36, 4, 10]],
    [{ train: mails(20, 20), val: mails(5, 5) }, {}, [36, 4, 10]],
  ] as const)
    assert.equal(sizesOf(await load(spec, options)), expected);
});

test("folds test each row once, with the classes in equal shares, and validate on others", async () => {
  const data = await load({ file: mails(53, 14) }, { fractions: WHOLE });
  const folds = divideFolds(data, 5);
  const places = (set: typeof data.train) => [...set.positions()].map((i) => set.place(i));
  assert.equal(
    folds.flatMap(({ test }) => places(test)).sort((a, b) => a - b),
    [...Array(67).keys()],
  );
  for (const [i, { train, val, test, stats, origin }] of folds.entries()) {
    assert.is(new Set([train, val, test].flatMap(places)).size, 67);
    const { ham, spam } = stats.test.classes;
    assert.ok([10, 11].includes(ham!) && [2, 3].includes(spam!), JSON.stringify(stats.test.classes));
    assert.ok([5, 6].includes(val.size), String(val.size));
    const { folds: _, fold, ...whole } = origin;
    assert.equal([whole, fold], [data.origin, i + 1]);
  }
  const inOrder = divideFolds(await load({ file: mails(9, 2) }, ORDERED), 2);
  const ordered = inOrder.map(({ val, test }) => `${places(test)} ${places(val)}`);
  assert.equal(ordered, ["0,1,2,3,4,5 10", "6,7,8,9,10 5"]);
  const split = await load({ file: mails(53, 14) });
  assert.throws(() => divideFolds(split, 5), /split already/);
  assert.throws(() => divideFolds(data, 20), /folds 14[\s\S]*"spam" \(14\)|"spam" \(14\)[\s\S]*folds 14/);
  assert.throws(() => divideFolds(data, 1), /folds is invalid/);
});

test("rows of a group are in one fold; those of none are by themselves", async () => {
  const customers = times(60, (i) => (i % 4 === 0 ? "" : `c${i % 11}`));
  const file = (customer = (i: number) => customers[i]) =>
    table("label,text,customer", 60, (i) => `${i % 3 ? "ham" : "spam"},mail number ${i},${customer(i)}`);
  const options = { fractions: WHOLE, groupColumn: "customer" };
  const data = await load({ file: file() }, options);
  assert.equal(
    data.groups,
    customers.map((customer) => customer || undefined),
  );
  for (const fold of divideFolds(data, 4)) {
    const groups = setsOf(fold).map(
      (set) => new Set([...set.positions()].flatMap((i) => customers[set.place(i)] || [])),
    );
    assert.is(groups.flatMap((group) => [...group]).length, 11);
    assert.ok(fold.test.size >= 12 && fold.test.size <= 18, String(fold.test.size));
  }
  await refuses([
    [
      { file: file() },
      { groupColumn: "customer", split: "ordered" },
      "option-without-effect",
      "groupColumn has an effect on drawn sets alone & split stratified or random",
    ],
    [{ file: file() }, { ...options, groupColumn: "kunde" }, "no-such-column", '"kunde"'],
  ]);
  const whole = await load({ file: file(() => "c") }, options);
  assert.throws(() => divideFolds(whole, 2), /fewer groups than folds/);
});

/** Whether all rows with the same value of `keyOf` their place are in one set. */
const keepsTogether = (data: Pick<Loaded, "train" | "val" | "test">, keyOf: (place: number) => unknown) => {
  const keys = setsOf(data).flatMap((set) => [...new Set([...set.positions()].map((i) => keyOf(set.place(i))))]);
  return new Set(keys).size === keys.length;
};

test("near-duplicates are in one set and in one fold, with the classes in proportion, and it is said how many", async () => {
  const kinds = ["a", "b", "c", "d"];
  const row = (i: number) => `Order ${i} of ${spelled(i % 24)}: ${"it is, late! ".repeat(i % 2)}${i}`;
  const of = (label: (i: number) => string) => table("label,text", 260, (i) => `${label(i)},"${row(i)}"`);
  const file = of((i) => kinds[i % 4]!);
  for (const seed of [1, 2, 3])
    for (const split of ["stratified", "random"] as const) {
      const data = await load({ file }, { split, seed });
      assert.ok(keepsTogether(data, (place) => place % 24));
      assert.ok(Math.abs(data.train.size - 182) <= 16 && sum(sizesOf(data)) === 260, String(sizesOf(data)));
      assert.equal(data.stats.leaks, { val: 0, test: 0 });
      assert.is(
        String(describeCopies(data.stats)),
        "236 of 260 rows are near-duplicates of 24 texts: each is in one set with its copies",
      );
      // Of 65 rows of a class 45, 7 and 13, in groups of 10 or 11.
      for (const [i, [least, most]] of (split === "stratified" ? [[40, 46], [10, 11], [10, 22]] : []).entries()) // biome-ignore format: short
        for (const rows of classes(data)[i]!) assert.ok(rows >= least! && rows <= most!, `${seed} ${classes(data)[i]}`);
    }
  const folds = divideFolds(await load({ file }, { fractions: WHOLE }), 5);
  for (const fold of folds) {
    assert.ok(keepsTogether(fold, (place) => place % 24) && fold.stats.leaks.test === 0);
    assert.ok(fold.test.size >= 43 && fold.test.size <= 65 && fold.val.size > 0, String(sizesOf(fold)));
    assert.ok(Object.values(fold.train.classes()).every((rows) => rows >= 20));
  }
  for (const [objective, label] of [
    ["regression", (i: number) => String(i % 7)],
    ["multi-label", (i: number) => ["a|b", "a", ""][i % 3]!],
  ] as const) {
    const data = await load({ file: of(label) }, { objective });
    assert.ok(keepsTogether(data, (place) => place % 24) && sum(sizesOf(data)) === 260);
    assert.ok(divideFolds(await load({ file: of(label) }, { objective, fractions: WHOLE }), 5).length === 5);
  }
  // A class of one text is divided, as if its rows were none; texts that are too few are refused.
  const odd = await load({ file: of((i) => (i % 24 === 0 ? "rare" : kinds[i % 4]!)) });
  assert.ok(setsOf(odd).every((set) => set.classes().rare! > 0) && odd.stats.leaks.test > 0);
  assert.match(String(describeCopies(odd.stats)), / 24 texts: 1 validation and 2 test rows have one in an earlier set/);
  const two = table("label,text", 40, (i) => `${turns(i)},${spelled((i >> 1) % 2)} ${i}`);
  await refuses([[{ file: two }, {}, "too-few-rows", '40 rows in 2 groups & split "ordered"']]);
  const whole = await load({ file: two }, { fractions: WHOLE });
  assert.throws(() => divideFolds(whole, 5), /fewer groups than folds[\s\S]*folds 2/);
});

test("a giant group is in the training set, and a set that would be empty has the smallest group", async () => {
  const giant = table("label,text", 100, (i) => `${turns(i)},${i < 64 ? "one" : spelled(i)} ${i}`);
  const three = table("label,text", 80, (i) => `${turns(i)},${turns(i)} ${["x", "y", "z"][Math.min(2, i >> 1)]} ${i}`);
  for (const seed of [1, 2, 3, 4, 5])
    for (const split of ["stratified", "random"] as const) {
      const { train, val, test: tested } = await load({ file: giant }, { split, seed });
      assert.ok([...train.positions()].filter((i) => train.place(i) < 64).length === 64);
      assert.ok(val.size > 0 && tested.size > 0);
      const data = await load({ file: three }, { split, seed });
      assert.ok(data.train.size >= 38 && sizesOf(data).every((size) => size > 0), String(sizesOf(data)));
    }
});

test("groups of a column and near-duplicates that share a row are one", async () => {
  // Each text is of two customers, each customer has two texts: six rows are a group.
  const textOf = (i: number) => `${spelled(i >> 2)} ${i}`;
  const customer = (i: number) => (i % 4 === 3 ? "" : `c${((i + 2) >> 2) % 3}-${Math.floor(i / 12)}`);
  const file = table("label,text,customer", 120, (i) => `${i % 24 < 12 ? "ham" : "spam"},${textOf(i)},${customer(i)}`);
  for (const split of ["stratified", "random"] as const) {
    const data = await load({ file }, { split, groupColumn: "customer" });
    assert.ok(
      keepsTogether(data, (place) => Math.floor(place / 12)),
      String(sizesOf(data)),
    );
    assert.not.ok(keepsTogether(await load({ file }, { split }), (place) => Math.floor(place / 12)));
  }
  for (const fold of divideFolds(await load({ file }, { fractions: WHOLE, groupColumn: "customer" }), 5))
    assert.ok(keepsTogether(fold, (place) => Math.floor(place / 12)));
});

test("corrections replace labels and leave rows out; what they are of is checked", async () => {
  const folder = temporaryFolder();
  const review = (lines: string[], name = "review.csv", head = "row,text,given label,correct label") => {
    const path = join(folder, name);
    writeFileSync(path, `${[head, ...lines].join("\n")}\n`);
    return path;
  };
  const rows = times(20, (i) => `${i === 3 ? "smap" : turns(i)},"mail ${i}, to you"`);
  const read = (corrections: string | string[]) => load({ file: listed(rows) }, { ...ORDERED, corrections });
  const corrections = review([
    '4,"mail 3, to you",smap,spam',
    '6,"mail 5,\r to you",ham,drop',
    '8,"mail 7, to you",ham,',
    '9,"mail 8, to you",spam,new: news',
    '11,"mail 10, to you",spam,news',
  ]);
  const { train, labels, stats, origin } = await read(corrections);
  assert.equal([...labels], ["ham", "news", "spam"]);
  assert.equal(stats.corrected, { labels: 3, dropped: 1, added: ["news"] });
  assert.equal([origin.corrections, train.size, train.place(5)], [[corrections], 19, 6]);
  assert.equal(
    times(9, (i) => [labels[train.label(i)], train.text(i)]),
    [0, 1, 2, 3, 4, 6, 7, 8, 9].map((i) => [i === 3 ? "spam" : i === 8 ? "news" : turns(i), `mail ${i}, to you`]),
  );
  const both = await read([corrections, review(['4,"mail 3, to you",smap,ham'], "again.csv")]);
  assert.is(both.labels[both.train.label(3)], "ham");

  const typos = ['9,"mail 8, to you",spam,', '11,"mail 10, to you",spam,hamm', '13,"mail 12, to you",spam,yes'];
  const places = 'review.csv:3 & "hamm" (line 3), "yes" (line 4) & did you mean ham? & "new: hamm"';
  // A correction leaves a class with one row, which is named as the column "row" does.
  const last = ['4,"mail 3, to you",smap,DROP', '6,"mail 5, to you",ham,new: eggs'];
  for (const [lines, code, words] of [
    [["21,x,ham,spam"], "inputs-changed", "review.csv:2 & a row from 1 to 20 & row 21: x"],
    [["4,other,ham,spam"], "inputs-changed", "another text & review.csv:2 & mail 3, to you"],
    [typos, "unknown-label", places],
    [last, "class-with-one-row", '"eggs" (row 6) & a.csv, row 6'],
    [["4,x,ham,"], "no-labels", 'column "correct label"'],
  ] as [string[], ErrorCode, string][]) {
    const options = { corrections: review(lines), ...(lines === last ? {} : ORDERED) };
    await refuses([[{ file: listed(rows) }, options, code, words]]);
  }
  const other = review(["4,x,ham,spam"], "b.csv", "row,text,given label,correct");
  const [file, given] = [mails(2, 2), { train: mails(2, 2), val: mails(2, 2), test: mails(2, 2) }];
  await refuses([
    [{ file }, { ...ORDERED, corrections: other }, "no-such-column", '"correct label"'],
    [{ file }, { ...ORDERED, corrections: join(folder, "none.csv") }, "no-such-file", "none.csv"],
    [given, { corrections }, "option-without-effect", "corrections needs the rows"],
  ]);
});

test("corrections are written for a spreadsheet, and read as one writes them", async () => {
  const given = ["=1+2 wins", " @home", "'-tis", "0042", "4111111111111111", "true"];
  const rows = times(12, (i) => csvLine([given[i] ?? `mail ${i}`, i % 2 ? "-1" : "true"]));
  const written = [...given.slice(0, 3), "42", "4.11111E+15", "TRUE"];
  const lines = written.map((text, i) => sheetLine([i + 1, text, i % 2 ? "TRUE" : "-1"]));
  assert.equal(lines.slice(0, 3), ["1,'=1+2 wins,'-1\r\n", "2,' @home,TRUE\r\n", "3,'-tis,'-1\r\n"]);
  const corrections = join(temporaryFolder(), "review.csv");
  writeFileSync(corrections, ["row,text,correct label\r\n", ...lines].join(""));
  const file = textFile(`text,label\r\n${rows.join("")}`);
  const { train, labels, stats } = await load({ file }, { ...ORDERED, corrections });
  assert.equal([[...labels], stats.corrected?.labels], [["-1", "true"], 6]);
  assert.equal(allTexts(train).slice(0, 6), given);
  assert.not(isSameCell("4.2E+15", "4111111111111111"));
});

test("three files keep their rows; the training set's labels hold for all", async () => {
  const files = {
    train: mails(5, 3, "train.csv"),
    val: mails(2, 1, "val.csv"),
    test: labelled(["spam"], "t.csv"),
  };
  const data = await load(files);
  assert.equal([sizesOf(data), data.test.label(0), data.val.text(2)], [[8, 3, 1], 1, "mail number 2"]);
  assert.is(data.stats.rowsRead, 12);
  assert.equal(sizesOf(await load(files, { balance: true })), [6, 2, 1]);
  const val = labelled(["ham", "eggs"], "val.csv");
  await refuses([
    [{ ...files, val }, {}, "unknown-label", "val.csv:3 & expected: ham, spam & found:    eggs"],
    [files, { fractions: WHOLE }, "already-split", "fractions [1,0,0]"],
    [files, { split: "random" }, "already-split"],
  ]);
});

test("a column that says of which set each row is; a set that it lacks is taken from the training set", async () => {
  const read = async (sets: string[], options: DatasetOptions = {}) => {
    const row = (i: number) => `${sets[i % sets.length]},${spelled(i)} ham,${i % 2 ? "b" : "a"}`;
    const data = await loadDataset({ file: table("Split,text,label", 40, row) }, options);
    return { data, places: setsOf(data).map((set) => Array.from(set.positions(), (i) => set.place(i))) };
  };
  const of = (...rest: number[]) => times(40, (i) => i).filter((i) => rest.includes(i % 4));
  const { data, places } = await read(["Train", "train", "validation", "test"]);
  assert.equal(places, [of(0, 1), of(2), of(3)]);
  assert.equal([data.split, data.source], ["given", 'a.csv, column "Split": train, val, test']);
  const taken = await read(["train", "train", "train", "dev"]);
  assert.equal([taken.places.map(({ length }) => length), taken.places[2]], [[27, 3, 10], of(3)]);
  // Other words, and shares that are asked for.
  assert.is((await read(["train", "train", "other", "test"])).data.split, "stratified");
  assert.is((await read(["train", "test"], { fractions: WHOLE })).data.split, "stratified");
});

test("padding to the longest training row cuts longer rows of the other sets", async () => {
  const files = {
    train: listed(["a,one two three", "b,one"]),
    val: listed(["a,one two three four five"]),
    test: listed(["b,one two"]),
  };
  for (const [padding, padTo, cut] of [
    ["longest", 3, 1],
    [4, 4, 1],
    ["none", 5, 0],
  ] as const) {
    const { val, test, stats } = await load(files, { padding });
    assert.equal([val.batch([0]).ids.length, stats.val.cut, stats.train.cut], [padTo, cut, 0]);
    assert.equal([test.padTo ?? 0, ...test.batch([0]).lengths], [padding === "none" ? 0 : padTo, 2]);
  }
  for (const padding of [0, 5, 1.5])
    await refuses([[files, { padding, maxLength: 4 }, "invalid-value", "padding is invalid"]]);
});

test("near-duplicates between sets are counted, and dropped on demand", async () => {
  const files = {
    train: listed(["spam,Win 100 now!", "ham,See you", "ham,see  YOU!!"]),
    val: listed(["spam,win 9 NOW", "ham,other"]),
    test: listed(["ham,Other.", "spam,Win now", "ham,see you", "ham,..."]),
  };
  const { stats } = await load(files);
  assert.equal([stats.leaks, stats.copies], [{ val: 1, test: 2 }, 0]);
  const without = await load(files, { dedupe: true });
  assert.equal([without.stats.leaks, without.stats.copies, without.stats.rowsRead], [{ val: 0, test: 0 }, 4, 9]);
  assert.is(texts(without).map(String).join(" | "), "Win 100 now!,See you | other | Win now,...");
  const val = listed(["ham,see you"], "val.csv");
  await refuses([[{ ...files, val }, { dedupe: true }, "only-near-duplicates", "val.csv & 1 rows"]]);
});

test("data that cannot be loaded is reported", async () => {
  const file = mails(20, 20);
  const stray = { file, textColumn: "txt" };
  await refuses([
    [{ name: "spma" }, {}, "no-such-dataset", 'did you mean "spam"'],
    [{ file: "no/such/file.csv" }, {}, "no-such-file", "no/such/file.csv"],
    [{ train: "a.csv", source: "b" }, {}, "unknown-option", "unknown option source & file, rows, train, val"],
    [{ train: "a.csv" }, {}, "no-data-source", "{ train, val, test }, without val or test too & train"],
    ["a.csv", {}, "invalid-argument", 'the string "a.csv" & did you mean { file: "a.csv" }?'],
    ["spam", {}, "invalid-argument", 'did you mean { name: "spam" }?'],
    [stray, {}, "invalid-argument", "textColumn is an option & { file }, { textColumn }"],
    [stray, stray, "no-such-column", 'no column "txt" & did you mean "text"'],
    [{ file }, { maxLength: 0 }, "invalid-value", "maxLength is invalid"],
    [{ file }, { trainRows: 0.5 }, "invalid-value", "trainRows is invalid & a whole number of 1 or more & 0.5"],
    [{ file }, { encoding: "utf-9" }, "unknown-encoding", "utf-9"],
    [{ file }, { split: "experiment" }, "options-conflict", "the data set sms & split random"],
    [{ name: "spam" }, { split: "experiment" }, "options-conflict", "the data set sms"],
    [{ name: "sms" }, { balance: false }, "options-conflict", "balanced rows"],
    [{ file }, { split: "half" }, "unknown-value", "unknown split"],
    ...["", " a", "a,b,a"].map(
      (labels): Refusal => [{ file }, { labels: labels.split(",") }, "invalid-value", "labels is invalid"],
    ),
    [{ file }, { objective: "regression", labels: ["a"] }, "options-conflict", "labels is invalid for a regression"],
    [{ rows: times(24, (i) => ({ text: ["", " "], label: turns(i) })) }, {}, "column-without-text", "all empty"],
  ]);
});

test("rows in memory: numbers as texts and classes, lists of labels, pairs", async () => {
  const read = (row: (i: number) => object, options: DatasetOptions = {}) =>
    load({ rows: times(30, row) as never }, { split: "ordered", ...options });
  const { origin, source, testParts, train, labels } = await read((i) => ({ text: `${i}`, label: i % 2 }));
  assert.equal([origin, source, testParts], [{ rows: 30, split: "ordered" }, "rows in memory", []]);
  assert.equal([train.text(1), ...labels], ["1", "0", "1"]);
  const several = await read((i) => ({ text: `mail ${i}`, label: i % 2 ? ["b, c|d", "a"] : i % 3 ? "a|e" : [] }), {
    objective: "multi-label",
  });
  assert.equal([...several.labels], ["a", "b, c|d", "e"]);
  const values = times(4, (i) => several.train.values(i).join(""));
  assert.equal(values, ["000", "110", "101", "110"]);
  const { pairs } = await read((i) => ({ text: [`mail ${i}`, "b"], label: turns(i) }));
  assert.equal(pairs, { columns: ["sentence1", "sentence2"] });
});

test("a row in memory without a text or a label is named by its place, or skipped", async () => {
  const rows = times(10, (i) => ({ text: `mail ${i}`, label: turns(i) })) as object[];
  for (const [bad, code, words] of [
    ["text", "row-not-json-object", '{ text: "...", label: "..." }'],
    [{ label: "ham" }, "value-not-text", "text: a string\n & undefined"],
    [{ text: ["a", "b"], label: "ham" }, "value-not-text", "all rows have single texts, or all have pairs"],
    [{ text: "a" }, "row-without-label", "undefined"],
    [{ text: "a", label: " " }, "row-without-label", "an empty string"],
    [{ text: "a", label: ["ham"] }, "row-without-label", 'a list & objective "multi-label"'],
  ] as [unknown, ErrorCode, string][])
    await refuses([[{ rows: [...rows.slice(0, 3), bad, ...rows] }, {}, code, `rows[3] & ${words}`]]);
  await refuses([
    [{ rows: [{ label: "x" }] }, {}, "value-not-text", "rows[0] & array of two strings"],
    [{ rows: [{}] }, { skipFaulty: true }, "value-not-text", "rows[0]"],
    [{ rows: 8 }, {}, "invalid-argument", "rows: 8 & an array of rows"],
    [rows, {}, "invalid-argument", "did you mean { rows: [...] }?"],
    [{ rows }, { labelColumn: "label" }, "option-without-effect", "labelColumn has no effect on rows"],
    [{ rows: [{ text: "a", label: "one" }] }, {}, "only-one-class", "the first on rows[0] & labels"],
  ]);
});

test("labels come first in their order, whether rows have them or not", async () => {
  const labels = ["spam", "2", "none", "10"];
  const three = times(30, (i) => ["ham", "spam", "apple"][i % 3]!);
  const { train, val, ...data } = await load({ file: labelled(three) }, { labels, split: "ordered" });
  assert.equal([...data.labels], [...labels, "apple", "ham"]);
  assert.equal(data.stats.classesRead, { spam: 10, "2": 0, none: 0, "10": 0, apple: 10, ham: 10 });
  assert.equal([train.label(0), train.label(1), train.label(2), val.label(0)], [5, 0, 4, 5]);
  // A set of its own may have a class that the training set has not, if it is named.
  const given = { train: labelled(three), val: labelled(three), test: labelled(["none", "ham"]) };
  assert.is((await load(given, { labels })).test.label(0), 2);
  // Of named classes all rows may have one, and each may have one row.
  assert.equal([...(await load({ file: labelled(times(10, () => "b")) }, { labels: ["a"] })).labels], ["a", "b"]);
  const set = await load(
    { rows: times(10, (i) => ({ text: `mail ${i}`, label: ["b", "a"] })) },
    { objective: "multi-label", labels: ["c", "b"] },
  );
  assert.equal([set.labels, set.test.values(0).join("")], [["c", "b", "a"], "011"]);
});

test("labels that are not classes are refused, with their lines, as is a text column of numbers", async () => {
  const two = times(40, (i) => (i % 2 === 0 ? "ham" : "spam"));
  const score = 'this looks like a score & objective "regression" & group the numbers into a few';
  const graded = times(60, (i) => `${1 + (i % 5) / 2}`);
  const gradedRows = graded.map((label, i) => ({ text: `mail ${i}`, label: Number(label) }));
  for (const [labels, code, words] of [
    [[...two, "spma", ...two, "eggs"], "class-with-one-row", 'a.csv:42 & "spma" (line 42), "eggs" (line 83)'],
    [[...two, '"ham, spam"'], "class-with-one-row", 'a message: objective "multi-label" and labelSeparator ","'],
    [times(400, (i) => `${3 * (i % 100)}`), "label-column-is-numeric", `100 different numbers & ${score}`],
    [graded, "label-column-is-numeric", `5 different numbers & ${score}`],
  ] as [string[], ErrorCode, string][])
    await refuses([[{ file: labelled(labels) }, {}, code, words]]);
  await refuses([[{ rows: gradedRows }, {}, "label-column-is-numeric", "rows[0] & name the classes with labels"]]);
  const bodies = table("label,body,words", 30, (i) => `${turns(i)},${i * 7},mail ${i}`);
  assert.match(joinPair((await load({ file: bodies })).train.text(0)), "mail");
  // Such a row is skipped with invalid ones, and the classes behind it move up.
  const left = await load({ file: labelled(["egg", ...two, "zebra"]) }, { skipFaulty: true });
  const { classesRead, leftOut } = left.stats;
  assert.equal([[...left.labels], classesRead, leftOut.rows], [["ham", "spam"], { ham: 20, spam: 20 }, 2]);
  for (const i of left.train.positions())
    assert.is(left.train.label(i), Number(/\d+/.exec(joinPair(left.train.text(i)))) % 2 === 1 ? 0 : 1);
  assert.equal([...left.train.batch([0, 1]).labels], [left.train.label(0), left.train.label(1)]);
  // A set of its own may have one row of a class.
  await load({ train: labelled([...two, "eggs"]), val: mails(1, 1), test: mails(1, 1) });
  assert.is((await load({ file: labelled(graded) }, { labels: graded.slice(0, 5) })).labels.length, 5);
  // Twenty whole numbers, also as pandas writes them, and the numbers of classes, are classes; so is any name.
  for (const [count, label] of [
    [20, (i: number) => `${(i % 20) * 2}`],
    [5, (i: number) => `${i % 5}.0`],
    [77, (i: number) => `${i % 77}`],
    [77, (i: number) => `${1 + (i % 77)}`],
    [2, (i: number) => ["constructor", "spam"][i % 2]!],
  ] as const) {
    const { labels, stats } = await load({ file: labelled(times(4 * count, label)) });
    assert.equal([labels.length, stats.classesRead[label(1)]], [count, 4]);
  }
});

test("two concurrent loads use separate modules", async () => {
  const spec = (ham: number) => loadDataset({ file: mails(ham, 40) }, { chunkBytes: 9 });
  const [a, b] = await Promise.all([spec(60), spec(30)]);
  assert.equal([a.train.size, b.train.size], [70, 49]);
  assert.match(joinPair(a.train.text(0)), /^mail number \d+$/);
});

test("bundled data sets are the files that their descriptions promise", () => {
  for (const { file, sha256 } of [description, languages, humanRights])
    assert.is(createHash("sha256").update(readFileSync(packagePath(`data/${file}`))).digest("hex"), sha256, file); // biome-ignore format: short
});

test("spam has the rows and parts that its description promises", async () => {
  const data = await load({ name: "spam" }, { maxLength: 256 });
  const { labels, stats, source, test: tested, testParts } = data;
  assert.equal([...labels], ["ham", "spam"]);
  assert.equal([stats.rowsRead, stats.classesRead, stats.leftOut.rows], [description.rows, description.labels, 0]);
  assert.is(sum(sizesOf(data)), description.rows, "no row is dropped");
  assert.equal(stats.leaks, { val: 0, test: 0 });
  assert.is(stats.train.cut + stats.val.cut + stats.test.cut, 0, "every row fits into 256 tokens");
  assert.match(source, /^spam: /);
  const { parts } = description;
  assert.is(sum(parts.map(({ rows }) => rows)), description.rows);
  assert.is(String(testParts.map(({ name }) => name)), String(parts.map(({ name }) => name)));
  const lines = new Set(
    readdirSync("data/messages").flatMap((file) => readFileSync(join("data/messages", file), "utf8").split("\n")),
  );
  const isShort = times(tested.size, (i) => lines.has(joinPair(tested.text(i))));
  assert.equal(
    testParts.map(({ positions }) => [...positions]),
    [false, true].map((short) => [...isShort.keys()].filter((i) => isShort[i] === short)),
  );
  assert.equal((await load({ file: mails(40, 40) })).testParts, []);
});

test("languages: no article, sentence or near copy stands in two sets, and every class has as many rows", async () => {
  const data = await load({ name: "languages" });
  assert.equal([data.split, data.stats.leaks], ["ordered", { val: 0, test: 0 }]);
  const names = Object.keys(languages.labels);
  for (const [i, rows] of [810, 36, 54].entries()) assert.is(String(classes(data)[i]), String(names.map(() => rows)));
  // The beginnings of articles 2 (training), 3 (validation) and 1 (test).
  for (const [i, start] of ["Everyone is entitled to all", "Everyone has the right to life", "All human"].entries())
    assert.equal(
      texts(data).map((set) => set.some((text) => text.startsWith(start))),
      [i === 0, i === 1, i === 2],
    );
});

test("the digest of a data set is that of its rows, their classes and their order", async () => {
  const digest = async (content: string, options: DatasetOptions = {}) =>
    digestData(await loadDataset({ file: textFile(content) }, options));
  const text = "See you at lunch.\n".repeat(40);
  const digestText = async (content: string) =>
    digestData(await loadTexts({ file: textFile(content, "a.txt") }, { maxLength: 16 }));
  const good = await digest(messages(20));
  assert.match(good, /^[0-9a-f]{64}$/);
  assert.equal([await digest(messages(20)), await digestText(text)], [good, await digestText(text)]);
  const swapped = messages(20).replaceAll(/^(ham|spam)/gm, (word) => (word === "ham" ? "spam" : "ham"));
  const others = [
    ...[swapped, messages(20, ["ham", "news"]), messages(20).replace("lunch", "brunch")].map((other) => digest(other)),
    ...([{ seed: 2 }, { padding: "longest" }, { maxLength: 5 }] as const).map((options) =>
      digest(messages(20), options),
    ),
    ...[digestText(text), digestText(text.replace("lunch", "brunch"))],
  ];
  assert.is(new Set([good, ...(await Promise.all(others))]).size, 1 + others.length);
});

test("a data set stores its origin, with which it can be loaded again", async () => {
  const path = join(temporaryFolder(), "m.csv");
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
  const rows = [`ham,${"word ".repeat(400)}`, ...times(18, (i) => `${turns(i)},a`)];
  for (const [options, longest] of [
    [{ model }, 256],
    [{ model, maxLength: 7 }, 7],
    [{}, 401],
  ] as const) {
    const { stats } = await load({ file: listed(rows) }, options);
    assert.is(Math.max(stats.train.max, stats.val.max, stats.test.max), longest);
  }
  const blocks = await loadTexts({ file: textFile("a line of a book\n".repeat(600), "book.txt") }, { model });
  assert.is(blocks.maxLength, 256);
});
