/** Writes safetensors files, byte for byte as the reference library does: see safetensors.ts for the format. */
import { FormatError, ShapeError } from "../../core/errors.ts";
import { floatToHalf } from "../../core/half.ts";
import { formatShape, numel, type Shape } from "../../core/tensor.ts";

export type EncodableTensor =
  | { name: string; shape: Shape; dtype: "F32"; data: Float32Array }
  | { name: string; shape: Shape; dtype: "I32"; data: Int32Array };

/** The element types that are written, in the order of the reference library, with the bytes of an element. */
const BYTES = { F32: 4, I32: 4, F16: 2 } as const;

interface HeaderEntry {
  name: string;
  shape: Shape;
  dtype: keyof typeof BYTES;
}

/**
 * The first bytes of a safetensors file, up to the data, and the tensors in the order of their data. They are sorted as
 * in the reference library, by element type and name, so that the file does not depend on the order of `tensors`. The
 * header is padded to align the data to 8 bytes. Throws FormatError for a duplicate name.
 */
function encodeHeader<T extends HeaderEntry>(
  tensors: readonly T[],
  metadata: Readonly<Record<string, string>>,
): { head: Uint8Array<ArrayBuffer>; sorted: T[]; dataBytes: number } {
  const rank = ({ dtype }: T) => Object.keys(BYTES).indexOf(dtype);
  const sorted = [...tensors].sort((a, b) => rank(a) - rank(b) || compare(a.name, b.name));
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0)
    entries.push(["__metadata__", Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => compare(a, b)))]);
  let dataBytes = 0;
  for (const [i, { name, shape, dtype }] of sorted.entries()) {
    if (name === "__metadata__" || name === sorted[i - 1]?.name)
      throw new FormatError("duplicate-tensor", `two tensors are named ${name}`);
    const end = dataBytes + BYTES[dtype] * numel(shape);
    entries.push([name, { dtype, shape, data_offsets: [dataBytes, end] }]);
    dataBytes = end;
  }
  // Written entry by entry: an object would put integer-like names first.
  const text = `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",")}}`;
  const header = new TextEncoder().encode(text);
  const headerBytes = Math.ceil(header.length / 8) * 8;
  const head = new Uint8Array(8 + headerBytes);
  new DataView(head.buffer).setBigUint64(0, BigInt(headerBytes), true);
  head.fill(0x20, 8);
  head.set(header, 8);
  return { head, sorted, dataBytes };
}

export function sizeError(name: string, shape: Shape, found: number): ShapeError {
  return new ShapeError("wrong-shape", `${name}: the data does not match the shape`, {
    expected: `${numel(shape)} elements for ${formatShape(shape)}`,
    found: `${found} elements`,
  });
}

export const viewBytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** The bytes of a safetensors file. Throws ShapeError if data and shape differ, FormatError for a duplicate name. */
export function encodeSafetensors(
  tensors: readonly EncodableTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const { head, sorted, dataBytes } = encodeHeader(tensors, metadata);
  for (const { name, shape, data } of sorted)
    if (data.length !== numel(shape)) throw sizeError(name, shape, data.length);
  const file = new Uint8Array(head.length + dataBytes);
  file.set(head);
  let at = head.length;
  for (const { data } of sorted) {
    file.set(viewBytes(data), at);
    at += data.byteLength;
  }
  return file;
}

/** A tensor whose values are computed in chunks when they are written. */
export interface ComputedTensor {
  name: string;
  shape: Shape;
  dtype: "F32";
  pieces: () => AsyncIterable<Float32Array>;
}

/** A tensor in half precision: chunks of its bits. */
type HalfTensor = Omit<ComputedTensor, "dtype" | "pieces"> & { dtype: "F16"; pieces: () => AsyncIterable<Uint16Array> };

export type StreamedTensor = ComputedTensor | HalfTensor;

export function halved({ name, shape, pieces }: ComputedTensor): HalfTensor {
  async function* halves() {
    for await (const piece of pieces()) yield floatToHalf(piece);
  }
  return { name, shape, dtype: "F16", pieces: halves };
}

/** The size of the file that `streamSafetensors` writes. */
export function streamedBytes(
  tensors: readonly StreamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): number {
  const { head, dataBytes } = encodeHeader(tensors, metadata);
  return head.length + dataBytes;
}

/** The bytes of a safetensors file in chunks: no model is held in memory. Throws as `encodeSafetensors` does. */
export async function* streamSafetensors(
  tensors: readonly StreamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): AsyncGenerator<Uint8Array> {
  const { head, sorted } = encodeHeader(tensors, metadata);
  yield head;
  for (const { name, shape, pieces } of sorted) {
    let elements = 0;
    for await (const piece of pieces()) {
      elements += piece.length;
      yield viewBytes(piece);
    }
    if (elements !== numel(shape)) throw sizeError(name, shape, elements);
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
