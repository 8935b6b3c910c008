/** Conversion between f32 and IEEE half precision (f16), the optional data type of frozen weights; from bfloat16. */

/** Exact; NaN keeps its payload. */
export function halfToFloat(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(halves.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i]!;
    const sign = (half & 0x8000) << 16;
    const exponent = (half >> 10) & 0x1f;
    const mantissa = half & 0x3ff;
    if (exponent === 0x1f) bits[i] = sign | 0x7f800000 | (mantissa << 13);
    else if (exponent !== 0) bits[i] = sign | ((exponent + 112) << 23) | (mantissa << 13);
    // Zero and subnormal halves, mantissa * 2^-24, are normal floats.
    else out[i] = (sign === 0 ? mantissa : -mantissa) * 2 ** -24;
  }
  return out;
}

/** The f32 bits of 65520, the smallest number that rounds to infinity, and of 2^-14, the smallest normal half. */
const OVERFLOW = 0x477ff000;
const NORMAL = 0x38800000;

/** Rounds to the nearest half, ties to even. Magnitudes of 65520 and above become infinity; NaN stays NaN. */
export function floatToHalf(floats: Float32Array): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(floats.length);
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const sum = new Float32Array(1);
  const sumBits = new Uint32Array(sum.buffer);
  for (let i = 0; i < out.length; i++) {
    const sign = (bits[i]! >>> 16) & 0x8000;
    const magnitude = bits[i]! & 0x7fffffff;
    if (magnitude >= OVERFLOW) out[i] = sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
    else if (magnitude < NORMAL) {
      // In the sum with 0.5 the last bit of the float has the value 2^-24, as in a subnormal half.
      sum[0] = Math.abs(floats[i]!) + 0.5;
      out[i] = sign | (sumBits[0]! - 0x3f000000);
    } else out[i] = sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  return out;
}

/** Exact: bfloat16 is the upper half of a float. */
export function bfloatToFloat(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}
