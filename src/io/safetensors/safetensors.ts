/**
 * safetensors: u64 little-endian N, N bytes of JSON, the data. Files are read in parts through a FileReader and never
 * held in memory as a whole. The format is little-endian, as are typed arrays on every platform that Node and browsers
 * run on.
 */

import { openFile } from "#platform";
import { isListOf, isObject, isText, isWithin, lookUp } from "../../core/checks.ts";
import { FormatError } from "../../core/errors.ts";
import { formatShape, numel } from "../../core/tensor.ts";
import type { FileReader } from "../../platform/reader.ts";
import { checkCount, countKeys, LIMITS, parseJson } from "../limits.ts";
import { BYTES, checkContiguous, type Dtype, TensorFile, type TensorInfo } from "./tensor-file.ts";

/** The remedy for a file of a model. */
const COPY_AGAIN =
  "it may be truncated: copy it again from where it came from, or delete a downloaded model's folder in the cache";

/** A safetensors file whose header has been read and checked. */
export class SafetensorsFile extends TensorFile {
  /** The file's `__metadata__`; empty if it has none. */
  readonly metadata: Readonly<Record<string, string>>;

  private constructor(reader: FileReader, dataStart: number, { tensors, metadata }: Header) {
    super(reader, dataStart, tensors);
    this.metadata = metadata;
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
  if (!isObject(metadata) || !Object.values(metadata).every(isText))
    throw new FormatError("invalid-safetensors", "__metadata__ of the safetensors header is not an object of strings", {
      where,
    });
  checkCount(Object.keys(entries).length, LIMITS.tensors, "tensors", where);
  const tensors = Object.entries(entries).map(([name, entry]): [string, TensorInfo] => [
    name,
    parseEntry(name, entry, dataBytes, where, remedy),
  ]);
  const keys = Object.values(json).reduce<number>((sum, entry) => sum + 1 + Object.keys(entry as object).length, 0);
  if (countKeys(bytes, where) !== keys)
    throw new FormatError("invalid-safetensors", "the safetensors header has a duplicate or nested key", { where });
  tensors.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  checkContiguous(
    tensors,
    dataBytes,
    1,
    (what, expected, found) => new FormatError("invalid-safetensors", what, { where, expected, found }),
  );
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
  const bytesOfOne = lookUp(BYTES, dtype);
  if (bytesOfOne === undefined) throw wrong("unknown element type", Object.keys(BYTES).join(", "), dtype);
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
  const largest = numel(shape.filter((size) => size > 0)) * bytesOfOne;
  if (!Number.isSafeInteger(largest)) throw wrong("the shape is too large", `at most ${dataBytes} bytes`, shape);
  const bytes = numel(shape) * bytesOfOne;
  if (end - begin !== bytes)
    throw wrong(
      "the size of the data does not match the shape",
      `${bytes} bytes for ${dtype} ${formatShape(shape)}`,
      `${end - begin} bytes`,
    );
  return { dtype: dtype as Dtype, shape, begin, end };
}

function isSizes(value: unknown): value is number[] {
  return isListOf(value, (one) => isWithin(one, { min: 0, whole: true }));
}
