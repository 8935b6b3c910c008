/** The tokenizers of SmolLM2, Llama 3 and Qwen2: their splitting patterns, whole words, NFC, a token before a text. */
import * as assert from "uvu/assert";
import { Rng } from "../../src/core/rng.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import type { Tokenizer } from "../../src/data/tokenizer.ts";
import { ReferenceTokenizer, SPLITS } from "../helpers/bpe-reference.ts";
import { test } from "../helpers/harness.ts";
import { randomText } from "../helpers/random-text.ts";
import { testRounds } from "../helpers/rounds.ts";
import { assertIds, goldenVocabulary, loadTokenizer, readFiles, vocabularyModel } from "../helpers/vocabulary.ts";

type Case = [text: string, ids: number[], withSpecial?: number[]];

const FAST = JSON.parse(goldenVocabulary("tokenizer.json"));
const GOLDEN: Record<string, { change: Record<string, object>; cases: Case[] }> = JSON.parse(
  goldenVocabulary("patterns.json"),
);
const utf8 = new TextEncoder();

/** The fixture's vocabulary with what the fixture of this pattern changes; `more` changes it further. */
const readPattern = (name: string, more: object = {}) => {
  const { change } = GOLDEN[name]!;
  return readFiles({ "tokenizer.json": { ...FAST, ...change, model: { ...FAST.model, ...change.model }, ...more } });
};

/** The same without what surrounds the pattern. */
const readPlain = (name: string) =>
  readPattern(name, { added_tokens: [], normalizer: null, post_processor: null, model: FAST.model });

for (const [name, { cases }] of Object.entries(GOLDEN))
  test(`${name}: texts have the ids of the library tokenizers, with and without special tokens`, async () => {
    const tokenizer = await loadTokenizer(await readPattern(name));
    for (const [text, ids, special = ids] of cases) {
      assertIds(tokenizer.encode(text), ids, text);
      assertIds(tokenizer.encode(text, { allowSpecial: true }), special, text);
      assertIds(tokenizer.encodeBytes(utf8.encode(text)), ids, text);
    }
  });

for (const [name, split] of Object.entries(SPLITS)) {
  const describe = (texts: number) => `${name}: ${texts} random texts have the ids of the definition`;
  testRounds(1000, 100_000, describe, async (texts, seed) => {
    const tokenizer = await loadTokenizer(await readPlain(name));
    const merges = FAST.model.merges.map((pair: string[]) => pair.join(" "));
    const reference = ReferenceTokenizer.of(FAST.model.vocab, merges, split);
    const rng = new Rng(seed);
    for (let i = 0; i < texts; i++) {
      const text = randomText(rng, 24);
      const ids = tokenizer.encode(text);
      assertIds(ids, reference.encode(text), text);
      assert.is(tokenizer.decode(ids), text.toWellFormed());
    }
  });

  test(`${name}: texts longer than a chunk have the ids of their parts`, async () => {
    const tokenizer = await loadTokenizer(await readPlain(name));
    const rng = new Rng(3);
    // In all but SmolLM2's, line ends after punctuation are in one piece with it.
    for (const end of name === "smollm" ? ["z", "1"] : [".\n", ";\r\n", "z", "1"]) {
      const parts = Array.from({ length: 3200 }, () => ` ${randomText(rng, 60).toWellFormed()}${end}`);
      const text = parts.join("");
      assert.ok(utf8.encode(text).length > 262_144);
      checkParts(tokenizer, text, parts);
    }
  });
}

/** A part ends where a space follows, so that the ids of parts are those of the whole. */
function checkParts(tokenizer: Tokenizer, text: string, parts: readonly string[]): void {
  const expected = parts.flatMap((part) => Array.from(tokenizer.encode(part)));
  assertIds(tokenizer.encode(text), expected, "parts");
  assertIds(tokenizer.encodeBytes(utf8.encode(text)), expected, "parts");
}

test("the token before a text is left out where it is asked for, and is before a long text once", async () => {
  const tokenizer = await loadTokenizer(await readPattern("llama-bpe"));
  const begin = FAST.model.vocab["<|endoftext|>"];
  const [first, ...rest] = tokenizer.encode("die Würde");
  assert.is(first, begin);
  assertIds(tokenizer.encode("die Würde", { addSpecialTokens: false }), rest, "without");
  assertIds(tokenizer.encode(""), [begin], "nothing");
  assertIds(tokenizer.encodeBytes(new Uint8Array(0)), [begin], "nothing");
  const long = tokenizer.encode(" die Würde".repeat(60_000));
  assert.is(long.filter((id) => id === begin).length, 1);
  assert.is(long[0], begin);
});

test("text of the longest composed form is brought into NFC; bytes that are not UTF-8 stay", async () => {
  const vocabulary = await readPattern("qwen2", { added_tokens: [] });
  const tokenizer = await loadTokenizer(vocabulary);
  // The longest composed form: three times the bytes.
  for (const text of ["\u{1d160}".repeat(30_000), "\u0958".repeat(100_000), `${"e\u0301".repeat(90_000)} `.repeat(3)])
    assert.is(tokenizer.decode(tokenizer.encode(text)), text.normalize("NFC"));
  const broken = Uint8Array.of(0x65, 0xcc, 0x81, 0x20, 0xff);
  assert.equal(tokenizer.decodeBytes(tokenizer.encodeBytes(broken)), broken);
});

test("characters that are taken for composed are so, beside any other", async () => {
  const tokenizer = await loadTokenizer(await readPattern("qwen2", { added_tokens: [] }));
  for (let point = 0; point < 0x110000; point++) {
    if (point >= 0xd800 && point < 0xe000) continue;
    const text = `e${String.fromCodePoint(point)}\u3000\u3000`;
    const composed = text.normalize("NFC");
    if (composed !== text) assert.is(tokenizer.decode(tokenizer.encode(text)), composed, point.toString(16));
  }
});

for (const name of Object.keys(GOLDEN))
  test(`${name}: the rows of a data set are the ids of their texts, cut and padded`, async () => {
    const model = vocabularyModel(await readPattern(name));
    const { begin, end } = model.vocabulary;
    const own = GOLDEN[name]!.cases.filter(([text]) => !/[\r\n]/.test(text));
    const rows = own.map(([text], i) => ({ text, label: i % 2 ? "a" : "b" }));
    for (const maxLength of [1, 2, 5, 1000]) {
      const { train } = await loadDataset({ rows }, { model, padding: "none", maxLength });
      const { ids, starts, positions } = train.batch(train.positions());
      positions.forEach((row, i) => {
        const [text, full] = own[train.place(row)]!;
        const wanted = full.length === 0 ? [end.id] : full.slice(0, maxLength);
        assertIds(ids.subarray(starts[i], starts[i + 1]), wanted, text);
        assert.is(train.text(row), name === "qwen2" ? text.normalize("NFC") : text);
      });
      const cut = own.filter(
        ([, full], i) => full.length > maxLength && positions.some((row) => train.place(row) === i),
      );
      assert.is(train.stats().cut, cut.length);
      if (begin !== null) assert.is(ids[0], begin.id);
    }
  });

test("the rows of pairs begin with the token before a text, and are cut to any length", async () => {
  const model = vocabularyModel(await readPattern("llama-bpe", { added_tokens: [] }));
  const begin = FAST.model.vocab["<|endoftext|>"];
  const [first, second] = ["die Würde des Menschen", "ist unantastbar"] as const;
  const rows = Array.from({ length: 10 }, (_, i) => ({ text: [first, second] as const, label: i % 2 }));
  const tokenizer = await loadTokenizer(model.vocabulary);
  const [a, b] = [first, second].map((text) => tokenizer.encode(text, { addSpecialTokens: false }));
  for (const maxLength of [1, 2, 3, 1000]) {
    const { train } = await loadDataset({ rows }, { model, maxLength });
    const { ids, starts } = train.batch([0]);
    const all = [begin, ...a!, model.vocabulary.end.id, ...b!];
    if (maxLength === 1000) assertIds(ids.subarray(starts[0], starts[1]), all, "pair");
    assert.is(ids.length, Math.min(maxLength, all.length));
    assert.is(ids[0], begin);
    assert.equal(train.text(0), [first, second]);
  }
});
