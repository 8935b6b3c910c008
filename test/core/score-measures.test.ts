/** Measures of scores, beside numpy's and scikit-learn's values, and what is not defined. */
import * as assert from "uvu/assert";
import type { Estimate } from "../../src/core/statistics.ts";
import { estimate } from "../../src/tasks/compare.ts";
import {
  determination,
  rankCorrelation,
  rankInterval,
  rootMeanSquare,
} from "../../src/tasks/regression/regression-training.ts";
import { TRAINING } from "../../src/tasks/training.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { test } from "../helpers/harness.ts";

/** Float64 on both sides. */
const DOUBLE = { atol: 1e-12, rtol: 1e-12 };

const TRUTH = [1, 2, 2, 4, 7, -1, 0, 3];
const SCORES = [0.5, 2.5, 1, 3, 4, 0, 0, 3.5];

test("RMSE, MAE, R² and Spearman's correlation with ties, each within its interval", () => {
  const columns = { truth: TRUTH, predicted: SCORES };
  const all = TRAINING.regression.measures.map((measure) => estimate(measure, columns) as Estimate);
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
  const { low, high } = rankInterval({ truth: TRUTH, predicted: SCORES });
  // tanh(atanh(r) -+ 1.959963984540054 sqrt((1 + r^2 / 2) / 5))
  assertAllClose("bounds", [low, high], [0.7337617971396767, 0.995597905147564], { atol: 1e-9, rtol: 1e-9 });
});

test("no correlation of scores that are all equal, no R² of true ones that are, wide bounds of three rows", () => {
  assert.equal(rankCorrelation({ truth: [1, 2, 3, 4], predicted: [5, 5, 5, 5] }), Number.NaN);
  const same = { truth: [0.1, 0.1, 0.1], predicted: [1, 2, 3] };
  assert.equal([determination(same), rankCorrelation(same)], [Number.NaN, Number.NaN]);
  const right = { truth: [1, 2, 3], predicted: [1, 2, 3] };
  assert.equal([rankCorrelation(right), rankInterval(right)], [1, { low: -1, high: 1 }]);
});

test("the errors of chosen rows alone, some of them twice", () => {
  assert.is(rootMeanSquare({ truth: [0, 0, 0], predicted: [3, 100, 4] }, [0, 2, 2, 0]), Math.sqrt(12.5));
});
