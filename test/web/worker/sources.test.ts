/** The page's worker: the models and data that it opens, and what it says of the data. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { LoadedDataset } from "../../../src/data/datasets.ts";
import type { LoadedTexts } from "../../../src/data/texts.ts";
import type { RunSettings } from "../../../src/run/settings.ts";
import { describeData } from "../../../src/web/worker/describe.ts";
import { openData, openModel, pick } from "../../../src/web/worker/sources.ts";
import { describeTexts } from "../../../src/web/worker/texts.ts";
import { temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { messages, tinyData, tinyModel } from "../../helpers/tiny.ts";

test("calls at the same time share one model, and it can be read while another one is opened", async () => {
  const folder = temporaryFolder();
  const [first, second] = [tinyModel(join(folder, "first")), tinyModel(join(folder, "second"))];
  const [one, same] = await Promise.all([openModel(first), openModel(first)]);
  assert.is(one, same);
  const other = await openModel(second);
  assert.is.not(other, one);
  for (const model of [one, other]) assert.is((await model.read("wte.weight", 0, 1)).length, 16);
  await Promise.all([one.close(), other.close()]);
});

test("a model that could not be opened is tried again at the next request", async () => {
  const directory = join(temporaryFolder(), "later");
  await openModel(directory).then(
    () => assert.unreachable(),
    () => {},
  );
  tinyModel(directory);
  const model = await openModel(directory);
  assert.is(model.directory, directory);
  await model.close();
});

test("texts: documents, tokens and blocks are counted, the preview is the beginning, small sets are named", async () => {
  const model = await openModel("gpt2-micro");
  const read = async (source: RunSettings, maxLength = 16) => {
    const settings: RunSettings = { objective: "lm", ...source, maxLength };
    const { data } = await openData(settings, model);
    return describeTexts(data as LoadedTexts, settings, model);
  };
  const bundled = await read({ dataset: "human-rights" }, 64);
  assert.is(bundled.documents, 1);
  assert.equal([bundled.stats.val.tokens, bundled.maxLength, bundled.notes], [199, 64, []]);
  assert.match(bundled.preview, /^Preamble\nWhereas recognition/);

  const lines = Array.from({ length: 40 }, (_, i) => `Line ${i} of a poem about the sea.`);
  const jsonl = lines.map((text) => JSON.stringify({ text })).join("\n");
  pick([new File([lines.join("\n")], "poem.txt"), new File(["\uFEFFOne.\nTwo.\nThree.\n"], "tiny.txt")]);
  pick([new File([`${jsonl}\n{"text":""}\n`], "poems.jsonl")]);
  const poem = await read({ data: "poem.txt" });
  assert.is(poem.documents, 1);
  assert.equal(poem.notes, [
    "The validation set has only 31 tokens: its perplexity says little",
    "The test set has only 40 tokens: its perplexity says little",
  ]);
  const poems = await read({ data: ["poems.jsonl"] });
  assert.is(poems.documents, 40);
  assert.match(poems.preview, /^Line \d+ of a poem about the sea\.\nLine/);
  assert.is(poems.notes.at(-1), "1 empty document was skipped");
  // The same name with another text, and another text beside it.
  pick([new File(["Something else.\nIt is short.\nThe end.\n"], "poem.txt")]);
  assert.match((await read({ data: "poem.txt" })).preview, /^Something else/);
  const both = await read({ data: ["poem.txt", "tiny.txt"] });
  assert.equal([both.documents, both.stats.train.documents], [2, 2]);
});

const NO_COLUMNS = { columns: [], text: null, label: null };

test("a bundled data set keeps all rows, as in the terminal, unless it is to be balanced", async () => {
  const model = await openModel("gpt2-micro");
  const read = async (more: RunSettings) => {
    const { stats } = (await openData({ dataset: "spam", ...more }, model)).data as LoadedDataset;
    return [stats.rowsRead, stats.train.rows + stats.val.rows + stats.test.rows];
  };
  const [rows, used] = await read({});
  assert.is(used, rows);
  const [, balanced] = await read({ balance: true });
  assert.ok(balanced! < rows!);
});

test("skipped rows have a line, a reason and a hint without flags; unequal classes are reported", async () => {
  const invalid = new Uint8Array([
    ...new TextEncoder().encode(messages(20, ["ham", "spam", "ham"]).replace(/"\n$/, ' größer"\n')),
    104,
    0xe4,
    44,
    120,
    10,
  ]);
  const data = await tinyData(invalid, { skipFaulty: true });
  const { problems, problemCount, notes } = describeData(data, NO_COLUMNS);
  assert.is(problemCount, 1);
  assert.equal(problems, [
    {
      line: 62,
      text: 'The text is not UTF-8 (expected UTF-8; found byte 0xe4 in "label")',
      hint: "save the file as UTF-8, or read it with the encoding windows-1252 or another one",
    },
  ]);
  assert.is(notes[0], "The classes are unequal: their loss is weighted by class");
  assert.match(describeData(data, NO_COLUMNS, "none").notes[0]!, /not weighted/);
});
