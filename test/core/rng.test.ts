/** The seeded generator: its numbers, and the absence of bias. */
import * as assert from "uvu/assert";
import { Rng } from "../../src/core/rng.ts";
import { test } from "../helpers/harness.ts";

/** A generator that returns these words. */
class Scripted extends Rng {
  constructor(private readonly words: number[]) {
    super(0);
  }

  override next(): number {
    return this.words.shift()!;
  }
}

test("below(n) accepts exactly the words below the largest multiple of n", () => {
  for (const n of [1, 2, 3, 5, 7, 1000, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1, 2 ** 32]) {
    const limit = Math.floor(2 ** 32 / n) * n;
    assert.is(new Scripted([limit - 1]).below(n), n - 1, `${n}: the last word that counts`);
    if (limit < 2 ** 32) assert.is(new Scripted([limit, 2 ** 32 - 1, 1]).below(n), 1, `${n}: words that do not`);
  }
});

/** The generator's four words. */
const rngState = (rng: Rng) => (rng as unknown as { s: Uint32Array }).s;

test("xoshiro128** from the state 1, 2, 3, 4, against a reference in Python", () => {
  const rng = new Rng(0);
  rngState(rng).set([1, 2, 3, 4]);
  const words = [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804];
  assert.equal(
    words.map(() => rng.next()),
    words,
  );
});

test("the state is initialized from the seed by SplitMix32", () => {
  const mask = 0xffffffffn;
  for (const seed of [0, 1, 12, -1, 2 ** 31, 2 ** 32 - 1]) {
    const expected = [1n, 2n, 3n, 4n].map((i) => {
      let z = (BigInt(seed) + i * 0x9e3779b9n) & mask;
      z = ((z ^ (z >> 16n)) * 0x85ebca6bn) & mask;
      z = ((z ^ (z >> 13n)) * 0xc2b2ae35n) & mask;
      return Number(z ^ (z >> 16n));
    });
    assert.equal([...rngState(new Rng(seed))], expected, `seed ${seed}`);
  }
});

test("uniform, normal and shuffle use the next words", () => {
  const [half, quarter] = [2 ** 31, 2 ** 30];
  assert.is(new Scripted([quarter]).uniform(), 0.25);
  const rng = new Scripted([half, quarter, quarter, 0]);
  const radius = Math.sqrt(-2 * Math.log(0.5));
  const pair = [rng.normal(), rng.normal()];
  assert.ok(Math.abs(pair[0]!) < 1e-15 && Math.abs(pair[1]! - radius) < 1e-15, `${pair}`);
  assert.is(rng.normal(), Math.sqrt(-2 * Math.log(0.75)), "a new pair");
  assert.equal(new Scripted([1, 2, 0]).shuffle(["a", "b", "c", "d"]), ["d", "a", "c", "b"]);
});
