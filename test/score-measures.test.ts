/** Measures of scores, beside numpy's and scikit-learn's values, and what is not defined. */
import * as assert from "uvu/assert";
import { measureScores, rootMeanSquare, spearman } from "../src/score-measures.ts";
import { assertAllClose } from "./helpers/allclose.ts";
import { test } from "./helpers/harness.ts";

/** Float64 on both sides. */
const DOUBLE = { atol: 1e-12, rtol: 1e-12 };

const TRUTH = [1, 2, 2, 4, 7, -1, 0, 3];
const SCORES = [0.5, 2.5, 1, 3, 4, 0, 0, 3.5];

test("RMSE, MAE, R² and Spearman's correlation with ties, each within its interval", () => {
  const { rmse, mae, r2, spearman } = measureScores(TRUTH, SCORES);
  const all = [rmse, mae, r2!, spearman!];
  // numpy; the rank correlation is that of mean ranks.
  const expected = [1.2624381172952597, 0.9375, 0.7068965517241379, 0.9638554216867469];
  assertAllClose(
    "values",
    all.map(({ value }) => value),
    expected,
    DOUBLE,
  );
  for (const { value, low, high } of all) assert.ok(low < value && value < high);
});

test("Spearman's interval is Fisher's with the variance of Bonett and Wright", () => {
  const { low, high } = spearman(TRUTH, SCORES)!;
  // tanh(atanh(r) -+ 1.959963984540054 sqrt((1 + r^2 / 2) / 5))
  assertAllClose("bounds", [low, high], [0.7337617971396767, 0.995597905147564], { atol: 1e-9, rtol: 1e-9 });
});

test("no correlation of scores that are all equal, no R² of true ones that are, wide bounds of three rows", () => {
  assert.is(spearman([1, 2, 3, 4], [5, 5, 5, 5]), null);
  const same = measureScores([2, 2, 2, 2], [1, 2, 3, 4]);
  assert.equal([same.r2, same.spearman, same.rmse.value], [null, null, Math.sqrt(1.5)]);
  assert.equal(spearman([1, 2, 3], [1, 2, 3]), { value: 1, low: -1, high: 1 });
});

test("the errors of chosen rows alone, some of them twice", () => {
  assert.is(rootMeanSquare([3, 100, 4], [0, 2, 2, 0]), Math.sqrt(12.5));
});
