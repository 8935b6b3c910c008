/** The page's worker as it ships: it reads sentences with tags, learns them, tries a text and labels tables. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { addTiny, PageBrowser, pickedFile, TINY_RUN } from "../../helpers/page-worker.ts";
import { spelled, tinyModel } from "../../helpers/tiny.ts";

const base = tinyModel(join(temporaryFolder(), "tiny"));
const SENTENCES = [
  "Ann B-PER\nLee I-PER\nsleeps O\n",
  "we O\nmet O\nAnn B-PER\nin O\nRome B-LOC\n",
  "Ann B-PER\nmet O\nAnn B-PER\n",
  "it O\nrains O\n",
];
const CONLL = Array.from({ length: 40 }, (_, i) => `${SENTENCES[i % 4]}${spelled(i)} O\n`).join("\n");
const SETTINGS = {
  ...TINY_RUN,
  objective: "tokens",
  data: "words.conll",
  epochs: 12,
  evalEvery: 20,
  lr: 0.02,
} as const;

test("a CoNLL file is read, learned, tried and used on a table", async () => {
  const tab = await new PageBrowser().open();
  await addTiny(tab, base);
  await tab.call("pick", [pickedFile("words.conll", CONLL)]);
  const { blocks, known } = await tab.call("readData", SETTINGS);
  assert.is(known.rows, 28);
  assert.match(JSON.stringify(blocks), /"Sentences".*"Words by tag".*"B-LOC".*Ann\/B-PER/);

  const { id, state, record } = await tab.train(SETTINGS);
  assert.is(state, "finished");
  assert.is(record.objective, "tokens");
  const { adapter } = await tab.call("classify", id, "Ann Lee sleeps");
  assert.ok("entities" in adapter);
  assert.equal(
    adapter.entities.map(({ label, text, start }) => [label, text, start]),
    [["PER", "Ann Lee", 0]],
  );

  // A row counts once for each type of entity that it has.
  const lines = "we met Ann in Rome\nAnn met Ann\nit rains";
  const { rows, labels, preview, file } = await tab.call("label", id, lines, {});
  assert.equal([rows, labels], [3, { PER: 2, LOC: 1 }]);
  assert.equal(
    preview.map(({ label, probability }) => [label, probability]),
    [
      ["PER: Ann | LOC: Rome", null],
      ["PER: Ann | PER: Ann", null],
      ["", null],
    ],
  );
  assert.match(await file.text(), /^text,entities\r\nwe met Ann in Rome,"\[{""label"":""PER"",""text"":""Ann"",/);

  await tab.call("pick", [pickedFile("words.conll", "text,label\n")]);
  const { error } = await tab.call("readData", SETTINGS);
  assert.equal([error?.code, error?.where], ["tags-differ-from-words", "words.conll:1"]);
});
