import * as assert from "uvu/assert";
import { TARGETS } from "../../src/core/names.ts";
import { editDistance, nearest } from "../../src/core/suggest.ts";
import { test } from "../helpers/harness.ts";

test("suggestions", () => {
  const distances: [string, string, number][] = [
    ["", "", 0],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
    ["ab", "ba", 1],
    ["gpt2", "gpt2", 0],
    ["proj", "porj", 1],
  ];
  for (const [a, b, distance] of distances) {
    assert.is(editDistance(a, b), distance);
    assert.is(editDistance(b, a), distance);
  }
  assert.is(nearest("HEAD", TARGETS), "head");
  assert.is(nearest("last_blok", ["last_block", "last_layer"]), "last_block");
  assert.is(nearest("elephant", TARGETS), undefined);
  // A whole cell of a table: no name, and too long for a table of distances.
  const cell = "word ".repeat(2_000_000);
  assert.is(nearest(cell, [`${cell}s`, "words", "word"]), undefined);
});
