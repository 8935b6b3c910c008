/** From rows to batches: balancing, shuffling, splitting, packing, padding, epochs and evaluation. */
import * as assert from "uvu/assert";
import { bytesReader, Corpus, type PackedBatch, type ReadOptions } from "../../src/data/corpus.ts";
import { Dataset, type DatasetBatch } from "../../src/data/dataset.ts";
import { evaluationBatches, Loader, maxBatchTokens } from "../../src/data/loader.ts";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { DataModule } from "../../src/data/wasm.ts";
import { Rng } from "../../src/rng.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { allTexts } from "../helpers/tiny.ts";

const END_OF_TEXT = 50256;
let module: DataModule;
let tokenizer: Tokenizer;

async function buildDataset(
  rows: [label: string, text: string][],
  options: Partial<ReadOptions> = {},
): Promise<Dataset> {
  const lines = rows.map(([label, text]) => JSON.stringify({ label, text })).join("\n");
  const corpus = new Corpus(module);
  const file = bytesReader("a.jsonl", new TextEncoder().encode(lines));
  const read = { labelsAre: "class" as const, maxLength: 1024, chunkBytes: 100, ...options };
  return new Dataset(corpus, await corpus.read(file, read));
}

/** Rows of the classes "a" and "b" in turns. */
const inTurns = (texts: readonly string[]) => texts.map((text, i): [string, string] => ["ab"[i % 2]!, text]);

/** `size` rows with texts "0", "1", ... of one to nine words; every third of class "b", every seventh of class "c". */
function numbered(size: number): Promise<Dataset> {
  return buildDataset(
    Array.from({ length: size }, (_, i) => [
      i % 7 === 0 ? "c" : i % 3 === 0 ? "b" : "a",
      `${i}${" word".repeat(i % 9)}`,
    ]),
  );
}

function classCounts(dataset: Dataset): number[] {
  return Object.values(dataset.stats().classes);
}

/** The ids of sequence `i` of a batch, padding included. */
function sequence(batch: PackedBatch, i: number): number[] {
  return Array.from(batch.ids.subarray(batch.starts[i], batch.starts[i + 1]));
}

test("loads", async () => {
  [module, tokenizer] = await Promise.all([DataModule.load(), Tokenizer.load()]);
});

test("rows hold the tokenizer's ids, classes and texts", async () => {
  const texts = ["Hello, world!", "naïve café 😀", "  two\n lines  ", "free £1000 prize"];
  const dataset = await buildDataset(texts.map((text, i) => [String(i % 2), text]));
  assert.equal(allTexts(dataset), texts);
  assert.equal([...dataset.labels], ["0", "1"]);
  const batch = dataset.batch([3, 0, 1, 2]);
  [3, 0, 1, 2].forEach((row, i) => {
    const ids = Array.from(tokenizer.encode(texts[row]!));
    assert.equal(sequence(batch, i), ids);
    assert.is(dataset.tokenCount(row), ids.length);
    assert.is(dataset.label(row), row % 2);
  });
  assert.is(batch.ids.length, batch.starts[4]);
  assert.equal(Array.from(batch.labels), [1, 0, 1, 0]);
});

test("long texts keep their first tokens, empty ones become the end of text; both are counted", async () => {
  const texts = ["one two three four five six", "", "one two three"];
  const dataset = await buildDataset(inTurns(texts), { maxLength: 3 });
  const batch = dataset.batch([0, 1, 2]);
  const ids = Array.from(tokenizer.encode("one two three"));
  assert.equal(sequence(batch, 0), ids);
  assert.equal(sequence(batch, 1), [END_OF_TEXT]);
  assert.equal(sequence(batch, 2), ids);
  assert.equal(dataset.stats(), {
    ...{ rows: 3, tokens: 7, mean: 7 / 3, median: 3, p95: 3, max: 3 },
    ...{ cut: 1, cutShare: 1 / 3, empty: 1, classes: { a: 2, b: 1 } },
  });
  assert.is(dataset.text(0), "one two three four five six");
});

test("the median of an even number of rows is the mean of the middle two", async () => {
  const dataset = await buildDataset(inTurns(["one", "one two", "one two three four", "one two three"]));
  assert.is(dataset.stats().median, 2.5);
});

test("packed: sequences are concatenated without padding", async () => {
  const dataset = await buildDataset(inTurns([" word word", " word"]));
  const id = tokenizer.encode(" word")[0]!;
  const batch = dataset.batch([1, 0]);
  assert.equal(batch, {
    positions: Uint32Array.of(1, 0),
    ids: Uint32Array.of(id, id, id),
    starts: Uint32Array.of(0, 1, 3),
    labels: Int32Array.of(1, 0),
    lengths: Uint32Array.of(1, 2),
  });
});

test("padded: every row has the same number of tokens, longer ones are cut, lengths are the real ones", async () => {
  const dataset = await buildDataset(inTurns([" word word word", " word"]));
  const id = tokenizer.encode(" word")[0]!;
  const two = dataset.padded(2);
  assert.equal(two.batch([0, 1]), {
    positions: Uint32Array.of(0, 1),
    ids: Uint32Array.of(id, id, id, END_OF_TEXT),
    starts: Uint32Array.of(0, 2, 4),
    labels: Int32Array.of(0, 1),
    lengths: Uint32Array.of(2, 1),
  });
  assert.is(two.stats().cut, 1);
  assert.is(two.tokenCount(0), 2);
  assert.is(two.batchTokenCount(1), 2);
  assert.equal(sequence(dataset.padded(4).batch([1]), 0), [id, END_OF_TEXT, END_OF_TEXT, END_OF_TEXT]);
  assert.is(maxBatchTokens(two, 5), 4);
});

test("balance keeps as many rows of each class as the smallest has, in order, by the seed", async () => {
  const dataset = await numbered(200);
  const balanced = dataset.balance(5);
  assert.equal(classCounts(dataset), [114, 57, 29]);
  assert.equal(classCounts(balanced), [29, 29, 29]);
  const numbers = allTexts(balanced).map(Number.parseFloat);
  assert.equal(
    numbers,
    [...numbers].sort((a, b) => a - b),
  );
  assert.is(new Set(numbers).size, numbers.length);
  assert.equal(allTexts(dataset.balance(5)), allTexts(balanced));
  assert.not.equal(allTexts(dataset.balance(6)), allTexts(balanced));
  // Each row of a class has the same chance: over many seeds the kept "a" rows are spread evenly.
  const kept = new Map<string, number>();
  for (let seed = 0; seed < 200; seed++) {
    for (const text of allTexts(dataset.balance(seed))) kept.set(text, (kept.get(text) ?? 0) + 1);
  }
  const aRows = allTexts(dataset).filter((_, i) => dataset.label(i) === 0);
  const expected = (200 * 29) / 114;
  for (const text of aRows) assert.ok(Math.abs((kept.get(text) ?? 0) - expected) < 30, `${text}: ${kept.get(text)}`);
});

test("shuffle is the seed's Fisher and Yates, the same as in TypeScript", async () => {
  const dataset = await numbered(100);
  for (const seed of [0, 1, 12345, 0xffffffff]) {
    assert.equal(allTexts(dataset.shuffle(seed)), new Rng(seed).shuffle(allTexts(dataset)));
  }
  const stream = new Rng(new Rng(7).next() + 3);
  assert.equal(Array.from(dataset.order(7, 3)), Array.from(stream.shuffle(dataset.positions())));
});

test("split parts are disjoint, complete and of the paper's sizes", async () => {
  // The SMS collection after balancing: 0.1 * 1494 must not lose a row to rounding, nor 0.7 * 10 below.
  const dataset = await numbered(1494);
  const parts = dataset.shuffle(2).split([0.7, 0.1, 0.2]);
  assert.equal(
    parts.map((part) => part.size),
    [1045, 149, 300],
  );
  assert.equal(parts.flatMap(allTexts).sort(), allTexts(dataset).sort());
  const ten = await numbered(10);
  assert.equal(
    ten.split([0.7, 0.1, 0.2]).map((part) => part.size),
    [7, 1, 2],
  );
  await assertFails("invalid-split", () => ten.split([0.5, 0.2]));
  await assertFails("too-few-rows", () => ten.split([0.05, 0.95]));
});

test("loader: every row once an epoch, other orders in other epochs, the same again from the seed", async () => {
  const dataset = await numbered(56);
  const loader = new Loader(dataset, { batchSize: 8, seed: 4 });
  assert.is(loader.batchesPerEpoch, 7);
  const firsts = new Set<string>();
  for (let epoch = 0; epoch < 3; epoch++) {
    const batches = [...loader.epoch(epoch)];
    const seen = batches.flatMap((batch) => Array.from(batch.labels, (_, i) => tokenizer.decode(sequence(batch, i))));
    assert.equal([...seen].sort(), allTexts(dataset).sort());
    firsts.add(seen.join("\n"));
    assert.equal([...new Loader(dataset, { batchSize: 8, seed: 4 }).epoch(epoch)], batches);
    assert.equal([...loader.epoch(epoch, 5)], batches.slice(5), "resumes in the middle");
  }
  assert.is(firsts.size, 3);
});

test("loader: the last incomplete batch is dropped; a batch has the rows of the epoch's order", async () => {
  const dataset = await numbered(21);
  const loader = new Loader(dataset, { batchSize: 4, seed: 1 });
  const batches = [...loader.epoch(9)];
  assert.is(loader.batchesPerEpoch, 5);
  assert.is(batches.length, 5);
  assert.is(loader.order(9).length, 21);
  assert.equal(batches[1], dataset.batch(loader.order(9).subarray(4, 8)));
  for (const batchSize of [0, 22, 1.5]) {
    await assertFails("invalid-batch-size", () => new Loader(dataset, { batchSize, seed: 1 }));
  }
});

test("loader: batches of like length, every row once, in an order that hangs on the seed and the epoch", async () => {
  const rng = new Rng(8);
  const dataset = await buildDataset(
    Array.from({ length: 1003 }, (_, i) => [i % 2 ? "a" : "b", `${i}${" word".repeat(rng.below(60))}`]),
  );
  const options = { batchSize: 8, seed: 4 };
  const loader = new Loader(dataset, { ...options, batching: "length" });
  const firsts = new Set<string>();
  for (let epoch = 0; epoch < 3; epoch++) {
    const order = loader.order(epoch);
    assert.equal(
      [...order].sort((a, b) => a - b),
      [...dataset.positions()],
    );
    assert.equal([...new Loader(dataset, { ...options, batching: "length" }).order(epoch)], [...order]);
    const batches = [...loader.epoch(epoch)];
    assert.is(batches.length, 125);
    assert.equal([...loader.epoch(epoch, 100)], batches.slice(100), "resumes in the middle");
    firsts.add([...order.subarray(0, 8)].join());
  }
  assert.is(firsts.size, 3);

  const spread = (of: Loader<DatasetBatch>) => {
    const all = [...of.epoch(0)];
    return all.reduce((sum, { lengths }) => sum + Math.max(...lengths) - Math.min(...lengths), 0) / all.length;
  };
  assert.ok(spread(loader) < spread(new Loader(dataset, options)) / 10);
  const means = [...loader.epoch(0)].map(({ ids, labels }) => ids.length / labels.length);
  const rises = means.filter((mean, i) => i > 0 && mean > means[i - 1]!).length;
  assert.ok(rises > 40 && rises < 86, `${rises} of 125 batches are longer than the one before: not shuffled`);
});

test("no batch has more tokens than maxBatchTokens says", async () => {
  const dataset = await numbered(60);
  const capacity = maxBatchTokens(dataset, 6);
  const longest = Array.from(dataset.lengths).sort((a, b) => b - a);
  assert.is(
    capacity,
    longest.slice(0, 6).reduce((a, b) => a + b, 0),
  );
  assert.is(maxBatchTokens(dataset, 1000), dataset.stats().tokens);
  const loader = new Loader(dataset, { batchSize: 6, seed: 1 });
  for (let epoch = 0; epoch < 20; epoch++) {
    for (const batch of loader.epoch(epoch)) assert.ok(batch.ids.length <= capacity);
  }
});

test("evaluation: all rows in order, as many a batch as the capacity holds", async () => {
  const dataset = await numbered(60);
  for (const [tokens, sequences] of [
    [30, 8],
    [12, 100],
    [1000, 7],
    [1000, 1000],
  ] as const) {
    const batches = [...evaluationBatches(dataset, { tokens, sequences })];
    const seen = batches.flatMap((batch) => Array.from(batch.labels, (_, i) => tokenizer.decode(sequence(batch, i))));
    assert.equal(seen, allTexts(dataset));
    batches.forEach((batch, i) => {
      assert.ok(batch.ids.length <= tokens && batch.labels.length <= sequences);
      const next = batches[i + 1];
      const full = batch.labels.length === sequences || (next && batch.ids.length + next.starts[1]! > tokens);
      assert.ok(!next || full, "a batch could have held the next row");
    });
  }
  const some = [...evaluationBatches(dataset, { tokens: 40, sequences: 4 }, 10)];
  assert.is(
    some.reduce((n, batch) => n + batch.labels.length, 0),
    10,
  );
  await assertFails("row-exceeds-batch", () => [...evaluationBatches(dataset, { tokens: 5, sequences: 4 })]);
  await assertFails("row-exceeds-batch", () => [...evaluationBatches(dataset, { tokens: 50, sequences: 0 })]);
});

test("texts come back from their tokens: whole where they were cut", async () => {
  const texts = ["", "<|endoftext|>", "a\tb\n c", "na\u00efve \u{1f468}\u200d\u{1f4bb} \u0000", "word ".repeat(500)];
  const dataset = await buildDataset(
    texts.map((text) => ["a", text]),
    { maxLength: 2 },
  );
  // Others in between: a text is made in memory that the next one uses.
  for (const i of [4, 0, 1, 2, 3, 4]) assert.is(dataset.text(i), texts[i]);
});

test("rows that do not exist and rows of another load are errors", async () => {
  const dataset = await buildDataset(inTurns(["hello", "you"]));
  for (const i of [-1, 2, 0.5, Number.NaN]) await assertFails("index-out-of-range", () => dataset.label(i));
  await numbered(3);
  await assertFails("data-released", () => dataset.batch([0]));
});

test("memory does not grow with batches and orders", async () => {
  const dataset = await numbered(500);
  const loader = new Loader(dataset, { batchSize: 8, seed: 1 });
  for (const _ of loader.epoch(0));
  const before = module.exports.memory.buffer.byteLength;
  for (let epoch = 1; epoch < 50; epoch++) for (const _ of loader.epoch(epoch));
  assert.is(module.exports.memory.buffer.byteLength, before);
});
