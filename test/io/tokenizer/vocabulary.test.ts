/** Vocabularies of other models than GPT-2: ids as in the library tokenizers, their files, and runs with them. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { openDevice } from "../../../src/backend/device.ts";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { bytesReader } from "../../../src/data/corpus.ts";
import { loadDataset } from "../../../src/data/datasets.ts";
import { loadTexts } from "../../../src/data/text/texts.ts";
import { fineTune } from "../../../src/entries/engine.ts";
import { planExport } from "../../../src/export/index.ts";
import { Classifier } from "../../../src/infer/classifier.ts";
import { LanguageModel } from "../../../src/infer/text/language-model.ts";
import { loadModel } from "../../../src/io/hf.ts";
import { LIMITS } from "../../../src/io/limits.ts";
import { loadAdapter, openAdapter } from "../../../src/io/peft/open-adapter.ts";
import { GPT2_VOCABULARY } from "../../../src/io/tokenizer/vocabulary.ts";
import { assertFails, temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { messages, TINY, tinyModel } from "../../helpers/tiny.ts";
import { assertIds, goldenVocabulary, loadTokenizer, readFiles, vocabularyModel } from "../../helpers/vocabulary.ts";

const folder = temporaryFolder();
const golden = goldenVocabulary;
const FAST = JSON.parse(golden("tokenizer.json"));
const { vocab: VOCAB, merges: MERGES } = FAST.model as { vocab: Record<string, number>; merges: [string, string][] };
const CASES = golden("cases.jsonl")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as [text: string, ids: number[], withSpecial: number[]]);
const read = readFiles;

/** The fixture with other ids, as `change` leaves it. */
function withIds(mapId: (id: number) => number): object {
  const vocab = Object.fromEntries(Object.entries(VOCAB).map(([token, id]) => [token, mapId(id)]));
  const added_tokens = FAST.added_tokens.map((token: { id: number }) => ({ ...token, id: mapId(token.id) }));
  return { ...FAST, added_tokens, model: { ...FAST.model, vocab } };
}

test("texts have the ids of the library tokenizers, whatever the order of the ids, with and without special tokens", async () => {
  for (const mapId of [(id: number) => id, (id: number) => id * 3000 + 7]) {
    const tokenizer = await loadTokenizer(await read({ "tokenizer.json": withIds(mapId) }));
    assert.is(tokenizer.vocabSize, mapId(299) + 1);
    assert.is(tokenizer.endOfText, mapId(VOCAB["<|endoftext|>"]!));
    for (const [text, ids, special] of CASES) {
      assertIds(tokenizer.encode(text), ids.map(mapId), text);
      assertIds(tokenizer.encode(text, { allowSpecial: true }), special.map(mapId), text);
      assertIds(tokenizer.encodeBytes(new TextEncoder().encode(text)), ids.map(mapId), text);
    }
  }
});

test("added tokens that take white space are found across the parts in which long texts are encoded", async () => {
  const tokenizer = await loadTokenizer(await read({ "tokenizer.json": FAST }));
  const text = "zwei Worte  \n und Recht <both>  x\n";
  const once = Array.from(tokenizer.encode(text));
  const times = 20_000;
  assertIds(tokenizer.encode(text.repeat(times)), Array.from({ length: times }, () => once).flat(), "repeated");
});

test("the rows of a data set have the same ids, also above 65,535, and are padded with the end of text", async () => {
  for (const mapId of [(id: number) => id, (id: number) => id * 3000 + 7]) {
    const model = vocabularyModel(await read({ "tokenizer.json": withIds(mapId) }));
    const texts = CASES.map(([text]) => text).filter((text) => !/[\r\n]/.test(text));
    const expected = new Map(CASES.map(([text, ids]) => [text, ids.map(mapId)]));
    const rows = texts.map((text, i) => JSON.stringify({ text, label: i % 2 ? "a" : "b" }));
    const file = bytesReader("rows.jsonl", new TextEncoder().encode(rows.join("\n")));
    const { train, vocabulary } = await loadDataset({ file }, { model, padding: 40, maxLength: 1000 });
    assert.is(vocabulary, model.vocabulary.fingerprint);
    const { ids, starts, lengths, positions } = train.batch(train.positions());
    const end = model.vocabulary.end.id;
    positions.forEach((row, i) => {
      const text = texts[train.place(row)]!;
      const full = expected.get(text)!;
      const own = full.length === 0 ? [end] : full.slice(0, 40);
      assertIds(ids.subarray(starts[i], starts[i]! + lengths[i]!), own, text);
      assertIds(ids.subarray(starts[i]! + lengths[i]!, starts[i + 1]), Array(40 - own.length).fill(end), text);
    });
  }
});

test("GPT-2's files, in any format, stand for the built-in vocabulary", async () => {
  const micro = (file: string) => readFileSync(packagePath(`data/models/gpt2-micro/${file}`), "utf8");
  const vocab = JSON.parse(micro("vocab.json")) as Record<string, number>;
  const merges = micro("merges.txt").trimEnd().split("\n").slice(1);
  const model = { type: "BPE", unk_token: null, dropout: null, byte_fallback: false, vocab, merges };
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const end = { id: 50256, content: "<|endoftext|>", ...flags };
  const pad = { content: "[PAD]", ...flags };
  const fast = {
    added_tokens: [end],
    normalizer: null,
    pre_tokenizer: FAST.pre_tokenizer,
    post_processor: null,
    model,
  };
  const template = { type: "TemplateProcessing", single: [{ Sequence: { id: "A", type_id: 0 } }], special_tokens: {} };
  const config = { vocab_size: 50257, eos_token_id: 50256 };
  for (const files of [
    {},
    { "tokenizer_config.json": { add_prefix_space: false, tokenizer_class: "GPT2Tokenizer" } },
    { "vocab.json": vocab, "merges.txt": merges.join("\r\n") },
    {
      "vocab.json": vocab,
      "merges.txt": micro("merges.txt"),
      "added_tokens.json": { "[PAD]": 50257 },
      "special_tokens_map.json": { pad_token: "[PAD]" },
    },
    { "tokenizer.json": fast },
    {
      "tokenizer.json": { ...fast, post_processor: template, added_tokens: [end, { id: 50257, ...pad }] },
      "tokenizer_config.json": { add_bos_token: false, added_tokens_decoder: { 50257: pad } },
    },
    { "tokenizer.json": { ...fast, model: { ...model, merges: merges.map((merge) => merge.split(" ")) } } },
  ])
    assert.is(await read(files, config), GPT2_VOCABULARY, Object.keys(files).join());
  // With more tokens the ids of ordinary text are the same.
  const more = await read(
    { "tokenizer.json": { ...fast, added_tokens: [end, { id: 50257, ...pad }] } },
    { vocab_size: 50300 },
  );
  assert.equal([more.fingerprint, more.size], ["gpt2", 50258]);
  const tokenizer = await loadTokenizer(more);
  assert.is(tokenizer.decode([50257]), "[PAD]");
  assertIds(tokenizer.encode("Hi[PAD]", { allowSpecial: true }), [17250, 50257], "with special tokens");
  const swapped = await read({
    "vocab.json": vocab,
    "merges.txt": merges.toSpliced(0, 2, merges[1]!, merges[0]!).join("\n"),
  });
  assert.is.not(swapped.fingerprint, "gpt2");
});

test("the token that ends a text: of the tokenizer's files, of the model's config, or <|endoftext|>", async () => {
  const ids = { "<s>": 400, "</s>": 401, "<|endoftext|>": VOCAB["<|endoftext|>"]! };
  const lists = { "vocab.json": { ...VOCAB, ...ids }, "merges.txt": MERGES.map((pair) => pair.join(" ")).join("\n") };
  const readEnd = async (settings: object, config: object) =>
    (await read({ ...lists, "tokenizer_config.json": settings }, { vocab_size: 500, ...config })).end.text;
  for (const [settings, config, expected] of [
    [{}, {}, "<|endoftext|>"],
    [{ eos_token: "</s>" }, { eos_token_id: 400 }, "</s>"],
    [{ eos_token: { content: "</s>", lstrip: false } }, {}, "</s>"],
    [{}, { eos_token_id: 401 }, "</s>"],
    [{}, { eos_token_id: [401, 400] }, "</s>"],
    [{}, { eos_token_id: 50256 }, "<|endoftext|>"],
    // a word, as in configs that are copies of GPT-2's
    [{}, { eos_token_id: VOCAB[MERGES[3]!.join("")] }, "<|endoftext|>"],
  ] as const)
    assert.is(await readEnd(settings, config), expected);
  const { "<|endoftext|>": _, ...without } = VOCAB;
  const none = { ...lists, "vocab.json": { ...without, "<s>": 400 } };
  assert.is((await read({ ...none, "tokenizer_config.json": { bos_token: "<s>" } })).end.id, 400);
  await assertFails("no-end-token", ["eos_token_id 50256"], () => read(none, { vocab_size: 500, eos_token_id: 50256 }));
});

test("bytes that the vocabulary lacks are left out, as by the library tokenizers", async () => {
  const { a: _, Ã: __, ...vocab } = VOCAB;
  const merges = MERGES.filter((pair) => !/[aÃ]/.test(pair.join("")));
  const tokenizer = await loadTokenizer(
    await read({ "tokenizer.json": { ...FAST, added_tokens: [], model: { ...FAST.model, vocab, merges } } }),
  );
  assert.is(tokenizer.decode(tokenizer.encode("das Recht, ja")), "ds Recht, j");
  assert.is(tokenizer.encode("aaa").length, 0);
  assert.is(tokenizer.decode(tokenizer.encode("ab".repeat(50))), "b".repeat(50));
});

test("files that do not fit together are refused with what is wrong", async () => {
  const fast = (model: object, rest: object = {}) => ({
    "tokenizer.json": { ...FAST, ...rest, model: { ...FAST.model, ...model } },
  });
  const merges = MERGES.map((pair) => pair.join(" "));
  const added = Array.from({ length: 5000 }, (_, i) => ({ id: 300 + i, content: `<${i}>` }));
  const broken: [ErrorCode, string[], Record<string, unknown>][] = [
    ["invalid-merges", ["merge 2 needs a token", 'no token "Zq"'], fast({ merges: [MERGES[0], ["Z", "q"]] })],
    ["invalid-merges", ["merge 1 needs a token", 'no token "ZZ"'], { "vocab.json": VOCAB, "merges.txt": "ZZ e\n" }],
    ["invalid-merges", ["merge 1 is invalid", "two tokens"], { "vocab.json": VOCAB, "merges.txt": "a b c\n" }],
    ["invalid-merges", ["merge 1 is invalid", "5"], fast({ merges: [5] })],
    ["invalid-vocabulary", ["two tokens have the id"], fast({ vocab: { ...VOCAB, neu: VOCAB.a } })],
    ["invalid-vocabulary", ['"neu"', "-1"], fast({ vocab: { ...VOCAB, neu: -1 } })],
    ["invalid-vocabulary", ['"neu"', "1.5"], fast({ vocab: { ...VOCAB, neu: 1.5 } })],
    ["invalid-vocabulary", ['"neu"', "999999", "1000000000"], fast({ vocab: { ...VOCAB, neu: 1e9 } })],
    ["invalid-vocabulary", ["two ids", "<mask>"], fast({}, { added_tokens: [{ id: 500, content: "<mask>" }] })],
    ["invalid-merges", ["no merges"], fast({ merges: undefined })],
    ["invalid-field", ["ignore_merges"], fast({ ignore_merges: "yes" })],
    ["invalid-field", ["vocab is invalid", "an object"], fast({ vocab: [] })],
    ["invalid-vocabulary", ["byte-level", "Ġ"], { "vocab.json": { a: 0, "<|endoftext|>": 1 }, "merges.txt": "" }],
    ["missing-tokenizer-files", ["no merges.txt"], { "vocab.json": VOCAB }],
    ["missing-tokenizer-files", ["no vocab.json"], { "merges.txt": merges.join("\n") }],
    ["invalid-json", ["not a JSON file"], { "tokenizer.json": golden("tokenizer.json").slice(0, 900) }],
    ["invalid-vocabulary", ["is too long", "65536"], fast({ vocab: { ...VOCAB, ["x".repeat(70_000)]: 300 } })],
    ["exceeds-limit", ["too many added tokens", "4096"], fast({}, { added_tokens: added })],
    ["invalid-merges", ["too many merges"], { "vocab.json": VOCAB, "merges.txt": "\n".repeat(LIMITS.vocabulary + 1) }],
    ["exceeds-limit", ["too many values"], { "vocab.json": `{"a":[${"0,".repeat(6 * LIMITS.vocabulary)}0]}` }],
  ];
  const [before, byteLevel] = [(pre_tokenizer: unknown) => fast({}, { pre_tokenizer }), FAST.pre_tokenizer];
  const patterns = "gpt-2, smollm, llama-bpe, qwen2";
  const unsupported: [words: string[], files: Record<string, unknown>][] = [
    [["WordLevel", "WordPiece or Unigram"], fast({ type: "WordLevel" })],
    [["SentencePiece", "Llama"], fast({ byte_fallback: true })],
    [["SentencePiece"], { "tokenizer.model": "x" }],
    [["WordPiece's vocab.txt alone", "tokenizer.json", "save_pretrained"], { "vocab.txt": "x" }],
    [["unk_token"], fast({ unk_token: "<mask>", vocab: { ...VOCAB, a: undefined }, merges: [] })],
    [["end_of_word_suffix"], fast({ end_of_word_suffix: "</w>" })],
    [["dropout"], fast({ dropout: 0.1 })],
    [["no normalizer", "NFC", "normalize"], fast({}, { normalizer: { type: "NFKC" } })],
    [[patterns, "nothing"], before(undefined)],
    [[patterns, "Split"], before({ type: "Split", pattern: { Regex: "\\d" } })],
    [["with use_regex"], before({ ...byteLevel, use_regex: false })],
    [["add_prefix_space = false", "true"], before({ ...byteLevel, add_prefix_space: true })],
    [["a post_processor that adds no tokens"], fast({}, { post_processor: { type: "Other" } })],
    [["add_prefix_space = false"], { "tokenizer_config.json": { add_prefix_space: true } }],
    [["add_bos_token = false"], { "tokenizer_config.json": { add_bos_token: true } }],
  ];
  for (const [code, words, files] of broken) await assertFails(code, words, () => read(files));
  for (const [words, files] of unsupported) await assertFails("unsupported-tokenizer", words, () => read(files));
  // Some rows more than GPT-2's ids are padding.
  assert.is((await read({}, { vocab_size: 50304 })).fingerprint, "gpt2");
  await assertFails("missing-tokenizer-files", ["vocab_size 52000", "copy the files"], () =>
    read({}, { vocab_size: 52000 }),
  );
  await assertFails("wrong-vocabulary", ["at most 299", "300 ids"], () => read(fast({}), { vocab_size: 299 }));
});

/** A tiny model on the disk with the fixture's tokenizer, as `change` leaves it. */
function modelWith(name: string, change: (fast: typeof FAST) => object = (fast) => fast): string {
  const directory = tinyModel(join(folder, name), () => {}, { ...TINY, vocab_size: 304 });
  writeFileSync(join(directory, "tokenizer.json"), JSON.stringify(change(FAST)));
  return directory;
}

test("a model is trained, used and exported with its own vocabulary", async () => {
  const device = await openDevice("wasm", { threads: 1 });
  const directory = modelWith("own");
  const model = await loadModel(directory);
  const file = bytesReader("messages.csv", new TextEncoder().encode(messages(20)));
  const data = await loadDataset({ file }, { model, maxLength: TINY.n_positions });
  const settings = { device, model, epochs: 1, batchSize: 4, rank: 2, pooling: "last-token" } as const;
  const run = await fineTune({ ...settings, data });
  const out = join(folder, "run");
  await run.save(out);

  const end = model.vocabulary.end.id;
  const classifier = await Classifier.load(out, { device });
  const [first] = await classifier.logits([""]);
  assert.is(first, (await classifier.logits([""]))[0]);
  assert.equal((await classifier.classify("Alle Menschen"))[0]!.label!.length > 0, true);
  classifier.destroy();
  const lm = await LanguageModel.load(directory, { device });
  const [{ ids } = { ids: [] }] = await lm.complete("Alle", { maxNewTokens: 5 });
  assert.ok(ids.length > 0 && ids.every((id) => id < 300));
  assert.ok((await lm.score("Alle Menschen")).tokens < 13);
  lm.destroy();
  const texts = await loadTexts(
    { file: bytesReader("a.txt", new TextEncoder().encode("Recht.\n".repeat(90))) },
    { model },
  );
  assert.is(texts.train.batch([0]).ids[0], end);

  const opened = await openAdapter(out);
  const { files } = await planExport("merged", opened);
  assert.equal(JSON.parse(String(files.get("config.json"))).pad_token_id, end);
  assert.equal(JSON.parse(new TextDecoder().decode(files.get("tokenizer.json") as Uint8Array)), FAST);
  await opened.baseModel.close();

  // GPT-2's tokenizer is too large for a model without files of its own.
  const bare = await loadModel(tinyModel(join(folder, "bare"), () => {}, { ...TINY, vocab_size: 304 }));
  await assertFails("wrong-vocabulary", ["at most 304", "50257 ids"], () => loadDataset({ file }, { model: bare }));
  await bare.close();

  // Data and adapters of another vocabulary.
  const other = await loadDataset({ file }, { maxLength: TINY.n_positions });
  await assertFails("wrong-vocabulary", ["GPT-2's", "loadDataset(source, { model })"], () =>
    fineTune({ ...settings, data: other }),
  );
  const swapped = await loadModel(
    modelWith("swapped", (fast) => ({ ...fast, model: { ...fast.model, merges: fast.model.merges.toReversed() } })),
  );
  await assertFails("wrong-vocabulary", [out], () => loadAdapter(out, swapped));
  for (const one of [model, swapped]) await one.close();
  device.destroy();
});
