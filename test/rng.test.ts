/** The seeded generator: its numbers, and no bias at the edges. */
import * as assert from "uvu/assert";
import { Rng } from "../src/rng.ts";
import { test } from "./harness.ts";

/** Gives these words instead of random ones. */
class Scripted extends Rng {
  constructor(private readonly words: number[]) {
    super(0);
  }

  override next(): number {
    return this.words.shift()!;
  }
}

test("below(n) takes each word under the largest multiple of n, and no other", () => {
  for (const n of [1, 2, 3, 5, 7, 1000, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1, 2 ** 32]) {
    const limit = Math.floor(2 ** 32 / n) * n;
    assert.is(new Scripted([limit - 1]).below(n), n - 1, `${n}: the last word that counts`);
    if (limit < 2 ** 32) assert.is(new Scripted([limit, 2 ** 32 - 1, 0]).below(n), 0, `${n}: words that do not`);
  }
});
