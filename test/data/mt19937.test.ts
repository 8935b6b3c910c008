/** NumPy's generator, against values of NumPy 2.4 and pandas 3.1. */
import { createHash } from "node:crypto";
import * as assert from "uvu/assert";
import { RandomState } from "../../src/data/mt19937.ts";
import { test } from "../helpers/harness.ts";

const digest = (words: Uint32Array) =>
  createHash("sha256").update(new Uint8Array(words.buffer)).digest("hex").slice(0, 16);

test("the bits of RandomState(seed), over several refills", () => {
  const random = new RandomState(42);
  assert.equal(
    Array.from({ length: 4 }, () => random.next()),
    [1608637542, 3421126067, 4083286876, 787846414],
  );
  const largest = new RandomState(4294967295);
  for (let i = 0; i < 1499; i++) largest.next();
  assert.is(largest.next(), 3191189008);
});

test("permutation(n), for small, odd and large n", () => {
  assert.equal([...new RandomState(42).permutation(10)], [8, 1, 5, 0, 7, 2, 9, 4, 3, 6]);
  assert.equal([...new RandomState(7).permutation(17)], [13, 11, 16, 8, 5, 2, 1, 0, 14, 10, 7, 12, 3, 6, 9, 4, 15]);
  // sha256 of numpy.random.RandomState(42).permutation(n).astype("<u4"), its first 16 digits.
  const digests: Record<number, string> = {
    1: "df3f619804a92fdb",
    2: "7c9fa136d4413fa6",
    3: "ad5dc1478de06a4c",
    5: "bc5beb9ea6f10a8b",
    127: "90a38891a9547641",
    624: "53b41fedbd9fd02f",
    1494: "55124f6e9c87686f",
    4825: "79599549ac14c8a9",
    100000: "be470f8f83bc1888",
  };
  for (const [n, expected] of Object.entries(digests))
    assert.is(digest(new RandomState(42).permutation(Number(n))), expected, n);
});

test("sample(n, size) is pandas' Series.sample(size, random_state=42)", () => {
  const drawn = new RandomState(42).sample(4825, 747);
  assert.equal([...drawn.slice(0, 6)], [3221, 1117, 468, 1129, 2754, 911]);
  assert.is(digest(drawn), "d877faba4ca73727");
  // DataFrame.sample(frac=1, random_state=42) of 1494 rows.
  assert.is(digest(new RandomState(42).sample(1494, 1494)), "55124f6e9c87686f");
});
