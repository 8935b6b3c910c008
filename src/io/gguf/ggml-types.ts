/**
 * The element types of GGUF, which are ggml's, as floats: the values of `gguf.quants.dequantize`, to the bit. Every
 * product, sum and difference is rounded to f32. Except in F32, F16 and BF16, neighbouring values of a row are in
 * blocks:
 *
 *   Q8_0        32 values: scale f16, codes i8. A value is scale * code.
 *   Q4_0, Q5_0  32 values: scale f16; in Q5_0 the fifth bits of the codes; their lower four bits, two codes a byte, the
 *               first 16 in the lower halves. A value is scale * (code - 8), or scale * (code - 16).
 *   Q4_1, Q5_1  The same with a minimum f16 behind the scale. A value is scale * code + minimum.
 *   Q4_K, Q5_K  256 values, in eight parts of 32: scale f16 and minimum f16, of both six bits for each part, packed in
 *               12 bytes; in Q5_K the fifth bits; the lower four bits of two parts in each 32 bytes. A value is scale *
 *               (part's scale) * code - minimum * (part's minimum).
 *   Q6_K        256 values, in 16 parts: the lower four bits of codes, their upper two, scales i8, scale f16. A value
 *               is scale * (part's scale) * (code - 32).
 */
import { bfloatToFloat, halfToFloat } from "../../core/half.ts";

export interface GgmlType {
  name: string;
  /** Values of a block. */
  values: number;
  /** Bytes of a block. */
  bytes: number;
  /** The values of whole blocks. */
  decode(blocks: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer>;
}

/** Writes the values of a block, which begins at byte `at`, from `to` on. */
type BlockReader = (
  bytes: Uint8Array,
  at: number,
  out: Float32Array,
  to: number,
  scale: number,
  minimum: number,
) => void;

/** A type in blocks. In a block its scale is at byte `scaleAt`; its minimum, where it has one, follows. */
function inBlocks(
  name: string,
  values: number,
  bytes: number,
  { scaleAt = 0, hasMinimum = false },
  block: BlockReader,
): GgmlType {
  const step = bytes / 2;
  return {
    name,
    values,
    bytes,
    decode(blocks) {
      const count = blocks.length / bytes;
      const words = new Uint16Array(blocks.buffer);
      const numbers = (at: number) => halfToFloat(Uint16Array.from({ length: count }, (_, i) => words[i * step + at]!));
      const scales = numbers(scaleAt / 2);
      const minima = hasMinimum ? numbers(scaleAt / 2 + 1) : scales;
      const out = new Float32Array(count * values);
      for (let i = 0; i < count; i++) block(blocks, i * bytes, out, i * values, scales[i]!, minima[i]!);
      return out;
    },
  };
}

/** Q4_0, Q4_1, Q5_0, Q5_1. */
function small(name: string, hasFifth: boolean, hasMinimum: boolean): GgmlType {
  const start = hasMinimum ? 4 : 2;
  const codes = start + (hasFifth ? 4 : 0);
  const middle = hasFifth ? 16 : 8;
  return inBlocks(name, 32, codes + 16, { hasMinimum }, (bytes, at, out, to, scale, minimum) => {
    for (let j = 0; j < 32; j++) {
      const low = (bytes[at + codes + (j & 15)]! >> ((j >> 4) << 2)) & 15;
      const code = hasFifth ? low | (((bytes[at + start + (j >> 3)]! >> (j & 7)) & 1) << 4) : low;
      out[to + j] = hasMinimum ? Math.fround(scale * code) + minimum : scale * (code - middle);
    }
  });
}

/** Q4_K, Q5_K. */
function large(name: string, hasFifth: boolean): GgmlType {
  const codes = hasFifth ? 48 : 16;
  return inBlocks(name, 256, codes + 128, { hasMinimum: true }, (bytes, at, out, to, scale, minimum) => {
    for (let part = 0; part < 8; part++) {
      const [scales, minima] = sixBits(bytes, at + 4, part);
      const factor = Math.fround(scale * scales);
      const less = Math.fround(minimum * minima);
      for (let j = 0; j < 32; j++) {
        const low = (bytes[at + codes + ((part >> 1) << 5) + j]! >> ((part & 1) << 2)) & 15;
        const code = hasFifth ? low | (((bytes[at + 16 + j]! >> part) & 1) << 4) : low;
        out[to + part * 32 + j] = Math.fround(factor * code) - less;
      }
    }
  });
}

/** The scale and the minimum of a part: of the first four in the lower six bits of their bytes, of others in pieces. */
function sixBits(bytes: Uint8Array, at: number, part: number): [scale: number, minimum: number] {
  if (part < 4) return [bytes[at + part]! & 63, bytes[at + 4 + part]! & 63];
  const low = bytes[at + 4 + part]!;
  const upper = (from: number) => (bytes[at + from]! >> 2) & 48;
  return [(low & 15) | upper(part - 4), (low >> 4) | upper(part)];
}

const Q6_K = inBlocks("Q6_K", 256, 210, { scaleAt: 208 }, (bytes, at, out, to, scale) => {
  for (let j = 0; j < 256; j++) {
    // Two groups of 128 values: 64 bytes of lower and 32 of upper bits each.
    const [group, i] = [j >> 7, j & 127];
    const low = (bytes[at + group * 64 + (i & 63)]! >> ((i >> 6) << 2)) & 15;
    const high = (bytes[at + 128 + group * 32 + (i & 31)]! >> ((i >> 5) << 1)) & 3;
    const part = (bytes[at + 192 + (j >> 4)]! << 24) >> 24;
    out[to + j] = Math.fround(scale * part) * ((low | (high << 4)) - 32);
  }
});

const Q8_0 = inBlocks("Q8_0", 32, 34, {}, (bytes, at, out, to, scale) => {
  for (let j = 0; j < 32; j++) out[to + j] = scale * ((bytes[at + 2 + j]! << 24) >> 24);
});

const plain = (name: string, bytes: number, decode: GgmlType["decode"]): GgmlType => {
  return { name, values: 1, bytes, decode };
};

/** By their numbers in a file. */
export const GGML_TYPES: ReadonlyMap<number, GgmlType> = new Map([
  [0, plain("F32", 4, ({ buffer }) => new Float32Array(buffer))],
  [1, plain("F16", 2, ({ buffer }) => halfToFloat(new Uint16Array(buffer)))],
  [2, small("Q4_0", false, false)],
  [3, small("Q4_1", false, true)],
  [6, small("Q5_0", true, false)],
  [7, small("Q5_1", true, true)],
  [8, Q8_0],
  [12, large("Q4_K", false)],
  [13, large("Q5_K", true)],
  [14, Q6_K],
  [30, plain("BF16", 2, ({ buffer }) => bfloatToFloat(new Uint16Array(buffer)))],
]);

/** The names of all others, for who has a file of them. */
const OTHERS: Readonly<Record<number, string>> = {
  ...{ 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S" },
  ...{ 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64" },
  ...{ 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0" },
};

/** The name of a type of which only the number is known. */
export const ggmlTypeName = (id: number): string => GGML_TYPES.get(id)?.name ?? OTHERS[id] ?? `type ${id}`;
