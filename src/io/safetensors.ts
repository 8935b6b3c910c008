/**
 * safetensors: u64 little-endian N, N bytes of JSON, the data. Files are read in parts through a FileReader and never
 * held in memory as a whole. The format is little-endian, as are typed arrays on every platform that Node and browsers
 * run on.
 */

import { openFile } from "#platform";
import { FormatError, ShapeError } from "../errors.ts";
import { halfToFloat } from "../half.ts";
import type { FileReader } from "../platform/reader.ts";
import { numel, type Shape, showShape } from "../tensor.ts";
import { countKeys, LIMITS, parseJson } from "./limits.ts";

/** Bytes of one element of each element type of the format. */
const BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;
export type Dtype = keyof typeof BYTES;
/** The element types that can be read as floats. */
export const FLOATS = ["F32", "F16", "BF16"] as const satisfies Dtype[];

interface TensorInfo {
  dtype: Dtype;
  shape: Shape;
  /** Bytes [begin, end) of the data that follows the header. */
  begin: number;
  end: number;
}

/** The remedy for a file of a model. */
const COPY_AGAIN =
  "it may be truncated: copy it again from where it came from, or delete a downloaded model's folder in the cache";

/** A safetensors file whose header has been read and checked. */
export class SafetensorsFile {
  readonly #reader: FileReader;
  readonly #tensors: Map<string, TensorInfo>;
  readonly #dataStart: number;
  /** The file's `__metadata__`; empty if it has none. */
  readonly metadata: Readonly<Record<string, string>>;

  private constructor(reader: FileReader, dataStart: number, header: Header) {
    this.#reader = reader;
    this.#dataStart = dataStart;
    this.#tensors = header.tensors;
    this.metadata = header.metadata;
  }

  /**
   * Reads and checks the header. Throws FormatError; the caller then closes the reader. `remedy`: what to do about a
   * file that was cut off, which depends on where it came from.
   */
  static async open(reader: FileReader, remedy = COPY_AGAIN): Promise<SafetensorsFile> {
    const where = reader.name;
    if (reader.size < 8)
      throw new FormatError("truncated-file", "the file is too short for a safetensors file", {
        where,
        expected: "8 bytes or more",
        found: `${reader.size} bytes`,
        hint: remedy,
      });
    const length = new DataView((await reader.read(0, 8)).buffer).getBigUint64(0, true);
    if (length > BigInt(reader.size - 8) || length > BigInt(LIMITS.safetensorsHeader))
      throw new FormatError("invalid-safetensors", "the safetensors header is longer than the file", {
        where,
        expected: `at most ${Math.min(reader.size - 8, LIMITS.safetensorsHeader)} bytes`,
        found: `${length} bytes`,
        hint: `check that it is a safetensors file; ${remedy}`,
      });
    const dataStart = 8 + Number(length);
    const header = parseHeader(await reader.read(8, Number(length)), reader.size - dataStart, where, remedy);
    return new SafetensorsFile(reader, dataStart, header);
  }

  /** Tensor names, in the order of their data. */
  get names(): string[] {
    return [...this.#tensors.keys()];
  }

  /** Names and shapes. Throws FormatError for a tensor that is not F32, F16 or BF16. */
  floatShapes(): Map<string, Shape> {
    for (const [name, { dtype }] of this.#tensors) this.#expectType(name, dtype, FLOATS);
    return new Map([...this.#tensors].map(([name, { shape }]) => [name, shape]));
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  info(name: string): TensorInfo {
    const info = this.#tensors.get(name);
    if (info === undefined)
      throw new FormatError("no-such-tensor", `there is no tensor ${name}`, {
        where: this.#reader.name,
        found: this.#tensors.size > 12 ? `${this.#tensors.size} other tensors` : this.names.join(", ") || "no tensors",
      });
    return info;
  }

  /**
   * Values of a tensor of F32, F16 or BF16, or of its rows [rowStart, rowEnd) along the first dimension, so that a
   * large one can be read in parts. Throws FormatError for another element type.
   */
  async readF32(name: string, rowStart = 0, rowEnd?: number): Promise<Float32Array<ArrayBuffer>> {
    const bytes = await this.#readRows(name, FLOATS, rowStart, rowEnd);
    switch (this.info(name).dtype) {
      case "F16":
        return halfToFloat(new Uint16Array(bytes.buffer));
      case "BF16":
        return bfloatToFloat(new Uint16Array(bytes.buffer));
      default:
        return new Float32Array(bytes.buffer);
    }
  }

  /** All values of a tensor of floats. Throws FormatError, with the position, if one is NaN or infinite. */
  async readFinite(name: string): Promise<Float32Array<ArrayBuffer>> {
    const values = await this.readF32(name);
    for (let i = 0; i < values.length; i++)
      // x - x is NaN for NaN and infinities only.
      if (values[i]! - values[i]! !== 0)
        throw new FormatError("not-finite", `${name} is not finite`, {
          where: this.#reader.name,
          expected: "finite numbers",
          found: `${values[i]} at element ${i} of ${showShape(this.info(name).shape)}`,
          hint: "use an earlier file: the training diverged, or the file is damaged",
        });
    return values;
  }

  /** A tensor of U8, or of I8 as bits, or its rows [rowStart, rowEnd). Throws FormatError for another element type. */
  readBytes(name: string, rowStart = 0, rowEnd?: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.#readRows(name, ["U8", "I8"], rowStart, rowEnd);
  }

  /** Values of a tensor of I32, or of its rows [rowStart, rowEnd). Throws FormatError for another element type. */
  async readI32(name: string, rowStart = 0, rowEnd?: number): Promise<Int32Array<ArrayBuffer>> {
    return new Int32Array((await this.#readRows(name, ["I32"], rowStart, rowEnd)).buffer);
  }

  close(): Promise<void> {
    return this.#reader.close();
  }

  #expectType(name: string, found: Dtype, allowed: readonly Dtype[]): void {
    if (!allowed.includes(found))
      throw new FormatError("wrong-dtype", `${name} has the wrong element type`, {
        where: this.#reader.name,
        expected: allowed.join(", "),
        found,
      });
  }

  async #readRows(
    name: string,
    allowed: readonly Dtype[],
    rowStart: number,
    end?: number,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const info = this.info(name);
    this.#expectType(name, info.dtype, allowed);
    const rows = info.shape[0] ?? 1;
    const rowEnd = end ?? rows;
    checkRows(name, info.shape, rowStart, rowEnd, this.#reader.name);
    const rowBytes = rows === 0 ? 0 : (info.end - info.begin) / rows;
    // The reader returns a copy that is aligned, even though the data in the file is not.
    return this.#reader.read(this.#dataStart + info.begin + rowStart * rowBytes, (rowEnd - rowStart) * rowBytes);
  }
}

/** Throws ShapeError unless a tensor has the rows [start, end). */
export function checkRows(name: string, shape: Shape, start: number, end: number, where: string): void {
  const rows = shape[0] ?? 1;
  if (Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= rows) return;
  throw new ShapeError("rows-out-of-range", `${name} has no such rows`, {
    where,
    expected: `rows within [0, ${rows}) of ${showShape(shape)}`,
    found: `[${start}, ${end})`,
  });
}

/** A tensor of a model: where it is. */
export interface Stored {
  file: SafetensorsFile;
  /** Its name in the file. */
  key: string;
  info: TensorInfo;
}

/** A model's tensors, in one file or in several. */
export interface TensorFiles {
  /** The file, or the index of several. */
  where: string;
  /** The file of each tensor. */
  files: ReadonlyMap<string, SafetensorsFile>;
  close(): Promise<void>;
}

/** Opens a file by its path. Throws FormatError if it is damaged. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const reader = await openFile(path);
  return SafetensorsFile.open(reader).catch(async (error) => {
    await reader.close();
    throw error;
  });
}

interface Header {
  tensors: Map<string, TensorInfo>;
  metadata: Record<string, string>;
}

function parseHeader(bytes: Uint8Array, dataBytes: number, where: string, remedy: string): Header {
  const json = parseJson(bytes, where, "the safetensors header is not JSON");
  // The format does not allow a byte order mark.
  if (!isObject(json) || bytes[0] !== 0x7b)
    throw new FormatError("invalid-safetensors", "the safetensors header is not a JSON object", { where });
  const { __metadata__: metadata = {}, ...entries } = json;
  if (!isObject(metadata) || Object.values(metadata).some((value) => typeof value !== "string"))
    throw new FormatError("invalid-safetensors", "__metadata__ of the safetensors header is not an object of strings", {
      where,
    });
  const count = Object.keys(entries).length;
  if (count > LIMITS.tensors)
    throw new FormatError("exceeds-limit", "too many tensors", {
      where,
      expected: `at most ${LIMITS.tensors}`,
      found: String(count),
    });
  const tensors = Object.entries(entries).map(([name, entry]): [string, TensorInfo] => [
    name,
    parseEntry(name, entry, dataBytes, where, remedy),
  ]);
  const keys = Object.values(json).reduce<number>((sum, entry) => sum + 1 + Object.keys(entry as object).length, 0);
  if (countKeys(bytes, where) !== keys)
    throw new FormatError("invalid-safetensors", "the safetensors header has a duplicate or nested key", { where });
  tensors.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  checkContiguous(tensors, dataBytes, where);
  return { tensors: new Map(tensors), metadata: metadata as Record<string, string> };
}

function parseEntry(name: string, entry: unknown, dataBytes: number, where: string, remedy: string): TensorInfo {
  const wrong = (what: string, expected: string, found: unknown) =>
    new FormatError("invalid-safetensors", `${name}: ${what}`, {
      where,
      expected,
      found: typeof found === "string" ? found : JSON.stringify(found),
    });
  if (name.length > LIMITS.tensorName)
    throw wrong("the name is too long", `at most ${LIMITS.tensorName} characters`, `${name.length} characters`);
  if (!isObject(entry)) throw wrong("the entry is not an object", "{ dtype, shape, data_offsets }", entry);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || !Object.hasOwn(BYTES, dtype))
    throw wrong("unknown element type", Object.keys(BYTES).join(", "), dtype);
  if (!isSizes(shape)) throw wrong("invalid shape", "a list of sizes", shape);
  if (shape.length > LIMITS.dimensions) throw wrong("too many dimensions", `at most ${LIMITS.dimensions}`, shape);
  if (!isSizes(offsets) || offsets.length !== 2) throw wrong("invalid offsets", "data_offsets [begin, end]", offsets);
  const [begin, end] = offsets as [number, number];
  if (begin > end) throw wrong("the data ends before it begins", "begin <= end", offsets);
  if (end > dataBytes)
    throw new FormatError("truncated-file", `${name}: the data extends beyond the end of the file`, {
      where,
      expected: `at most ${dataBytes} bytes of data`,
      found: `bytes ${begin} to ${end}`,
      hint: remedy,
    });
  // Sizes of 0 are left out, as they would hide an overflow of the others.
  const largest = numel(shape.filter((size) => size > 0)) * BYTES[dtype as Dtype];
  if (!Number.isSafeInteger(largest)) throw wrong("the shape is too large", `at most ${dataBytes} bytes`, shape);
  const bytes = numel(shape) * BYTES[dtype as Dtype];
  if (end - begin !== bytes)
    throw wrong(
      "the size of the data does not match the shape",
      `${bytes} bytes for ${dtype} ${showShape(shape)}`,
      `${end - begin} bytes`,
    );
  return { dtype: dtype as Dtype, shape, begin, end };
}

/** The tensors, sorted by offset, must fill the data without overlap and without a gap. */
function checkContiguous(tensors: [string, TensorInfo][], dataBytes: number, where: string): void {
  let at = 0;
  let before = "the header";
  for (const [name, { begin, end }] of tensors) {
    if (begin !== at)
      throw new FormatError(
        "invalid-safetensors",
        begin < at ? `${name} and ${before} overlap` : `there is a gap between ${before} and ${name}`,
        {
          where,
          expected: `the data of ${name} to begin at byte ${at}`,
          found: `byte ${begin}`,
        },
      );
    at = end;
    before = name;
  }
  if (at !== dataBytes)
    throw new FormatError("invalid-safetensors", "there is data after the last tensor", {
      where,
      expected: `${at} bytes, the end of ${before}`,
      found: `${dataBytes} bytes`,
    });
}

/** Converts bfloat16, the upper half of a float. */
export function bfloatToFloat(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
