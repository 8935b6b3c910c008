// Threefry-2x32 with 20 rounds (Salmon et al. 2011), as shaders/threefry.prelude.wgsl; four counters at a time.

const PARITY: u32 = 0x1bd11bda;

function rotate(x: v128, by: i32): v128 {
  return v128.or(i32x4.shl(x, by), i32x4.shr_u(x, 32 - by));
}

/** Writes the numbers of four counters (x, y) under the key k0, k1: the first of each, then the second. */
export function threefry(to: usize, key0: u32, key1: u32, counter0: v128, counter1: v128): void {
  let k0 = key0;
  let k1 = key1;
  let k2 = key0 ^ key1 ^ PARITY;
  let x = i32x4.add(counter0, i32x4.splat(k0));
  let y = i32x4.add(counter1, i32x4.splat(k1));
  for (let i: u32 = 0; i < 5; i++) {
    const is_even = (i & 1) == 0;
    x = i32x4.add(x, y);
    y = v128.xor(rotate(y, is_even ? 13 : 17), x);
    x = i32x4.add(x, y);
    y = v128.xor(rotate(y, is_even ? 15 : 29), x);
    x = i32x4.add(x, y);
    y = v128.xor(rotate(y, is_even ? 26 : 16), x);
    x = i32x4.add(x, y);
    y = v128.xor(rotate(y, is_even ? 6 : 24), x);
    const first = k0;
    k0 = k1;
    k1 = k2;
    k2 = first;
    x = i32x4.add(x, i32x4.splat(k0));
    y = i32x4.add(y, i32x4.splat(k1 + i + 1));
  }
  v128.store(to, x);
  v128.store(to, y, 16);
}
