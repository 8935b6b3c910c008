/** The vocabulary in a GGUF file's metadata is that of the model's tokenizer.json. */
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { readGgufVocabulary } from "../../../src/io/tokenizer/tokenizer-gguf.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { assertIds, goldenPieces, goldenVocabulary, loadTokenizer, readFiles } from "../../helpers/vocabulary.ts";

const FAST = JSON.parse(goldenVocabulary("tokenizer.json"));
const GOLDEN = JSON.parse(goldenVocabulary("patterns.json"));
const END = "<|endoftext|>";
const CONTROL = 3;
const USER_DEFINED = 4;

/** The metadata of a model, as converters write it from its tokenizer.json. */
function metadata(model: { vocab: Record<string, number>; merges: string[][] }, more: object = {}) {
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token;
  const tokenTypes = Int32Array.from(tokens, (token) =>
    token === END ? CONTROL : token === "<mask>" ? USER_DEFINED : 1,
  );
  return new Map<string, unknown>(
    Object.entries({
      "general.architecture": "llama",
      "tokenizer.ggml.model": "gpt2",
      "tokenizer.ggml.tokens": tokens,
      "tokenizer.ggml.token_type": tokenTypes,
      "tokenizer.ggml.merges": model.merges.map((pair) => pair.join(" ")),
      "tokenizer.ggml.eos_token_id": model.vocab[END],
      "tokenizer.ggml.bos_token_id": model.vocab[END],
      ...more,
    }),
  );
}

const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
const ADDED = [
  { ...flags, id: FAST.model.vocab[END], content: END, special: true },
  { ...flags, id: FAST.model.vocab["<mask>"], content: "<mask>", special: false },
];

for (const [name, { change, cases }] of Object.entries<{ change: Record<string, object>; cases: [string][] }>(GOLDEN))
  test(`${name}: a GGUF file's vocabulary is that of tokenizer.json, by fingerprint and by ids`, async () => {
    const model = { ...FAST.model, ...change.model };
    const files = { "tokenizer.json": { ...FAST, ...change, added_tokens: ADDED, model } };
    const own = await readFiles({ ...files, "tokenizer_config.json": { eos_token: END, chat_template: "x" } });
    const pre = { "tokenizer.ggml.pre": name, "tokenizer.chat_template": "x" };
    const gguf = await readGgufVocabulary(metadata(model, pre), "m.gguf");
    assert.equal({ ...gguf, tables: null, chat: null }, { ...own, tables: null, chat: null });
    assert.is(gguf.chat?.template, "x");
    const [tokenizer, reference] = await Promise.all([loadTokenizer(gguf), loadTokenizer(own)]);
    for (const [text] of cases)
      for (const allowSpecial of [true, false])
        assertIds(tokenizer.encode(text, { allowSpecial }), reference.encode(text, { allowSpecial }), text);
  });

const pieces = (name: string) => JSON.parse(goldenPieces(`${name}.json`));
/** XLM-R's steps: SentencePiece's map, and words at white space. */
const XLMR = (() => {
  const { normalizer, ...rest } = pieces("unigram");
  const metaspace = { type: "Metaspace", replacement: "▁", prepend_scheme: "always" };
  const pre_tokenizer = { type: "Sequence", pretokenizers: [{ type: "WhitespaceSplit" }, metaspace] };
  return { ...rest, pre_tokenizer, normalizer: normalizer.normalizers[0] };
})();
const UNCASED = pieces("wordpiece");

/** A WordPiece or Unigram model's metadata, as llama.cpp's converter writes them. */
function pieceMetadata({ model, added_tokens }: typeof XLMR, more: object = {}) {
  const isWords = model.type === "WordPiece";
  const texts: string[] = [];
  if (isWords) for (const [token, id] of Object.entries<number>(model.vocab)) texts[id] = token;
  else for (const [token] of model.vocab) texts.push(token);
  const special = (added_tokens as { id: number; content: string; special: boolean }[]).filter((one) => one.special);
  const types = texts.map((_, id) => (special.some((token) => token.id === id) ? CONTROL : 1));
  const phantom = (text: string) => (text.startsWith("##") ? text.slice(2) : `▁${text}`);
  const id = (text: string) => special.find(({ content }) => content === text)?.id;
  const map = XLMR.normalizer.precompiled_charsmap as string;
  return new Map<string, unknown>(
    Object.entries({
      "general.architecture": "bert",
      "tokenizer.ggml.model": isWords ? "bert" : "t5",
      "tokenizer.ggml.tokens": texts.map((text, i) => (isWords && types[i] === 1 ? phantom(text) : text)),
      "tokenizer.ggml.token_type": types,
      "tokenizer.ggml.scores": isWords ? undefined : model.vocab.map(([, score]: [string, number]) => score),
      "tokenizer.ggml.precompiled_charsmap": isWords ? undefined : [...Buffer.from(map, "base64")],
      "tokenizer.ggml.remove_extra_whitespaces": true,
      "tokenizer.ggml.bos_token_id": id("<s>") ?? id("[CLS]"),
      "tokenizer.ggml.seperator_token_id": id("</s>") ?? id("[SEP]"),
      "tokenizer.ggml.unknown_token_id": id("<unk>") ?? id("[UNK]"),
      ...more,
    }),
  );
}

test("of WordPiece and Unigram models a GGUF file's vocabulary is that of tokenizer.json", async () => {
  const cased = { ...pieces("wordpiece-cased"), normalizer: { type: "BertNormalizer", lowercase: false } };
  // A file tells by its pieces whether texts are brought into lower case.
  const [last, size] = Object.entries<number>(cased.model.vocab).at(-1)!;
  delete cased.model.vocab[last];
  cased.model.vocab.Menschen = size;
  for (const json of [UNCASED, cased, XLMR]) {
    const known = { ...json, added_tokens: json.added_tokens.filter(({ special }: { special: boolean }) => special) };
    const own = await readFiles({ "tokenizer.json": known });
    const gguf = await readGgufVocabulary(pieceMetadata(known), "m.gguf");
    assert.equal([gguf.kind, gguf.begin, gguf.end, gguf.closes], [own.kind, own.begin, own.end, true]);
    const [tokenizer, reference] = await Promise.all([loadTokenizer(gguf), loadTokenizer(own)]);
    const name = json === XLMR ? "unigram" : json === UNCASED ? "wordpiece" : "wordpiece-cased";
    for (const line of goldenPieces(`${name}.jsonl`).trim().split("\n").slice(0, -1)) {
      const [text] = JSON.parse(line);
      assertIds(tokenizer.encode(text, { allowSpecial: true }), reference.encode(text, { allowSpecial: true }), text);
    }
  }
  // Older files: pieces in brackets are as they are, and the token before a text has a key of its own.
  const older = pieceMetadata(UNCASED);
  const begin = older.get("tokenizer.ggml.bos_token_id");
  for (const [key, value] of [
    ["bos", undefined],
    ["cls", begin],
  ] as const)
    older.set(`tokenizer.ggml.${key}_token_id`, value);
  assert.is((await readGgufVocabulary(older, "m.gguf")).begin?.id, begin);
  const broken: [ErrorCode, string[], object][] = [
    ["invalid-field", ["scores", "1501 numbers"], { "tokenizer.ggml.scores": [1, 2] }],
    ["invalid-field", ["add_space_prefix"], { "tokenizer.ggml.add_space_prefix": "yes" }],
    ["unsupported-tokenizer", ["cls_token_id"], { "tokenizer.ggml.bos_token_id": undefined }],
    ["invalid-vocabulary", ["does not know"], { "tokenizer.ggml.unknown_token_id": -1 }],
  ];
  for (const [code, words, more] of broken)
    await assertFails(code, words, () => readGgufVocabulary(pieceMetadata(XLMR, more), "m.gguf"));
});

test("whether a token is before a text is what the metadata say, or else follows from the pattern", async () => {
  const begin = async (more: object) => (await readGgufVocabulary(metadata(FAST.model, more), "m.gguf")).begin?.text;
  assert.is(await begin({ "tokenizer.ggml.pre": "llama-bpe" }), END);
  assert.is(await begin({ "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": false }), undefined);
  assert.is(await begin({ "tokenizer.ggml.pre": "smollm" }), undefined);
  assert.is(await begin({ "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.add_bos_token": true }), END);
  // llama.cpp too takes it for none.
  const padded = metadata(FAST.model, {
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.padding_token_id": 4294967295,
  });
  assert.is((await readGgufVocabulary(padded, "m.gguf")).end.text, END);
  // GPT-2's older files do not name a pattern.
  assert.is(await begin({ "general.architecture": "gpt2" }), undefined);
});

test("other tokenizers and damaged metadata are refused by name", async () => {
  const pre = { "tokenizer.ggml.pre": "smollm" };
  const broken: [ErrorCode, string[], object][] = [
    ["unsupported-tokenizer", ["byte-level BPE", '"llama"'], { "tokenizer.ggml.model": "llama" }],
    ["unsupported-tokenizer", ["byte-level BPE", "not given"], { "tokenizer.ggml.model": undefined }],
    [
      "unsupported-tokenizer",
      ["gpt-2, smollm, llama-bpe, qwen2", "deepseek-llm"],
      { "tokenizer.ggml.pre": "deepseek-llm" },
    ],
    ["unsupported-tokenizer", ["tokenizer.ggml.pre", "not given"], {}],
    ["unsupported-tokenizer", ["tokenizer.ggml.pre"], { "tokenizer.ggml.pre": "toString" }],
    ["invalid-field", ["tokenizer.ggml.tokens", "nothing"], { ...pre, "tokenizer.ggml.tokens": undefined }],
    ["invalid-field", ["tokenizer.ggml.merges", '["a b",5]'], { ...pre, "tokenizer.ggml.merges": ["a b", 5] }],
    ["invalid-merges", ["merge 1"], { ...pre, "tokenizer.ggml.merges": ["zz zz"] }],
    [
      "no-end-token",
      ["eos_token"],
      {
        ...pre,
        "tokenizer.ggml.eos_token_id": undefined,
        "tokenizer.ggml.bos_token_id": undefined,
        "tokenizer.ggml.tokens": (metadata(FAST.model).get("tokenizer.ggml.tokens") as string[]).map((token) =>
          token === END ? "<other>" : token,
        ),
      },
    ],
  ];
  const wrong: [key: string, ...values: unknown[]][] = [
    ["ggml.token_type", "x", 3, [3], ["3"], true, []],
    ["ggml.add_bos_token", "true", 1, [true]],
    ["ggml.add_eos_token", "true", 0],
    ["ggml.eos_token_id", "x", -1, 1.5, [3], true],
    ["ggml.bos_token_id", "x"],
    ["ggml.padding_token_id", "x"],
    ["chat_template", 5, ["x"]],
  ];
  for (const [key, ...values] of wrong)
    for (const value of values)
      broken.push(["invalid-field", [`tokenizer.${key}`], { ...pre, [`tokenizer.${key}`]: value }]);
  broken.push(["unsupported-tokenizer", ["add_eos_token"], { ...pre, "tokenizer.ggml.add_eos_token": true }]);
  for (const [code, words, more] of broken)
    await assertFails(code, words, () => readGgufVocabulary(metadata(FAST.model, more), "m.gguf"));
});
