/**
 * Byte-level BPE: GPT-2's, with the ids of tiktoken's "gpt2", or the BPE, WordPiece or Unigram of another model, with the
 * ids of the library `tokenizers`. It runs in WASM (assembly/data/encode.ts). All methods are synchronous once it is loaded. Letters, numbers
 * and white space are those of Unicode 16.0, as in tiktoken 0.14.
 */
import { checkArguments, checkOptions, hasKeys, isNumber } from "../core/checks.ts";
import { DataError } from "../core/errors.ts";
import type { BaseModel } from "../io/hf.ts";
import type { ChatTemplate } from "../io/tokenizer/vocabulary.ts";
import { DataModule, Scratch } from "./wasm.ts";

/** Long texts are encoded in chunks of this many bytes, which bounds the memory that they take in WASM. */
const CHUNK_BYTES = 1 << 18;
/** Most bytes of UTF-8 per UTF-16 unit. */
const BYTES_PER_UNIT = 3;
/** Texts of up to this many units always fit into a chunk. They take the fast path, without new views or copies. */
const SHORT_UNITS = Math.floor(CHUNK_BYTES / BYTES_PER_UNIT);

export interface EncodeOptions {
  /**
   * Whether special tokens in the text, such as `<|endoftext|>`, become their ids. Default false: they are encoded like
   * any other text. Added tokens that are not special always become their ids.
   */
  allowSpecial?: boolean;
  /**
   * Whether the tokens that the vocabulary puts before and behind every text, as Llama 3's and BERT's, are there.
   * Default true: the ids are those of `tokenizer(text)` in transformers.
   */
  addSpecialTokens?: boolean;
}

/** Flags of data.wasm's `encode`. */
export const MODES = { special: 1, begin: 2, close: 4 } as const;
const FRAME = MODES.begin | MODES.close;

const OPTIONS = { allowSpecial: "boolean?", addSpecialTokens: "boolean?" } as const;

/**
 * The tokenizer of a model, GPT-2's byte-level BPE by default, in WASM.
 *
 * @example
 * ```ts
 * import { Tokenizer } from "lowrank/data";
 *
 * const tokenizer = await Tokenizer.load();
 * const ids = tokenizer.encode("Hello, world!"); // Uint32Array [15496, 11, 995, 0]
 * console.log(tokenizer.decode(ids)); // "Hello, world!"
 * ```
 */
export class Tokenizer {
  /** The number of ids, 50,257 in GPT-2. */
  readonly vocabSize: number;
  /** The id that separates documents, ends a generated text, replaces an empty one, and pads: 50256 in GPT-2. */
  readonly endOfText: number;
  /** The id that is put before every text, as Llama 3's and BERT's; null: none, as in GPT-2. */
  readonly beginOfText: number | null;
  /** Whether `endOfText` is behind every text, as in BERT. */
  readonly closesTexts: boolean;
  /** The model's chat template; null: it has none. */
  readonly chat: ChatTemplate | null;
  private readonly module: DataModule;
  private readonly input: Scratch;
  private readonly output: Scratch;
  private readonly encoder = new TextEncoder();
  private readonly decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** Buffer for ids; the first `count` belong to the current call. */
  private gathered = new Uint32Array(1024);
  private count = 0;
  /** Fixed blocks for the fast path: CHUNK_BYTES of text, and its ids. */
  private readonly textBlock: number;
  private readonly idBlock: number;
  private readonly mostIds: number;
  /** Views of them as bytes and as words. They become empty when memory grows, and are then created again. */
  private textView = new Uint8Array(0);
  private idView = new Uint32Array(0);
  private byteView = new Uint8Array(0);
  private wordView = new Uint32Array(0);
  /** Up to this many ids always decode into the memory of a chunk's ids. */
  private readonly shortIds: number;

  /** Texts that `encodeRow` has read and whose letters are mostly in no token, as of a script that it lacks. */
  unread = 0;

  private constructor(module: DataModule) {
    this.module = module;
    this.vocabSize = module.vocabulary.size;
    this.endOfText = module.vocabulary.end.id;
    this.beginOfText = module.vocabulary.begin?.id ?? null;
    this.closesTexts = module.vocabulary.closes;
    this.chat = module.vocabulary.chat;
    this.shortIds = Math.min(CHUNK_BYTES / 4, Math.floor((4 * CHUNK_BYTES) / module.exports.longest_token()));
    this.input = new Scratch(module);
    this.output = new Scratch(module);
    this.textBlock = module.exports.alloc(CHUNK_BYTES) >>> 0;
    this.mostIds = module.exports.most_ids(CHUNK_BYTES);
    this.idBlock = module.exports.alloc(4 * this.mostIds) >>> 0;
  }

  /** Loads the tokenizer of a model from `loadModel`, by default GPT-2's. Throws FormatError for damaged tables. */
  static async load(options: { model?: BaseModel | undefined } = {}): Promise<Tokenizer> {
    checkOptions("options", options, { model: "model?" });
    return new Tokenizer(await DataModule.load(options.model, "tokenizer.wasm"));
  }

  /** The ids of a text. Lone surrogates count as U+FFFD. */
  encode(text: string, options?: EncodeOptions): Uint32Array {
    if (typeof text !== "string") checkArguments({ text }, { text: "text" });
    if (options !== undefined) checkOptions("options", options, OPTIONS);
    const special = options?.allowSpecial === true ? MODES.special : 0;
    const mode = options?.addSpecialTokens === false ? special : special | FRAME;
    if (text.length <= SHORT_UNITS) {
      const count = this.encodeShort(text, mode);
      return this.ids().slice(0, count);
    }
    this.count = 0;
    this.encodeText(text, mode);
    return this.gathered.slice(0, this.count);
  }

  /** The ids of UTF-8 bytes. Invalid UTF-8 is preserved: with GPT-2's vocabulary `decodeBytes` restores any input. */
  encodeBytes(utf8: Uint8Array): Uint32Array {
    checkArguments({ utf8 }, { utf8: ["a Uint8Array", (value) => value instanceof Uint8Array] });
    // Only a BPE knows bytes that are no characters.
    if (this.module.vocabulary.kind !== "bpe") return this.encode(this.decoder.decode(utf8));
    this.count = 0;
    this.encodeChunks((target, from) => {
      const part = utf8.subarray(from, from + target.length);
      target.set(part);
      return { read: part.length, written: part.length };
    }, utf8.length);
    return this.gathered.slice(0, this.count);
  }

  /**
   * The ids of a text, or of the two of a pair, as a model reads them, each behind the prompt, if there is one: at most
   * `most`, of which the last closes a text.
   */
  encodeRow(text: string | readonly [string, string], most: number): Uint32Array {
    const { separators, prompt, lacks } = this.module.vocabulary;
    if (lacks?.([text].flat().join(" "))) this.unread++;
    const [first, second] = (typeof text === "string" ? [text] : text).map((one) =>
      this.encode(prompt + one, { addSpecialTokens: false }),
    ) as [Uint32Array, Uint32Array?];
    const opening = this.beginOfText === null ? [] : [this.beginOfText];
    const closing = this.closesTexts ? [this.endOfText] : [];
    const room = most - opening.length - closing.length;
    const content = second
      ? joinPair(first, second, separators, this.endOfText, room)
      : first.subarray(0, Math.max(room, 0));
    return Uint32Array.of(...opening, ...content, ...closing).subarray(0, most);
  }

  /** The text of ids. Bytes that are not UTF-8, as where ids were cut inside a character, become U+FFFD. */
  decode(ids: ArrayLike<number>): string {
    const { join } = this.module.vocabulary;
    if (join !== null) return join(Array.from(ids, (id) => this.decoder.decode(this.decodeView([id]))));
    return this.decoder.decode(this.decodeView(ids));
  }

  /** The bytes of ids. Throws DataError if an id is not in the vocabulary. */
  decodeBytes(ids: ArrayLike<number>): Uint8Array {
    return this.decodeView(ids).slice();
  }

  /** Decodes ids incrementally, as during generation: see `DecodeStream`. */
  decodeStream(): DecodeStream {
    return new DecodeStream((ids) => this.decodeView(ids));
  }

  /** Encodes at most SHORT_UNITS to ids in the id block; returns their number. */
  private encodeShort(text: string, mode: number): number {
    if (this.textView.length === 0) this.textView = this.module.bytes(this.textBlock, CHUNK_BYTES);
    const { written } = this.encoder.encodeInto(text, this.textView);
    return this.module.exports.encode(this.textBlock, written, this.idBlock, mode);
  }

  /** The id block, valid until memory grows. */
  private ids(): Uint32Array<ArrayBuffer> {
    if (this.idView.length === 0) this.idView = this.module.words(this.idBlock, this.mostIds);
    return this.idView;
  }

  /** The id block as bytes, valid until memory grows. */
  private idBytes(): Uint8Array<ArrayBuffer> {
    if (this.byteView.length === 0) this.byteView = this.module.bytes(this.idBlock, 4 * CHUNK_BYTES);
    return this.byteView;
  }

  private encodeText(text: string, mode: number): void {
    this.encodeChunks(
      (target, from) => this.encoder.encodeInto(from === 0 ? text : text.slice(from), target),
      text.length,
      BYTES_PER_UNIT,
      mode,
    );
  }

  /**
   * Encodes a source of `length` units of at most `bytesPerUnit` bytes: `fill` writes UTF-8, starting at unit `from`,
   * until the target is full. A full target is split where a pretoken ends whatever follows, so that the ids are those
   * of the whole text; the rest is carried over to the next chunk.
   */
  private encodeChunks(
    fill: (target: Uint8Array, from: number) => { read: number; written: number },
    length: number,
    bytesPerUnit = 1,
    mode: number = FRAME,
  ): void {
    const { isWhole, pretokenizer } = this.module.vocabulary;
    // In Llama 3's and Qwen2's patterns line ends belong to the punctuation before them.
    const keepsLineEnds = pretokenizer === "llama-bpe" || pretokenizer === "qwen2";
    let capacity = Math.min(length * bytesPerUnit, CHUNK_BYTES);
    let from = 0;
    let isFirst = true;
    let kept: Uint8Array = new Uint8Array(0);
    do {
      const address = this.input.reserve(capacity);
      const target = this.module.bytes(address, capacity);
      target.set(kept);
      const { read, written } = fill(target.subarray(kept.length), from);
      from += read;
      const filled = kept.length + written;
      const cut = from === length ? filled : isWhole ? 0 : lastCut(target, filled, keepsLineEnds);
      kept = target.slice(cut, filled);
      if (cut === 0 && from < length) capacity *= 2;
      else this.encodeAt(address, cut, mode & ~(isFirst ? 0 : MODES.begin) & ~(from < length ? MODES.close : 0));
      isFirst &&= cut === 0;
    } while (from < length);
  }

  private encodeAt(address: number, length: number, mode: number): void {
    const { most_ids, encode } = this.module.exports;
    const out = this.output.reserve(4 * most_ids(length));
    const count = encode(address, length, out, mode);
    this.gather(this.module.words(out, count));
  }

  private gather(ids: Uint32Array): void {
    if (this.count + ids.length > this.gathered.length) {
      const larger = new Uint32Array(2 * (this.count + ids.length));
      larger.set(this.gathered.subarray(0, this.count));
      this.gathered = larger;
    }
    this.gathered.set(ids, this.count);
    this.count += ids.length;
  }

  /** The bytes of ids as a view of WASM memory, valid until the next call. */
  private decodeView(ids: ArrayLike<number>): Uint8Array<ArrayBuffer> {
    if (!(ids instanceof Uint32Array))
      checkArguments({ ids }, { ids: ["an array of token ids", (value) => hasKeys(value) && isNumber(value.length)] });
    const { exports } = this.module;
    if (ids.length <= this.shortIds) {
      if (this.wordView.length === 0) this.wordView = this.module.words(this.textBlock, CHUNK_BYTES / 4);
      this.write(ids, this.wordView);
      const length = exports.decode(this.textBlock, ids.length, this.idBlock, 4 * CHUNK_BYTES);
      if (length < 0) throw this.unknownId(ids[-length - 1]!, -length - 1);
      return this.idBytes().subarray(0, length);
    }
    const address = this.input.reserve(4 * ids.length);
    this.write(ids, this.module.words(address, ids.length));
    const length = exports.decoded_length(address, ids.length);
    if (length < 0) throw this.unknownId(ids[-length - 1]!, -length - 1);
    const out = this.output.reserve(length);
    exports.decode(address, ids.length, out, length);
    return this.module.bytes(out, length);
  }

  /** Writes ids as u32. Throws DataError for a value that is not a u32; WASM checks the vocabulary. */
  private write(ids: ArrayLike<number>, words: Uint32Array): void {
    if (ids instanceof Uint32Array) {
      words.set(ids);
      return;
    }
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (id >>> 0 !== id) throw this.unknownId(id, i);
      words[i] = id;
    }
  }

  private unknownId(id: number, position: number): DataError {
    return new DataError("token-out-of-range", "The id is not in the tokenizer's vocabulary", {
      where: `position ${position}`,
      expected: `a whole number from 0 to ${this.vocabSize - 1}`,
      found: `${id}`,
    });
  }
}

/**
 * The tokens of a pair: those of the first text, `separators` times `end`, and those of the second, at most `longest` in
 * all. The longer text is cut first, as in data.wasm (`copy_row`) and as `longest_first` of the library tokenizers does.
 */
function joinPair(first: Uint32Array, second: Uint32Array, separators: number, end: number, longest: number) {
  const most = Math.max(longest - separators, 0);
  const half = most >> 1;
  let kept = first.length;
  if (kept + second.length > most)
    kept = kept <= second.length ? Math.min(kept, half) : most - Math.min(second.length, half);
  const between = new Array<number>(separators).fill(end);
  return Uint32Array.of(...first.subarray(0, kept), ...between, ...second.subarray(0, most - kept));
}

/**
 * Decodes ids incrementally. A character whose bytes are spread over several ids is emitted with the last one, so that
 * the concatenated pieces equal the text that `Tokenizer.decode` returns for all ids.
 *
 * @example
 * ```ts
 * import { Tokenizer } from "lowrank/data";
 *
 * const tokenizer = await Tokenizer.load();
 * const stream = tokenizer.decodeStream();
 * for (const id of tokenizer.encode("na\u00efve")) console.log(stream.push(id));
 * ```
 */
export class DecodeStream {
  private readonly decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(private readonly bytes: (ids: ArrayLike<number>) => Uint8Array<ArrayBuffer>) {}

  /** The text that `ids` complete. Throws DataError, and ignores these ids, if one is not in the vocabulary. */
  push(...ids: number[]): string {
    return this.decoder.decode(this.bytes(ids), { stream: true });
  }

  /** The rest: U+FFFD for an incomplete character. The stream can then be used again. */
  end(): string {
    return this.decoder.decode();
  }
}

/**
 * The last position in the first `length` bytes of a text where a pretoken ends whatever follows: before ASCII white
 * space, or blanks alone if line ends can belong to a pretoken before them, and after a character that cannot be white
 * space. Multibyte white space ends in bytes below 0xb0. 0 if there is none.
 */
function lastCut(bytes: Uint8Array, length: number, keepsLineEnds: boolean): number {
  for (let i = length - 1; i > 0; i--) {
    const byte = bytes[i]!;
    const before = bytes[i - 1]!;
    if (keepsLineEnds && (byte === 0x0a || byte === 0x0d)) continue;
    if (isAsciiSpace(byte) && !isAsciiSpace(before) && (before < 0x80 || before >= 0xb0)) return i;
  }
  return 0;
}

function isAsciiSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}
