/** Reads a tokenizer.json, the form of the library `tokenizers`. */

import { checkKinds, isObject, lookUp, show, withoutNulls } from "../../checks.ts";
import { ConfigError, FormatError } from "../../errors.ts";
import { PRETOKENIZERS, type Pretokenizer } from "./pretokenizers.ts";
import type { AddedToken, Preparation, TokenIds } from "./vocabulary-tables.ts";
import { hasAllBytes } from "./vocabulary-tables.ts";

export type Json = Record<string, unknown>;
export type Content = Pick<AddedToken, "content"> & Partial<AddedToken>;

/** Tokens and merges as the files have them, and what is done with a text before. */
export interface Listed extends Preparation {
  tokens: TokenIds;
  merges: readonly unknown[];
  added: Content[];
  where: string;
}

export const BYTE_LEVEL = "a byte-level BPE, as GPT-2's, Llama 3's or Qwen2's";

/** The parts of a tokenizer.json. Refuses every step before and after the merges that would change ids. */
export function fromFast(json: Json, where: string): Listed {
  const given = withoutNulls(json);
  checkKinds(given, { model: "object", added_tokens: "objects?" }, where);
  const { added_tokens = [], pre_tokenizer, normalizer, post_processor } = given as { added_tokens?: Json[] } & Json;
  const model = withoutNulls(given.model as Json);
  const { type = Array.isArray(model.merges) ? "BPE" : undefined } = model;
  if (type !== "BPE") refuse(where, BYTE_LEVEL, `the type ${show(type)}`);
  const kinds = { byte_fallback: "boolean?", ignore_merges: "boolean?", unk_token: "text?" } as const;
  checkKinds(model, { ...kinds, vocab: "object" }, where);
  if (model.byte_fallback)
    refuse(where, BYTE_LEVEL, "byte_fallback: a SentencePiece vocabulary, as Llama 2's and TinyLlama's");
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix", "dropout"])
    if (model[key]) refuse(where, `no ${key} in the model`, show(model[key]));
  if (!Array.isArray(model.merges)) throw new FormatError("invalid-merges", "the tokenizer has no merges", { where });
  for (const token of added_tokens) checkAdded(token, where);
  const tokens = asTokenIds(model.vocab as Json);
  if (model.unk_token && !hasAllBytes(tokens))
    refuse(where, "all 256 bytes in the vocabulary, or no unk_token", `unk_token ${show(model.unk_token)}`);
  return {
    tokens,
    merges: model.merges,
    added: added_tokens as Content[],
    pretokenizer: findPretokenizer(pre_tokenizer, where),
    normalizes: findNormalizer(normalizer, where),
    ignoresMerges: model.ignore_merges === true,
    begin: findBegin(post_processor, where),
    where,
  };
}

/** The parsed object itself: a copy of a large one would take as long as to parse it. */
export function asTokenIds(vocab: Json): TokenIds {
  return Object.setPrototypeOf(vocab, null) as TokenIds;
}

export function checkAdded(token: Json, where: string): void {
  const flags = { special: "boolean?", lstrip: "boolean?", rstrip: "boolean?", single_word: "boolean?" } as const;
  checkKinds(token, { id: "count", content: "text", normalized: "boolean?", ...flags }, where);
}

/** A step, or those of a sequence, which has them under `key`. */
function steps(step: unknown, key: string): Json[] {
  if (step === undefined) return [];
  const { type, [key]: inner } = step as Json;
  const all = type === "Sequence" && Array.isArray(inner) ? inner : [step];
  // One without a type is refused, as is one of another kind.
  return all.map((one) => (isObject(one) ? one : {}));
}

/** Whether a text is brought into NFC. */
function findNormalizer(normalizer: unknown, where: string): boolean {
  const all = steps(normalizer, "normalizers");
  if (all.some(({ type }) => type !== "NFC"))
    refuse(
      where,
      "no normalizer, or NFC",
      show(normalizer),
      'normalize the texts before training and use, as with text.normalize("NFKC"), and set "normalizer" to null',
    );
  return all.length > 0;
}

function findPretokenizer(given: unknown, where: string): Pretokenizer {
  const all = steps(given, "pretokenizers");
  const byteLevel = all.find(({ type }) => type === "ByteLevel");
  if (byteLevel !== undefined && byteLevel.add_prefix_space !== false)
    refusePrefixSpace(where, show(byteLevel.add_prefix_space));
  const isSame = (step: Json, known: object) =>
    Object.entries(known).every(([key, value]) => show(step[key] ?? DEFAULTS[key]) === show(value));
  for (const [name, known] of Object.entries(PRETOKENIZERS))
    if (known.length === all.length && known.every((step, i) => isSame(all[i]!, step))) return name as Pretokenizer;
  return refuse(
    where,
    `a pre_tokenizer as of one of: ${Object.keys(PRETOKENIZERS).join(", ")} (gpt-2: ByteLevel, with use_regex)`,
    show(given),
  );
}
/** Of files of older versions. */
const DEFAULTS: Json = { use_regex: true };

/** The token that the post-processor puts before every text. */
function findBegin(given: unknown, where: string): Listed["begin"] {
  const expected = "a post_processor that adds no tokens, or one before a text";
  let begin: Listed["begin"] = null;
  for (const { type, single, special_tokens } of steps(given, "processors")) {
    if (type === "ByteLevel") continue;
    const entry = (part: unknown) => (isObject(part) ? Object.entries(part)[0] : undefined) ?? ["", null];
    const parts = Array.isArray(single) ? single.map(entry) : [];
    const [first, ...rest] = parts as [string, Json | null][];
    const isTemplate = type === "TemplateProcessing" && begin === null && parts.at(-1)?.[0] === "Sequence";
    if (!isTemplate || parts.length > 2 || (rest.length > 0 && first![0] !== "SpecialToken"))
      refuse(where, expected, `post_processor ${show(given)}`);
    if (rest.length === 0) continue;
    const text = first![1]?.id;
    const { ids } = { ...(lookUp({ ...(special_tokens as Json) }, text) as Json) };
    const id = Array.isArray(ids) && ids.length === 1 ? ids[0] : undefined;
    checkKinds({ id: text, ids: id }, { id: "text", ids: "count" }, where);
    begin = { id: id as number, text: text as string };
  }
  return begin;
}

export function refusePrefixSpace(where: string, found: string): never {
  throw new ConfigError("unsupported-tokenizer", "a tokenizer with add_prefix_space is not supported", {
    where,
    expected: "add_prefix_space = false",
    found,
    hint: "set it to false if the model was trained without it; otherwise token ids would differ from those in training",
  });
}

export function refuse(
  where: string,
  expected: string,
  found: string,
  hint = "use a model with a byte-level BPE tokenizer, of any vocabulary: GPT-2, SmolLM2, Llama 3, Qwen2.5",
): never {
  throw new ConfigError("unsupported-tokenizer", "the model's tokenizer is not supported", {
    where,
    expected,
    found: found.slice(0, 200),
    hint,
  });
}
