/** Measures against scikit-learn's (made by test/exchange/measures.py), and figures computed by hand. */
import { readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { balancedAccuracy, matthews, measureRanking, measureReliability } from "../../src/core/measures.ts";
import { countConfusions, wilson } from "../../src/core/statistics.ts";
import { test } from "../helpers/harness.ts";

interface Case {
  classes: number;
  truth: number[];
  probabilities: number[][];
  rocAuc: number[];
  prAuc: number[];
  balancedAccuracy: number;
  mcc: number;
}

const { cases } = JSON.parse(readFileSync(packagePath("test/golden/baseline/measures.json"), "utf8")) as {
  cases: Case[];
};

function near(actual: number | null | undefined, expected: number, tolerance = 1e-6): void {
  assert.ok(Math.abs(actual! - expected) <= tolerance, `${actual} instead of ${expected}`);
}

for (const { classes, truth, probabilities, ...expected } of cases)
  test(`measures of ${classes} classes and ${truth.length} rows are scikit-learn's`, () => {
    const predicted = probabilities.map((row) => row.indexOf(Math.max(...row)));
    const confusions = countConfusions(truth, predicted);
    near(balancedAccuracy(confusions, classes), expected.balancedAccuracy);
    near(matthews(confusions, classes), expected.mcc);
    for (let id = 0; id < classes; id++) {
      const ranking = measureRanking(
        truth.map((label) => label === id),
        probabilities.map((row) => row[id]!),
      )!;
      near(ranking.rocAuc, expected.rocAuc[id]!);
      near(ranking.prAuc, expected.prAuc[id]!);
    }
  });

test("Matthews' correlation is not defined where truth or prediction is a single class", () => {
  assert.is(matthews(countConfusions([0, 0, 1], [1, 1, 1]), 2), null);
  assert.is(matthews(countConfusions([0, 0], [0, 1]), 2), null);
  near(matthews(countConfusions([0, 1, 2], [0, 1, 2]), 3), 1);
  near(balancedAccuracy(countConfusions([0, 0, 2], [0, 1, 2]), 3), 0.75);
});

test("a ranking is not defined without positives or negatives, or with a score that is not a number", () => {
  assert.is(measureRanking([true, true], [1, 0]), null);
  assert.is(measureRanking([false, false], [1, 0]), null);
  assert.is(measureRanking([true, false, true], [1, Number.NaN, 0]), null, "of a model that diverged");
});

test("the curves of a worked example, from end to end", () => {
  const { roc, pr, rocAuc, prAuc } = measureRanking([true, false, true, false, false], [0.9, 0.8, 0.8, 0.3, 0.1])!;
  assert.equal(roc, { xs: [0, 0, 1 / 3, 2 / 3, 1], ys: [0, 0.5, 1, 1, 1] });
  assert.equal(pr, { xs: [0, 0.5, 1, 1, 1], ys: [1, 1, 2 / 3, 0.5, 0.4] });
  near(rocAuc, 1 - 1 / 12, 1e-12);
  near(prAuc, 0.5 + 0.5 * (2 / 3), 1e-12);
});

test("curves of many rows have few points, within 0.01 of all", () => {
  const rows = 20_000;
  const positive = Array.from({ length: rows }, (_, i) => (i * 7919) % 13 < 5);
  const { roc, pr } = measureRanking(
    positive,
    positive.map((yes, i) => ((i * 104_729) % 1009) + (yes ? 200 : 0)),
  )!;
  assert.ok(roc.xs.length <= 201 && pr.xs.length <= 400, `${roc.xs.length} and ${pr.xs.length}`);
  assert.equal([roc.xs.at(-1), roc.ys.at(-1), pr.xs.at(-1)], [1, 1, 1]);
  for (let i = 2; i < roc.xs.length; i++)
    assert.ok(roc.xs[i]! - roc.xs[i - 1]! < 0.02 && roc.ys[i]! - roc.ys[i - 1]! < 0.02, `a gap before point ${i}`);
});

test("reliability: bins of a worked example, and the expected calibration error", () => {
  const rows = [
    [0.62, true],
    [0.68, false],
    [0.9, true],
    [0.94, true],
    [1, true],
    [0.96, false],
  ] as const;
  const { bins, error } = measureReliability(rows.map(([probability, right]) => ({ probability, right })));
  assert.equal(
    bins.map(({ middle, rows }) => [middle, rows]),
    [
      [0.65, 2],
      [0.95, 4],
    ],
  );
  near(bins[0]!.confidence, 0.65, 1e-12);
  near(bins[0]!.accuracy, 0.5, 1e-12);
  near(bins[1]!.confidence, 0.95, 1e-12);
  near(bins[1]!.accuracy, 0.75, 1e-12);
  assert.equal(bins[1]!.interval, wilson(3, 4));
  near(error.value, (2 * 0.15 + 4 * 0.2) / 6, 1e-12);
  assert.is(measureReliability([{ probability: Number.NaN, right: true }]).error.value, 1);
});

test("the interval of the calibration error holds the true error, where the measured one is too high", () => {
  // Right in 7 of 10, and said to be 0.9: an error of 0.2. Then as said, an error of 0.
  const rows = (share: number, said: number, count: number) =>
    Array.from({ length: count }, (_, i) => ({ probability: said, right: (i * 7919) % count < share * count }));
  const off = measureReliability(rows(0.7, 0.9, 1000)).error;
  near(off.value, 0.2);
  // The standard error of 0.7 in 1,000 rows is 0.0145.
  near(off.low, 0.2 - 1.96 * 0.0145, 0.004);
  near(off.high, 0.2 + 1.96 * 0.0145, 0.004);
  const good = measureReliability([...rows(0.8, 0.8, 400), ...rows(0.63, 0.6, 100)]).error;
  assert.ok(good.low === 0 && good.high > good.value && good.high < 0.05, JSON.stringify(good));
});
