/**
 * Shared by readers of tokenizers: steps of a tokenizer.json, and the refusal of steps that data.wasm does not have.
 */
import { isObject, withoutNulls } from "../../core/checks.ts";
import { ConfigError } from "../../core/errors.ts";

/** The id of each token, of a BPE keyed by its byte letters. Without a prototype: a token may be "constructor". */
export type TokenIds = Readonly<Record<string, number>>;

export type Json = Record<string, unknown>;

/** Types of tokens in a GGUF file: found before a text is split into words; in no text; of a byte. */
export const CONTROL = 3;
export const USER_DEFINED = 4;
export const UNUSED = 5;
export const BYTE = 6;

/** The parsed object itself: a copy of a large one would take as long as to parse it. */
export function asTokenIds(vocab: Json): TokenIds {
  return Object.setPrototypeOf(vocab, null) as TokenIds;
}

/** A step, or those of a sequence, which has them under `key`. */
export function steps(step: unknown, key: string): Json[] {
  if (step === undefined) return [];
  const { type, [key]: inner } = step as Json;
  const all = type === "Sequence" && Array.isArray(inner) ? inner : [step];
  // One without a type is refused, as is one of another kind.
  return all.map((one) => (isObject(one) ? withoutNulls(one as Json) : {}));
}

export function refuse(
  where: string,
  expected: string,
  found: string,
  hint = "use a model with a byte-level BPE (GPT-2, SmolLM2, Llama 3, Qwen2.5, RoBERTa), WordPiece (BERT) or Unigram (XLM-R)",
): never {
  throw new ConfigError("unsupported-tokenizer", "the model's tokenizer is not supported", {
    where,
    expected,
    found: found.slice(0, 200),
    hint,
  });
}
