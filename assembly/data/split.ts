// Seeded shuffling and down-sampling of lists of row numbers, which the host owns.
import { label_count } from "./labels";
import { row_class } from "./rows";

// xoshiro128** (Blackman and Vigna, 2018), seeded by SplitMix32: the generator of src/rng.ts.
let s0: u32 = 0;
let s1: u32 = 0;
let s2: u32 = 0;
let s3: u32 = 0;

function split_mix(x: u32): u32 {
  let z = (x ^ (x >> 16)) * 0x85ebca6b;
  z = (z ^ (z >> 13)) * 0xc2b2ae35;
  return z ^ (z >> 16);
}

function seed_rng(seed: u32): void {
  s0 = split_mix(seed + 0x9e3779b9);
  s1 = split_mix(seed + 0x3c6ef372);
  s2 = split_mix(seed + 0xdaa66d2b);
  s3 = split_mix(seed + 0x78dde6e4);
}

function next(): u32 {
  const result = rotl<u32>(s1 * 5, 7) * 9;
  const t = s1 << 9;
  s2 ^= s0;
  s3 ^= s1;
  s1 ^= s2;
  s0 ^= s3;
  s2 ^= t;
  s3 = rotl<u32>(s3, 11);
  return result;
}

/** Uniform in [0, n), without bias. */
function below(n: u32): u32 {
  const rest = <u32>(<u64>0x100000000 % <u64>n);
  let x = next();
  while (rest != 0 && x >= 0 - rest) x = next();
  return x % n;
}

/**
 * Shuffles `count` numbers at `rows` in place (Fisher and Yates). The order depends only on `seed` and `stream`: stream
 * 0 uses the seed itself, other streams (epoch numbers) are derived from its first draw.
 */
export function shuffle(rows: usize, count: i32, seed: u32, stream: u32): void {
  seed_rng(seed);
  if (stream != 0) seed_rng(next() + stream);
  for (let i = count - 1; i > 0; i--) {
    const a = rows + ((<usize>i) << 2);
    const b = rows + ((<usize>below(i + 1)) << 2);
    const swap = load<u32>(a);
    store<u32>(a, load<u32>(b));
    store<u32>(b, swap);
  }
}

/**
 * Down-samples `count` rows, by `seed`, so that every class has as many as the smallest (classes without rows are
 * ignored). The rows kept are moved to the front of `rows`, in their order; returns their number.
 */
export function balance(rows: usize, count: i32, seed: u32): i32 {
  const classes = label_count();
  const counts = heap.alloc((<usize>classes) << 2);
  memory.fill(counts, 0, (<usize>classes) << 2);
  for (let i = 0; i < count; i++) {
    const slot = counts + ((<usize>class_at(rows, i)) << 2);
    store<i32>(slot, load<i32>(slot) + 1);
  }
  let smallest = i32.MAX_VALUE;
  for (let c = 0; c < classes; c++) {
    const n = load<i32>(counts + ((<usize>c) << 2));
    if (n > 0) smallest = min(smallest, n);
  }

  const order = heap.alloc((<usize>count) << 2);
  const kept = heap.alloc(count);
  for (let i = 0; i < count; i++) store<i32>(order + ((<usize>i) << 2), i);
  shuffle(order, count, seed, 0);
  for (let c = 0; c < classes; c++) store<i32>(counts + ((<usize>c) << 2), smallest);
  for (let i = 0; i < count; i++) {
    const place = load<i32>(order + ((<usize>i) << 2));
    const slot = counts + ((<usize>class_at(rows, place)) << 2);
    const left = load<i32>(slot);
    store<u8>(kept + place, left > 0 ? 1 : 0);
    store<i32>(slot, left - 1);
  }
  let total = 0;
  for (let i = 0; i < count; i++) {
    if (load<u8>(kept + i) == 0) continue;
    store<u32>(rows + ((<usize>total) << 2), load<u32>(rows + ((<usize>i) << 2)));
    total++;
  }
  heap.free(counts);
  heap.free(order);
  heap.free(kept);
  return total;
}

function class_at(rows: usize, index: i32): i32 {
  return row_class(load<u32>(rows + ((<usize>index) << 2)));
}
