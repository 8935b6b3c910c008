/**
 * The host's side of data.wasm, the tokenizer and the data pipeline. Only addresses and numbers cross the border; the
 * host writes bytes into memory that it allocated there and copies results out.
 */
import { readAsset } from "#platform";
import { DataError, FormatError } from "../errors.ts";

/** What data.wasm exports; addresses are bytes from the start of `memory`. */
export interface DataExports {
  readonly memory: WebAssembly.Memory;
  alloc(bytes: number): number;
  free(address: number): void;
  load_tables(address: number, length: number): number;
  encode(text: number, length: number, out: number): number;
  decoded_length(ids: number, count: number): number;
  decode(ids: number, count: number, out: number, capacity: number): number;
}

/** The tables of the tokenizer, as src/tools/tokenizer.mjs builds them. */
const TABLES = "gpt2.tokenizer.bin";

/**
 * One instance of data.wasm with the tokenizer's tables in it. Memory grows and every growth detaches all views, so views
 * are made anew by `bytes` and `words` and must not be kept across a call that may allocate (`alloc`, `encode`, ...).
 */
export class DataModule {
  readonly exports: DataExports;
  /** The number of ids of the tokenizer. */
  readonly vocabSize: number;

  private constructor(exports: DataExports, vocabSize: number) {
    this.exports = exports;
    this.vocabSize = vocabSize;
  }

  /** Instantiates the module and installs the tokenizer's tables; FormatError where those are damaged. */
  static async load(): Promise<DataModule> {
    const [wasm, tables] = await Promise.all([readAsset("data.wasm"), readAsset(TABLES)]);
    const { instance } = await WebAssembly.instantiate(wasm, { env: { abort } });
    const exports = instance.exports as unknown as DataExports;
    const address = exports.alloc(tables.length) >>> 0;
    new Uint8Array(exports.memory.buffer, address, tables.length).set(tables);
    const vocabSize = exports.load_tables(address, tables.length);
    exports.free(address);
    if (vocabSize < 0)
      throw new FormatError("The tokenizer's tables are damaged", {
        where: TABLES,
        found: `${tables.length} bytes that are not such tables`,
        hint: "install or build the program again",
      });
    return new DataModule(exports, vocabSize);
  }

  /** A view of `length` bytes at `address`, valid until memory grows. */
  bytes(address: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.exports.memory.buffer as ArrayBuffer, address, length);
  }

  /** A view of `count` u32 at `address` (a multiple of 4), valid until memory grows. */
  words(address: number, count: number): Uint32Array<ArrayBuffer> {
    return new Uint32Array(this.exports.memory.buffer as ArrayBuffer, address, count);
  }

  /** Copies `data` into a block of its own and returns the block's address; `exports.free` gives it back. */
  write(data: Uint8Array): number {
    const address = this.exports.alloc(data.length) >>> 0;
    this.bytes(address, data.length).set(data);
    return address;
  }
}

/** Scratch grows to multiples of this, so that texts of slowly growing length do not each move it. */
const GRAIN_BYTES = 1 << 16;

/** A block of a module's memory that is replaced by a larger one when more is asked for; its contents are then lost. */
export class Scratch {
  private readonly exports: DataExports;
  private address = 0;
  private size = 0;

  constructor(module: DataModule) {
    this.exports = module.exports;
  }

  /** The address of at least `bytes` bytes, aligned to 16; the last `reserve` made is the only one that is valid. */
  reserve(bytes: number): number {
    if (bytes > this.size) {
      const size = Math.ceil(bytes / GRAIN_BYTES) * GRAIN_BYTES;
      this.exports.free(this.address);
      this.address = 0; // stays so where the allocation fails
      this.size = 0;
      this.address = this.exports.alloc(size) >>> 0;
      this.size = size;
    }
    return this.address;
  }
}

/** What data.wasm calls where it cannot go on: an allocation above its allocator's limit of 1 GiB. */
function abort(_message: number, _file: number, line: number): never {
  throw new DataError("The data is too much for one piece of WASM memory", {
    where: `data.wasm, line ${line}`,
    expected: "at most 1 GiB in a block; a word without white space takes 28 times its length",
    hint: "give the text in parts",
  });
}
