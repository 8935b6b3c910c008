/** The vocabulary in a GGUF file's metadata is that of the model's tokenizer.json. */
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/error-codes.ts";
import { readGgufVocabulary } from "../../../src/io/tokenizer/tokenizer-gguf.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { assertIds, goldenVocabulary, loadTokenizer, readFiles } from "../../helpers/vocabulary.ts";

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
