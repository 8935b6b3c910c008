import * as assert from "uvu/assert";
import { Rng } from "../../src/core/rng.ts";
import {
  bootstrap,
  bootstrapP,
  classMeasures,
  comparePairs,
  confusionLookup,
  countConfusions,
  formatStanding,
  holm,
  macroF1,
  mcnemar,
  meanInterval,
  percentiles95,
  poolSpread,
  sortMistakes,
  studentT95,
  summarize,
  wilson,
} from "../../src/core/statistics.ts";
import { test } from "../helpers/harness.ts";

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

test("Student's t against scipy.stats.t.ppf(0.975, n), and the interval of a mean", () => {
  for (const [freedom, expected] of [
    [1, 12.706204736174694],
    [2, 4.302652729749462],
    [3, 3.1824463052837078],
    [4, 2.7764451051977934],
    [9, 2.2621571628540993],
    [30, 2.0422724563012373],
    [999, 1.9623414611334487],
  ] as const)
    near(studentT95(freedom), expected, 1e-9);
  // 5 -+ t(3) * sqrt(10 / 3) / 2
  const { low, high } = meanInterval(summarize([3, 4, 6, 7]));
  near(low, 2.0948372842, 1e-9);
  near(high, 7.9051627158, 1e-9);
});

test("the spread within samples is the root of their weighted mean variance", () => {
  const { sd, freedom } = poolSpread([summarize([1, 3]), summarize([10, 10, 10]), summarize([5])]);
  assert.is(freedom, 3);
  near(sd, Math.sqrt(2 / 3));
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

test("Holm's correction against figures computed by hand, in the given order", () => {
  for (const [ps, adjusted] of [
    [
      [0.01, 0.02, 0.03, 0.04, 0.05],
      [0.05, 0.08, 0.09, 0.09, 0.09],
    ],
    [
      [0.01, 0.04, 0.03, 0.005],
      [0.03, 0.06, 0.06, 0.02],
    ],
    [
      [0.6, 0.7, 0.01],
      [1, 1, 0.03],
    ],
    [[], []],
  ] as const)
    holm(ps).forEach((p, i) => {
      near(p, adjusted[i]!);
    });
});

test("pairs are compared with their p-values adjusted for all of them", () => {
  // 2 / 2^6 of three tests, 2 / 2^8, and equal ones.
  const right = (rows: number) => Array.from({ length: 8 }, (_, row) => row < rows);
  const found = comparePairs(
    [
      [right(2), right(8)],
      [right(8), right(0)],
      [right(8), right(8)],
    ],
    mcnemar,
  );
  assert.equal(
    found.map(({ p, adjusted, firstIsBetter, standing }) => [
      p.toFixed(4),
      adjusted.toFixed(4),
      firstIsBetter,
      standing,
    ]),
    [
      ["0.0313", "0.0625", false, "not distinguishable"],
      ["0.0078", "0.0234", true, "better"],
      ["1.0000", "1.0000", false, "not distinguishable"],
    ],
  );
});

test("the bootstrap of a mean agrees with the normal theory, and is seeded; pairs are drawn together", () => {
  const rng = new Rng(3);
  const [first, second] = [0, 0.5].map((shift) => Array.from({ length: 400 }, () => rng.normal() + shift)) as [
    number[],
    number[],
  ];
  const meanValue = (values: readonly number[]) => (rows: Uint32Array) =>
    rows.reduce((sum, row) => sum + values[row]!, 0) / rows.length;
  const { mean, sd } = summarize(first);
  const values = bootstrap(400, 4000, meanValue(first));
  const { low, high } = percentiles95(values);
  const half = (1.96 * sd) / 20;
  near(low, mean - half, 0.1 * half);
  near(high, mean + half, 0.1 * half);
  assert.equal(bootstrap(400, 4000, meanValue(first)), values);
  // Of a constant difference no sample is on the other side.
  const shifted = first.map((value) => value + 0.001);
  const difference = bootstrap(400, 999, (rows) => meanValue(shifted)(rows) - meanValue(first)(rows));
  near(bootstrapP(difference), 0.002);
  near(summarize([...difference]).sd, 0, 1e-9);
  assert.ok(bootstrapP(bootstrap(400, 999, (rows) => meanValue(second)(rows) - meanValue(first)(rows))) < 0.01);
  assert.is(bootstrapP(Float64Array.of(0, 0, 0)), 1);
  near(bootstrapP(Float64Array.of(-1, 1, 2)), 1);
});

test("percentiles as numpy's", () => {
  // numpy.percentile([1, 2, 4, 8], [2.5, 97.5])
  const { low, high } = percentiles95(Float64Array.of(1, 2, 4, 8));
  near(low, 1.075);
  near(high, 7.7);
});

test("confusions, the most frequent mistakes, precision, recall and F1 of a worked example", () => {
  const confusions = countConfusions([0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 1]);
  assert.equal(confusions, [
    { truth: 0, predicted: 0, rows: 2 },
    { truth: 0, predicted: 1, rows: 1 },
    { truth: 1, predicted: 0, rows: 1 },
    { truth: 1, predicted: 1, rows: 3 },
  ]);
  const cell = confusionLookup(confusions);
  assert.equal([cell(1, 1), cell(0, 1), cell(2, 0)], [3, 1, 0]);
  const [first, second] = classMeasures(confusions, 2);
  near(first!.precision!.share, 2 / 3);
  near(second!.precision!.share, 3 / 4);
  near(second!.recall!.share, 3 / 4);
  near(second!.f1!.share, 3 / 4);
  // The second class is never predicted, the third has no rows, and is predicted once.
  const silent = countConfusions([0, 0, 1], [0, 2, 0]);
  const [, silentOne, third] = classMeasures(silent, 3);
  const { precision, recall, f1 } = silentOne!;
  assert.equal([precision, recall!.share, f1!.share], [null, 0, 0]);
  assert.equal(third, { rows: 0, predicted: 1, precision: null, recall: null, f1: null });
  const many = countConfusions([4, 4, 9, 9, 9, 1], [9, 9, 4, 4, 4, 1]);
  assert.equal(sortMistakes(many), [
    { truth: 9, predicted: 4, rows: 3 },
    { truth: 4, predicted: 9, rows: 2 },
  ]);
});

test("macro F1 is scikit-learn's: over the classes that occur as truth or as prediction", () => {
  // f1_score([0, 0, 0, 1, 2], [0, 0, 1, 1, 3], average="macro"): 4/5, 2/3, 0, 0
  near(macroF1(countConfusions([0, 0, 0, 1, 2], [0, 0, 1, 1, 3])), 11 / 30);
  near(macroF1(countConfusions([7, 7, 9], [7, 7, 9])), 1);
});

test("intervals of a class's measures against figures computed by hand", () => {
  // 3 right, 1 wrong, 1 missed: precision and recall are 3/4; right / (right + wrong + missed) is 3/5.
  const { rows, predicted, precision, recall, f1 } = classMeasures(
    countConfusions([0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 1]),
    2,
  )[1]!;
  assert.equal([rows, predicted], [4, 4]);
  for (const { low, high } of [precision!, recall!]) {
    near(low, 0.3006418, 1e-7);
    near(high, 0.9544127, 1e-7);
  }
  // Wilson's interval of 3/5 is 0.2307241 to 0.8823790, of which 2x / (1 + x) is taken.
  near(f1!.low, 0.3749407, 1e-7);
  near(f1!.high, 0.9375148, 1e-7);
});

test("three outcomes of a test of two, at one limit of p: better, worse, not distinguishable", () => {
  // With Holm's correction of one test; p is 2 / 2^rows.
  const outcomes = [
    [6, 0],
    [0, 6],
    [5, 0],
    [0, 0],
  ].map(([b, c]) => {
    const [found] = comparePairs([pair(b!, c!)], mcnemar);
    return formatStanding(found!.standing, found!.adjusted);
  });
  assert.equal(outcomes, [
    "better (p = 0.031)",
    "worse (p = 0.031)",
    "not distinguishable (p = 0.063)",
    "not distinguishable (p = 1.000)",
  ]);
  assert.is(formatStanding("better", 0.0004), "better (p < 0.001)");
});

test("the difference of paired shares has Newcombe's interval: figures of his paper's table", () => {
  for (const [both, onlyFirst, onlySecond, neither, low, high] of [
    [36, 12, 2, 0, 0.0569, 0.3404],
    [20, 12, 2, 16, 0.0562, 0.3292],
  ] as const) {
    const rows = (first: boolean, second: boolean, count: number) => new Array(count).fill([first, second]);
    const all = [
      ...rows(true, true, both),
      ...rows(true, false, onlyFirst),
      ...rows(false, true, onlySecond),
      ...rows(false, false, neither),
    ];
    const verdicts = (which: 0 | 1) => all.map((one: [boolean, boolean]) => one[which]);
    const { difference } = mcnemar(verdicts(0), verdicts(1));
    near(difference.value, 0.2);
    near(difference.low, low, 5e-5);
    near(difference.high, high, 5e-5);
    const swapped = mcnemar(verdicts(1), verdicts(0)).difference;
    near(swapped.low, -difference.high);
    near(swapped.high, -difference.low);
  }
  assert.equal(mcnemar([null], [true]).difference, { value: 0, low: -1, high: 1 });
});

test("the interval of a difference has 0 in it where the exact test does not reject, and only there", () => {
  for (let onlyFirst = 0; onlyFirst <= 12; onlyFirst++)
    for (let onlySecond = 0; onlySecond <= 12; onlySecond++)
      for (const more of [0, 30]) {
        const [first, second] = pair(onlyFirst, onlySecond);
        const same = Array.from({ length: more }, (_, i) => i % 3 > 0);
        const { difference, p } = mcnemar([...first, ...same], [...second, ...same]);
        const holdsZero = difference.low <= 0 && difference.high >= 0;
        assert.is(holdsZero, p >= 0.05, `${onlyFirst} and ${onlySecond} of ${first.length + more}`);
      }
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
