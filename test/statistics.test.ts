import * as assert from "uvu/assert";
import {
  cellsOf,
  classMeasures,
  confusionsOf,
  macroF1,
  mcnemar,
  mistakesOf,
  rocAuc,
  summarize,
  wilson,
} from "../src/report/statistics.ts";
import { Rng } from "../src/rng.ts";
import { test } from "./harness.ts";

function near(actual: number, expected: number, tolerance = 1e-12): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} instead of ${expected}`);
}

test("Wilson's interval against figures computed in Python", () => {
  near(wilson(290, 300).low, WILSON_290_300[0]);
  near(wilson(290, 300).high, WILSON_290_300[1]);
  near(wilson(0, 10).low, 0);
  near(wilson(0, 10).high, 0.2775327998628892);
  assert.equal(wilson(0, 0), { low: 0, high: 1 });
});
const WILSON_290_300 = [0.9397381741959452, 0.9817950526611452] as const;

test("mean and sample standard deviation", () => {
  assert.equal(summarize([3]), { n: 1, mean: 3, sd: 0 });
  const { mean, sd } = summarize([2, 4, 4, 4, 5, 5, 7, 9]);
  near(mean, 5);
  near(sd, Math.sqrt(32 / 7));
});

/** Two classifiers, given the rows that only one of them classifies correctly, with some rows in common. */
function pair(onlyFirst: number, onlySecond: number): [boolean[], boolean[]] {
  const first = [true, false, ...new Array(onlyFirst).fill(true), ...new Array(onlySecond).fill(false)];
  const second = [true, false, ...new Array(onlyFirst).fill(false), ...new Array(onlySecond).fill(true)];
  return [first, second];
}

test("McNemar's exact test against figures computed with exact binomials", () => {
  for (const [b, c, p] of [
    [3, 9, 0.14599609375],
    [5, 5, 1],
    [0, 6, 0.03125],
    [0, 0, 1],
    [400, 460, MCNEMAR_400_460],
  ] as const) {
    const result = mcnemar(...pair(b, c));
    assert.is(result.onlyFirst, b);
    assert.is(result.onlySecond, c);
    near(result.p, p, 1e-10);
    near(mcnemar(...pair(c, b)).p, p, 1e-10);
  }
  assert.throws(() => mcnemar([true], []), /1 rows against 0/);
});
const MCNEMAR_400_460 = 0.04416954819458901;

test("confusions, the most frequent mistakes, precision, recall and F1 of a worked example", () => {
  const confusions = confusionsOf([0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 1]);
  assert.equal(confusions, [
    { truth: 0, predicted: 0, rows: 2 },
    { truth: 0, predicted: 1, rows: 1 },
    { truth: 1, predicted: 0, rows: 1 },
    { truth: 1, predicted: 1, rows: 3 },
  ]);
  const cell = cellsOf(confusions);
  assert.equal([cell(1, 1), cell(0, 1), cell(2, 0)], [3, 1, 0]);
  const [first, second] = classMeasures(confusions, 2);
  near(first!.precision, 2 / 3);
  near(second!.precision, 3 / 4);
  near(second!.recall, 3 / 4);
  near(second!.f1, 3 / 4);
  // The second class is never predicted.
  const silent = confusionsOf([0, 0, 1], [0, 0, 0]);
  assert.equal(classMeasures(silent, 2)[1], { precision: 0, recall: 0, f1: 0 });
  const many = confusionsOf([4, 4, 9, 9, 9, 1], [9, 9, 4, 4, 4, 1]);
  assert.equal(mistakesOf(many), [
    { truth: 9, predicted: 4, rows: 3 },
    { truth: 4, predicted: 9, rows: 2 },
  ]);
});

test("macro F1 is scikit-learn's: over the classes that occur as truth or as prediction", () => {
  // f1_score([0, 0, 0, 1, 2], [0, 0, 1, 1, 3], average="macro"): 4/5, 2/3, 0, 0
  near(macroF1(confusionsOf([0, 0, 0, 1, 2], [0, 0, 1, 1, 3])), 11 / 30);
  near(macroF1(confusionsOf([7, 7, 9], [7, 7, 9])), 1);
});

test("McNemar's test excludes rows that are undecided on either side, and is symmetric", () => {
  const [first, second] = pair(3, 9);
  const halves = [null, null, true, false] as const;
  const others = [true, false, null, null] as const;
  const one = mcnemar([...first, ...halves], [...second, ...others]);
  const two = mcnemar([...second, ...others], [...first, ...halves]);
  assert.equal([one.onlyFirst, one.onlySecond, one.undecided], [3, 9, 4]);
  assert.equal([two.onlyFirst, two.onlySecond, two.undecided], [9, 3, 4]);
  near(one.p, 0.14599609375, 1e-10);
  assert.is(one.p, two.p);
});

test("the area under the ROC curve is the fraction of correctly ordered pairs", () => {
  const rng = new Rng(5);
  const positive = Array.from({ length: 60 }, () => rng.uniform() < 0.4);
  const scores = positive.map((yes) => Math.round(10 * (rng.uniform() + (yes ? 0.3 : 0))) / 10);
  let pairs = 0;
  let ordered = 0;
  positive.forEach((yes, i) => {
    if (!yes) return;
    positive.forEach((other, j) => {
      if (other) return;
      pairs++;
      ordered += scores[i]! > scores[j]! ? 1 : scores[i] === scores[j] ? 0.5 : 0;
    });
  });
  near(rocAuc(positive, scores), ordered / pairs);
  assert.is(rocAuc([true, false], [1, 0]), 1);
  assert.ok(Number.isNaN(rocAuc([true, true], [1, 0])));
});
