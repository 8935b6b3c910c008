/** The values of quantised weights, from the formats of src/core/blocks.ts. Loaded when such a parameter is read. */
import { BLOCKS, type BlockDtype, layoutBlocks, NESTED } from "./blocks.ts";
import { halfToFloat } from "./half.ts";
import { MAXIMA, NF4 } from "./quantize.ts";

/** The `size` values of a stored tensor, in its order; `inputs` to a row. */
export function dequantize(
  dtype: BlockDtype,
  bytes: Uint8Array,
  size: number,
  inputs: number,
): Float32Array<ArrayBuffer> {
  const parts = layoutBlocks(dtype, size);
  const block = BLOCKS[dtype];
  const values = new Float32Array(size);
  if (dtype === "int16") {
    const codes = new Int16Array(bytes.slice(0, parts.scales).buffer);
    const scales = new Float32Array(bytes.slice(parts.scales).buffer);
    return values.map((_, i) => codes[i]! * scales[Math.floor(i / inputs)]!);
  }
  if (parts.mean === undefined) {
    const scales = halfToFloat(new Uint16Array(bytes.slice(parts.scales, parts.scales + (2 * size) / block).buffer));
    for (let i = 0; i < size; i++) values[i] = ((bytes[i]! << 24) >> 24) * scales[Math.floor(i / block)]!;
    return values;
  }
  const floats = new Float32Array(bytes.slice(parts.nested, parts.end).buffer);
  const mean = floats[(parts.mean - parts.nested) / 4]!;
  for (let i = 0; i < size; i += block) {
    const index = i / block;
    const scaled = Math.fround(MAXIMA[bytes[parts.scales + index]!]! * floats[Math.floor(index / NESTED)]!);
    const most = Math.fround(scaled + mean);
    for (let j = i; j < i + block; j += 2) {
      const byte = bytes[j / 2]!;
      values[j] = NF4[byte >> 4]! * most;
      values[j + 1] = NF4[byte & 15]! * most;
    }
  }
  return values;
}
