/** Sentences with a tag for each word: files, what is refused, and how words become tokens. */
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { digestData } from "../../../src/data/digest.ts";
import { describeCopies } from "../../../src/data/problems.ts";
import { loadTagged, type TaggedOptions } from "../../../src/data/text/tagged.ts";
import { splitWords } from "../../../src/data/text/words.ts";
import { Tokenizer } from "../../../src/data/tokenizer.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { fileOf, jsonLines, setsOf, sizesOf, spelled } from "../../helpers/tiny.ts";

const CONLL = `-DOCSTART- -X- O O

John NNP B-PER
Smith NNP I-PER
lives VBZ O
in IN O
Unbelievabletown NNP B-LOC

Rain NN O
`;

/** The same sentences as every set. */
const load = (name: string, text: string, options: TaggedOptions = {}) => {
  const file = fileOf(name, text);
  return loadTagged({ train: file, val: file, test: file }, options);
};

test("without a file for validation a part of the training set is the validation set", async () => {
  // Sentences unlike each other: copies of one would be in one set.
  const sentences = Array.from({ length: 20 }, (_, i) => `${String.fromCharCode(97 + i).repeat(9)} O\n`);
  const [many, few] = [fileOf("many.conll", sentences.join("\n")), fileOf("few.conll", CONLL)];
  const { train, val, test } = await loadTagged({ train: many, test: few });
  assert.equal([train.size, val.size, test.size], [18, 2, 2]);
});

test("a CoNLL file: words, tags and the targets of first tokens", async () => {
  const { train, labels, stats } = await load("a.conll", CONLL);
  assert.equal(labels, ["B-LOC", "B-PER", "I-PER", "O"]);
  assert.equal(train.words(0), ["John", "Smith", "lives", "in", "Unbelievabletown"]);
  assert.equal(train.tags(0), [1, 2, 3, 3, 0]);
  assert.is(train.text(1), "Rain");
  const { ids, starts, targets } = train.batch([1, 0]);
  const tokenizer = await Tokenizer.load();
  assert.equal([...ids.subarray(0, starts[1])], [...tokenizer.encode(" Rain")]);
  // The tokens of words are those of the text with a space before it.
  assert.equal([...ids.subarray(starts[1])], [...tokenizer.encode(" John Smith lives in Unbelievabletown")]);
  const own = [...targets.subarray(starts[1])];
  assert.equal(own.slice(0, 5), [1, 2, 3, 3, 0]);
  assert.ok(own.length > 6, "a word of several tokens");
  assert.ok(own.slice(5).every((target) => target === -100));
  const { tokens, ...counts } = stats.train;
  assert.is(tokens, ids.length);
  assert.equal(counts, { rows: 2, words: 6, cut: 0, classes: { "B-LOC": 1, "B-PER": 1, "I-PER": 1, O: 3 } });
});

test("JSON lines and a JSON array give what the CoNLL file gives", async () => {
  const rows = [
    { tokens: ["John", "Smith", "lives", "in", "Unbelievabletown"], ner_tags: ["B-PER", "I-PER", "O", "O", "B-LOC"] },
    { tokens: ["Rain"], ner_tags: ["O"] },
  ];
  const expected = await digestData(await load("a.conll", CONLL));
  const lines = jsonLines(rows);
  assert.is(await digestData(await load("a.jsonl", lines)), expected);
  assert.is(await digestData(await load("a.json", JSON.stringify(rows))), expected);
  const renamed = lines.replaceAll("tokens", "w").replaceAll("ner_tags", "t");
  assert.is(await digestData(await load("a.jsonl", renamed, { textColumn: "w", labelColumn: "t" })), expected);
});

test("entities that annotation tools mark in texts are words with tags of IOB2", async () => {
  const text = "\u{1f600} John Smith lives in Unbelievabletown";
  const [person, town] = [
    { start: 2, end: 12, label: "PER" },
    { start: 22, end: 38, label: "LOC" },
  ];
  for (const row of [
    { text, entities: [person, town] },
    { text, spans: [town, person] },
    {
      text,
      label: [
        [2, 12, "PER"],
        [22, 38, "LOC"],
      ],
    },
    {
      text,
      entities: [person, town].map(({ start, end, label }) => ({ start_offset: start, end_offset: end, label })),
    },
  ]) {
    const { train, labels } = await load("a.jsonl", JSON.stringify(row));
    assert.equal(train.words(0).slice(-5), ["John", "Smith", "lives", "in", "Unbelievabletown"]);
    assert.equal(train.tags(0).slice(-5).map((tag) => labels[tag]), ["B-PER", "I-PER", "O", "O", "B-LOC"]); // biome-ignore format: short
  }
});

test("rows in memory are sentences; named tags come first", async () => {
  const rows = Array.from({ length: 10 }, (_, i) => ({ words: ["a", `b${i}`], tags: ["O", i % 2 ? "B-X" : "B-A"] }));
  const data = await loadTagged({ rows }, { labels: ["O", "B-X", "B-Q"], seed: 3 });
  assert.equal(sizesOf(data), [7, 1, 2]);
  assert.equal(data.labels, ["O", "B-X", "B-Q", "B-A"]);
  assert.equal(data.train.words(0), rows[data.train.place(0)]!.words);
  assert.equal([data.origin, data.source], [{ labels: ["O", "B-X", "B-Q"], seed: 3, rows: 10 }, "rows in memory"]);
  const deep = JSON.parse(`${"[".repeat(20_000)}${"]".repeat(20_000)}`);
  for (const [row, code, words] of [
    [{ words: ["a"], tags: [] }, "tags-differ-from-words", "1 tags"],
    [{ words: "a", tags: [] }, "column-not-recognized", "words: a list of strings"],
    [{ words: ["a"], tags: { deep } }, "column-not-recognized", "an object"],
    [{ words: ["a"], tags: ["O", deep] }, "column-not-recognized", "a list with a list"],
    [null, "row-not-json-object", "{ words: [...], tags: [...] }"],
  ] as [unknown, ErrorCode, string][])
    await assertFails(code, ["rows[1]", words], () => loadTagged({ rows: [rows[0], row] as never }));
  await assertFails("no-rows", ["rows in memory"], () => loadTagged({ rows: [] }));
  const whole = await loadTagged({ rows }, { fractions: [1, 0, 0] });
  assert.equal([...sizesOf(whole), whole.stats.test.words], [10, 0, 0, 0]);
});

test("a sentence is cut between tokens; words behind the cut have no target", async () => {
  const { test: cut, stats } = await load("a.conll", CONLL, { maxLength: 3 });
  assert.equal(cut.words(0), ["John", "Smith", "lives"]);
  assert.equal([...cut.lengths], [3, 1]);
  assert.is(stats.test.cut, 1);
  assert.is(stats.test.words, 4);
});

test("one file is shuffled by the seed and split 70/10/20", async () => {
  const text = Array.from({ length: 20 }, (_, i) => `word${i} ${i % 2 ? "A" : "B"}\n`).join("\n");
  const split = async (seed: number) => {
    const data = await loadTagged({ file: fileOf("a.txt", text) }, { seed });
    assert.equal(sizesOf(data), [14, 2, 4]);
    return setsOf(data).flatMap((set) => Array.from(set.positions(), (i) => set.text(i)));
  };
  const [first, again, other] = [await split(1), await split(1), await split(2)];
  assert.equal(first, again);
  assert.not.equal(first, other);
  assert.equal([...first].sort(), [...other].sort());
});

test("sentences that cannot be learned from are refused, with their place", async () => {
  for (const [name, text, code, words] of [
    ["a.conll", "John B-PER\nSmith\n", "tags-differ-from-words", ["a.conll:2", "Smith"]],
    ["a.csv", "text,label\na b,ham\n", "tags-differ-from-words", ["a.csv:1", 'leave out objective "tokens"']],
    ["a.conll", "\n-DOCSTART- O\n\n", "no-rows", ["a.conll"]],
    ["a.conll", "John O\n\nSmith O\n", "only-one-class", ["O"]],
    ["a.jsonl", '{"tokens": ["a", "b"], "tags": ["O"]}', "tags-differ-from-words", ["a.jsonl:1", "2 tags", "1 tags"]],
    ["a.jsonl", '{"tokens": ["a"], "tags": [3]}', "column-not-recognized", ["list of tags", "a list with 3"]],
    [
      "a.jsonl",
      '{"text": "a b", "tags": ["O", "O"]}',
      "column-not-recognized",
      ["list of words", "the keys text, tags"],
    ],
    ["a.jsonl", '{"text": "a b", "spans": [[3, 9, "X"]]}', "tags-differ-from-words", ["a.jsonl:1", '[3,9,"X"]']],
    ["a.jsonl", '{"text": "a b", "spans": [[0, 1, "X"], [0, 3, "Y"]]}', "tags-differ-from-words", ['[0,3,"Y"]']],
    ["a.jsonl", '{"text": "a b", "spans": [{}]}', "tags-differ-from-words", ["a.jsonl:1", "{}", '[0, 4, "PER"]']],
    ["a.jsonl", "[1", "invalid-json", ["a.jsonl"]],
    ["a.xlsx", "PK", "table-without-text", ["a.xlsx", "convert the table to .jsonl"]],
  ] satisfies [string, string, ErrorCode, string[]][])
    await assertFails(code, words, () => load(name, text));
});

test("near-duplicates, and sentences of one group, are in one set, and it is said how many", async () => {
  const rows = Array.from({ length: 96 }, (_, i) => ({
    words: ["Ann", "paid", String(i), spelled(i % 12)],
    tags: ["B-PER", "O", "O", "O"],
    customer: `c${(i % 12) >> 1}`,
  }));
  for (const [options, size] of [
    [{}, 12],
    [{ groupColumn: "customer" }, 6],
  ] as const) {
    const data = await loadTagged({ rows }, options);
    const groups = setsOf(data).flatMap((set) => [
      ...new Set(Array.from(set.positions(), (i) => Math.floor(((set.place(i) % 12) * size) / 12))),
    ]);
    assert.is(groups.length, size);
    assert.is(String(describeCopies(data.stats)), "84 of 96 rows are near-duplicates of 12 texts: each is in one set with its copies"); // biome-ignore format: short
  }
  const ordered = await loadTagged({ rows }, { split: "ordered" });
  assert.ok(ordered.stats.leaks.test > 0 && ordered.train.place(1) === 1);
});

test("words of a text are about those of the Penn Treebank", () => {
  for (const [text, expected] of [
    ["John's (new) e-mail: a.b@c.org, naïve 東京!", "John 's ( new ) e-mail : a.b@c.org , naïve 東京 !"],
    ["O'Brien paid 12,345.60, not 1,2 or 3, at 10:30.", "O'Brien paid 12,345.60 , not 1,2 or 3 , at 10:30 ."],
    ["I don't, they’re 'here' in the U.S. and/or ...", "I do n't , they ’re ' here ' in the U.S. and/or ..."],
    [" \n", ""],
  ] as const) {
    const words = splitWords(text);
    assert.is(words.map((word) => word.text).join(" "), expected);
    for (const { text: word, start, end } of words) assert.is(text.slice(start, end), word);
  }
});

test("a word of more tokens than a call can have arguments is cut as any other", async () => {
  const { train } = await load("a.conll", `${"xq".repeat(2e5)} P\nb O\n`, { maxLength: 8 });
  assert.equal([...train.lengths], [8]);
  assert.equal(train.tags(0), [1]);
});
