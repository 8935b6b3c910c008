/** Tables for data.wasm, made from the tokens, merges and added tokens of a model's files. */
import { createHasher, readAsset } from "#platform";
import { isListOf, isText, show } from "../../core/checks.ts";
import { FormatError } from "../../core/errors.ts";
import { LIMITS } from "../limits.ts";
import { KINDS, NFC, PARTS } from "./parts.ts";
import type { Part, PieceModel, Step } from "./pieces.ts";
import { PRETOKENIZERS, type Pretokenizer } from "./pretokenizers.ts";
import type { TokenIds } from "./steps.ts";
import { GPT2_TABLES, GPT2_VOCABULARY, type NamedToken, type Vocabulary } from "./vocabulary.ts";

/** A token that is found in a text before it is split into words, with the keys of tokenizer.json. */
export interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  lstrip: boolean;
  rstrip: boolean;
  single_word: boolean;
  normalized: boolean;
}

/** A change of a text before its bytes are merged. */
export interface Preparation {
  pretokenizer: Pretokenizer;
  /** Whether the text is brought into NFC first. */
  normalizes: boolean;
  /** Whether a word that is a token becomes it whatever the merges say. */
  ignoresMerges: boolean;
  /** The token before every text. */
  begin: Vocabulary["begin"];
  /** The token behind every text; how often it is between those of a pair, and the type of the second. */
  close?: NamedToken;
  separators?: number;
}

/** The contents of a model's files. */
interface VocabularyParts extends Preparation {
  tokens: TokenIds;
  merges: readonly unknown[];
  added: readonly AddedToken[];
  model?: PieceModel;
  end: Vocabulary["end"];
}

/** Flags of an added token. */
export const FLAGS = { special: 1, lstrip: 2, rstrip: 4, single_word: 8, normalized: 16 } as const;
const MAGIC = 0x3254524c;
const HEADER_WORDS = 13 + 256;
/** data.wasm may read this many bytes behind the last token. */
const SPARE_BYTES = 16;
const NO_ID = 0xffffffff;
/** Letters are below this: 256, and one for each byte that is not printable. */
const LETTERS = 256 + 68;

/** The bytes that letters stand for: printable ones for themselves, those from U+0100 on for the others. -1: none. */
const BYTE_OF_LETTER = new Int16Array(LETTERS).fill(-1);
for (let byte = 0, unprintable = 256; byte < 256; byte++) {
  const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  BYTE_OF_LETTER[isPrintable ? byte : unprintable++] = byte;
}

/** Makes a vocabulary. Throws FormatError, naming `where`, if the parts do not fit together. */
export async function makeVocabulary(parts: VocabularyParts, where: string): Promise<Vocabulary> {
  const { end, begin, close, separators = 1, added, pretokenizer, normalizes, ignoresMerges } = parts;
  const { model } = parts;
  const texts = textsById(parts, where);
  const steps = model?.steps ?? (normalizes ? [NFC] : []);
  // Those that are looked for in normalized text are normalized, too, and written so, as by the library.
  const found = added.map((token) =>
    token.normalized ? { ...token, content: normalize(token.content, steps) } : token,
  );
  for (const { id, content } of found) texts[id] = content;
  const pairs = readMerges(parts, where);
  const bytes = model ? (model.bytes ?? new Uint32Array(256).fill(NO_ID)) : byteIds(parts.tokens, where);
  const whole = ignoresMerges ? wholeWords(parts) : [];
  const sorted = sortAdded(found.filter(({ content }) => content !== ""));
  const inner = layOutParts([...steps.map(asPart), ...(model?.parts ?? [])]);
  const tables = layOut({ parts, bytes, pairs, added: sorted, whole, texts, inner }, where);
  const isPlain = pretokenizer === "gpt-2" && !normalizes && !ignoresMerges && begin === null && !close && !model;
  const isGpt2 = isPlain && added.every(({ special }) => special) && (await isBuiltIn(bytes, pairs));
  const frame = close ? [close.id, separators] : [];
  const preparation = isPlain ? [] : [pretokenizer, normalizes, ignoresMerges, begin?.id ?? null, ...frame];
  const fingerprint = isGpt2
    ? GPT2_VOCABULARY.fingerprint
    : await fingerprintVocabulary(bytes, pairs, sorted, preparation, model);
  if (isGpt2 && texts.length === GPT2_VOCABULARY.size && end.id === GPT2_VOCABULARY.end.id) return GPT2_VOCABULARY;
  // The parts of a text that Unigram's steps join are not known.
  const isJoined = model?.kind === "unigram";
  const isWhole =
    isJoined || added.some((token) => token.rstrip || token.single_word || /\S[\t-\r ]/.test(token.content));
  const closes = close !== undefined;
  const lacks = model && !model.bytes ? lacksLetters(model.tokens) : null;
  const common = {
    lacks,
    fingerprint,
    size: texts.length,
    end,
    begin,
    closes,
    separators,
    prompt: "",
    chat: null,
    tables,
  };
  const runs = steps.map((step) => ("run" in step ? step.run : null));
  const kind = model?.kind ?? "bpe";
  return { ...common, isWhole, pretokenizer, kind, steps: runs, join: model?.join ?? null };
}

/** Whether most letters of a text are in no token, whatever their case and their accents. */
function lacksLetters(tokens: TokenIds): (text: string) => boolean {
  let known: Set<string> | undefined;
  return (text) => {
    known ??= new Set(Object.keys(tokens).join("").normalize("NFD").toLowerCase());
    const letters = text.normalize("NFKD").toLowerCase().match(/\p{L}/gu) ?? [];
    return 2 * letters.filter((letter) => !known!.has(letter)).length > letters.length;
  };
}

/** A step as data.wasm reads it: its own, or the number of the host's. */
function asPart(step: Step, i: number): Part {
  if (!("run" in step)) return step;
  const numbers = Uint32Array.of(i, step.flags, step.growth, step.more ?? 0);
  return { name: "host", content: new Uint8Array(numbers.buffer) };
}

/** A token's text as the steps leave it; SentencePiece's map is about NFKC. */
function normalize(text: string, steps: readonly Step[]): string {
  const run = (step: Step) => ("run" in step ? step.run : (text: string) => text.normalize("NFKC"));
  return steps.reduce((left, step) => run(step)(left), text);
}

function textsById({ tokens, added }: VocabularyParts, where: string): (string | undefined)[] {
  const texts: (string | undefined)[] = [];
  const set = (text: string, id: unknown) => {
    if (!(typeof id === "number" && Number.isInteger(id) && id >= 0 && id < LIMITS.vocabulary))
      throw new FormatError("invalid-vocabulary", `the id of token ${show(text)} is invalid`, {
        where,
        expected: `a whole number from 0 to ${LIMITS.vocabulary - 1}`,
        found: show(id),
      });
    while (texts.length <= id) texts.push(undefined);
    const other = texts[id];
    if (other !== undefined && other !== text)
      throw new FormatError("invalid-vocabulary", `two tokens have the id ${id}`, {
        where,
        expected: "an id for each token",
        found: `${show(other)} and ${show(text)}`,
      });
    texts[id] = text;
  };
  for (const text in tokens) set(text, tokens[text]);
  for (const { content, id } of added) {
    const other = tokens[content];
    if (other !== undefined && other !== id)
      throw new FormatError("invalid-vocabulary", `the added token ${show(content)} has two ids`, {
        where,
        expected: String(other),
        found: String(id),
      });
    set(content, id);
  }
  return texts;
}

interface Pairs {
  left: Uint32Array<ArrayBuffer>;
  right: Uint32Array<ArrayBuffer>;
  merged: Uint32Array<ArrayBuffer>;
}

/** The ids of each merge: "left right", or [left, right]. */
function readMerges({ tokens, merges }: VocabularyParts, where: string): Pairs {
  const [left, right, merged] = [0, 1, 2].map(() => new Uint32Array(merges.length)) as [
    Pairs["left"],
    Pairs["right"],
    Pairs["merged"],
  ];
  for (let i = 0; i < merges.length; i++) {
    const merge = merges[i];
    const pair = isText(merge) ? merge.split(" ") : merge;
    if (!isListOf(pair, isText) || pair.length !== 2)
      throw new FormatError("invalid-merges", `merge ${i + 1} is invalid`, {
        where,
        expected: "two tokens",
        found: show(merge).slice(0, 60),
      });
    const [a, b] = pair as [string, string];
    const l = tokens[a];
    const r = tokens[b];
    const m = tokens[a + b];
    if (l === undefined || r === undefined || m === undefined) {
      const unknown = l === undefined ? a : r === undefined ? b : a + b;
      throw new FormatError("invalid-merges", `merge ${i + 1} needs a token that the vocabulary lacks`, {
        where,
        expected: `tokens ${show(a)}, ${show(b)} and ${show(a + b)}`,
        found: `no token ${show(unknown)}`,
        hint: "check that the merges and the vocabulary belong to the same model",
      });
    }
    left[i] = l;
    right[i] = r;
    merged[i] = m;
  }
  return { left, right, merged };
}

/** The id of each byte; NO_ID where it has none: `tokenizers` leaves such bytes out. */
function byteIds(tokens: TokenIds, where: string): Uint32Array<ArrayBuffer> {
  const ids = new Uint32Array(256).fill(NO_ID);
  for (let letter = 0; letter < LETTERS; letter++) {
    const byte = BYTE_OF_LETTER[letter]!;
    if (byte >= 0) ids[byte] = tokens[String.fromCharCode(letter)] ?? NO_ID;
  }
  if (ids[0x20] === NO_ID)
    throw new FormatError("invalid-vocabulary", "the vocabulary is not a byte-level one", {
      where,
      expected: 'tokens in GPT-2\'s letters for bytes, "Ġ" for a space',
      found: 'no token "Ġ"',
    });
  return ids;
}

export function hasAllBytes(tokens: TokenIds): boolean {
  return BYTE_OF_LETTER.every((byte, letter) => byte < 0 || tokens[String.fromCharCode(letter)] !== undefined);
}

/** The tokens that a word can be. Added ones are found before there are words. */
function wholeWords({ tokens, added }: VocabularyParts): number[] {
  const others = new Set(added.map(({ id }) => id));
  const isByteText = (text: string) =>
    text !== "" && Array.from(text).every((letter) => (BYTE_OF_LETTER[letter.codePointAt(0)!] ?? -1) >= 0);
  return Object.entries(tokens).flatMap(([text, id]) => (isByteText(text) && !others.has(id) ? [id] : []));
}

/** In the order in which data.wasm looks for them. */
function sortAdded(added: readonly AddedToken[]): AddedToken[] {
  const encoder = new TextEncoder();
  const keyed = added.map((token) => ({ token, bytes: encoder.encode(token.content) }));
  keyed.sort(
    (a, b) =>
      Number(a.token.normalized) - Number(b.token.normalized) ||
      a.bytes[0]! - b.bytes[0]! ||
      b.bytes.length - a.bytes.length ||
      a.token.id - b.token.id,
  );
  return keyed.map(({ token }) => token);
}

interface Laid {
  parts: VocabularyParts;
  bytes: Uint32Array;
  pairs: Pairs;
  added: readonly AddedToken[];
  whole: readonly number[];
  texts: readonly (string | undefined)[];
  inner: Uint8Array;
}

/** The tables in the form that assembly/data/vocabulary.ts describes. */
function layOut({ parts, bytes, pairs, added, whole, texts, inner }: Laid, where: string): Uint8Array {
  const { end, begin, close, separators = 1, pretokenizer, model } = parts;
  const { left, right, merged } = pairs;
  const size = texts.length;
  const words = HEADER_WORDS + 3 * left.length + 2 * added.length + whole.length;
  const most = texts.reduce((sum, text) => sum + 3 * (text?.length ?? 0), 0);
  const out = new Uint8Array(4 * (words + size + 1) + inner.length + most + SPARE_BYTES);
  const numbers = new Uint32Array(out.buffer, 0, words + size + 1);
  const pattern = Object.keys(PRETOKENIZERS).indexOf(pretokenizer);
  const header = [MAGIC, size, left.length, added.length, whole.length];
  const frame = [Number(close !== undefined), separators];
  const kind = KINDS.indexOf(model?.kind ?? "bpe");
  const ids = [end.id, begin?.id ?? NO_ID, pattern, kind, model?.unknown.id ?? NO_ID];
  numbers.set([...header, ...ids, ...frame, inner.length]);
  numbers.set(bytes, HEADER_WORDS - 256);
  for (const [i, some] of [left, right, merged].entries()) numbers.set(some, HEADER_WORDS + i * left.length);
  const tokenFlags = (token: AddedToken) =>
    Object.entries(FLAGS).reduce((flags, [key, flag]) => (token[key as keyof typeof FLAGS] ? flags | flag : flags), 0);
  numbers.set(
    added.flatMap((token) => [token.id, tokenFlags(token)]),
    HEADER_WORDS + 3 * left.length,
  );
  numbers.set(whole, words - whole.length);
  out.set(inner, numbers.byteLength);
  const first = numbers.byteLength + inner.length;
  const isAdded = new Set(added.map(({ id }) => id));
  let at = first;
  for (let id = 0; id < size; id++) {
    numbers[words + id] = at - first;
    const text = texts[id];
    if (text !== undefined) at = writeToken(text, model !== undefined || isAdded.has(id), out, at);
    if (at - first - numbers[words + id]! > LIMITS.token)
      throw new FormatError("invalid-vocabulary", `token ${id} is too long`, {
        where,
        expected: `at most ${LIMITS.token} bytes`,
      });
  }
  numbers[words + size] = at - first;
  return out.slice(0, at + SPARE_BYTES);
}

/** Parts one behind the other: {number, bytes, contents, filled to 4 bytes}. */
function layOutParts(parts: readonly Part[]): Uint8Array {
  const filled = ({ content }: Part) => 8 + 4 * Math.ceil(content.length / 4);
  const out = new Uint8Array(parts.reduce((sum, part) => sum + filled(part), 0));
  let at = 0;
  for (const part of parts) {
    out.set(new Uint8Array(Uint32Array.of(PARTS.indexOf(part.name), part.content.length).buffer), at);
    out.set(part.content, at + 8);
    at += filled(part);
  }
  return out;
}

/** Writes a token's bytes at `at`: what its letters stand for, or its own if it is plain text. Returns their end. */
function writeToken(text: string, isPlain: boolean, out: Uint8Array, at: number): number {
  let end = at;
  for (let i = 0; i < text.length && !isPlain; i++) {
    const letter = text.charCodeAt(i);
    const byte = letter < LETTERS ? BYTE_OF_LETTER[letter]! : -1;
    if (byte < 0) isPlain = true;
    else out[end++] = byte;
  }
  return isPlain ? at + new TextEncoder().encodeInto(text, out.subarray(at)).written : end;
}

/** Whether bytes and merges are GPT-2's. */
async function isBuiltIn(bytes: Uint32Array, { left, right, merged }: Pairs): Promise<boolean> {
  if (left.length !== GPT2_VOCABULARY.size - 257) return false;
  const tables = await readAsset(GPT2_TABLES);
  const view = new DataView(tables.buffer, tables.byteOffset + 8);
  const count = left.length;
  for (let id = 0; id < 256; id++) if (bytes[view.getUint8(id)] !== id) return false;
  for (let i = 0; i < count; i++) {
    if (merged[i] !== 256 + i || left[i] !== view.getUint16(256 + 2 * i, true)) return false;
    if (right[i] !== view.getUint16(256 + 2 * (count + i), true)) return false;
  }
  return true;
}

/** The fingerprint of all that determines a text's ids, with special tokens treated as plain text. */
async function fingerprintVocabulary(
  bytes: Uint32Array,
  pairs: Pairs,
  added: readonly AddedToken[],
  preparation: readonly unknown[],
  model: PieceModel | undefined,
): Promise<string> {
  const hash = await createHasher("sha256");
  for (const { buffer, byteOffset, byteLength } of [bytes, pairs.left, pairs.right, pairs.merged])
    hash.update(new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength));
  if (model) {
    hash.update(new TextEncoder().encode(JSON.stringify([model.kind, Object.entries(model.tokens), model.form])));
    hash.update(layOutParts(model.parts));
  }
  const plain = added.some(({ special }) => !special) ? added : [];
  hash.update(new TextEncoder().encode(JSON.stringify([...plain, ...preparation])));
  return hash.digest();
}
