/** Reads a tokenizer.json, the form of the library `tokenizers`. */

import { checkKinds, isObject, lookUp, show, withoutNulls } from "../../core/checks.ts";
import { ConfigError, FormatError } from "../../core/errors.ts";
import type { PieceModel } from "./pieces.ts";
import { PRETOKENIZERS, type Pretokenizer } from "./pretokenizers.ts";
import { asTokenIds, type Json, refuse, steps, type TokenIds } from "./steps.ts";
import type { NamedToken } from "./vocabulary.ts";
import type { AddedToken, Preparation } from "./vocabulary-tables.ts";
import { hasAllBytes } from "./vocabulary-tables.ts";

export type Content = Pick<AddedToken, "content"> & Partial<AddedToken>;

/** Tokens and merges as the files have them, and what is done with a text before. */
export interface Listed extends Preparation {
  tokens: TokenIds;
  merges: readonly unknown[];
  added: Content[];
  /** A WordPiece or Unigram model, which has no merges. */
  model?: PieceModel;
  where: string;
}

export const BYTE_LEVEL = "a byte-level BPE, as GPT-2's, Llama 3's or Qwen2's";

/** The parts of a tokenizer.json. Refuses every step before and after the model that would change ids. */
export async function fromFast(json: Json, where: string): Promise<Listed> {
  const given = withoutNulls(json);
  checkKinds(given, { model: "object", added_tokens: "objects?" }, where);
  const { added_tokens = [], pre_tokenizer, normalizer, post_processor } = given as { added_tokens?: Json[] } & Json;
  const model = withoutNulls(given.model as Json);
  const { type = Array.isArray(model.merges) ? "BPE" : undefined } = model;
  for (const token of added_tokens) checkAdded(token, where);
  const common = { added: added_tokens as Content[], ...findFrame(post_processor, where), where };
  if (type === "WordPiece" || type === "Unigram") {
    const pieces = (await import("./pieces.ts")).readPieces(given, model, where);
    const { tokens } = pieces;
    return {
      ...common,
      tokens,
      merges: [],
      pretokenizer: "gpt-2",
      normalizes: false,
      ignoresMerges: false,
      model: pieces,
    };
  }
  if (type !== "BPE") refuse(where, `${BYTE_LEVEL}, WordPiece or Unigram`, `the type ${show(type)}`);
  const kinds = { byte_fallback: "boolean?", ignore_merges: "boolean?", unk_token: "text?" } as const;
  checkKinds(model, { ...kinds, vocab: "object" }, where);
  if (model.byte_fallback)
    refuse(where, BYTE_LEVEL, "byte_fallback: a SentencePiece vocabulary, as Llama 2's and TinyLlama's");
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix", "dropout"])
    if (model[key]) refuse(where, `no ${key} in the model`, show(model[key]));
  if (!Array.isArray(model.merges)) throw new FormatError("invalid-merges", "the tokenizer has no merges", { where });
  const tokens = asTokenIds(model.vocab as Json);
  if (model.unk_token && !hasAllBytes(tokens))
    refuse(where, "all 256 bytes in the vocabulary, or no unk_token", `unk_token ${show(model.unk_token)}`);
  return {
    ...common,
    tokens,
    merges: model.merges,
    pretokenizer: findPretokenizer(pre_tokenizer, where),
    normalizes: findNormalizer(normalizer, where),
    ignoresMerges: model.ignore_merges === true,
  };
}

export function checkAdded(token: Json, where: string): void {
  const flags = { special: "boolean?", lstrip: "boolean?", rstrip: "boolean?", single_word: "boolean?" } as const;
  checkKinds(token, { id: "count", content: "text", normalized: "boolean?", ...flags }, where);
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

type Frame = Pick<Listed, "begin" | "close" | "separators">;

/** The tokens that the post-processor puts before and behind every text, and between those of a pair. */
function findFrame(given: unknown, where: string): Frame {
  let frame: Frame = { begin: null };
  for (const step of steps(given, "processors")) {
    const { type } = step;
    if (type === "ByteLevel") continue;
    const framed = frame.begin || frame.close ? undefined : readFrame(step, where);
    if (!framed)
      refuse(
        where,
        "a post_processor that adds no tokens, one before a text, or one before and one behind it, as BERT's and RoBERTa's",
        `post_processor ${show(given)}`,
      );
    frame = framed;
  }
  return frame;
}

function readFrame(step: Json, where: string): Frame | undefined {
  const { type, cls, sep } = step;
  if (type === "BertProcessing" || type === "RobertaProcessing") {
    const named = (token: unknown): NamedToken => {
      const [text, id] = Array.isArray(token) ? token : [];
      checkKinds({ id, text }, { id: "count", text: "text" }, where);
      return { id: id as number, text: text as string };
    };
    const isBert = type === "BertProcessing";
    return { begin: named(cls), close: named(sep), separators: isBert ? 1 : 2 };
  }
  if (type !== "TemplateProcessing") return undefined;
  const single = readTemplate(step.single, step, where);
  const [begin, first, close, ...rest] = single[0] === null ? [undefined, ...single] : single;
  if (begin === null || first !== null || close === null || rest.length > 0) return undefined;
  if (close === undefined) return { begin: begin ?? null };
  // Between the texts of a pair and behind the second is what closes one.
  const pair = readTemplate(step.pair, step, where).slice(begin ? 1 : 0);
  const second = pair.lastIndexOf(null);
  const closing = [...pair.slice(1, second), ...pair.slice(second + 1)];
  const separators = closing.length - 1;
  const fits = pair[0] === null && second === pair.length - 2 && closing.every((token) => token?.id === close.id);
  if (!fits || separators < 1 || separators > 2) return undefined;
  return { begin: begin ?? null, close, separators };
}

/** The tokens of a template; null: a text. */
function readTemplate(parts: unknown, { special_tokens }: Json, where: string): (NamedToken | null)[] {
  return (Array.isArray(parts) ? parts : []).map((part) => {
    const { SpecialToken: special } = (isObject(part) ? part : {}) as Json;
    if (special === undefined) return null;
    const { id: text } = { ...(special as Json) };
    const { ids } = { ...(lookUp({ ...(special_tokens as Json) }, text) as Json) };
    const id = Array.isArray(ids) && ids.length === 1 ? ids[0] : undefined;
    checkKinds({ id: text, ids: id }, { id: "text", ids: "count" }, where);
    return { id: id as number, text: text as string };
  });
}

export function refusePrefixSpace(where: string, found: string): never {
  throw new ConfigError("unsupported-tokenizer", "a tokenizer with add_prefix_space is not supported", {
    where,
    expected: "add_prefix_space = false",
    found,
    hint: "set it to false if the model was trained without it; otherwise token ids would differ from those in training",
  });
}
