/** From rows to batches: balancing, shuffling, packing, padding, epochs and evaluation. */
import * as assert from "uvu/assert";
import { Rng } from "../../src/core/rng.ts";
import { Corpus, type PackedBatch, type ReadOptions } from "../../src/data/corpus.ts";
import { Dataset } from "../../src/data/dataset.ts";
import { evaluationBatches, Loader, maxBatchTokens } from "../../src/data/loader.ts";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { DataModule } from "../../src/data/wasm.ts";
import { CLASS } from "../../src/labels/class.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { allTexts, fileOf, jsonLines } from "../helpers/tiny.ts";

const END_OF_TEXT = 50256;
let module: DataModule;
let tokenizer: Tokenizer;

async function buildDataset(
  rows: [label: string, text: string][],
  options: Partial<ReadOptions> = {},
): Promise<Dataset> {
  const corpus = new Corpus(module);
  const file = fileOf("a.jsonl", jsonLines(rows.map(([label, text]) => ({ label, text }))));
  const read = { labelsAre: CLASS, maxLength: 1024, chunkBytes: 100, ...options };
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

/** The ids of sequence `i` of a batch, padding included. */
function sequence(batch: PackedBatch, i: number): number[] {
  return Array.from(batch.ids.subarray(batch.starts[i], batch.starts[i + 1]));
}

test("loads", async () => {
  [module, tokenizer] = await Promise.all([DataModule.load(), Tokenizer.load()]);
});

test("rows hold the tokenizer's ids, classes and texts, also where they are cut", async () => {
  const texts = [
    "Hello, world!",
    "naïve café 👨‍💻 \u0000",
    "  two\n lines\t",
    "<|endoftext|>",
    "",
    "word ".repeat(500),
  ];
  for (const maxLength of [1024, 2]) {
    const dataset = await buildDataset(
      texts.map((text, i) => [String(i % 2), text]),
      { maxLength },
    );
    assert.equal([...dataset.labels], ["0", "1"]);
    // Others in between: a text is made in memory that the next one uses.
    const rows = [5, 3, 0, 1, 2, 4, 5];
    const batch = dataset.batch(rows);
    for (const [i, row] of rows.entries()) {
      const ids = texts[row] === "" ? [END_OF_TEXT] : Array.from(tokenizer.encode(texts[row]!)).slice(0, maxLength);
      assert.equal([sequence(batch, i), dataset.tokenCount(row)], [ids, ids.length]);
      assert.equal([dataset.text(row), dataset.label(row), batch.labels[i]], [texts[row], row % 2, row % 2]);
    }
    assert.is(batch.ids.length, batch.starts[rows.length]);
  }
});

test("statistics count what is cut and empty; the median of an even number of rows is that of the middle two", async () => {
  const dataset = await buildDataset(inTurns(["one two three four five six", "", "one two three"]), { maxLength: 3 });
  assert.equal(dataset.stats(), {
    ...{ rows: 3, tokens: 7, mean: 7 / 3, median: 3, p95: 3, max: 3 },
    ...{ cut: 1, cutShare: 1 / 3, empty: 1, classes: { a: 2, b: 1 } },
  });
  const even = await buildDataset(inTurns(["one", "one two", "one two three four", "one two three"]));
  assert.is(even.stats().median, 2.5);
});

test("packed without padding; padded to one number of tokens, longer rows cut, lengths the real ones", async () => {
  const dataset = await buildDataset(inTurns([" word word word", " word"]));
  const id = tokenizer.encode(" word")[0]!;
  const two = dataset.padded(2);
  const rows = { positions: Uint32Array.of(1, 0), labels: Int32Array.of(1, 0) };
  const packed = {
    ids: Uint32Array.of(id, id, id, id),
    starts: Uint32Array.of(0, 1, 4),
    lengths: Uint32Array.of(1, 3),
  };
  assert.equal(dataset.batch([1, 0]), { ...rows, ...packed });
  const ids = Uint32Array.of(id, END_OF_TEXT, id, id);
  assert.equal(two.batch([1, 0]), { ...rows, ids, starts: Uint32Array.of(0, 2, 4), lengths: Uint32Array.of(1, 2) });
  assert.equal([two.stats().cut, two.tokenCount(0), two.batchTokenCount(1), maxBatchTokens(two, 5)], [1, 2, 2, 4]);
  assert.equal(sequence(dataset.padded(4).batch([1]), 0), [id, END_OF_TEXT, END_OF_TEXT, END_OF_TEXT]);
});

test("balance keeps as many rows of each class as the smallest has, in order, by the seed", async () => {
  const dataset = await numbered(200);
  const classCounts = (set: Dataset) => Object.values(set.stats().classes);
  assert.equal([classCounts(dataset), classCounts(dataset.balance(5))].map(String), ["114,57,29", "29,29,29"]);
  const places = (seed: number) => {
    const set = dataset.balance(seed);
    return Array.from(set.positions(), (i) => set.place(i));
  };
  const kept = new Set(places(5));
  assert.equal([[...kept].sort((a, b) => a - b), kept.size], [places(5), 87]);
  // Each row of a class has the same chance: over many seeds the kept "a" rows are spread evenly.
  const counts = new Uint32Array(200);
  for (let seed = 0; seed < 200; seed++) for (const row of places(seed)) counts[row]!++;
  const expected = (200 * 29) / 114;
  for (const row of dataset.positions())
    if (dataset.label(row) === 0) assert.ok(Math.abs(counts[row]! - expected) < 30, `${row}: ${counts[row]}`);
});

test("shuffle is the seed's Fisher and Yates, the same as in TypeScript", async () => {
  const dataset = await numbered(100);
  for (const seed of [0, 1, 12345, 0xffffffff]) {
    assert.equal(allTexts(dataset.shuffle(seed)), new Rng(seed).shuffle(allTexts(dataset)));
  }
  const stream = new Rng(new Rng(7).next() + 3);
  assert.equal(Array.from(dataset.order(7, 3)), Array.from(stream.shuffle(dataset.positions())));
});

test("loader: every row once an epoch, other orders in other epochs, the same again from the seed", async () => {
  const rng = new Rng(8);
  const dataset = await buildDataset(
    Array.from({ length: 1003 }, (_, i) => ["ab"[i % 2]!, `${i}${" word".repeat(rng.below(60))}`]),
  );
  const open = () => new Loader(dataset, { batchSize: 8, seed: 4 });
  const loader = open();
  const firsts = new Set<string>();
  for (let epoch = 0; epoch < 3; epoch++) {
    const order = loader.order(epoch);
    assert.equal(
      [...order].sort((a, b) => a - b),
      [...dataset.positions()],
    );
    assert.equal(open().order(epoch), order);
    // The last incomplete batch is dropped.
    const batches = [...loader.epoch(epoch)];
    assert.equal([batches.length, loader.batchesPerEpoch], [125, 125]);
    assert.equal([...loader.epoch(epoch, 100)], batches.slice(100), "resumes in the middle");
    assert.equal(batches[1], dataset.batch(order.subarray(8, 16)));
    firsts.add([...order.subarray(0, 8)].join());
  }
  assert.is(firsts.size, 3);
  for (const batchSize of [0, 1004, 1.5])
    await assertFails("invalid-batch-size", () => new Loader(dataset, { batchSize, seed: 1 }));
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
