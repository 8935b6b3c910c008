/** Conversion between f32 and f16, by bits. */
import * as assert from "uvu/assert";
import { floatToHalf, halfToFloat } from "../../src/core/half.ts";
import { Rng } from "../../src/core/rng.ts";
import { test } from "../helpers/harness.ts";

const ALL = Uint16Array.from({ length: 65536 }, (_, i) => i);
const isNaNHalf = (half: number) => (half & 0x7fff) > 0x7c00;

test("every half is preserved by a round trip", () => {
  const back = floatToHalf(halfToFloat(ALL));
  for (const half of ALL)
    assert.ok(isNaNHalf(half) ? isNaNHalf(back[half]!) : back[half] === half, `${half.toString(16)} ${back[half]}`);
});

/** The finite halves of either sign, in ascending order. */
const FINITE = [...halfToFloat(ALL.filter((half) => (half & 0x7c00) !== 0x7c00))].sort((a, b) => a - b);

/** The nearest finite half by search; ties to even. */
function nearest(x: number): number {
  let [low, high] = [0, FINITE.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (FINITE[middle]! < x) low = middle + 1;
    else high = middle;
  }
  const [below, above] = [FINITE[Math.max(0, low - 1)]!, FINITE[low]!];
  if (x - below !== above - x) return x - below < above - x ? below : above;
  return (floatToHalf(Float32Array.of(below))[0]! & 1) === 0 ? below : above;
}

test("floats of every magnitude are rounded to the nearest half, ties to even", () => {
  const rng = new Rng(1);
  const values: number[] = [0, 65504, 65519.99, -65519.99, 2 ** -25, -(2 ** -26), 2 ** -149, 6.1e-5];
  for (let i = 0; i < 20000; i++) values.push((rng.uniform() * 2 - 1) * 2 ** (rng.below(44) - 28));
  for (let i = 0; i + 1 < FINITE.length; i += 3) {
    const middle = (FINITE[i]! + FINITE[i + 1]!) / 2;
    values.push(middle, middle * (1 + 2 ** -20), middle * (1 - 2 ** -20));
  }
  const floats = Float32Array.from(values).filter((x) => Math.abs(x) < 65520);
  assert.ok(floats.length > 50000);
  const found = halfToFloat(floatToHalf(floats));
  floats.forEach((x, i) => {
    const wanted = nearest(x);
    assert.ok(found[i] === wanted, `${x} became ${found[i]}, not ${wanted}`);
  });
});

test("overflow gives infinity, NaN stays NaN, -0 keeps its sign; subarrays are read at their offset", () => {
  const floats = Float32Array.of(65520, -7e4, 1e30, Infinity, -Infinity, Number.NaN, -0);
  assert.equal([...floatToHalf(floats)], [0x7c00, 0xfc00, 0x7c00, 0x7c00, 0xfc00, 0x7e00, 0x8000]);
  assert.equal([...floatToHalf(Float32Array.of(9, 1, 2, 9).subarray(1, 3))], [0x3c00, 0x4000]);
});
