/**
 * How byte-level BPEs split a text into words before bytes are merged: what data.wasm has a scanner for. A
 * tokenizer.json says it by its patterns, a GGUF file by a name (`tokenizer.ggml.pre`).
 */

/** The steps that all of them end with, in a tokenizer.json: bytes become letters. */
const byteLevel = (splits: boolean) => ({ type: "ByteLevel", add_prefix_space: false, use_regex: splits });

const split = (pattern: string) => [
  { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
  byteLevel(false),
];

/** Llama 3's pattern, with the pattern of its numbers. */
const wordsAnd = (numbers: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

/**
 * By GGUF's name: the steps of a tokenizer.json. The order gives each its number in data.wasm.
 */
export const PRETOKENIZERS = {
  "gpt-2": [byteLevel(true)],
  smollm: [{ type: "Digits", individual_digits: true }, byteLevel(true)],
  "llama-bpe": split(wordsAnd("\\p{N}{1,3}")),
  qwen2: split(wordsAnd("\\p{N}")),
} as const;

export type Pretokenizer = keyof typeof PRETOKENIZERS;
