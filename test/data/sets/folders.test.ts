/** Texts in files of other shapes: a folder a class, and the lines of fastText. */
import * as assert from "uvu/assert";
import { bytesReader } from "../../../src/data/corpus.ts";
import type { DatasetOptions } from "../../../src/data/dataset-options.ts";
import { loadDataset } from "../../../src/data/datasets.ts";
import { forgetFile, registerFile } from "../../../src/platform/files.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";

const ALL = { fractions: [1, 0, 0], split: "ordered" } as const;

/** Runs `use` while a folder has these texts, by their paths. */
async function withFolder(texts: Readonly<Record<string, string | Uint8Array>>, use: () => Promise<void>) {
  const paths = Object.keys(texts).map((path) => `d/${path}`);
  for (const [path, text] of Object.entries(texts)) registerFile(`d/${path}`, new Blob([text as BlobPart]));
  await use().finally(() => paths.forEach(forgetFile));
}

test("a folder a class: its files are the texts, in the order of their names", async () => {
  const load = (options: DatasetOptions = ALL) => loadDataset({ file: "d" }, options);
  const texts = { "pos/1.txt": "good\nfilm\n", "pos/2": "fine", "neg/1.txt": "bad \u2026", "neg/urls.feat": "1:2" };
  await withFolder({ ...texts, "README.txt": "about", "neg/.hidden": "no" }, async () => {
    const { train, labels } = await load();
    assert.equal([labels, train.size], [["neg", "pos"], 3]);
    assert.equal(
      [0, 1, 2].map((row) => train.text(row)),
      ["bad \u2026", "good\nfilm", "fine"],
    );
    await assertFails("option-without-effect", ["textColumn"], () => load({ textColumn: "text" }));
  });
  await withFolder({ "pos/1.txt": Uint8Array.of(0x66, 0xfc, 0x72), "neg/1.txt": "x" }, async () => {
    await assertFails("not-utf8", ["d/pos/1.txt"], () => load());
    assert.is((await load({ ...ALL, encoding: "windows-1252" })).train.text(1), "für");
  });
  await withFolder({ "1.txt": "no class" }, () =>
    assertFails("no-rows", ["a folder for each class"], () => load()).then(),
  );
});

test("folders of a training and a test set, whose validation set is taken from the first", async () => {
  const set = (name: string, count: number) =>
    Object.fromEntries(
      ["pos", "neg"].flatMap((label) =>
        Array.from({ length: count }, (_, i) => [`${name}/${label}/${i}.txt`, `${label} ${name} ${i}`]),
      ),
    );
  await withFolder({ ...set("train", 10), ...set("test", 3), "train/unsup/1.txt": "x" }, async () => {
    const { train, val, test, labels, source, split } = await loadDataset({ file: "d" });
    assert.equal([train.size, val.size, test.size, labels, split], [18, 2, 6, ["neg", "pos"], "given"]);
    assert.match(source, "d: train, of which 2 rows");
    assert.match(`${test.text(0)}`, / test /);
  });
  await withFolder({ ...set("train", 4), ...set("dev", 1), ...set("test", 1) }, async () => {
    const { train, val, test } = await loadDataset({ file: "d" });
    assert.equal([train.size, val.size, test.size], [8, 2, 2]);
  });
});

test("fastText's lines: words with __label__ are the labels, the others the text", async () => {
  const lines = "__label__a one two\n\n__label__b __label__a  three\u00e4\r\n__label__b four\n__label__a five\n";
  const load = (content: string, options: DatasetOptions = {}, name = "x.txt") =>
    loadDataset({ file: bytesReader(name, new TextEncoder().encode(content)) }, { ...ALL, ...options });
  const several = await load(lines, { objective: "multi-label" }, "cooking.train");
  assert.equal(several.labels, ["a", "b"]);
  assert.equal(
    [0, 1, 2].map((row) => several.train.text(row)),
    ["one two", "threeä", "four"],
  );
  assert.equal(
    [0, 1, 2].map((row) => [...several.train.values(row)]),
    [
      [1, 0],
      [1, 1],
      [0, 1],
    ],
  );
  const { labels, stats } = await load(lines);
  assert.equal([labels, stats.combined?.labels], [["a", "b", "b|a"], ["b|a"]]);
  registerFile("cooking.valid", new Blob([lines]));
  assert.is((await loadDataset({ file: "cooking.valid" }, ALL)).train.size, 4);
  forgetFile("cooking.valid");
  await assertFails("row-without-label", ["x.txt:3"], () => load("__label__a one\n\nno label\n"));
  await assertFails("option-without-effect", ["labelColumn"], () => load(lines, { labelColumn: "a" }));
});
