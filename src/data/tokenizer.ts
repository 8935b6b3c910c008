/**
 * GPT-2's byte-level BPE tokenizer, the ids of tiktoken's "gpt2". The work is done in WASM (assembly/data/bpe.ts); here
 * text goes in and ids come out. Everything is synchronous once loaded. Letters, numbers and white space are those of
 * Unicode 16.0, as in tiktoken 0.14.
 */
import { DataError } from "../errors.ts";
import { DataModule, Scratch } from "./wasm.ts";

/** The special token that separates documents. */
export const END_OF_TEXT = "<|endoftext|>";
export const END_OF_TEXT_ID = 50256;

/** Long texts are encoded so many bytes at a time, which bounds the memory that they take in WASM. */
const CHUNK_BYTES = 1 << 18;
/** The most bytes of UTF-8 that a UTF-16 unit takes. */
const BYTES_PER_UNIT = 3;

export interface EncodeOptions {
  /** Whether `<|endoftext|>` in the text becomes its one id, 50256. By default it is text like any other. */
  allowSpecial?: boolean;
}

/** The ids of many texts, one behind the other: those of text i are `ids.subarray(offsets[i], offsets[i + 1])`. */
export interface EncodedBatch {
  ids: Uint32Array;
  offsets: Uint32Array;
}

export class Tokenizer {
  /** The number of ids: 50,257. */
  readonly vocabSize: number;
  private readonly module: DataModule;
  private readonly input: Scratch;
  private readonly output: Scratch;
  private readonly encoder = new TextEncoder();
  private readonly decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** Where ids are gathered; the first `count` are those of the call under way. */
  private gathered = new Uint32Array(1024);
  private count = 0;

  private constructor(module: DataModule) {
    this.module = module;
    this.vocabSize = module.vocabSize;
    this.input = new Scratch(module);
    this.output = new Scratch(module);
  }

  /** Loads the tokenizer, into `module` where one is given; FormatError where its tables are damaged. */
  static async load(module?: DataModule): Promise<Tokenizer> {
    return new Tokenizer(module ?? (await DataModule.load()));
  }

  /** The ids of a text. Lone surrogates count as U+FFFD. */
  encode(text: string, options: EncodeOptions = {}): Uint32Array {
    this.count = 0;
    if (options.allowSpecial) {
      for (const [i, part] of text.split(END_OF_TEXT).entries()) {
        if (i > 0) this.gather(new Uint32Array([END_OF_TEXT_ID]));
        this.encodeText(part);
      }
    } else {
      this.encodeText(text);
    }
    return this.gathered.slice(0, this.count);
  }

  /** The ids of UTF-8 bytes. Bytes that are not UTF-8 are kept: `decodeBytes` gives every input back as it was. */
  encodeBytes(utf8: Uint8Array): Uint32Array {
    this.count = 0;
    this.encodeChunks((target, from) => {
      const part = utf8.subarray(from, from + target.length);
      target.set(part);
      return { read: part.length, written: part.length };
    }, utf8.length);
    return this.gathered.slice(0, this.count);
  }

  /** The ids of each text, as by `encode`. */
  encodeBatch(texts: readonly string[]): EncodedBatch {
    this.count = 0;
    const offsets = new Uint32Array(texts.length + 1);
    for (const [i, text] of texts.entries()) {
      this.encodeText(text);
      offsets[i + 1] = this.count;
    }
    return { ids: this.gathered.slice(0, this.count), offsets };
  }

  /** The text of ids. Bytes that are not UTF-8, as where ids were cut inside a character, become U+FFFD. */
  decode(ids: ArrayLike<number>): string {
    return this.decoder.decode(this.decodeView(ids));
  }

  /** The bytes of ids. DataError where an id is not in the vocabulary. */
  decodeBytes(ids: ArrayLike<number>): Uint8Array {
    return this.decodeView(ids).slice();
  }

  private encodeText(text: string): void {
    this.encodeChunks(
      (target, from) => this.encoder.encodeInto(from === 0 ? text : text.slice(from), target),
      text.length,
      BYTES_PER_UNIT,
    );
  }

  /**
   * Encodes a source of `length` units, each at most `bytesPerUnit` bytes: `fill` writes UTF-8 from unit `from` on until
   * the target is full. A full target is cut where a piece ends whatever follows, so the ids are those of the whole; the
   * rest is kept for the next.
   */
  private encodeChunks(
    fill: (target: Uint8Array, from: number) => { read: number; written: number },
    length: number,
    bytesPerUnit = 1,
  ): void {
    let capacity = Math.min(length * bytesPerUnit, CHUNK_BYTES);
    let from = 0;
    let kept: Uint8Array = new Uint8Array(0);
    while (from < length) {
      const address = this.input.reserve(capacity);
      const target = this.module.bytes(address, capacity);
      target.set(kept);
      const { read, written } = fill(target.subarray(kept.length), from);
      from += read;
      const filled = kept.length + written;
      const cut = from < length ? lastCut(target, filled) : filled;
      kept = target.slice(cut, filled);
      if (cut === 0) capacity *= 2;
      else this.encodeAt(address, cut);
    }
  }

  /** Encodes `length` bytes that stand at `address` in WASM. */
  private encodeAt(address: number, length: number): void {
    const out = this.output.reserve(4 * length);
    const count = this.module.exports.encode(address, length, out);
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
    const { exports } = this.module;
    const address = this.input.reserve(4 * ids.length);
    const words = this.module.words(address, ids.length);
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (!(Number.isInteger(id) && id >= 0 && id < this.vocabSize)) throw this.unknownId(id, i);
      words[i] = id;
    }
    const length = exports.decoded_length(address, ids.length);
    const out = this.output.reserve(length);
    exports.decode(address, ids.length, out, length);
    return this.module.bytes(out, length);
  }

  private unknownId(id: number, position: number): DataError {
    return new DataError("An id is not in the tokenizer's vocabulary", {
      where: `position ${position}`,
      expected: `a whole number from 0 to ${this.vocabSize - 1}`,
      found: `${id}`,
    });
  }
}

/**
 * The last place in the first `length` bytes of a text where a piece ends whatever comes behind: before ASCII white space
 * and after a character that is surely none. Multibyte white space ends in bytes below 0xb0. 0 where there is no such place.
 */
function lastCut(bytes: Uint8Array, length: number): number {
  for (let i = length - 1; i > 0; i--) {
    const before = bytes[i - 1]!;
    if (isAsciiSpace(bytes[i]!) && !isAsciiSpace(before) && (before < 0x80 || before >= 0xb0)) return i;
  }
  return 0;
}

function isAsciiSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}
