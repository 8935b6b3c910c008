// Dropout of an adapter's input, and its gradient. The masks are those of shaders/dropout.prelude.wgsl, with a counter
// a lane, so that 16 columns are made at a time.
import { activation_backward_rows } from "./activation";
import { DropoutBackward, DropoutForward } from "./generated/records";
import { scratch_memory, slice_begin, slice_end } from "./threads";
import { threefry } from "./threefry";
import { madd } from "./vector";

/** Writes the masks of 16 columns, as four vectors: all bits where an element is kept. `at`: the first's counter. */
function write_masks(to: usize, seed: u32, matrix: u32, draw: u32, at: u32, threshold: u32): void {
  const counters = i32x4.add(i32x4.splat(at), i32x4(0, 1, 2, 3));
  threefry(to, seed, matrix, i32x4.splat(draw), counters);
  const x = v128.load(to);
  const y = v128.load(to, 16);
  // A lane has two columns of x and two of y, the low half first.
  const least = i16x8.splat(<i16>threshold);
  const kept_x = i16x8.ge_u(x, least);
  const kept_y = i16x8.ge_u(y, least);
  const low = v128.shuffle<i32>(kept_x, kept_y, 0, 4, 1, 5);
  const high = v128.shuffle<i32>(kept_x, kept_y, 2, 6, 3, 7);
  v128.store(to, i32x4.extend_low_i16x8_s(low));
  v128.store(to, i32x4.extend_high_i16x8_s(low), 16);
  v128.store(to, i32x4.extend_low_i16x8_s(high), 32);
  v128.store(to, i32x4.extend_high_i16x8_s(high), 48);
}

/** The mask of x, four columns of a row, which begin at byte `at`; the columns of a row come in their order. */
function drop<T>(p: T, row: u32, at: u32, x: v128): v128 {
  const masks = scratch_memory();
  const draw = load<u32>(p.draws + (row << 3));
  if (draw == 0) return x;
  if ((at & 63) == 0) {
    const place = load<u32>(p.draws + (row << 3), 4);
    write_masks(masks, p.seed, p.matrix, draw, place * (p.cols >> 2) + (at >> 4), p.threshold);
  }
  return v128.and(f32x4.mul(x, f32x4.splat(p.scale)), v128.load(masks + (at & 63)));
}

/** out [rows, cols] = inp / (1 - p) where the mask keeps it, 0 elsewhere. */
export function dropout_forward(p: DropoutForward): void {
  const bytes = p.cols << 2;
  const end = slice_end(p.rows, 1);
  for (let row = slice_begin(p.rows, 1); row < end; row++) {
    const begin = <usize>row * bytes;
    for (let at: u32 = 0; at < bytes; at += 16)
      v128.store(p.out + begin + at, drop(p, row, at, v128.load(p.inp + begin + at)));
  }
}

/** dx [rows, cols] += the mask of ddown A, then the derivative of an activation, if there is one. */
export function dropout_backward(p: DropoutBackward): void {
  const bytes = p.cols << 2;
  const depth = p.count * p.r;
  const end = slice_end(p.rows, 1);
  for (let row = slice_begin(p.rows, 1); row < end; row++) {
    const begin = <usize>row * bytes;
    const dx = p.dx + begin;
    const ddown = p.ddown + ((<usize>row * depth) << 2);
    for (let at: u32 = 0; at < bytes; at += 16) {
      let sum = f32x4.splat(0);
      for (let i: u32 = 0; i < p.count; i++) {
        let a = p.a + ((<usize>i * p.stride) << 2) + at;
        for (let j = i * p.r; j < (i + 1) * p.r; j++) {
          sum = madd(v128.load32_splat(ddown + (j << 2)), v128.load(a), sum);
          a += bytes;
        }
      }
      v128.store(dx + at, f32x4.add(v128.load(dx + at), drop(p, row, at, sum)));
    }
    if (p.act) activation_backward_rows(p.activation, dx, p.act + begin, p.inp + begin, 0, 1, p.cols);
  }
}
