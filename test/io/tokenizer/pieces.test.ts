/** WordPiece and Unigram: ids, texts and pairs as in the library tokenizers, rows of them, and what is refused. */
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import type { Pair } from "../../../src/core/pair.ts";
import { bytesReader, Corpus } from "../../../src/data/corpus.ts";
import { Dataset } from "../../../src/data/dataset.ts";
import { loadDataset } from "../../../src/data/datasets.ts";
import { findProblems } from "../../../src/data/problems.ts";
import type { Tokenizer } from "../../../src/data/tokenizer.ts";
import { DataModule } from "../../../src/data/wasm.ts";
import type { BaseModel } from "../../../src/io/hf.ts";
import type { Vocabulary } from "../../../src/io/tokenizer/vocabulary.ts";
import { CLASS } from "../../../src/labels/class.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import {
  assertIds,
  goldenPieces,
  goldenVocabulary,
  loadTokenizer,
  readFiles,
  vocabularyModel,
} from "../../helpers/vocabulary.ts";

type Case = [text: string, ids: number[], decoded: string];
type PairCase = [first: string, second: string, most: number, ids: number[], types: number[]];

/** The vocabularies of test/golden/pieces, and what the library makes of texts with them. */
const KINDS = ["wordpiece", "wordpiece-cased", "unigram", "unigram-bytes"] as const;
const made = new Map<string, { vocabulary: Vocabulary; tokenizer: Tokenizer; cases: Case[]; pairs: PairCase[] }>();
const form = (name: string) => JSON.parse(goldenPieces(`${name}.json`));

test("loads", async () => {
  for (const name of KINDS) {
    const vocabulary = await readFiles({ "tokenizer.json": form(name) });
    const lines = goldenPieces(`${name}.jsonl`).trim().split("\n");
    const cases = lines.map((line) => JSON.parse(line));
    const pairs = cases.pop();
    made.set(name, { vocabulary, tokenizer: await loadTokenizer(vocabulary), cases, pairs });
  }
});

test("texts have the ids of the library tokenizers, and ids its texts", () => {
  for (const { tokenizer, cases } of made.values()) {
    assert.ok(cases.length > 150);
    for (const [text, ids, decoded] of cases) {
      assertIds(tokenizer.encode(text, { allowSpecial: true }), ids, text);
      // The library writes this added token as it is found, in the normalizer's letters.
      if (!decoded.includes("straße")) assert.is(tokenizer.decode(ids), decoded);
      const inner = tokenizer.encode(text, { allowSpecial: true, addSpecialTokens: false });
      assertIds(inner, ids.slice(1, -1), text);
    }
  }
});

test("as bytes a text has the same ids, and special tokens in it are text", () => {
  for (const { tokenizer, cases } of made.values()) {
    const ends = [tokenizer.beginOfText!, tokenizer.endOfText];
    for (const [text] of cases) {
      const ids = tokenizer.encode(text);
      assertIds(tokenizer.encodeBytes(new TextEncoder().encode(text)), ids, text);
      assert.equal([...ids.filter((id) => ends.includes(id))], ends, text);
    }
    assertIds(tokenizer.encode("a\ud800"), tokenizer.encode("a\ufffd"), "a lone surrogate");
  }
});

test("a long text has the ids of its words, and a long word those of its definition", () => {
  for (const [name, { tokenizer }] of made) {
    const inner = (text: string) => [...tokenizer.encode(text, { addSpecialTokens: false })];
    const later = (text: string) => inner(`x ${text}`).slice(inner("x").length);
    const words = "recht und Würde";
    const long = inner(`${words}\n${` ${words}\n`.repeat(16_000)} die Menschen`);
    const repeated = new Array<number[]>(16_000).fill(later(words)).flat();
    assertIds(long, [...inner(words), ...repeated, ...later("die Menschen")], "a long text");
    const letters = inner("a".repeat(100_000));
    if (name.startsWith("wordpiece")) assert.is(letters.length, 1);
    else assert.is(tokenizer.decode(letters), "a".repeat(100_000));
  }
});

test("pairs have the ids of the library, and are cut as by it", () => {
  for (const { tokenizer, pairs } of made.values())
    for (const [first, second, most, ids] of pairs) {
      const row = tokenizer.encodeRow([first, second], most);
      assertIds(row, ids, `${first}, ${second}, ${most}`);
    }
  const { tokenizer, cases } = made.get("unigram")!;
  const [text, ids] = cases.find((one) => one[1].length > 5)!;
  assert.equal([...tokenizer.encodeRow(text, 4)], [...ids.slice(0, 3), tokenizer.endOfText]);
});

test("rows have the same ids at every length, also behind a prompt, and their texts are kept", async () => {
  const pairs: Pair[] = [
    ["Das Recht, é", "Würde ﬁ"],
    ["", "STRASSE"],
    ["日本 x  y", ""],
    ["a", "b"],
  ];
  const singles = pairs.flat();
  const files = {
    pairs: pairs.map(([premise, hypothesis]) => JSON.stringify({ premise, hypothesis, label: "x" })).join("\n"),
    singles: singles.map((text) => JSON.stringify({ text, label: "x" })).join("\n"),
  };
  const roberta = await readFiles({ "tokenizer.json": robertaForm().json });
  const plain = [...[...made.values()].map(({ vocabulary }) => vocabulary), roberta];
  for (const vocabulary of [...plain, ...plain.map((one) => ({ ...one, prompt: "Frage: x" }))]) {
    const tokenizer = await loadTokenizer(vocabulary);
    const [cls, sep] = [tokenizer.beginOfText!, tokenizer.endOfText];
    const inner = (text: string) => tokenizer.encode(vocabulary.prompt + text, { addSpecialTokens: false });
    const module = await DataModule.load(vocabularyModel(vocabulary));
    for (const [name, texts] of [["pairs", pairs] as const, ["singles", singles] as const]) {
      const corpus = new Corpus(module);
      const file = bytesReader("rows.jsonl", new TextEncoder().encode(files[name]));
      const read = await corpus.read(file, { labelsAre: CLASS, maxLength: 64, chunkBytes: 7 });
      const set = new Dataset(corpus, read);
      assert.equal(
        texts.map((_, i) => set.text(i)),
        texts,
      );
      if (name === "singles") {
        assert.equal([...tokenizer.encodeRow(singles[0]!, 64)], [cls, ...inner(singles[0]!), sep]);
        assert.equal(
          [...corpus.table(read, 0).empty],
          singles.map((text) => Number(text === "")),
        );
      }
      for (const length of [name === "pairs" ? 5 : 3, 8, 64]) {
        const { ids, starts, lengths } = set.padded(length).batch(set.positions());
        for (const [i, text] of texts.entries()) {
          const row = tokenizer.encodeRow(text, length);
          assertIds(ids.subarray(starts[i], starts[i]! + lengths[i]!), row, `${text} in ${length}`);
        }
      }
    }
  }
});

function robertaForm() {
  const fast = JSON.parse(goldenVocabulary("tokenizer.json"));
  const { vocab } = fast.model;
  const ends = { cls: ["<mask>", vocab["<mask>"]], sep: ["<|endoftext|>", vocab["<|endoftext|>"]] };
  const flags = { trim_offsets: true, add_prefix_space: false };
  return { fast, ends, json: { ...fast, post_processor: { type: "RobertaProcessing", ...ends, ...flags } } };
}

test("RoBERTa's is a byte-level BPE with tokens around a text and two between those of a pair", async () => {
  const { fast, ends, json: roberta } = robertaForm();
  const [plain, framed] = await Promise.all([fast, roberta].map((json) => readFiles({ "tokenizer.json": json })));
  assert.is.not(plain!.fingerprint, framed!.fingerprint);
  const [inner, outer] = await Promise.all([plain!, framed!].map(loadTokenizer));
  const [cls, sep] = [ends.cls[1], ends.sep[1]];
  const [a, b] = ["Alle Menschen", "sind frei"].map((text) => [...inner!.encode(text)]);
  assert.equal([...outer!.encode("Alle Menschen")], [cls, ...a!, sep]);
  assert.equal([...outer!.encodeRow(["Alle Menschen", "sind frei"], 512)], [cls, ...a!, sep, sep, ...b!, sep]);
  const long = "Alle Menschen ".repeat(40_000);
  assert.equal([...outer!.encode(long)], [cls, ...inner!.encode(long), sep]);
});

test("texts are said whose letters are in no token, unless these are written as bytes", async () => {
  const texts = ["ሰላም ለዓለም", "ÉCOLE ß", "Hello ሰላ", "ሰላም ok", "2024 !", ""];
  for (const [name, { vocabulary }] of made) {
    const { lacks } = vocabulary;
    if (name === "unigram-bytes") assert.is(lacks, null);
    else assert.equal(texts.map(lacks!), [true, false, false, true, false, false]);
    const rows = texts.map((text, i) => ({ text, label: `${i % 2}` }));
    const model = { ...vocabularyModel(vocabulary), config: { vocab_size: 1e6, n_positions: 64 } } as BaseModel;
    const data = await loadDataset({ rows }, { model, fractions: [1, 0, 0], skipFaulty: true });
    const found = findProblems(data, 64).filter(({ code }) => code === "unknown-letters");
    assert.equal(
      found.map(({ text }) => text.slice(0, 31)),
      lacks ? ["2 texts are mostly letters that"] : [],
    );
  }
});

test("what is not supported is refused by name, and damaged models with what is wrong", async () => {
  const [bert, xlm] = [form("wordpiece"), form("unigram")];
  const strip = { type: "StripAccents" };
  const [charsmap, spaces] = xlm.normalizer.normalizers;
  const map = (bytes: Uint8Array) => ({ ...charsmap, precompiled_charsmap: Buffer.from(bytes).toString("base64") });
  const refused: [ErrorCode, string[], object][] = [
    ["unsupported-tokenizer", ["WordLevel", "Unigram"], { ...bert, model: { type: "WordLevel", vocab: {} } }],
    ["unsupported-tokenizer", ["StripAccents", "BertNormalizer"], { ...bert, normalizer: strip }],
    [
      "unsupported-tokenizer",
      ["Regex", "Precompiled"],
      { ...xlm, normalizer: { ...spaces, pattern: { Regex: "a+" } } },
    ],
    ["unsupported-tokenizer", ["BertPreTokenizer", "Whitespace"], { ...bert, pre_tokenizer: { type: "Whitespace" } }],
    ["unsupported-tokenizer", ["Metaspace", "Digits"], { ...xlm, pre_tokenizer: { type: "Digits" } }],
    ["unsupported-tokenizer", ["BERT's"], { ...bert, post_processor: { type: "Other" } }],
    ["unsupported-tokenizer", ["BPEDecoder"], { ...bert, decoder: { type: "BPEDecoder" } }],
    ["invalid-vocabulary", ["[GONE]"], { ...bert, model: { ...bert.model, unk_token: "[GONE]" } }],
    ["invalid-vocabulary", ["unk_id", "9999"], { ...xlm, model: { ...xlm.model, unk_id: 9999 } }],
    ["invalid-vocabulary", ["pairs"], { ...xlm, model: { ...xlm.model, vocab: [["a", "b"]] } }],
    ["invalid-vocabulary", ["base64"], { ...xlm, normalizer: { ...charsmap, precompiled_charsmap: "!" } }],
  ];
  for (const [code, words, json] of refused)
    await assertFails(code, words, () => readFiles({ "tokenizer.json": json }));
  // A map that ends too early, and one with a text that is too long.
  for (const bytes of [new Uint8Array(2), new Uint8Array(2000).fill(97, 4)]) {
    const vocabulary = await readFiles({ "tokenizer.json": { ...xlm, normalizer: map(bytes) } });
    await assertFails("invalid-vocabulary", ["precompiled_charsmap"], () => loadTokenizer(vocabulary));
  }
});
