/**
 * Reads WordPiece and Unigram models of a tokenizer.json: what data.wasm needs of them, in parts. Loaded for such a
 * model.
 */

import { checkKinds, isListOf, isNumber, isText, lookUp, show } from "../../core/checks.ts";
import { FormatError } from "../../core/errors.ts";
import { LIMITS } from "../limits.ts";
import { CLASS_LIMIT, CLASS_RUNS, CLASSES } from "./character-classes.ts";
import { HOST, type Kind, METASPACE, NFC, type PARTS } from "./parts.ts";
import { asTokenIds, type Json, refuse, steps, type TokenIds } from "./steps.ts";
import type { NamedToken } from "./vocabulary.ts";

/** A part of a vocabulary, as assembly/data/parts.ts reads it. */
export interface Part {
  name: (typeof PARTS)[number];
  content: Uint8Array;
}

/**
 * A step of the normalizer: what data.wasm does, or the host, with the most bytes for each of a text's and beside them.
 */
export type Step = Part | HostStep;
export interface HostStep {
  run: (text: string) => string;
  flags: number;
  growth: number;
  more?: number;
}

/** A model whose tokens are pieces of words, without merges. */
export interface PieceModel {
  kind: Exclude<Kind, "bpe">;
  tokens: TokenIds;
  /** Ids of the model itself: added tokens may have ids behind them. */
  size: number;
  unknown: NamedToken;
  /** The normalizer: as the file has it, and its steps. */
  form: unknown;
  steps: readonly Step[];
  parts: readonly Part[];
  /** The ids of tokens for bytes; null: unknown characters are not made of them. */
  bytes: Uint32Array | null;
  join: (pieces: readonly string[]) => string;
}

const text = (value: string) => new TextEncoder().encode(value);
const words = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);
const joined = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const sum = <F extends object>(flags: F, on: Partial<Record<keyof F, unknown>>) =>
  Object.entries(flags).reduce((total, [key, flag]) => (on[key as keyof F] === true ? total + flag : total), 0);
const fromBase64 = (value: string) => Uint8Array.from(atob(value), (letter) => letter.charCodeAt(0));

/** The model of a tokenizer.json. Throws ConfigError for steps that there are not. */
export function readPieces(json: Json, model: Json, where: string): PieceModel {
  const read = model.type === "WordPiece" ? readWordPiece : readUnigram;
  const { parts, ...rest } = read(json, model, where);
  const done = steps(json.normalizer, "normalizers").map((step) => readStep(step, where));
  return { ...rest, form: json.normalizer, steps: done, parts: [{ name: "classes", content: classes() }, ...parts] };
}

/** Steps into Unicode's forms. U+FDFA, of three bytes, has 33 in NFKC; U+0390, of two, six in NFD. */
const FORMS: Readonly<Record<string, HostStep>> = {
  NFC,
  NFD: { run: (value) => value.normalize("NFD"), flags: HOST.ascii, growth: 3 },
  NFKC: { run: (value) => value.normalize("NFKC"), flags: HOST.ascii, growth: 11 },
  NFKD: { run: (value) => value.normalize("NFKD"), flags: HOST.ascii, growth: 11 },
};
const FLAG = "boolean?";

/** A step of the normalizer. */
function readStep(step: Json, where: string): Step {
  const { type } = step;
  const form = lookUp(FORMS, type);
  if (form) return form;
  if (type === "BertNormalizer") return bertStep(step, where);
  if (type === "Lowercase") return { run: lowerCase, flags: 0, growth: 2 };
  if (type === "Precompiled") {
    checkKinds(step, { precompiled_charsmap: "text" }, where);
    try {
      return { name: "charsmap", content: fromBase64(step.precompiled_charsmap as string) };
    } catch (cause) {
      throw new FormatError("invalid-vocabulary", "precompiled_charsmap is not base64", { where, cause });
    }
  }
  if (type === "Strip") {
    checkKinds(step, { strip_left: "boolean", strip_right: "boolean" }, where);
    const { strip_left: left, strip_right: right } = step;
    const ends = new RegExp(
      [...(left ? [`^${SPACE}+`] : []), ...(right ? [`${SPACE}+$`] : []), "(?!)"].join("|"),
      "gu",
    );
    return { run: (value) => value.replace(ends, ""), flags: left ? HOST.strip : 0, growth: 1 };
  }
  if (type === "Prepend") {
    checkKinds(step, { prepend: "text" }, where);
    const before = step.prepend as string;
    return { run: (value) => before + value, flags: 0, growth: 1, more: text(before).length };
  }
  if (type === "Replace") {
    checkKinds(step, { pattern: "object", content: "text" }, where);
    const { String: pattern, Regex: regex } = step.pattern as Json;
    const content = step.content as string;
    if (regex === " {2,}") return { name: "spaces", content: text(content) };
    if (isText(pattern) && pattern !== "")
      return { run: (value) => value.replaceAll(pattern, () => content), flags: 0, growth: 1 + text(content).length };
  }
  const known = [...Object.keys(FORMS), "BertNormalizer", "Lowercase", "Precompiled", "Strip", "Prepend"];
  return refuse(where, `a normalizer of ${known.join(", ")}, Replace of a text or of " {2,}"`, show(step));
}

const SPACE = "\\p{White_Space}";
const ANY_SPACE = new RegExp(SPACE, "gu");
/** `tokenizers` has other blocks than Unicode: U+2B820 to U+2B91F are none. */
const CHINESE =
  /[\u{3400}-\u{4dbf}\u{4e00}-\u{9fff}\u{f900}-\u{faff}\u{20000}-\u{2a6df}\u{2a700}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;

/** Each letter by itself: a sigma at the end of a word is like the others. */
const lowerCase = (value: string) => value.replaceAll("Σ", "σ").toLowerCase();

function bertStep(step: Json, where: string): HostStep {
  checkKinds(step, { clean_text: FLAG, handle_chinese_chars: FLAG, lowercase: FLAG, strip_accents: FLAG }, where);
  const { clean_text: clean = true, handle_chinese_chars: chinese = true, lowercase: lower = true } = step;
  const { strip_accents: strip = lower } = step;
  const [control, accent] = [pattern(CLASSES.control), pattern(CLASSES.accent)];
  const run = (value: string) => {
    let made = clean ? value.replace(control, "").replace(ANY_SPACE, " ") : value;
    if (chinese) made = made.replace(CHINESE, " $& ");
    if (strip) made = made.normalize("NFD").replace(accent, "");
    return lower ? lowerCase(made) : made;
  };
  return { run, flags: sum(HOST, { bert: true, clean, lower }), growth: 3 };
}

/** Runs of code points with the same classes: where each begins and ends. */
function listRuns(): { value: number; start: number; end: number }[] {
  const bytes = fromBase64(CLASS_RUNS);
  const runs = [];
  for (let at = 0, start = 0; at < bytes.length; ) {
    const value = bytes[at++]!;
    let count = 0;
    for (let shift = 0, byte = 0x80; byte >= 0x80; shift += 7) {
      byte = bytes[at++]!;
      count |= (byte & 0x7f) << shift;
    }
    runs.push({ value, start, end: start + count });
    start += count;
  }
  return runs;
}

/** The classes of every code point. */
function classes(): Uint8Array {
  const table = new Uint8Array(CLASS_LIMIT);
  for (const { value, start, end } of listRuns()) table.fill(value, start, end);
  return table;
}

/** Finds the characters of a class. */
function pattern(flag: number): RegExp {
  const runs = listRuns().filter(({ value }) => value & flag);
  const ranges = runs.map(({ start, end }) => `\\u{${start.toString(16)}}-\\u{${(end - 1).toString(16)}}`);
  return new RegExp(`[${ranges.join("")}]`, "gu");
}

type Model = Omit<PieceModel, "form" | "steps">;

function readWordPiece(json: Json, model: Json, where: string): Model {
  const kinds = { unk_token: "text?", continuing_subword_prefix: "text?", max_input_chars_per_word: "count?" } as const;
  checkKinds(model, { ...kinds, vocab: "object" }, where);
  const { unk_token = "[UNK]", continuing_subword_prefix: prefix = "##", max_input_chars_per_word: most = 100 } = model;
  const splits = steps(json.pre_tokenizer, "pretokenizers");
  if (splits.length !== 1 || splits[0]!.type !== "BertPreTokenizer")
    refuse(where, "the pre_tokenizer BertPreTokenizer of a WordPiece model", show(json.pre_tokenizer));
  const tokens = asTokenIds(model.vocab as Json);
  const size = Object.values(tokens).reduce((largest, id) => Math.max(largest, id), -1) + 1;
  const { type, ...decoder } = (json.decoder ?? {}) as Json;
  if (type !== undefined && type !== "WordPiece") refuse(where, "the decoder WordPiece", show(json.decoder));
  return {
    kind: "wordpiece",
    tokens,
    size,
    unknown: findUnknown(tokens, unk_token, where),
    parts: [{ name: "wordpiece", content: joined(words(most as number, size), text(prefix as string)) }],
    bytes: null,
    join: (pieces) => joinWords(pieces, (decoder.prefix ?? prefix) as string, decoder.cleanup !== false),
  };
}

/** The text of a WordPiece's tokens. `cleanup`: spaces before punctuation and English endings are left out. */
function joinWords(pieces: readonly string[], prefix: string, cleanup: boolean): string {
  const join = (piece: string, i: number) =>
    i === 0 ? piece : piece.startsWith(prefix) ? piece.slice(prefix.length) : ` ${piece}`;
  const clean = (piece: string) => CLEANUP.reduce((left, [from, to]) => left.replaceAll(from, to), piece);
  return pieces.map((piece, i) => (cleanup ? clean(join(piece, i)) : join(piece, i))).join("");
}

const CLEANUP = [
  ...[".", "?", "!", ","].map((sign) => [` ${sign}`, sign] as const),
  [" ' ", "'"],
  ...["n't", "'m"].map((ending) => [` ${ending}`, ending] as const),
  [" do not", " don't"],
  ...["'s", "'ve", "'re"].map((ending) => [` ${ending}`, ending] as const),
] as const;

function findUnknown(tokens: TokenIds, token: unknown, where: string): NamedToken {
  const id = isText(token) ? tokens[token] : undefined;
  if (id !== undefined) return { id, text: token as string };
  throw new FormatError("invalid-vocabulary", "the model has no token for what it does not know", {
    where,
    expected: "unk_token, or unk_id, of a token of the vocabulary",
    found: show(token),
  });
}

function readUnigram(json: Json, model: Json, where: string): Model {
  checkKinds(model, { unk_id: "count?", byte_fallback: FLAG }, where);
  const isPiece = (entry: unknown): entry is [string, number] =>
    Array.isArray(entry) && entry.length === 2 && isText(entry[0]) && isNumber(entry[1]) && Number.isFinite(entry[1]);
  const { vocab } = model;
  if (!isListOf(vocab, isPiece) || vocab.length > LIMITS.vocabulary)
    throw new FormatError("invalid-vocabulary", "the tokens of the Unigram model are invalid", {
      where,
      expected: `a list of at most ${LIMITS.vocabulary} pairs, [token, logarithm of its probability]`,
    });
  const pieces = vocab as readonly [string, number][];
  const tokens = asTokenIds({});
  for (const [id, [piece]] of pieces.entries()) (tokens as Record<string, number>)[piece] = id;
  const unknown = pieces[model.unk_id as number]?.[0];
  const scores = Float64Array.from(pieces, ([, score]) => asRead(score));
  const { flags, space } = readMetaspace(json.pre_tokenizer, where);
  const byteIds = Uint32Array.from({ length: 256 }, (_, byte) => {
    return tokens[`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`] ?? 0xffffffff;
  });
  return {
    kind: "unigram",
    tokens,
    size: pieces.length,
    unknown: findUnknown(tokens, unknown ?? model.unk_id, where),
    parts: [
      { name: "scores", content: new Uint8Array(scores.buffer) },
      { name: "metaspace", content: joined(words(flags), text(space)) },
    ],
    bytes: model.byte_fallback === true ? byteIds : null,
    join: (pieces) =>
      pieces.map((piece, i) => piece.replaceAll(space, i === 0 && !(flags & METASPACE.never) ? "" : " ")).join(""),
  };
}

/**
 * A score as the library `tokenizers` reads it, which divides its digits by a power of ten and so misses one in four
 * doubles by a bit: of ways with equal sums another one would win.
 */
function asRead(score: number): number {
  const [, sign, whole, digits] = /^(-?)(\d+)\.(\d{1,17})$/.exec(String(score)) ?? [];
  return digits === undefined ? score : Number(`${sign}${whole}${digits}`) / 10 ** digits.length;
}

/** Words at white space, and Metaspace, in all of its forms. */
function readMetaspace(given: unknown, where: string): { flags: number; space: string } {
  const all = steps(given, "pretokenizers");
  const step = all.at(-1);
  const isWords = all.length === 2 && all[0]!.type === "WhitespaceSplit";
  if (step?.type !== "Metaspace" || (all.length > 1 && !isWords))
    refuse(where, "the pre_tokenizer Metaspace of a Unigram model, or WhitespaceSplit and Metaspace", show(given));
  const kinds = { replacement: "text?", add_prefix_space: FLAG, prepend_scheme: "text?", split: FLAG } as const;
  checkKinds(step as Json, kinds, where);
  const { replacement: space = "▁", add_prefix_space, prepend_scheme, split = true } = step as Json;
  const scheme = add_prefix_space === false ? "never" : (prepend_scheme ?? "always");
  if (!["always", "first", "never"].includes(scheme as string) || [...(space as string)].length !== 1)
    refuse(where, "a Metaspace with one letter, whose prepend_scheme is always, first or never", show(step));
  const on = { words: isWords, splits: split, first: scheme === "first", never: scheme === "never" };
  return { flags: sum(METASPACE, on), space: space as string };
}
