/**
 * The host's side of data.wasm, the tokenizer and the data pipeline, and of tokenizer.wasm, which is the first alone.
 * Calls pass only addresses and numbers: the host writes bytes into memory that it allocated there, and copies results
 * out.
 */
import { readAsset } from "#platform";
import { DataError, FormatError } from "../core/errors.ts";
import type { BaseModel } from "../io/hf.ts";
import { checkSize, GPT2_TABLES, GPT2_VOCABULARY, type Vocabulary } from "../io/tokenizer/vocabulary.ts";

/** The exports of both. Addresses are byte offsets into `memory`. */
export type DataExports = {
  readonly memory: WebAssembly.Memory;
  alloc(bytes: number): number;
  free(address: number): void;
  load_vocabulary(address: number, length: number): number;
  longest_token(): number;
  /** The most ids of a text of `length` bytes. */
  most_ids(length: number): number;
  encode(text: number, length: number, out: number, mode: number): number;
  decoded_length(ids: number, count: number): number;
  decode(ids: number, count: number, out: number, capacity: number): number;
  /** Of data.wasm alone. */
  set_prompt?(prompt: number, bytes: number): void;
};

/** The module that tokenizers use: where the data pipeline has been loaded, they need no other one. */
let loaded: "data.wasm" | "tokenizer.wasm" = "tokenizer.wasm";

/**
 * One instance of a module with a vocabulary loaded. When memory grows, all views are detached: get them from `bytes`
 * and `words`, and do not keep them across a call that may allocate (`alloc`, `encode`, ...).
 */
export class DataModule {
  private constructor(
    readonly exports: DataExports,
    readonly vocabulary: Vocabulary,
  ) {}

  /**
   * Instantiates a module with the vocabulary of a model, GPT-2's by default. Throws ConfigError if the model is too
   * small for it, FormatError if the tables are damaged.
   */
  static async load(
    model?: Pick<BaseModel, "vocabulary" | "config" | "directory">,
    file: typeof loaded = "data.wasm",
  ): Promise<DataModule> {
    if (file === "data.wasm") loaded = file;
    if (model) checkSize(model.vocabulary, model.config, model.directory);
    const vocabulary = model?.vocabulary ?? GPT2_VOCABULARY;
    const [wasm, tables] = await Promise.all([readAsset(loaded), vocabulary.tables ?? readAsset(GPT2_TABLES)]);
    let made: Uint8Array | null = null;
    const imports = {
      env: { abort },
      added: { is_word: isWord },
      normalize: {
        transform: (text: number, length: number, step: number) => {
          made = transform(module.bytes(text >>> 0, length), vocabulary.steps[step]!);
          return made?.length ?? -1;
        },
        take: (out: number) => module.bytes(out >>> 0, made!.length).set(made!),
      },
    };
    const { instance } = await WebAssembly.instantiate(wasm, imports);
    const exports = instance.exports as DataExports;
    const module = new DataModule(exports, vocabulary);
    // The block belongs to the module then.
    if (exports.load_vocabulary(module.write(tables), tables.length) !== vocabulary.size) {
      if (model && vocabulary.kind !== "bpe")
        throw new FormatError("invalid-vocabulary", "the steps of the model's normalizer are damaged", {
          where: model.directory,
          expected: "a precompiled_charsmap of SentencePiece, and texts at most a thousand times as long",
        });
      throw new FormatError("damaged-installation", "The tokenizer's tables are damaged", {
        where: GPT2_TABLES,
        found: `${tables.length} bytes in an invalid format`,
        hint: "install or build the program again",
      });
    }
    const prompt = new TextEncoder().encode(vocabulary.prompt);
    exports.set_prompt?.(module.write(prompt), prompt.length);
    return module;
  }

  /** A view of `length` bytes at `address`, valid until memory grows. */
  bytes(address: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.exports.memory.buffer as ArrayBuffer, address, length);
  }

  /** A view of `count` u32 at `address` (a multiple of 4), valid until memory grows. */
  words(address: number, count: number): Uint32Array<ArrayBuffer> {
    return new Uint32Array(this.exports.memory.buffer as ArrayBuffer, address, count);
  }

  /** Copies `data` into a new block and returns its address; free it with `exports.free`. */
  write(data: Uint8Array): number {
    const address = this.exports.alloc(data.length) >>> 0;
    this.bytes(address, data.length).set(data);
    return address;
  }
}

/** Scratch grows in multiples of this, so that slowly growing texts do not reallocate it each time. */
const GRAIN_BYTES = 1 << 16;

/** A block of a module's memory that is reallocated when more is requested; its contents are then lost. */
export class Scratch {
  private readonly exports: DataExports;
  private address = 0;
  private size = 0;

  constructor(module: DataModule) {
    this.exports = module.exports;
  }

  /** The address of at least `bytes` bytes, aligned to 16. Invalidates the addresses of earlier calls. */
  reserve(bytes: number): number {
    if (bytes > this.size) {
      const size = Math.ceil(bytes / GRAIN_BYTES) * GRAIN_BYTES;
      this.exports.free(this.address);
      this.address = 0; // in case the allocation fails
      this.size = 0;
      this.address = this.exports.alloc(size) >>> 0;
      this.size = size;
    }
    return this.address;
  }
}

/** Whether a code point is part of a word, as in the library `tokenizers`. */
function isWord(point: number): boolean {
  return /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u.test(String.fromCodePoint(point));
}

/** A text behind a step of the normalizer; null if it is not valid UTF-8. */
function transform(text: Uint8Array<ArrayBuffer>, step: (text: string) => string): Uint8Array | null {
  try {
    return new TextEncoder().encode(step(STRICT.decode(text)));
  } catch {
    return null;
  }
}
const STRICT = /* @__PURE__ */ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Called by a module when an allocation exceeds the allocator's limit of 1 GiB. */
function abort(_message: number, _file: number, line: number): never {
  throw new DataError("data-too-large", "The data is too large for one block of WASM memory", {
    where: `assembly/data, line ${line}`,
    expected: "at most 1 GiB per block; a word without white space takes 28 times its length",
    hint: "split the text into parts",
  });
}
