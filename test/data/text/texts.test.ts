/** Texts for a language model: blocks and what they predict, files and how they are cut, and what is refused. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import humanRights from "../../../data/datasets/human-rights.json" with { type: "json" };
import { bytesReader } from "../../../src/data/corpus.ts";
import { type BlockStats, Blocks } from "../../../src/data/text/blocks.ts";
import { loadTexts, type TextsOptions, type TextsSpec } from "../../../src/data/text/texts.ts";
import { Tokenizer } from "../../../src/data/tokenizer.ts";
import type { ErrorCode } from "../../../src/error-codes.ts";
import { GPT2_VOCABULARY } from "../../../src/io/tokenizer/vocabulary.ts";
import { assertFails } from "../../helpers/border.ts";
import { test, testAll } from "../../helpers/harness.ts";

const END = GPT2_VOCABULARY.end.id;

const NONE = -100;
const tokenizer = Tokenizer.load();
const ids = (...values: number[]) => Uint32Array.from(values);
const encode = async (text: string) => (await tokenizer).encode(text);
const file = (name: string, content: string | Uint8Array) =>
  bytesReader(name, typeof content === "string" ? new TextEncoder().encode(content) : content);

/** Ids and targets of each block. */
function blockRows(blocks: Blocks): [ids: number[], targets: number[]][] {
  const { ids, starts, targets } = blocks.batch(blocks.positions());
  return Array.from({ length: blocks.size }, (_, b) => [
    [...ids.subarray(starts[b], starts[b + 1])],
    [...targets.subarray(starts[b], starts[b + 1])],
  ]);
}

/** Each block as "ids > targets"; E is the end of a text, - what is not predicted. */
const show = (blocks: Blocks) =>
  blockRows(blocks).map((row) => {
    const [own, targets] = row.map((some) => some.map((id) => (id === END ? "E" : id === NONE ? "-" : id)).join(" "));
    return `${own} > ${targets}`;
  });

test("documents are concatenated, with an end of text before each and after the last", async () => {
  const blocks = Blocks.pack([ids(1, 2, 3), ids(4), ids(5, 6)], { length: 4, stride: 4, tokenizer: await tokenizer });
  assert.equal(show(blocks), ["E 1 2 3 > 1 2 3 E", "E 4 E 5 > 4 E 5 6", "6 > E"]);
  assert.equal([...blocks.lengths], [4, 4, 1]);
});

test("overlapping blocks predict every token once, after at least length - stride others", async () => {
  const blocks = Blocks.pack([ids(1, 2, 3, 4, 5, 6, 7)], { length: 4, stride: 3, tokenizer: await tokenizer });
  assert.equal(show(blocks), ["E 1 2 3 > 1 2 3 4", "3 4 5 6 > - 5 6 7", "6 7 > - E"]);
  for (const sizes of ["4 1", "5 2", "3 3", "100 7", "1 1"]) {
    const [length, stride] = sizes.split(" ").map(Number) as [number, number];
    const document = ids(...Array.from({ length: 40 }, (_, i) => i + 1));
    const predicted = blockRows(Blocks.pack([document], { length, stride, tokenizer: await tokenizer })).flatMap(
      ([, targets]) => targets.filter((target) => target !== NONE),
    );
    assert.equal(predicted, [...document, END], `length ${length}, stride ${stride}`);
  }
});

test("a completion is predicted as a whole, its prompt not at all", async () => {
  const options = { length: 6, tokenizer: await tokenizer };
  const blocks = Blocks.complete(
    [
      { prompt: ids(1, 2), completion: ids(3, 4) },
      { prompt: ids(), completion: ids(5) },
      // Longer than a block: the prompt loses its first tokens, then the completion its last.
      { prompt: ids(1, 2, 3, 4), completion: ids(5, 6, 7) },
      { prompt: ids(1, 2), completion: ids(3, 4, 5, 6, 7, 8, 9) },
    ],
    options,
  );
  assert.equal(show(blocks), [
    "1 2 3 4 > - 3 4 E",
    "E 5 > 5 E",
    "2 3 4 5 6 7 > - - 5 6 7 E",
    "2 3 4 5 6 7 > 3 4 5 6 7 8",
  ]);
  assert.equal([blocks.stats().cut, blocks.stats().documents], [2, 4]);
});

test("the beginnings of texts are prompts, with what follows them", async () => {
  const text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen";
  const options = { length: 32, stride: 32, tokenizer: await tokenizer };
  const packed = Blocks.pack([await encode(text)], options).beginnings(2, 2);
  assert.equal(packed, [{ prompt: text.slice(0, text.indexOf(" eight")), rest: " eight nine" }]);
  const row = async (prompt: string, completion: string, more = {}) => {
    return { prompt: await encode(prompt), completion: await encode(completion), ...more };
  };
  const rows = [
    await row("Question: one", " two"),
    await row("<user>three", " four", { message: "three" }),
    await row("<user>five", " six", { message: null }),
  ];
  assert.equal(Blocks.complete(rows, options).beginnings(3, 9), [
    { prompt: "Question: one", rest: " two" },
    { prompt: "three", rest: " four" },
  ]);
});

test("bytes are those of the predicted text, for any block length", async () => {
  const texts = ["A naïve text — with 😀 and 漢字, cut anywhere.", " x"];
  const documents = await Promise.all(texts.map(encode));
  const bytes = texts.reduce((sum, text) => sum + new TextEncoder().encode(text).length, 0);
  for (const length of [1, 2, 3, 50]) {
    const blocks = Blocks.pack(documents, { length, stride: length, tokenizer: await tokenizer });
    const stats = blocks.stats();
    assert.equal([stats.bytes, stats.tokens], [bytes, documents[0]!.length + documents[1]!.length + 2]);
    assert.is(blocks.batch(blocks.positions()).bytes, bytes);
  }
  const [prompt, completion] = [await encode("What?"), await encode(" é")];
  assert.is(Blocks.complete([{ prompt, completion }], { length: 20, tokenizer: await tokenizer }).stats().bytes, 3);
  const long = { prompt, completion: new Uint32Array(300_000) };
  assert.is(Blocks.complete([long], { length: 20, tokenizer: await tokenizer }).stats().cut, 1);
});

test("the order of an epoch depends only on seed and epoch", async () => {
  const document = ids(...Array.from({ length: 30 }, (_, i) => i));
  const blocks = Blocks.pack([document], { length: 1, stride: 1, tokenizer: await tokenizer });
  const orders = [blocks.order(1, 1), blocks.order(1, 2), blocks.order(2, 1), blocks.order(1, 1)].map((o) => o.join());
  assert.is(new Set(orders).size, 3);
  assert.is(orders[0], orders[3]);
  assert.equal(
    [...blocks.order(5, 1)].sort((a, b) => a - b),
    [...blocks.positions()],
  );
});

const load = (spec: TextsSpec, options: TextsOptions = {}) => loadTexts(spec, { maxLength: 8, ...options });

/** The texts of a set, as its blocks follow each other. */
async function decodeBlocks(blocks: Blocks): Promise<string> {
  const predicted = blockRows(blocks).flatMap(([, targets]) => targets.filter((id) => id !== NONE));
  return (await tokenizer).decode(predicted);
}

test("every text is split at line ends, separately and in order", async () => {
  const lines = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name} ${i}\n`).join("");
  const { train, val, test, stats, source } = await load({
    file: [file("a.txt", `\uFEFF${lines("a", 100)}`), file("b.md", lines("b", 10))],
  });
  const parts = await Promise.all([train, val, test].map(decodeBlocks));
  const documents = parts.map((part) => part.split("<|endoftext|>").slice(0, -1));
  assert.equal(
    documents.map((some) => some.length),
    [2, 2, 2],
  );
  assert.is(documents.map(([a]) => a).join(""), lines("a", 100));
  assert.is(documents.map(([, b]) => b).join(""), lines("b", 10));
  for (const part of documents.flat()) assert.match(part, /^[ab] \d+\n(.*\n)*$/);
  assert.match(documents[1]![0]!, /^a 8\d\n/);
  assert.equal([source, stats.empty], ["a.txt, b.md", 0]);
  const bytes = (["train", "val", "test"] as const).reduce((sum, name) => sum + stats[name].bytes, 0);
  assert.is(bytes, lines("a", 100).length + lines("b", 10).length);
});

test("a part of a share of 0 is empty, and no document that was skipped", async () => {
  const lines = Array.from({ length: 20 }, (_, i) => `line ${i}\n`);
  const parts = async (spec: TextsSpec, fractions: [number, number, number]) => {
    const { train, val, test, stats } = await load(spec, { fractions });
    assert.is(stats.empty, 0);
    return Promise.all([train, val, test].map(decodeBlocks));
  };
  const text = () => file("a.txt", lines.join(""));
  assert.equal(await parts({ file: text() }, [1, 0, 0]), [`${lines.join("")}<|endoftext|>`, "", ""]);
  const [train, val, last] = await parts({ file: text() }, [0.8, 0, 0.2]);
  assert.equal([val, train!.replace("<|endoftext|>", "") + last], ["", `${lines.join("")}<|endoftext|>`]);
  assert.match(train!, /line \d+\n<\|endoftext\|>$/);
  const rows = lines.map((prompt) => ({ prompt, completion: "x" }));
  assert.equal(
    (await parts({ rows }, [0.5, 0.5, 0])).map(({ length }) => length),
    [140, 140, 0],
  );
});

test("a text without line ends is split between characters", async () => {
  const text = "😀".repeat(50);
  const { train, val, test } = await load({ file: file("a.txt", text) });
  const parts = await Promise.all([train, val, test].map(decodeBlocks));
  for (const part of parts) assert.not.match(part, "�");
  assert.is(parts.map((part) => part.replace("<|endoftext|>", "")).join(""), text);
});

test("human-rights is the file that its description promises, cut between its paragraphs", async () => {
  const text = readFileSync(packagePath(`data/${humanRights.file}`));
  assert.is(createHash("sha256").update(text).digest("hex"), humanRights.sha256);
  const { train, val, test, source } = await loadTexts({ name: humanRights.name }, { maxLength: 64 });
  assert.is(source, "human-rights: The Universal Declaration of Human Rights");
  const encoder = await tokenizer;
  const decode = (set: Blocks) => encoder.decode(set.batch([0]).ids);
  assert.match(decode(train), /^<\|endoftext\|>Preamble\nWhereas recognition of the inherent dignity/);
  for (const set of [val, test]) assert.match(decode(set), /^<\|endoftext\|>\nArticle 2[68]\nEveryone /);
});

test("JSON lines are a document each, shuffled by the seed and split", async () => {
  const rows = Array.from({ length: 20 }, (_, i) => ({ text: `line ${i} \u2028 "é"` }));
  const content = `${rows.map((row) => JSON.stringify(row)).join("\r\n")}\n\n`;
  const documents = async (seed: number) => {
    const { train, val, test, stats } = await load({ file: file("a.jsonl", content) }, { seed });
    assert.equal(
      [stats.train, stats.val, stats.test].map((s: BlockStats) => s.documents),
      [16, 2, 2],
    );
    const parts = await Promise.all([train, val, test].map(decodeBlocks));
    return parts.flatMap((part) => part.split("<|endoftext|>").slice(0, -1));
  };
  const [first, again, other] = [await documents(1), await documents(1), await documents(2)];
  assert.equal(first, again);
  assert.not.equal(first, other);
  assert.equal(first.toSorted(), rows.map(({ text }) => text).toSorted());
});

test("rows in memory are split as JSON lines are", async () => {
  const texts = Array.from({ length: 20 }, (_, i) => `line ${i}`);
  const chat = (i: number) => [
    { role: "user", content: `${i}?` },
    { role: "assistant", content: `${i}!` },
  ];
  for (const rows of [
    texts,
    texts.map((text) => ({ text })),
    texts.map((prompt, i) => ({ prompt, completion: ` ${i}` })),
  ]) {
    const lines = rows.map((row) => JSON.stringify(typeof row === "string" ? { text: row } : row)).join("\n");
    const [memory, read] = [await load({ rows }), await load({ file: file("a.jsonl", lines) })];
    assert.equal(memory.stats, read.stats);
    assert.is(await decodeBlocks(memory.test), await decodeBlocks(read.test));
    assert.equal([memory.origin.rows, memory.source], [20, "rows in memory"]);
  }
  await assertFails("row-not-json-object", ["rows[1]"], () => load({ rows: ["a", 5] as never }));
  await assertFails("value-not-text", ["rows[1]", "no such key"], () => load({ rows: ["a", { test: "b" }] as never }));
  await assertFails("no-chat-template", () => load({ rows: texts.map((_, i) => ({ messages: chat(i) })) }));
  // Instructions are prompts where there is no template: with their input, if any, and an empty line.
  const instructions = texts.map((input, i) => ({ instruction: "Say", ...(i % 2 ? { input } : {}), output: `${i}` }));
  const prompts = texts.map((input, i) => ({ prompt: `Say\n\n${i % 2 ? `${input}\n\n` : ""}`, completion: `${i}` }));
  const [asked, written] = [await load({ rows: instructions }), await load({ rows: prompts })];
  assert.equal(asked.stats, written.stats);
  assert.is(await decodeBlocks(asked.train), await decodeBlocks(written.train));
});

test("prompts and completions, given sets, another key, empty documents", async () => {
  const pair = (i: number) => JSON.stringify({ completion: ` ${i}`, prompt: `Q ${i}:`, id: i });
  const pairs = await load({
    train: [file("a.jsonl", `${pair(1)}\n${pair(2)}`), file("b.ndjson", pair(3))],
    val: file("c.jsonl", pair(4)),
    test: file("d.jsonl", pair(5)),
  });
  assert.is(await decodeBlocks(pairs.train), " 1<|endoftext|> 2<|endoftext|> 3<|endoftext|>");
  assert.equal([pairs.train.size, pairs.test.size], [3, 1]);
  const body = (text: string) => JSON.stringify({ text: "not this", story: text });
  const stories = await load(
    {
      train: file("a.jsonl", [body("one"), body(""), body("two")].join("\n")),
      val: file("v.txt", "v"),
      test: file("t.txt", "t"),
    },
    { textColumn: "story" },
  );
  assert.is(await decodeBlocks(stories.train), "one<|endoftext|>two<|endoftext|>");
  assert.is(stories.stats.empty, 1);
});

test("bytes that are not UTF-8 are refused with their line; other encodings are read by name", async () => {
  const fractions = [0.5, 0.25, 0.25] as const;
  const bytes = Uint8Array.of(98, 10, 97, 0xe9, 98, 10, 99, 10, 100, 10, 101);
  const refused = ["not UTF-8", "a.txt:2", 'encoding "windows-1252"'];
  await assertFails("not-utf8", refused, () => load({ file: file("a.txt", bytes) }, { fractions }));
  const { stats } = await load({ file: file("a.txt", bytes) }, { fractions, encoding: "windows-1252" });
  assert.is(stats.train.bytes + stats.val.bytes + stats.test.bytes, bytes.length + 1);
});

test("JSON arrays are read as JSON lines are", async () => {
  const rows = Array.from({ length: 20 }, (_, i) => ({ text: `text ${i}` }));
  const lines = rows.map((row) => JSON.stringify(row)).join("\n");
  const [array, expected] = await Promise.all(
    [file("a.json", JSON.stringify(rows, null, 1)), file("a.json", lines)].map((one) => load({ file: one })),
  );
  assert.equal(array!.stats, expected!.stats);
  assert.is(await decodeBlocks(array!.train), await decodeBlocks(expected!.train));
  await assertFails("row-not-json-object", ["a.json, item 2"], () =>
    load({ file: file("a.json", '[{"text":"a"}, 1]') }),
  );
  await assertFails("invalid-json", ["not a JSON array", "a.json"], () =>
    load({ file: file("a.json", '[{"text":"a"},') }),
  );
});

test("a path names the texts within objects; a key with a dot comes first", async () => {
  const rows = Array.from({ length: 10 }, (_, i) => ({
    "a.c": `dotted ${i}`,
    a: { b: { "x.y": `text ${i}` }, c: "no" },
  }));
  const lines = rows.map((row) => JSON.stringify(row)).join("\n");
  const bytes = async (textColumn: string) =>
    (await load({ file: file("a.jsonl", lines) }, { textColumn })).stats.train.bytes;
  assert.equal([await bytes("a.b.x.y"), await bytes("a.c")], [8 * 6, 8 * 8]);
  await assertFails("value-not-text", ['"a.b.z"', "a.jsonl:1", "a.c, a"], () => bytes("a.b.z"));
});

test("errors name their place", async () => {
  const cases: [ErrorCode, words: string[], name: string, content: string | Uint8Array, options?: TextsOptions][] = [
    ["table-without-text", ["a.csv", "jsonl"], "a.csv", "text\nx"],
    ["invalid-text-encoding", ["UTF-16LE", "cut off"], "a.txt", Uint8Array.of(0xff, 0xfe, 97, 0, 98)],
    ["not-text", ["a.txt"], "a.txt", Uint8Array.of(1, 2, 0)],
    ["invalid-json", ["not JSON", "a.jsonl:2"], "a.jsonl", '{"text": "x"}\n{"text": \n'],
    ["row-not-json-object", ["a.jsonl:1"], "a.jsonl", '"x"'],
    ["column-not-recognized", ["prompt", "order, output", "textColumn"], "a.jsonl", '{"order": "x", "output": "y"}'],
    ["value-not-text", ['"text"', "a.jsonl:3", "no such key"], "a.jsonl", '{"text": "x"}\n\n{"test": "y"}'],
    ["value-not-text", ['"completion"', "null"], "a.jsonl", '{"prompt": "x", "completion": null}'],
    ["too-little-text", ["training set", "train, val and test"], "a.jsonl", '{"text": "x"}'],
    ["too-little-text", [], "a.txt", ""],
    ["invalid-value", ["stride", "1 to 8"], "a.txt", "x", { stride: 9 }],
    ["invalid-value", ["maxLength is invalid"], "a.txt", "x", { maxLength: 0 }],
  ];
  for (const [code, words, name, content, options] of cases)
    await assertFails(code, words, () => load({ file: file(name, content) }, options));
  await assertFails("no-such-file", ["nowhere.txt"], () => load({ file: "nowhere.txt" }));
  await assertFails("unknown-option", ["unknown option source"], () => load({ source: "x" } as never));
  await assertFails("invalid-argument", ['did you mean { file: "a.txt" }?'], () => loadTexts("a.txt" as never));
  await assertFails("texts-mixed-with-completions", () =>
    load({
      train: [file("a.txt", "x"), file("b.jsonl", '{"prompt": "x", "completion": "y"}')],
      val: file("v.txt", "v"),
      test: file("t.txt", "t"),
    }),
  );
});

testAll("a file of more documents than a call has arguments", async () => {
  const lines = '{"text": "x"}\n'.repeat(200_000);
  const { stats } = await loadTexts({ file: file("a.jsonl", lines) }, { maxLength: 64 });
  assert.is(stats.train.documents, 160_000);
});
