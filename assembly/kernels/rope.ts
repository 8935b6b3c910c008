// Rotary position embedding, the halves of a head as pairs. Reference: transformers apply_rotary_pos_emb of Llama.
import { Rope } from "./generated/records";
import { slice_begin, slice_end } from "./threads";
import { load_some, madd, store_some } from "./vector";

/**
 * Rotates the first `heads` heads of x [room, width] in place, for the rows' positions n - start + shift; back if `sign`
 * is -1. table [positions, head_size]: cosines, then sines.
 */
export function rope(p: Rope): void {
  const heads = p.heads;
  const size = p.head_size << 2;
  const half = size >> 1;
  const sign = f32x4.splat(p.sign);
  const end = slice_end(p.tokens, 1);
  for (let n = slice_begin(p.tokens, 1); n < end; n++) {
    const position = n - load<u32>(p.bounds + (n << 3)) + p.shift;
    const cosines = p.table + <usize>position * size;
    let x = p.x + ((<usize>n * p.width) << 2);
    for (let head: u32 = 0; head < heads; head++) {
      for (let at: u32 = 0; at < half; at += 16) {
        const rest = min<u32>(4, (half - at) >> 2);
        const a = load_some(cosines + at, rest);
        const b = f32x4.mul(sign, load_some(cosines + half + at, rest));
        const u = load_some(x + at, rest);
        const v = load_some(x + half + at, rest);
        store_some(x + at, madd(f32x4.neg(v), b, f32x4.mul(u, a)), rest);
        store_some(x + half + at, madd(u, b, f32x4.mul(v, a)), rest);
      }
      x += size;
    }
  }
}
