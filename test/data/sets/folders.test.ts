/** Texts in a folder a class. */
import * as assert from "uvu/assert";
import type { DatasetOptions } from "../../../src/data/dataset-options.ts";
import { loadDataset } from "../../../src/data/datasets.ts";
import { forgetFile, registerFile } from "../../../src/platform/files.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { allTexts, sizesOf } from "../../helpers/tiny.ts";

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
    assert.equal(
      [labels, allTexts(train)],
      [
        ["neg", "pos"],
        ["bad \u2026", "good\nfilm", "fine"],
      ],
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
    const data = await loadDataset({ file: "d" });
    assert.equal([sizesOf(data), data.labels, data.split], [[18, 2, 6], ["neg", "pos"], "given"]);
    assert.match(data.source, "d: train, of which 2 rows");
    assert.match(`${data.test.text(0)}`, / test /);
  });
  await withFolder({ ...set("train", 4), ...set("dev", 1), ...set("test", 1) }, async () => {
    assert.equal(sizesOf(await loadDataset({ file: "d" })), [8, 2, 2]);
  });
});
