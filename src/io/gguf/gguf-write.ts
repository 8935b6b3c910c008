/**
 * Writes GGUF files, version 3: see gguf.ts for the format. Tensors are written in chunks, as their values are
 * computed.
 */
import { numel, type Shape } from "../../core/tensor.ts";
import { sizeError } from "../safetensors/safetensors-write.ts";
import { Builder } from "./builder.ts";
import type { Encoding } from "./ggml-encode.ts";

/** Keys with their values as they lie in a file, which begin with their type. */
type EncodedMetadata = ReadonlyMap<string, Uint8Array>;

/** A tensor whose values are computed in chunks of whole rows. */
export interface GgufOutput {
  name: string;
  /** Its rows first. */
  shape: Shape;
  type: Encoding;
  pieces: () => AsyncIterable<Float32Array>;
}

const VERSION = 3;
const ALIGNMENT = 32;

/** A text or a list in a file: its length, or its elements' type and number, before it. */
class GgufBuilder extends Builder {
  text(value: string): this {
    const bytes = new TextEncoder().encode(value);
    return this.u64(bytes.length).raw(bytes);
  }

  list<T>(type: number, values: readonly T[], put: (value: T) => void): this {
    this.u32(type).u64(values.length);
    for (const value of values) put(value);
    return this;
  }
}

const TYPE = { u32: 4, i32: 5, f32: 6, bool: 7, text: 8, list: 9 } as const;

const typed = (type: number) => new GgufBuilder().u32(type);

export const u32 = (value: number) => typed(TYPE.u32).u32(value).done();
export const f32 = (value: number) => typed(TYPE.f32).f32(value).done();
export const bool = (value: boolean) => typed(TYPE.bool).u8(Number(value)).done();
export const text = (value: string) => typed(TYPE.text).text(value).done();
export function texts(values: readonly string[]): Uint8Array {
  const builder = typed(TYPE.list);
  return builder.list(TYPE.text, values, (value) => builder.text(value)).done();
}
export function i32s(values: readonly number[]): Uint8Array {
  const builder = typed(TYPE.list);
  return builder.list(TYPE.i32, values, (value) => builder.i32(value)).done();
}

const align = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

const dataBytes = ({ shape, type }: GgufOutput) => (numel(shape) / type.values) * type.bytes;

/** The first bytes of a file, up to the data. */
function encodeHeader(metadata: EncodedMetadata, tensors: readonly GgufOutput[]): Uint8Array {
  const head = new GgufBuilder()
    .raw(new TextEncoder().encode("GGUF"))
    .u32(VERSION)
    .u64(tensors.length)
    .u64(metadata.size);
  for (const [key, value] of metadata) head.text(key).raw(value);
  let at = 0;
  for (const tensor of tensors) {
    const { name, shape, type } = tensor;
    head.text(name).u32(shape.length);
    for (const size of shape.toReversed()) head.u64(size);
    head.u32(type.id).u64(at);
    at += align(dataBytes(tensor));
  }
  const bytes = head.done();
  const padded = new Uint8Array(align(bytes.length));
  padded.set(bytes);
  return padded;
}

/** The size of the file that `streamGguf` writes. */
export function ggufBytes(metadata: EncodedMetadata, tensors: readonly GgufOutput[]): number {
  const data = tensors.reduce((sum, tensor) => sum + align(dataBytes(tensor)), 0);
  return encodeHeader(metadata, tensors).length + data;
}

/** The bytes of a GGUF file in chunks. Throws ShapeError if a tensor has other values than its shape says. */
export async function* streamGguf(
  metadata: EncodedMetadata,
  tensors: readonly GgufOutput[],
): AsyncGenerator<Uint8Array> {
  yield encodeHeader(metadata, tensors);
  for (const tensor of tensors) {
    const { name, shape, type, pieces } = tensor;
    let elements = 0;
    for await (const piece of pieces()) {
      elements += piece.length;
      yield type.encode(piece);
    }
    if (elements !== numel(shape)) throw sizeError(name, shape, elements);
    const bytes = dataBytes(tensor);
    if (bytes % ALIGNMENT > 0) yield new Uint8Array(align(bytes) - bytes);
  }
}
