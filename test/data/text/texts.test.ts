/** Texts for a language model: blocks and what they predict, files and how they are cut, and what is refused. */
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { Blocks } from "../../../src/data/text/blocks.ts";
import { loadTexts, type TextsOptions, type TextsSpec } from "../../../src/data/text/texts.ts";
import { Tokenizer } from "../../../src/data/tokenizer.ts";
import { GPT2_VOCABULARY } from "../../../src/io/tokenizer/vocabulary.ts";
import { assertFails } from "../../helpers/border.ts";
import { test, testAll } from "../../helpers/harness.ts";
import { fileOf as file, jsonLines, setsOf } from "../../helpers/tiny.ts";

const END = GPT2_VOCABULARY.end.id;

const NONE = -100;
const tokenizer = Tokenizer.load();
const ids = (...values: number[]) => Uint32Array.from(values);
const encode = async (text: string) => (await tokenizer).encode(text);

/** Ids and targets of each block. */
function blockRows(blocks: Blocks): [ids: number[], targets: number[]][] {
  const { ids, starts, targets } = blocks.batch(blocks.positions());
  return Array.from({ length: blocks.size }, (_, b) => [
    [...ids.subarray(starts[b], starts[b + 1])],
    [...targets.subarray(starts[b], starts[b + 1])],
  ]);
}

/** The ids that blocks predict, as they follow each other. */
const predicted = (blocks: Blocks) => blockRows(blocks).flatMap(([, targets]) => targets.filter((id) => id !== NONE));

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
  const document = ids(...Array.from({ length: 40 }, (_, i) => i + 1));
  for (const sizes of ["4 1", "5 2", "3 3", "100 7", "1 1"]) {
    const [length, stride] = sizes.split(" ").map(Number) as [number, number];
    const all = Blocks.pack([document], { length, stride, tokenizer: await tokenizer });
    assert.equal(predicted(all), [...document, END], sizes);
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
  const blocks = Blocks.pack([ids(...Array(30).keys())], { length: 1, stride: 1, tokenizer: await tokenizer });
  const orders = [blocks.order(1, 1), blocks.order(1, 2), blocks.order(2, 1), blocks.order(1, 1)].map(String);
  assert.equal([new Set(orders).size, orders[0]], [3, orders[3]]);
  assert.equal(blocks.order(5, 1).sort(), blocks.positions());
});

const load = (spec: TextsSpec, options: TextsOptions = {}) => loadTexts(spec, { maxLength: 8, ...options });

/** The texts of a set, as its blocks follow each other; E is the end of one. */
const decodeBlocks = async (blocks: Blocks) =>
  (await tokenizer).decode(predicted(blocks)).replaceAll("<|endoftext|>", "E");
/** Those of all sets; without the ends of texts they are what was read. */
const decodeSets = (data: Parameters<typeof setsOf<Blocks>>[0]) => Promise.all(setsOf(data).map(decodeBlocks));
const count = <T>(length: number, of: (i: number) => T) => Array.from({ length }, (_, i) => of(i));

test("every text is split at line ends, separately and in order", async () => {
  const [a, b] = [count(100, (i) => `a ${i}\n`).join(""), count(10, (i) => `b ${i}\n`).join("")];
  const data = await load({ file: [file("a.txt", `\uFEFF${a}`), file("b.md", b)] });
  const documents = (await decodeSets(data)).map((part) => part.split("E").slice(0, -1));
  for (const [k, text] of [a, b].entries()) assert.is(documents.map((some) => some[k]).join(""), text);
  for (const part of documents.flat()) assert.match(part, /^[ab] \d+\n(.*\n)*$/);
  assert.match(documents[1]![0]!, /^a 8\d\n/);
  const { stats, source } = data;
  assert.equal([source, stats.empty], ["a.txt, b.md", 0]);
  assert.is(stats.train.bytes + stats.val.bytes + stats.test.bytes, a.length + b.length);
});

test("a part of a share of 0 is empty, and no document that was skipped; without line ends characters stay whole", async () => {
  const lines = count(20, (i) => `line ${i}\n`);
  const text = lines.join("");
  const rows = lines.map((prompt) => ({ prompt, completion: "x" }));
  for (const [spec, fractions, whole, sizes] of [
    [{ file: file("a.txt", text) }, [1, 0, 0], text, [text.length + 1, 0, 0]],
    [{ file: file("a.txt", text) }, [0.8, 0, 0.2], text, [undefined, 0, undefined]],
    [{ rows }, [0.5, 0.5, 0], "x".repeat(20), [20, 20, 0]],
    [{ file: file("a.txt", "😀".repeat(50)) }, undefined, "😀".repeat(50), []],
  ] as [TextsSpec, [number, number, number] | undefined, string, (number | undefined)[]][]) {
    const data = await load(spec, fractions ? { fractions } : {});
    const parts = await decodeSets(data);
    assert.is(parts.join("").replaceAll("E", ""), whole);
    assert.is(data.stats.empty, 0);
    for (const [i, size] of sizes.entries()) if (size !== undefined) assert.is(parts[i]!.length, size);
    if (whole === text) assert.match(parts[0]!, /line \d+\nE$/);
  }
});

test("human-rights is cut between its paragraphs", async () => {
  const { train, val, test, source } = await loadTexts({ name: "human-rights" }, { maxLength: 64 });
  assert.is(source, "human-rights: The Universal Declaration of Human Rights");
  const encoder = await tokenizer;
  const decode = (set: Blocks) => encoder.decode(set.batch([0]).ids);
  assert.match(decode(train), /^<\|endoftext\|>Preamble\nWhereas recognition of the inherent dignity/);
  for (const set of [val, test]) assert.match(decode(set), /^<\|endoftext\|>\nArticle 2[68]\nEveryone /);
});

test("JSON lines are a document each, shuffled by the seed and split; arrays and rows in memory are read as they are", async () => {
  const rows = count(20, (i) => ({ text: `line ${i} \u2028 "é"` }));
  const content = `${jsonLines(rows).replaceAll("\n", "\r\n")}\n\n`;
  const documents = async (spec: TextsSpec, seed = 1) => {
    const { stats, ...data } = await load(spec, { seed });
    assert.equal(setsOf(stats).map(({ documents }) => documents), [16, 2, 2]); // biome-ignore format: short
    return (await decodeSets(data)).flatMap((part) => part.split("E").slice(0, -1));
  };
  const first = await documents({ file: file("a.jsonl", content) });
  assert.equal(first.toSorted(), rows.map(({ text }) => text).toSorted());
  assert.not.equal(await documents({ file: file("a.jsonl", content) }, 2), first);
  for (const spec of [
    { file: file("a.jsonl", content) },
    { file: file("a.json", content) },
    { file: file("a.json", JSON.stringify(rows, null, 1)) },
    { rows },
    { rows: rows.map(({ text }) => text) },
  ])
    assert.equal(await documents(spec), first);
});

test("rows in memory: prompts and completions as in JSON lines, instructions without a template as prompts", async () => {
  const pairs = count(20, (i) => ({ prompt: `line ${i}`, completion: ` ${i}` }));
  const prompts = count(20, (i) => ({ prompt: `Say\n\n${i % 2 ? `line ${i}\n\n` : ""}`, completion: `${i}` }));
  // With their input, if any, and an empty line.
  const instructions = count(20, (i) => ({
    instruction: "Say",
    ...(i % 2 ? { input: `line ${i}` } : {}),
    output: `${i}`,
  }));
  const lines = file("a.jsonl", jsonLines(pairs));
  for (const [spec, like] of [
    [{ rows: pairs }, { file: lines }],
    [{ rows: instructions }, { rows: prompts }],
  ] as const) {
    const [memory, read] = [await load(spec), await load(like)];
    assert.equal([memory.stats, await decodeSets(memory)], [read.stats, await decodeSets(read)]);
    assert.equal([memory.origin.rows, memory.source], [20, "rows in memory"]);
  }
});

test("prompts and completions, given sets, another key, empty documents", async () => {
  const pair = (i: number) => JSON.stringify({ completion: ` ${i}`, prompt: `Q ${i}:`, id: i });
  const pairs = await load({
    train: [file("a.jsonl", `${pair(1)}\n${pair(2)}`), file("b.ndjson", pair(3))],
    ...{ val: file("c.jsonl", pair(4)), test: file("d.jsonl", pair(5)) },
  });
  assert.equal([await decodeBlocks(pairs.train), pairs.train.size, pairs.test.size], [" 1E 2E 3E", 3, 1]);
  const lines = jsonLines(["one", "", "two"].map((story) => ({ text: "not this", story })));
  const stories = await load({ train: file("a.jsonl", lines), ...OTHERS }, { textColumn: "story" });
  assert.equal([await decodeBlocks(stories.train), stories.stats.empty], ["oneEtwoE", 1]);
});

const OTHERS = { val: file("v.txt", "v"), test: file("t.txt", "t") };

test("other encodings are read by name", async () => {
  const options = { fractions: [0.5, 0.25, 0.25], encoding: "windows-1252" } as const;
  const { stats } = await load({ file: file("a.txt", LATIN) }, options);
  assert.is(stats.train.bytes + stats.val.bytes + stats.test.bytes, LATIN.length + 1);
});

const LATIN = Uint8Array.of(98, 10, 97, 0xe9, 98, 10, 99, 10, 100, 10, 101);

test("a path names the texts within objects; a key with a dot comes first", async () => {
  const rows = count(10, (i) => ({ "a.c": `dotted ${i}`, a: { b: { "x.y": `text ${i}` }, c: "no" } }));
  const lines = file("a.jsonl", jsonLines(rows));
  const bytes = async (textColumn: string) => (await load({ file: lines }, { textColumn })).stats.train.bytes;
  assert.equal([await bytes("a.b.x.y"), await bytes("a.c")], [8 * 6, 8 * 8]);
  await assertFails("value-not-text", ['"a.b.z"', "a.jsonl:1", "a.c, a"], () => bytes("a.b.z"));
});

test("errors name their place", async () => {
  const one = '{"prompt": "x", "completion": "y"}';
  const chats = count(20, (i) => ({ messages: ["user", "assistant"].map((role) => ({ role, content: `${i}` })) }));
  for (const [code, words, spec, options] of [
    ["table-without-text", ["a.csv", "jsonl"], "text\nx", "a.csv"],
    ["invalid-text-encoding", ["UTF-16LE", "cut off"], Uint8Array.of(0xff, 0xfe, 97, 0, 98), "a.txt"],
    ["not-utf8", ["not UTF-8", "a.txt:2", 'encoding "windows-1252"'], LATIN, "a.txt"],
    ["not-text", ["a.txt"], Uint8Array.of(1, 2, 0), "a.txt"],
    ["invalid-json", ["not JSON", "a.jsonl:2"], '{"text": "x"}\n{"text": \n', "a.jsonl"],
    ["invalid-json", ["not a JSON array", "a.json"], '[{"text":"a"},', "a.json"],
    ["row-not-json-object", ["a.jsonl:1"], '"x"', "a.jsonl"],
    ["row-not-json-object", ["a.json, item 2"], '[{"text":"a"}, 1]', "a.json"],
    ["row-not-json-object", ["rows[1]"], { rows: ["a", 5] }],
    ["column-not-recognized", ["prompt", "order, output", "textColumn"], '{"order": "x", "output": "y"}', "a.jsonl"],
    ["value-not-text", ['"text"', "a.jsonl:3", "no such key"], '{"text": "x"}\n\n{"test": "y"}', "a.jsonl"],
    ["value-not-text", ['"completion"', "null"], '{"prompt": "x", "completion": null}', "a.jsonl"],
    ["value-not-text", ["rows[1]", "no such key"], { rows: ["a", { test: "b" }] }],
    ["no-chat-template", [], { rows: chats }],
    ["too-little-text", ["training set", "data, val and test"], '{"text": "x"}', "a.jsonl"],
    ["too-little-text", [], "", "a.txt"],
    ["invalid-value", ["stride", "1 to 8"], { file: file("a.txt", "x") }, { stride: 9 }],
    ["invalid-value", ["maxLength is invalid"], { file: file("a.txt", "x") }, { maxLength: 0 }],
    ["no-such-file", ["nowhere.txt"], { file: "nowhere.txt" }],
    ["unknown-option", ["unknown option source"], { source: "x" }],
    ["texts-mixed-with-completions", [], { train: [file("a.txt", "x"), file("b.jsonl", one)], ...OTHERS }],
  ] as [ErrorCode, string[], object | string, (object | string)?][]) {
    const isFile = typeof options === "string";
    const source = isFile ? { file: file(options, spec as string) } : spec;
    await assertFails(code, words, () => load(source as TextsSpec, isFile ? {} : options));
  }
  await assertFails("invalid-argument", ['did you mean { file: "a.txt" }?'], () => loadTexts("a.txt" as never));
});

testAll("a file of more documents than a call has arguments", async () => {
  const lines = '{"text": "x"}\n'.repeat(200_000);
  const { stats } = await loadTexts({ file: file("a.jsonl", lines) }, { maxLength: 64 });
  assert.is(stats.train.documents, 160_000);
});
