/**
 * GGUF, llama.cpp's format of a model in one file, versions 2 and 3, little-endian: the bytes GGUF, u32 version, u64
 * tensors, u64 keys; the keys with their values; name, dimensions (the last of a row first), type and offset of every
 * tensor; then, aligned, their data. A string is u64 bytes and UTF-8, a list u32 type and u64 elements. Only the header
 * is read here.
 */
import { FormatError } from "../../core/errors.ts";
import { formatShape, numel } from "../../core/tensor.ts";
import type { FileReader } from "../../platform/reader.ts";
import { checkCount, LIMITS } from "../limits.ts";
import { align, checkContiguous, type TensorInfo } from "../safetensors/tensor-file.ts";
import { GGML_TYPES, type GgmlType, ggmlTypeName } from "./ggml-types.ts";

/** A value of the metadata. Whole numbers of 64 bits are rounded. */
export type GgufValue = string | number | boolean | readonly string[] | readonly number[] | readonly boolean[];

/** A tensor. Its shape begins with its rows, as everywhere else; its values are read as F32. */
export interface GgufTensor extends TensorInfo {
  dtype: "F32";
  type: GgmlType;
}

export interface GgufHeader {
  metadata: ReadonlyMap<string, GgufValue>;
  /** The same values as they lie in the file, each with its type. */
  encoded: ReadonlyMap<string, Uint8Array>;
  tensors: ReadonlyMap<string, GgufTensor>;
  /** The byte at which the data begins, a multiple of `alignment`. */
  dataStart: number;
  alignment: number;
}

/** Bytes that are read first, which is enough for some 50,000 tokens; then eight times as many. */
const FIRST_BYTES = 2 << 20;

/** Reads and checks a file's header. Throws FormatError. */
export async function readGgufHeader(reader: FileReader): Promise<GgufHeader> {
  const most = Math.min(reader.size, LIMITS.ggufHeader);
  for (let length = Math.min(FIRST_BYTES, most); ; length = Math.min(8 * length, most)) {
    const cursor = new Cursor(await reader.read(0, length), reader.name);
    let header: GgufHeader;
    try {
      header = parseHeader(cursor);
    } catch (error) {
      if (error instanceof FormatError && error.code === "truncated-file" && length < most) continue;
      throw error;
    }
    checkData(header, reader.size - header.dataStart, cursor);
    return header;
  }
}

/** The first bytes of a file, read one value after the other. */
class Cursor {
  at = 0;
  /** Elements of all lists so far. */
  private listed = 0;
  private readonly view: DataView;
  private readonly text = new TextDecoder();

  constructor(
    private readonly bytes: Uint8Array<ArrayBuffer>,
    private readonly file: string,
  ) {
    this.view = new DataView(bytes.buffer);
  }

  wrong(what: string, expected: string, found: unknown, hint?: string): FormatError {
    const details = { where: this.file, expected, found: String(found), hint };
    return new FormatError("invalid-gguf", what, details);
  }

  /** Throws FormatError for more than `most`. */
  atMost(most: number, found: number, what: string): number {
    checkCount(found, most, what, this.file);
    return found;
  }

  unsupportedType(name: string, id: number): FormatError {
    return new FormatError("wrong-dtype", `${name} is of a type that is not supported`, {
      where: this.file,
      expected: [...GGML_TYPES.values()].map((type) => type.name).join(", "),
      found: ggmlTypeName(id),
      hint: "take this model's file in one of these types",
    });
  }

  truncated(what: string, bytes: number, found: string): FormatError {
    return new FormatError("truncated-file", what, {
      where: this.file,
      expected: `at most ${bytes} bytes`,
      found,
      hint: "it may be truncated: copy or download it again",
    });
  }

  /** Moves on by `length` bytes, and returns where they begin. */
  private take(length: number): number {
    const start = this.at;
    if (length > this.bytes.length - start)
      throw this.truncated(
        "the header does not end in the file",
        this.bytes.length,
        `${length} bytes from byte ${start} on`,
      );
    this.at += length;
    return start;
  }

  /** The bytes from `start` on that were read. */
  since(start: number): Uint8Array {
    return this.bytes.subarray(start, this.at);
  }

  u32 = () => this.view.getUint32(this.take(4), true);
  u64 = () => Number(this.view.getBigUint64(this.take(8), true));

  string(): string {
    const length = this.u64();
    const start = this.take(length);
    return this.text.decode(this.bytes.subarray(start, start + length));
  }

  value(): GgufValue {
    const type = this.u32();
    if (type !== LIST) return this.scalar(type);
    const elements = this.u32();
    const length = this.u64();
    this.listed = this.atMost(LIMITS.ggufLists, this.listed + length, "elements in lists");
    const list = [];
    for (let i = 0; i < length; i++) list.push(this.scalar(elements));
    return list as string[];
  }

  private scalar(type: number): string | number | boolean {
    switch (type) {
      case 0:
        return this.view.getUint8(this.take(1));
      case 1:
        return this.view.getInt8(this.take(1));
      case 2:
        return this.view.getUint16(this.take(2), true);
      case 3:
        return this.view.getInt16(this.take(2), true);
      case 4:
        return this.u32();
      case 5:
        return this.view.getInt32(this.take(4), true);
      case 6:
        return this.view.getFloat32(this.take(4), true);
      case 7:
        return this.bool();
      case 8:
        return this.string();
      case 10:
        return this.u64();
      case 11:
        return Number(this.view.getBigInt64(this.take(8), true));
      case 12:
        return this.view.getFloat64(this.take(8), true);
    }
    throw this.wrong("a value has no known type", "a number, a text, true or false, or a list of them", `type ${type}`);
  }

  private bool(): boolean {
    const byte = this.view.getUint8(this.take(1));
    if (byte > 1) throw this.wrong("a value is neither true nor false", "0 or 1", byte);
    return byte === 1;
  }
}

const LIST = 9;
/** "GGUF" as u32. */
const MAGIC = 0x46554747;

function parseHeader(cursor: Cursor): GgufHeader {
  if (cursor.u32() !== MAGIC) throw cursor.wrong("the file is not a GGUF file", "GGUF at its beginning", "other bytes");
  const version = cursor.u32();
  if (version !== 2 && version !== 3)
    throw cursor.wrong(
      version % 2 ** 24 === 0 ? "the GGUF file is big-endian" : "unknown version of GGUF",
      "version 2 or 3, little-endian",
      version,
      "convert the model again, with a current llama.cpp",
    );
  const tensorCount = cursor.atMost(LIMITS.tensors, cursor.u64(), "tensors");
  const keyCount = cursor.atMost(LIMITS.ggufKeys, cursor.u64(), "keys");
  const metadata = new Map<string, GgufValue>();
  const encoded = new Map<string, Uint8Array>();
  const tensors = new Map<string, GgufTensor>();
  const unused = (name: string, names: ReadonlyMap<string, unknown>) => {
    if (names.has(name)) throw cursor.wrong("two keys or tensors have the same name", "names that differ", name);
    return name;
  };
  for (let left = keyCount; left > 0; left--) {
    const key = unused(cursor.string(), metadata);
    const start = cursor.at;
    metadata.set(key, cursor.value());
    encoded.set(key, cursor.since(start));
  }
  for (let left = tensorCount; left > 0; left--) {
    const name = unused(cursor.string(), tensors);
    tensors.set(name, parseTensor(cursor, name));
  }
  const alignment = metadata.get("general.alignment") ?? 32;
  if (
    !(typeof alignment === "number" && Number.isInteger(Math.log2(alignment))) ||
    !(alignment >= 1 && alignment <= LIMITS.ggufAlignment)
  )
    throw cursor.wrong("general.alignment is invalid", `a power of two up to ${LIMITS.ggufAlignment}`, alignment);
  return { metadata, encoded, tensors, dataStart: align(cursor.at, alignment), alignment };
}

function parseTensor(cursor: Cursor, name: string): GgufTensor {
  cursor.atMost(LIMITS.tensorName, name.length, "characters in the name of a tensor");
  const dimensions = cursor.atMost(4, cursor.u32(), `dimensions: those of ${name}`);
  const shape = Array.from({ length: dimensions }, () => cursor.u64()).reverse();
  const id = cursor.u32();
  const begin = cursor.u64();
  const type = GGML_TYPES.get(id);
  if (!type) throw cursor.unsupportedType(name, id);
  const values = numel(shape);
  const end = begin + (values / type.values) * type.bytes;
  // Blocks are in rows, which a vector does not have.
  const isWhole = type.values === 1 || (dimensions > 1 && shape.at(-1)! % type.values === 0);
  if (shape.includes(0) || !isWhole || !Number.isSafeInteger(4 * values) || !Number.isSafeInteger(end))
    throw cursor.wrong(
      `${name} has an invalid shape`,
      `rows of a multiple of ${type.values} values`,
      `${type.name} ${formatShape(shape)} from byte ${begin} on`,
    );
  return { dtype: "F32", type, shape, begin, end };
}

function checkData({ tensors, alignment }: GgufHeader, dataBytes: number, cursor: Cursor): void {
  const sorted = [...tensors].sort(([, a], [, b]) => a.begin - b.begin);
  checkContiguous(sorted, dataBytes, alignment, (...fault) => cursor.wrong(...fault));
  for (const [name, { begin, end }] of sorted)
    if (end > dataBytes)
      throw cursor.truncated(`the data of ${name} does not end in the file`, dataBytes, `bytes ${begin} to ${end}`);
}
