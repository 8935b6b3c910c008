/** Pairs of texts: their tokens at every length, errors of rows, duplicates. */
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import type { Pair } from "../../src/core/pair.ts";
import { Rng } from "../../src/core/rng.ts";
import { Corpus, type ReadOptions } from "../../src/data/corpus.ts";
import { Dataset } from "../../src/data/dataset.ts";
import type { DatasetOptions } from "../../src/data/dataset-options.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { readSource } from "../../src/data/sets/source.ts";
import { loadTexts } from "../../src/data/text/texts.ts";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { DataModule } from "../../src/data/wasm.ts";
import { CLASS } from "../../src/labels/class.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { fileOf, jsonLines } from "../helpers/tiny.ts";

const END = 50256;
let module: DataModule;
let tokenizer: Tokenizer;

test("loads", async () => {
  [module, tokenizer] = await Promise.all([DataModule.load(), Tokenizer.load()]);
});

/** How many tokens are kept of each text: `truncate_encodings` with LongestFirst of the library tokenizers 0.23. */
function longestFirst(first: number, second: number, most: number): [number, number] {
  if (first + second <= most) return [first, second];
  let [n1, n2] = [first, second];
  const swap = n1 > n2;
  if (swap) [n1, n2] = [n2, n1];
  n2 = n1 > most ? n1 : Math.max(n1, most - n1);
  if (n1 + n2 > most) {
    n1 = Math.floor(most / 2);
    n2 = n1 + (most % 2);
  }
  return swap ? [n2, n1] : [n1, n2];
}

/** The ids of a pair of at most `longest` tokens. */
function reference([first, second]: Pair, longest: number): number[] {
  const [a, b] = [[...tokenizer.encode(first)], [...tokenizer.encode(second)]];
  const [keptA, keptB] = longestFirst(a.length, b.length, longest - 1);
  return [...a.slice(0, keptA), END, ...b.slice(0, keptB)];
}

const PAIRS: readonly Pair[] = [
  ["When do you close?", "At six."],
  ["", "Only the second, which is longer than the longest row of some"],
  ["Only the first, with a naïve café 😀 and a long end", ""],
  ["", ""],
  ['a "quoted", comma', "tab-free <|endoftext|> text"],
];
const table = PAIRS.map(([premise, hypothesis], i) => ({ premise, label: "ab"[i % 2]!, hypothesis }));
const FILES: Record<string, string> = {
  "a.jsonl": jsonLines(table),
  "nested.jsonl": jsonLines(table.map(({ label, ...row }) => ({ label, pair: row, other: 1 }))),
};

async function readFile(name: string, options: Partial<ReadOptions> = {}): Promise<Dataset> {
  const corpus = new Corpus(module);
  const nested = name === "nested.jsonl" ? { textColumn: "pair.premise,pair.hypothesis" } : {};
  const read = { labelsAre: CLASS, maxLength: 1024, chunkBytes: 7, ...nested, ...options };
  return new Dataset(corpus, await corpus.read(fileOf(name, FILES[name]!), read));
}

/** The ids of each row, without padding. */
const sequences = (set: Dataset) => {
  const { ids, starts, lengths } = set.batch(set.positions());
  return Array.from(lengths, (length, i) => [...ids.subarray(starts[i], starts[i]! + length)]);
};

test("in keys and in nested objects the ids are those of the first text, the end of a text, those of the second", async () => {
  for (const name of Object.keys(FILES)) {
    const set = await readFile(name);
    assert.equal(sequences(set), PAIRS.map((pair) => reference(pair, 1024)), name); // biome-ignore format: short
    assert.equal(PAIRS.map((_, i) => set.text(i)), PAIRS, name); // biome-ignore format: short
    assert.is(set.stats().empty, 3, "one of both texts is empty");
  }
});

test("at every length the longer text is cut first, when read, in a padded batch and in a classifier", async () => {
  const rng = new Rng(5);
  const words = () => " word".repeat(rng.below(9));
  const pairs = [...PAIRS, ...Array.from({ length: 60 }, (): Pair => [words(), words()])];
  FILES["words.jsonl"] = jsonLines(pairs.map(([premise, hypothesis], i) => ({ premise, hypothesis, label: i % 2 })));
  for (let maxLength = 1; maxLength <= 20; maxLength++) {
    const expected = pairs.map((pair) => reference(pair, maxLength));
    const cut = await readFile("words.jsonl", { maxLength });
    assert.equal(sequences(cut), expected, `at most ${maxLength}`);
    assert.is(cut.stats().cut, pairs.filter((pair) => reference(pair, 1024).length > maxLength).length);
    const whole = await readFile("words.jsonl");
    assert.equal(sequences(whole.padded(maxLength)), expected, `padded to ${maxLength}`);
    for (const [i, pair] of pairs.entries()) {
      assert.equal([...tokenizer.encodeRow(pair, maxLength)], expected[i]);
    }
  }
});

const load = (name: string, content: string | Uint8Array, options: DatasetOptions = {}) =>
  loadDataset({ file: fileOf(name, content) }, options);
/** Files of one set. */
const readBoth = (first: string, second: string) =>
  readSource(new Corpus(module), [fileOf("first.csv", first), fileOf("second.csv", second)], {
    ...{ labelsAre: CLASS, maxLength: 9, chunkBytes: 99 },
  });

test("what is no pair, or half a pair, is refused by its column and file", async () => {
  const good = { question: "q", answer: "a", label: "x" };
  // More valid characters than invalid ones: one row is wrong, not the encoding of the file.
  const bytes = new TextEncoder().encode("question,answer,label\né,é,x\nq,?,y\n");
  bytes[bytes.indexOf(63)] = 0xff;
  const [pairs, single] = ["question,answer,label\nq,a,x\nq,b,y\n", "text,label\nq,x\nq,y\n"];
  assert.is((await readBoth(pairs, pairs)).size, 4);
  for (const [code, words, work] of [
    ["no-such-key", ['"answer"', "a.jsonl:2"], () => load("a.jsonl", jsonLines([good, { question: "q", label: "x" }]))],
    ["invalid-text-encoding", ['"answer"', "a.csv:3"], () => load("a.csv", bytes)],
    ["wrong-text-count", ["second.csv", "pairs"], () => readBoth(pairs, single)],
    ["wrong-text-count", ["second.csv", "single"], () => readBoth(single, pairs)],
    [
      "value-not-text",
      ['"question,answer"'],
      () => loadTexts({ file: fileOf("a.jsonl", jsonLines([good])) }, { textColumn: "question,answer" }),
    ],
  ] as [ErrorCode, string[], () => unknown][])
    await assertFails(code, words, work);
});

test("a data set tells its columns; near-duplicates differ in neither text", async () => {
  const all = [
    ...Array.from({ length: 20 }, (_, i) => [`question ${"x".repeat(i + 1)}`, "the same answer"]),
    ["Question X!", "the same answer 1"],
    ["question x", "the same  answer, 2"],
  ].map(([question, answer], i) => ({ question, answer, label: "ab"[i % 2] }));
  const data = await load("a.jsonl", jsonLines(all), { dedupe: true });
  assert.equal(data.pairs, { columns: ["question", "answer"] });
  assert.equal([data.origin.textColumn, data.stats.copies], ["question,answer", 1]);
  const alone = await load("a.jsonl", jsonLines(all), { textColumn: "question" });
  assert.equal([alone.pairs, alone.origin.textColumn], [undefined, "question"]);
  // A label that is chosen by its contents leaves both texts in the origin.
  const named = jsonLines(table.map(({ label, ...texts }) => ({ ...texts, fits: label })));
  const { origin } = await loadDataset({ file: fileOf("a.jsonl", named) }, { fractions: [1, 0, 0] });
  assert.equal([origin.textColumn, origin.labelColumn], ["premise,hypothesis", "fits"]);
});
