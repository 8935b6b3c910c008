/**
 * Pairs of texts: their columns, their tokens in every format and at every length, errors of their rows, duplicates.
 */
import * as assert from "uvu/assert";
import { bytesReader, Corpus, type ReadOptions } from "../../src/data/corpus.ts";
import { Dataset } from "../../src/data/dataset.ts";
import type { DatasetOptions } from "../../src/data/dataset-options.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { messageColumns, readSource } from "../../src/data/sets/source.ts";
import { findColumns, findKeys } from "../../src/data/table/columns.ts";
import { parquetLines } from "../../src/data/table/parquet.ts";
import { findTextName } from "../../src/data/table/text-columns.ts";
import { loadTexts } from "../../src/data/text/texts.ts";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { DataModule } from "../../src/data/wasm.ts";
import { joinPair } from "../../src/infer/pairs.ts";
import type { Pair } from "../../src/pair.ts";
import { Rng } from "../../src/rng.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { PARQUET } from "../helpers/parquet.ts";

const END = 50256;
const encoder = new TextEncoder();
let module: DataModule;
let tokenizer: Tokenizer;

test("loads", async () => {
  [module, tokenizer] = await Promise.all([DataModule.load(), Tokenizer.load()]);
});

/** How many tokens are kept of each text: `truncate_encodings` with LongestFirst of the library tokenizers 0.23. */
function longestFirst(first: number, second: number, most: number): Pair {
  if (first + second <= most) return [`${first}`, `${second}`];
  let [n1, n2] = [first, second];
  const swap = n1 > n2;
  if (swap) [n1, n2] = [n2, n1];
  n2 = n1 > most ? n1 : Math.max(n1, most - n1);
  if (n1 + n2 > most) {
    n1 = Math.floor(most / 2);
    n2 = n1 + (most % 2);
  }
  return swap ? [`${n2}`, `${n1}`] : [`${n1}`, `${n2}`];
}

/** The ids of a pair of at most `longest` tokens. */
function reference([first, second]: Pair, longest: number): number[] {
  const [a, b] = [[...tokenizer.encode(first)], [...tokenizer.encode(second)]];
  const [keptA, keptB] = longestFirst(a.length, b.length, longest - 1).map(Number);
  return [...a.slice(0, keptA), END, ...b.slice(0, keptB)];
}

const PAIRS: readonly Pair[] = [
  ["When do you close?", "At six."],
  ["", "Only the second, which is longer than the longest row of some"],
  ["Only the first, with a naïve café 😀 and a long end", ""],
  ["", ""],
  ["one two three", "one two three"],
  ['a "quoted", comma', "tab-free <|endoftext|> text"],
  ["a b c d e f g h i j k l", "m n o p q r s t u v w x y"],
];

const csv = (rows: readonly (readonly string[])[], end: string) =>
  rows.map((row) => row.map((field) => `"${field.replaceAll('"', '""')}"`).join(",") + end).join("");
const table = PAIRS.map(([premise, hypothesis], i) => ({ premise, label: "ab"[i % 2]!, hypothesis }));
const rows = [["premise", "label", "hypothesis"], ...table.map((row) => Object.values(row))];
const FILES: Record<string, string> = {
  "lf.csv": csv(rows, "\n"),
  "crlf.csv": csv(rows, "\r\n"),
  "a.tsv": rows
    .map((row) => row.map((field) => (field.includes('"') ? `"${field.replaceAll('"', '""')}"` : field)).join("\t"))
    .join("\r\n"),
  "lines.jsonl": table.map((row) => JSON.stringify(row)).join("\n"),
  "array.json": JSON.stringify(table, null, 1),
  "nested.jsonl": table.map(({ label, ...row }) => JSON.stringify({ label, pair: row, other: 1 })).join("\n"),
};

async function readFile(name: string, options: Partial<ReadOptions> = {}): Promise<Dataset> {
  const corpus = new Corpus(module);
  const nested = name === "nested.jsonl" ? { textColumn: "pair.premise,pair.hypothesis" } : {};
  const read = { labelsAre: "class" as const, maxLength: 1024, chunkBytes: 7, ...nested, ...options };
  return new Dataset(corpus, await corpus.read(bytesReader(name, encoder.encode(FILES[name])), read));
}

const sequences = (set: Dataset) => {
  const { ids, starts } = set.batch(set.positions());
  return Array.from({ length: set.size }, (_, i) => [...ids.subarray(starts[i], starts[i + 1])]);
};

for (const name of Object.keys(FILES))
  test(`${name}: the ids are those of the first text, the end of a text, those of the second`, async () => {
    const set = await readFile(name);
    assert.equal(
      sequences(set),
      PAIRS.map((pair) => reference(pair, 1024)),
    );
    assert.equal(
      PAIRS.map((_, i) => set.text(i)),
      PAIRS,
    );
  });

test("every length: the longer text is cut first, as in the library tokenizers", async () => {
  const longest = Math.max(...PAIRS.map((pair) => reference(pair, 1024).length));
  const whole = await readFile("lf.csv");
  for (let length = 1; length <= longest; length++) {
    const expected = PAIRS.map((pair) => reference(pair, length));
    // Rows that are cut when they are read, and whole rows that are cut in a batch.
    const cut = await readFile("lf.csv", { maxLength: length });
    assert.equal(sequences(cut), expected, `at most ${length}`);
    assert.is(cut.stats().cut, PAIRS.filter((pair) => reference(pair, 1024).length > length).length);
  }
  assert.is(whole.size, PAIRS.length, "the later corpus owns the module");
});

test("padded rows are cut from the whole pair, in data.wasm and in a classifier", async () => {
  const rng = new Rng(5);
  const words = (count: number) => Array.from({ length: count }, () => " word").join("");
  const pairs = Array.from({ length: 60 }, (): Pair => [words(rng.below(9)), words(rng.below(9))]);
  FILES["words.jsonl"] = pairs
    .map(([premise, hypothesis], i) => JSON.stringify({ premise, hypothesis, label: i % 2 }))
    .join("\n");
  const set = await readFile("words.jsonl", { maxLength: 12 });
  for (let length = 1; length <= 12; length++) {
    const { ids, starts, lengths } = set.padded(length).batch(set.positions());
    for (const [i, pair] of pairs.entries()) {
      const expected = reference(pair, length);
      assert.equal([...ids.subarray(starts[i], starts[i]! + lengths[i]!)], expected, `${pair} in ${length}`);
      const [first, second] = [tokenizer.encode(pair[0]), tokenizer.encode(pair[1])];
      assert.equal([...joinPair(first, second, END, length)], expected);
    }
  }
});

test("statistics: a pair is empty if one of its texts is", async () => {
  const { rows, empty, max } = (await readFile("lf.csv")).stats();
  assert.equal([rows, empty, max], [7, 3, Math.max(...PAIRS.map((pair) => reference(pair, 1024).length))]);
});

/** The columns of the texts, - where there is no second one, and of the label; all separated by |. */
const columnsOf = async (header: string, choice = {}) => {
  const names = header.split("|");
  const sample = [names, names.map((_, i) => `value ${i}`)];
  const { textName, secondName, labelName } = await findColumns(sample, choice, "a.csv");
  return [textName, secondName ?? "-", labelName].join("|");
};

test("columns of pairs: by the hub's names, in their order, unless there is another text", async () => {
  assert.is(await columnsOf("label|hypothesis|premise"), "premise|hypothesis|label");
  assert.is(await columnsOf("Sentence1|sentence2|label|idx"), "Sentence1|sentence2|label");
  assert.is(await columnsOf("text_a|text_b|label"), "text_a|text_b|label");
  assert.is(await columnsOf("question|answer|text|label", { textColumn: "text" }), "text|-|label");
  assert.is(await columnsOf("question|answer|label", { textColumn: "question" }), "question|-|label");
  assert.is(await columnsOf("question|answer"), "question|-|answer");
  assert.is(await columnsOf("question|answer|x", { labelColumn: "answer" }), "question|-|answer");
  // Three of them are no pair.
  assert.is(await columnsOf("question|answer|premise|label"), "question|-|label");
});

test("columns of pairs: two names with a comma, which a name may have itself", async () => {
  const asked = (textColumn: string) => columnsOf("q|a, b|y", { textColumn, labelColumn: "y" });
  assert.is(await asked("q, a, b"), "q|a, b|y");
  assert.is(await asked("a, b,q"), "a, b|q|y");
  assert.is(await asked("a, b"), "a, b|-|y");
  await assertFails("same-column", ["both texts"], () => asked("q,q"));
  await assertFails("same-column", ["Text and label"], () => asked("q,y"));
  await assertFails("no-such-column", ['"questoin"'], () => asked("questoin,q"));
  assert.equal(await findKeys([["q", "1", "r", "2", "y", "3"]], { textColumn: "r,q", labelColumn: "y" }, "a.jsonl"), {
    textName: "r",
    secondName: "q",
    labelName: "y",
  });
});

test("a table to classify has the columns that the model needs", async () => {
  const find = (names: string[], choice: Partial<Parameters<typeof findTextName>[2]>) => {
    const { textName, secondName } = findTextName(names, -1, { text: undefined, ...choice }, "a.csv");
    return [textName, secondName];
  };
  const both = { isPair: true, likelyText: "frage,antwort" };
  assert.equal(find(["antwort", "frage", "text"], both), ["frage", "antwort"]);
  assert.equal(find(["question", "answer"], both), ["question", "answer"]);
  assert.equal(find(["x", "y"], { ...both, text: "y,x" }), ["y", "x"]);
  assert.equal(find(["question", "answer"], { isPair: false }), ["question", undefined]);
  assert.equal(find(["x", "y"], { text: "y,x" }), ["y", "x"], "PEFT's, which does not say");
  await assertFails("column-not-recognized", ["two columns", "FIRST,SECOND"], () => find(["frage", "x"], both));
  await assertFails("column-not-recognized", ["two columns"], () => find(["x", "y"], { ...both, text: "x" }));
  await assertFails("wrong-text-count", ["single texts"], () => find(["x", "y"], { isPair: false, text: "x,y" }));
});

const load = (name: string, content: string | Uint8Array, options: DatasetOptions = {}) =>
  loadDataset({ file: bytesReader(name, typeof content === "string" ? encoder.encode(content) : content) }, options);

test("errors of rows name the column of the second text", async () => {
  const good = { question: "q", answer: "a", label: "x" };
  const lines = (bad: object) => [good, { ...good, label: "y" }, bad].map((row) => JSON.stringify(row)).join("\n");
  await assertFails("no-such-key", ['"answer"', "a.jsonl:3"], () =>
    load("a.jsonl", lines({ question: "q", label: "x" })),
  );
  await assertFails("value-not-text", ['"answer"', "a.jsonl:3"], () =>
    load("a.jsonl", lines({ ...good, answer: null })),
  );
  // More valid characters than invalid ones: one row is wrong, not the encoding of the file.
  const bytes = encoder.encode("question,answer,label\né,é,x\nq,?,y\n");
  bytes[bytes.indexOf(63)] = 0xff;
  await assertFails("invalid-text-encoding", ['"answer"', "a.csv:3"], () => load("a.csv", bytes));
});

test("files of one set are all pairs, or none is", async () => {
  const pairs = "question,answer,label\nq,a,x\nq,b,y\n";
  const single = "text,label\nq,x\nq,y\n";
  const both = (first: string, second: string) => {
    const files = [bytesReader("first.csv", encoder.encode(first)), bytesReader("second.csv", encoder.encode(second))];
    return readSource(new Corpus(module), files, { labelsAre: "class", maxLength: 9, chunkBytes: 99 });
  };
  assert.is((await both(pairs, pairs)).size, 4);
  await assertFails("wrong-text-count", ["second.csv", "pairs"], () => both(pairs, single));
  await assertFails("wrong-text-count", ["second.csv", "single"], () => both(single, pairs));
});

test("a data set tells its columns and the separator; near-duplicates differ in neither text", async () => {
  const row = (question: string, answer: string, i: number) => ({ question, answer, label: "ab"[i % 2] });
  const all = [
    ...Array.from({ length: 20 }, (_, i) => row(`question ${"x".repeat(i + 1)}`, "the same answer", i)),
    row("Question X!", "the same answer 1", 0),
    row("question x", "the same  answer, 2", 1),
  ];
  const content = all.map((one) => JSON.stringify(one)).join("\n");
  const data = await load("a.jsonl", content, { dedupe: true });
  assert.equal(data.pairs, { columns: ["question", "answer"] });
  assert.is(data.origin.textColumn, "question,answer");
  assert.is(data.stats.copies, 1, "one of the last two");
  const alone = await load("a.jsonl", content, { textColumn: "question" });
  assert.equal([alone.pairs, alone.origin.textColumn], [undefined, "question"]);
});

test("Parquet: pairs of columns", async () => {
  const corpus = new Corpus(module);
  const choice = { textColumn: "message,when", labelColumn: "id" };
  const lines = await parquetLines(
    bytesReader("a.parquet", new Uint8Array(PARQUET)),
    messageColumns(choice, "a.parquet"),
  );
  const read = { ...choice, labelsAre: "class" as const, maxLength: 99, chunkBytes: 99, skipFaulty: true };
  const [row] = await corpus.read(lines, read);
  assert.equal(corpus.text(row!), ['you have won, "now"', "2024-01-02T03:04:05.000Z"]);
});

test("a language model learns from one column", async () => {
  const file = bytesReader("a.jsonl", encoder.encode('{"question":"a","answer":"b"}\n'));
  await assertFails("value-not-text", ['"question,answer"'], () =>
    loadTexts({ file }, { textColumn: "question,answer" }),
  );
});
