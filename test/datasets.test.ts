/** Data sets by file and by name, as a command loads them. */
import { createHash } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import * as assert from "uvu/assert";
import { packagePath, readAsset } from "#platform";
import languages from "../data/datasets/languages.json" with { type: "json" };
import description from "../data/datasets/spam-assassin.json" with { type: "json" };
import { bytesReader } from "../src/data/corpus.ts";
import type { Dataset } from "../src/data/dataset.ts";
import { type DatasetOptions, type DatasetSpec, loadDataset } from "../src/data/datasets.ts";
import { digestOf } from "../src/data/digest.ts";
import { normalized } from "../src/data/duplicates.ts";
import { loadTexts } from "../src/data/texts.ts";
import { DataModule } from "../src/data/wasm.ts";
import { ConfigError, DataError, LowrankError } from "../src/errors.ts";
import { Rng } from "../src/rng.ts";
import { temporaryFolder } from "./border.ts";
import { test, testIf } from "./harness.ts";
import { randomText } from "./random-text.ts";
import { messages } from "./tiny.ts";

let module: DataModule;

function fileOf(content: string, name = "a.csv") {
  return bytesReader(name, new TextEncoder().encode(content));
}

/** A CSV file with `ham` and `spam` rows, each text its own. */
function mails(ham: number, spam: number, name = "a.csv") {
  const rows = Array.from({ length: ham + spam }, (_, i) => `${i < ham ? "ham" : "spam"},mail number ${i}`);
  return fileOf(`label,text\n${rows.join("\n")}\n`, name);
}

function load(spec: DatasetSpec, options: DatasetOptions = {}) {
  return loadDataset(spec, { module, ...options });
}

function textsOf(dataset: Dataset): string[] {
  return Array.from({ length: dataset.size }, (_, i) => dataset.text(i));
}

async function fails(
  spec: DatasetSpec,
  type: new (...args: never[]) => Error,
  parts: string[],
  options: DatasetOptions = {},
) {
  try {
    await load(spec, options);
  } catch (error) {
    assert.instance(error, type);
    for (const part of parts)
      assert.ok((error as Error).message.includes(part), `${part} in: ${(error as Error).message}`);
    return;
  }
  assert.unreachable(`no error: ${parts[0]}`);
}

test("loads", async () => {
  module = await DataModule.load();
});

test("one file: balanced, shuffled and split 70/10/20 by the seed", async () => {
  const { train, val, test, labels, stats, source } = await load({ file: mails(120, 50) });
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
  const all = [train, val, test].flatMap(textsOf);
  assert.is(new Set(all).size, 100);
  const again = await load({ file: mails(120, 50) }, { chunkBytes: 7 });
  assert.equal([again.train, again.val, again.test].flatMap(textsOf), all);
  const other = await load({ file: mails(120, 50) }, { seed: 2 });
  assert.not.equal([other.train, other.val, other.test].flatMap(textsOf), all);
  const whole = await load({ file: mails(120, 50) }, { balance: false, fractions: [0.5, 0.25, 0.25] });
  assert.equal([whole.train.size, whole.val.size, whole.test.size], [85, 42, 43]);
});

test("three files keep their rows; the training set's labels hold for all", async () => {
  const files = {
    train: mails(5, 3, "train.csv"),
    val: mails(2, 1, "val.csv"),
    test: fileOf("label,text\nspam,x\n", "t.csv"),
  };
  const { train, val, test, stats } = await load(files);
  assert.equal([train.size, val.size, test.size], [8, 3, 1]);
  assert.is(test.label(0), 1);
  assert.is(stats.rowsRead, 12);
  assert.is(val.text(2), "mail number 2");
  const balanced = await load(files, { balance: true });
  assert.equal([balanced.train.size, balanced.val.size, balanced.test.size], [6, 2, 1]);
  const bad = { ...files, val: fileOf("label,text\nham,a\neggs,b\n", "val.csv") };
  await fails(bad, DataError, ["val.csv:3", "expected: ham, spam", "found:    eggs"]);
});

test("padding to the longest training row cuts longer rows of the other sets", async () => {
  const files = {
    train: fileOf("label,text\na,one two three\nb,one\n", "train.csv"),
    val: fileOf("label,text\na,one two three four five\n", "val.csv"),
    test: fileOf("label,text\nb,one two\n", "test.csv"),
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
  for (const padding of [0, 5, 1.5]) await fails(files, ConfigError, ["padding", "1 to 4"], { padding, maxLength: 4 });
});

test("data that cannot be loaded is reported", async () => {
  await fails({ name: "spam-asassin" }, ConfigError, ['did you mean "spam-assassin"']);
  await fails({ file: "no/such/file.csv" }, ConfigError, ["no such file", "no/such/file.csv"]);
  await fails({ train: "a.csv", source: "b" } as never, ConfigError, ["{ train, val, test }", "train, source"]);
  await fails({ file: fileOf("label,text\nham,a\nham,b\n") }, DataError, [
    "All rows have the same class",
    '"ham"',
    "2 rows",
  ]);
  await fails({ file: mails(2, 2) }, DataError, ["Too few rows"]);
  await fails({ file: mails(20, 20) }, ConfigError, ["maxLength is invalid"], { maxLength: 0 });
  await fails({ file: mails(20, 20) }, DataError, ['no column "txt"', 'did you mean "text"'], { textColumn: "txt" });
  const bad = bytesReader(
    "a.csv",
    new Uint8Array([...new TextEncoder().encode("label,text\nham,a\nspam,caf"), 0xe9, 10]),
  );
  const { stats } = await load({ train: bad, val: mails(1, 1), test: mails(1, 1) });
  assert.is(stats.invalidUtf8, 1);
});

test("two concurrent loads use separate modules", async () => {
  const [a, b] = await Promise.all([
    loadDataset({ file: mails(60, 40) }, { chunkBytes: 9 }),
    loadDataset({ file: mails(30, 30) }, { chunkBytes: 9 }),
  ]);
  assert.equal([a.train.size, b.train.size], [56, 42]);
  assert.match(a.train.text(0), /^mail number \d+$/);
});

test("spam-assassin is the file that its description promises", async () => {
  const bytes = await readAsset(description.file);
  assert.is(createHash("sha256").update(bytes).digest("hex"), description.sha256);
  const { train, val, test, labels, stats, source } = await load({ name: "spam-assassin" }, { maxLength: 256 });
  assert.equal([...labels], ["ham", "spam"]);
  assert.is(stats.rowsRead, description.rows);
  assert.is(stats.invalidUtf8, 0);
  const spam = description.labels.spam;
  const sets = [train, val, test];
  assert.equal(
    sets.map((set) => set.size),
    [
      Math.floor(2 * spam * 0.7),
      Math.floor(2 * spam * 0.1),
      2 * spam - Math.floor(1.4 * spam) - Math.floor(0.2 * spam),
    ],
  );
  for (const set of sets) assert.ok(Math.abs(set.stats().classes.spam! / set.size - 0.5) < 0.06);
  assert.is(new Set(sets.flatMap(textsOf)).size, 2 * spam, "no text stands in two sets");
  assert.is(stats.train.cut + stats.val.cut + stats.test.cut, 0, "every row fits into 256 tokens");
  assert.match(source, /^spam-assassin: /);
});

test("languages: no article, sentence or near copy stands in two sets, and every class has as many rows", async () => {
  const bytes = await readAsset(languages.file);
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
      [train, val, test].map((set) => textsOf(set).some((text) => text.startsWith(start))),
      [i === 0, i === 1, i === 2],
    );
});

test("ordered: the sets follow one another as the rows were read, whatever the seed", async () => {
  const { train, val, test } = await load({ file: mails(6, 4) }, { split: "ordered", balance: false, seed: 5 });
  const texts = [train, val, test].map(textsOf);
  assert.equal(
    texts.map((some) => some.length),
    [7, 1, 2],
  );
  const numbers = texts.flat().map((text) => Number(/\d+/.exec(text)));
  assert.equal(numbers, [...numbers.keys()]);
});

test("stratified: every set has its fraction of every class, chosen by the seed", async () => {
  const options: DatasetOptions = { split: "stratified", balance: false };
  const { train, val, test, split } = await load({ file: mails(100, 40) }, options);
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
  const all = sets.flatMap(textsOf);
  assert.is(new Set(all).size, 140);
  assert.not.equal(textsOf(train), textsOf(train).sort(), "shuffled");
  const again = await load({ file: mails(100, 40) }, { ...options, chunkBytes: 7 });
  assert.equal([again.train, again.val, again.test].flatMap(textsOf), all);
  const other = await load({ file: mails(100, 40) }, { ...options, seed: 2 });
  assert.not.equal([other.train, other.val, other.test].flatMap(textsOf), all);
  const even = await load({ file: mails(100, 40) }, { split: "stratified" });
  assert.equal(even.val.stats().classes, { ham: 4, spam: 4 });
  await fails({ file: mails(100, 5) }, DataError, ["A class has too few rows", '"spam"', "5 rows"], options);
});

test("the experiment's split is pandas', whatever the seed", async () => {
  const { train, val, test, split } = await load({ file: mails(9, 6) }, { split: "experiment", seed: 5 });
  assert.is(split, "experiment");
  // df = DataFrame of the 15 mails; concat([ham.sample(6, random_state=42), spam]).sample(frac=1, random_state=42)
  assert.equal(
    [train, val, test].map((set) => textsOf(set).map((text) => Number(text.split(" ").at(-1)))),
    [[13, 12, 7, 11, 2, 5, 1, 14], [8], [10, 0, 9]],
  );
  await fails({ file: mails(9, 6) }, ConfigError, ["balanced", "--split random"], {
    split: "experiment",
    balance: false,
  });
  await fails({ file: mails(9, 6) }, ConfigError, ["unknown split"], { split: "half" as "random" });
  const files = { train: mails(2, 2), val: mails(1, 1), test: mails(1, 1) };
  await fails(files, ConfigError, ["split already"], { split: "random" });
});

test("near-duplicates between sets are counted, and dropped on demand", async () => {
  const files = {
    train: fileOf("label,text\nspam,Win 100 now!\nham,See you\nham,see  YOU!!\n", "train.csv"),
    val: fileOf("label,text\nspam,win 9 NOW\nham,other\n", "val.csv"),
    test: fileOf("label,text\nham,Other.\nspam,Win now\nham,see you\nham,...\n", "test.csv"),
  };
  const { stats } = await load(files);
  assert.equal([stats.leaks, stats.copies], [{ val: 1, test: 2 }, 0]);
  const without = await load(files, { dedupe: true });
  assert.equal([without.stats.leaks, without.stats.copies, without.stats.rowsRead], [{ val: 0, test: 0 }, 4, 9]);
  assert.equal([without.train, without.val, without.test].map(textsOf), [
    ["Win 100 now!", "See you"],
    ["other"],
    ["Win now", "..."],
  ]);
  await fails({ ...files, val: fileOf("label,text\nham,see you\n", "val.csv") }, DataError, ["val.csv", "1 rows"], {
    dedupe: true,
  });
  const one = await load({ file: mails(40, 40) }, { dedupe: false });
  assert.is(one.stats.leaks.test, one.test.size, "numbers are no difference");
});

test("texts are normalized as the regular expressions of the definition say", () => {
  const defined = (text: string) => {
    const words = text
      .toLowerCase()
      .replace(/\d+/g, "0")
      .replace(/[\s\p{P}\p{S}]+/gu, " ")
      .trim();
    return words === "" ? text.trim() : words;
  };
  const rng = new Rng(5);
  const texts = Array.from({ length: 5000 }, () => randomText(rng, 1 + rng.below(30)).toWellFormed());
  for (const text of ["", " ... ", "9.9 9x12", "long ".repeat(5000), ...texts])
    assert.is(normalized(text), defined(text));
});

const sms = packagePath("../shared/data/sms");

testIf(existsSync(sms), "no SMS files beside the repository", "SMS: the paper's split, 1045/149/300", async () => {
  const [trainFile, valFile, testFile] = ["train", "val", "test"].map((name) => `${sms}/${name}.csv`) as [
    string,
    string,
    string,
  ];
  const { train, val, test, labels, stats } = await load({ train: trainFile, val: valFile, test: testFile });
  assert.equal([train.size, val.size, test.size], [1045, 149, 300]);
  assert.equal([...labels], ["0", "1"]);
  assert.equal([stats.train.max, stats.val.max, stats.test.max], [109, 137, 120]);
  await fails({ train: trainFile, val: valFile, test: trainFile }, LowrankError, ["NoSuch"], { textColumn: "NoSuch" });
});

test("the digest of a data set is that of its rows, their classes and their order", async () => {
  const digest = async (content: string, options: DatasetOptions = {}) =>
    digestOf(await loadDataset({ file: fileOf(content) }, options));
  const good = await digest(messages(20));
  assert.match(good, /^[0-9a-f]{64}$/);
  assert.is(await digest(messages(20)), good);
  const swapped = messages(20).replaceAll(/^(ham|spam)/gm, (word) => (word === "ham" ? "spam" : "ham"));
  for (const other of [swapped, messages(20, ["ham", "news"]), messages(20).replace("lunch", "brunch")])
    assert.is.not(await digest(other), good);
  for (const options of [{ seed: 2 }, { padding: "longest" }, { maxLength: 5 }] as const)
    assert.is.not(await digest(messages(20), options), good);
  const texts = (content: string) => loadTexts({ file: fileOf(content, "a.txt") }, { maxLength: 16 });
  const text = "See you at lunch.\n".repeat(40);
  assert.is(await digestOf(await texts(text)), await digestOf(await texts(text)));
  assert.is.not(await digestOf(await texts(text)), await digestOf(await texts(text.replace("lunch", "brunch"))));
});

test("a class may have any name, that of an object's own methods too", async () => {
  const rows = Array.from({ length: 20 }, (_, i) => `constructor,see you ${i}\nspam,win ${i}\n`).join("");
  const { stats } = await loadDataset({ file: fileOf(`label,text\n${rows}`) });
  assert.equal(stats.classesRead, { constructor: 20, spam: 20 });
});

test("a data set stores its origin, with which it can be loaded again", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "m.csv");
  writeFileSync(path, messages(20));
  const options = { maxLength: 9, dedupe: true, seed: 3, fractions: [0.5, 0.2, 0.3] as const };
  const data = await loadDataset({ file: relative(".", path) }, { ...options, onProgress: () => {} });
  assert.equal(data.origin, { file: path, ...options, split: "random" });
  const again = await loadDataset(data.origin as never, data.origin);
  assert.equal([again.origin, again.stats], [data.origin, data.stats]);
  const opened = await loadDataset({ file: fileOf(messages(20)) });
  assert.equal(opened.origin, { file: "a.csv", split: "random" });
});
