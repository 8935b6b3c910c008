/**
 * The element types in which GGUF files are written: the bytes of ggml's quantize_row_*_ref, to the bit. Every product,
 * quotient and sum is rounded to f32, as there. ggml-types.ts describes the blocks.
 */
import { floatToHalf } from "../../core/half.ts";
import type { CommonDtype } from "../../core/tensor.ts";
import { GGML_TYPES, type GgmlType } from "./ggml-types.ts";

export interface Encoding extends GgmlType {
  /** Its number in a file. */
  id: number;
  /** The blocks of whole rows. */
  encode(values: Float32Array): Uint8Array;
}

/** Values of a block of Q8_0 and Q4_0. */
const BLOCK = 32;

/** Writes the codes of 32 values, from byte `to` on. `inverse`: 1 / scale. */
type Codes = (values: Float32Array, inverse: number, out: Uint8Array, to: number) => void;

const bytesIn = ({ buffer, byteOffset, byteLength }: Float32Array | Uint16Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Blocks of a scale f16, which is their value of the largest magnitude divided by `levels`, and codes. */
function inBlocks(bytes: number, scale: (furthest: number) => number, codes: Codes): Encoding["encode"] {
  return (values) => {
    const count = values.length / BLOCK;
    const scales = new Float32Array(count);
    const out = new Uint8Array(count * bytes);
    for (let i = 0; i < count; i++) {
      const block = values.subarray(i * BLOCK, (i + 1) * BLOCK);
      let furthest = 0;
      for (const value of block) if (Math.abs(value) > Math.abs(furthest)) furthest = value;
      scales[i] = scale(furthest);
      codes(block, scales[i] === 0 ? 0 : Math.fround(1 / scales[i]!), out, i * bytes + 2);
    }
    const halves = bytesIn(floatToHalf(scales));
    for (let i = 0; i < count; i++) {
      out[i * bytes] = halves[2 * i]!;
      out[i * bytes + 1] = halves[2 * i + 1]!;
    }
    return out;
  };
}

const encodeQ8 = inBlocks(
  34,
  (furthest) => Math.abs(furthest) / 127,
  (values, inverse, out, to) => {
    for (let j = 0; j < BLOCK; j++) {
      const code = Math.fround(values[j]! * inverse);
      // Ties go away from 0.
      out[to + j] = code < 0 ? -Math.floor(0.5 - code) : Math.floor(code + 0.5);
    }
  },
);

const encodeQ4 = inBlocks(
  18,
  (furthest) => furthest / -8,
  (values, inverse, out, to) => {
    const code = (j: number) => Math.min(15, Math.trunc(Math.fround(Math.fround(values[j]! * inverse) + 8.5)));
    for (let j = 0; j < BLOCK / 2; j++) out[to + j] = code(j) | (code(j + BLOCK / 2) << 4);
  },
);

const encoding = (id: number, encode: Encoding["encode"]): Encoding => ({ ...GGML_TYPES.get(id)!, id, encode });

/** By the names of our types of weights. */
export const ENCODINGS = {
  f32: encoding(0, bytesIn),
  f16: encoding(1, (values) => bytesIn(floatToHalf(values))),
  q8: encoding(8, encodeQ8),
  q4: encoding(2, encodeQ4),
} as const satisfies Record<CommonDtype, Encoding>;
