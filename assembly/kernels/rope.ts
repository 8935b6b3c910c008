// Rotary position embedding, the halves of a head as pairs. Reference: transformers apply_rotary_pos_emb of GPT-NeoX.
import { Rope } from "./generated/records";
import { slice_begin, slice_end } from "./threads";

/**
 * Rotates the first `rotated` numbers of the first `heads` heads of x [room, width] in place, for the rows' positions
 * n - start + shift; back if `sign` is -1. table [positions, rotated]: cosines, then sines.
 */
export function rope(p: Rope): void {
  const heads = p.heads;
  const head_bytes = p.head_size << 2;
  const size = p.rotated << 2;
  const half = size >> 1;
  const sign = f32x4.splat(p.sign);
  const end = slice_end(p.tokens, 1);
  for (let n = slice_begin(p.tokens, 1); n < end; n++) {
    const position = n - load<u32>(p.bounds + (n << 3)) + p.shift;
    const cosines = p.table + <usize>position * size;
    let x = p.x + ((<usize>n * p.width) << 2);
    for (let head: u32 = 0; head < heads; head++) {
      // Two numbers at a time: what is rotated is a multiple of 4.
      for (let at: u32 = 0; at < half; at += 8) {
        const a = v128.load_zero<f64>(cosines + at);
        const b = f32x4.mul(sign, v128.load_zero<f64>(cosines + half + at));
        const u = v128.load_zero<f64>(x + at);
        const v = v128.load_zero<f64>(x + half + at);
        v128.store_lane<f64>(x + at, f32x4.sub(f32x4.mul(u, a), f32x4.mul(v, b)), 0);
        v128.store_lane<f64>(x + half + at, f32x4.add(f32x4.mul(v, a), f32x4.mul(u, b)), 0);
      }
      x += head_bytes;
    }
  }
}
