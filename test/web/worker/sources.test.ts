/** The page's worker: the models and data that it opens, and what it says of the data. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { LoadedDataset } from "../../../src/data/datasets.ts";
import type { Block } from "../../../src/document/blocks.ts";
import type { RunSettings } from "../../../src/train/settings.ts";
import { describeData } from "../../../src/web/worker/describe.ts";
import { openData, openModel, pick } from "../../../src/web/worker/sources.ts";
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

/** What the page shows: its texts, and the cells of its tables. */
const shownTexts = (blocks: readonly Block[]): string[] =>
  blocks.flatMap((block) => {
    if (block.kind === "details") return shownTexts(block.blocks);
    return block.kind === "table" ? block.rows.map(String) : "text" in block ? block.text : [];
  });

test("texts as the terminal has them, their beginning, and sets that are too small", async () => {
  const model = await openModel("gpt2-micro");
  const read = async (source: RunSettings) => {
    const { data } = await openData({ objective: "lm", ...source, maxLength: 16 }, model);
    const { blocks } = structuredClone(await describeData(data, model));
    return shownTexts(blocks);
  };
  const lines = Array.from({ length: 40 }, (_, i) => `Line ${i} of a poem about the sea.`);
  pick([new File([lines.join("\n")], "poem.txt")]);
  const poem = await read({ data: "poem.txt" });
  assert.is(poem[0], "data: poem.txt, blocks of at most 16 tokens");
  assert.match(poem[1]!, /^Training,1,/);
  assert.equal(poem.slice(4, 6), [
    "the validation set has only 31 tokens: its perplexity says little",
    "the test set has only 40 tokens: its perplexity says little",
  ]);
  assert.match(poem.at(-1)!, /^Line 0 of a poem about the sea\. Line 1/);
  // The same name with another text.
  pick([new File(["Something else.\nIt is short.\nThe end.\n"], "poem.txt")]);
  assert.match((await read({ data: "poem.txt" })).at(-1)!, /^Something else/);
});

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

test("skipped rows have a line and a reason; unequal classes are reported", async () => {
  const data = await tinyData(`${messages(20, ["ham", "spam", "ham"])}ham,x,y\n`, { skipFaulty: true });
  const model = await openModel("gpt2-micro");
  const { blocks, known } = await describeData(data, model);
  assert.is(known.rows, data.train.size);
  const texts = shownTexts(structuredClone(blocks)).join("\n");
  for (const words of ["1 invalid rows were skipped", ":62: The row has the wrong number", "loss weighted by class"])
    assert.ok(texts.includes(words), `${words}: ${texts}`);
});
