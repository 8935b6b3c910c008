/** Tensors in a file, whatever its format: its header says where they are. They are read in parts by a FileReader. */
import { FormatError, nameList, ShapeError } from "../../core/errors.ts";
import { bfloatToFloat, halfToFloat } from "../../core/half.ts";
import { formatShape, type Shape, sameShape } from "../../core/tensor.ts";
import type { FileReader } from "../../platform/reader.ts";

/** Bytes of one element of each element type of safetensors. */
export const BYTES = {
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

export interface TensorInfo {
  dtype: Dtype;
  shape: Shape;
  /** Bytes [begin, end) of the data that follows the header. */
  begin: number;
  end: number;
}

export class TensorFile<Info extends TensorInfo = TensorInfo> {
  constructor(
    readonly reader: FileReader,
    private readonly dataStart: number,
    private readonly tensors: ReadonlyMap<string, Info>,
  ) {}

  /** Tensor names, in the order of their data. */
  get names(): string[] {
    return [...this.tensors.keys()];
  }

  /** Names and shapes. Throws FormatError for a tensor that is not F32, F16 or BF16. */
  floatShapes(): Map<string, Shape> {
    for (const [name, { dtype }] of this.tensors) this.expectType(name, dtype, FLOATS);
    return new Map([...this.tensors].map(([name, { shape }]) => [name, shape]));
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  info(name: string): Info {
    const info = this.tensors.get(name);
    if (info === undefined)
      throw new FormatError("no-such-tensor", `there is no tensor ${name}`, {
        where: this.reader.name,
        found: this.tensors.size > 12 ? `${this.tensors.size} other tensors` : this.names.join(", ") || "no tensors",
      });
    return info;
  }

  /**
   * Values of a tensor of F32, F16 or BF16, or of its rows [rowStart, rowEnd) along the first dimension, so that a
   * large one can be read in parts. Throws FormatError for another element type.
   */
  async readF32(name: string, rowStart?: number, rowEnd?: number): Promise<Float32Array<ArrayBuffer>> {
    const { dtype } = this.info(name);
    this.expectType(name, dtype, FLOATS);
    const { buffer } = await this.readRows(name, rowStart, rowEnd);
    switch (dtype) {
      case "F16":
        return halfToFloat(new Uint16Array(buffer));
      case "BF16":
        return bfloatToFloat(new Uint16Array(buffer));
      default:
        return new Float32Array(buffer);
    }
  }

  /** All values of a tensor of floats. Throws FormatError, with the position, if one is NaN or infinite. */
  async readFinite(name: string): Promise<Float32Array<ArrayBuffer>> {
    const values = await this.readF32(name);
    for (let i = 0; i < values.length; i++)
      // x - x is NaN for NaN and infinities only.
      if (values[i]! - values[i]! !== 0)
        throw new FormatError("not-finite", `${name} is not finite`, {
          where: this.reader.name,
          expected: "finite numbers",
          found: `${values[i]} at element ${i} of ${formatShape(this.info(name).shape)}`,
          hint: "use an earlier file: the training diverged, or the file is damaged",
        });
    return values;
  }

  /** Values of a tensor of I32. Throws FormatError for another element type. */
  async readI32(name: string): Promise<Int32Array<ArrayBuffer>> {
    this.expectType(name, this.info(name).dtype, ["I32"]);
    return new Int32Array((await this.readRows(name)).buffer);
  }

  close(): Promise<void> {
    return this.reader.close();
  }

  private expectType(name: string, found: Dtype, allowed: readonly Dtype[]): void {
    if (!allowed.includes(found))
      throw new FormatError("wrong-dtype", `${name} has the wrong element type`, {
        where: this.reader.name,
        expected: allowed.join(", "),
        found,
      });
  }

  /** The rows [start, end) as they are stored. */
  protected readRows(name: string, start?: number, end?: number): Promise<Uint8Array<ArrayBuffer>> {
    const info = this.info(name);
    const [first, last] = this.checkedRows(name, start, end);
    const bytes = first === last ? 0 : (info.end - info.begin) / (info.shape[0] ?? 1);
    return this.readData(info.begin + first * bytes, (last - first) * bytes);
  }

  /** Bytes of the data: a copy that is aligned, even though the data in the file is not. */
  protected readData(begin: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.reader.read(this.dataStart + begin, length);
  }

  /** The rows [start, end), by default all. Throws ShapeError unless the tensor has them. */
  protected checkedRows(name: string, start = 0, end?: number): [start: number, end: number] {
    const { shape } = this.info(name);
    const last = end ?? shape[0] ?? 1;
    checkRows(name, shape, start, last, this.reader.name);
    return [start, last];
  }
}

/** Throws ShapeError unless a tensor has the rows [start, end). */
export function checkRows(name: string, shape: Shape, start: number, end: number, where: string): void {
  const rows = shape[0] ?? 1;
  if (Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= rows) return;
  throw new ShapeError("rows-out-of-range", `${name} has no such rows`, {
    where,
    expected: `rows within [0, ${rows}) of ${formatShape(shape)}`,
    found: `[${start}, ${end})`,
  });
}

export const align = (bytes: number, alignment: number) => Math.ceil(bytes / alignment) * alignment;

/**
 * Throws what `wrong` makes unless tensors, sorted by their places, fill a file's data: each of them aligned, without
 * overlap and without a gap.
 */
export function checkContiguous(
  tensors: readonly (readonly [name: string, info: TensorInfo])[],
  dataBytes: number,
  alignment: number,
  wrong: (what: string, expected: string, found: string) => FormatError,
): void {
  let at = 0;
  let before = "the header";
  for (const [name, { begin, end }] of tensors) {
    const expected = align(at, alignment);
    if (begin !== expected)
      throw wrong(
        begin < expected ? `${name} and ${before} overlap` : `there is a gap between ${before} and ${name}`,
        `the data of ${name} to begin at byte ${expected}`,
        `byte ${begin}`,
      );
    at = end;
    before = name;
  }
  if (dataBytes > align(at, alignment))
    throw wrong("there is data after the last tensor", `${at} bytes, the end of ${before}`, `${dataBytes} bytes`);
}

/** Throws FormatError unless a file has the tensors that are expected, and no others. */
export function checkNames(
  found: Iterable<string>,
  expected: Iterable<string>,
  summary: string,
  where: string,
  hint: string,
): void {
  const [all, wanted] = [new Set(found), new Set(expected)];
  const missing = [...wanted].filter((name) => !all.has(name));
  const extra = [...all].filter((name) => !wanted.has(name));
  if (missing.length === 0 && extra.length === 0) return;
  throw new FormatError("wrong-tensors", summary, {
    where,
    expected: missing.length > 0 ? `also ${nameList(missing)}` : "no others",
    found: extra.length > 0 ? `also ${nameList(extra)}` : all.size > 0 ? "no others" : "no tensors",
    hint,
  });
}

/** A model whose tensors are not those of its config, and what to do. */
export const OTHER_TENSORS = "the model file has other tensors than its config says";
export const OF_CONFIG = "check that the config.json belongs to this file";

/** Throws FormatError unless a model's tensor has the shape that its config says. */
export function checkShape(name: string, found: Shape, expected: Shape, where: string, hint = OF_CONFIG): void {
  if (sameShape(found, expected)) return;
  throw new FormatError("wrong-shape", `${name} has the wrong shape`, {
    where,
    expected: formatShape(expected),
    found: formatShape(found),
    hint,
  });
}

/** Where a model's tensor is read from. */
export type TensorSource = Pick<TensorFile, "readF32">;

/** A tensor of a model: where it is. */
export interface Stored<Source extends TensorSource = TensorFile> {
  file: Source;
  /** Its name in the file. */
  key: string;
  info: TensorInfo;
}

export interface TensorFiles {
  /** The file, or the index of several. */
  where: string;
  /** The file of each tensor. */
  files: ReadonlyMap<string, TensorFile>;
  close(): Promise<void>;
}
