/** The engine that compares results: figures of columns, their intervals, tests, seeds, rows with copies. */
import * as assert from "uvu/assert";
import { type Estimate, f1Of, wilson } from "../../src/core/statistics.ts";
import { bestOf, type Columns, compareWith, estimate, type Measure, selectRows } from "../../src/tasks/compare.ts";
import { OBJECTIVES } from "../../src/tasks/index.ts";
import { hitsOf, labelColumns } from "../../src/tasks/multi-label/multi-label-training.ts";
import { TRAINING } from "../../src/tasks/training.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { test } from "../helpers/harness.ts";

const DOUBLE = { atol: 1e-12, rtol: 1e-12 };

const { classification, regression, lm } = TRAINING;
const [accuracy] = classification.measures;

/** Classes of rows, right or wrong as the digits say. */
const classes = (digits: string): Columns => ({
  truth: [...digits].map(() => 1),
  predicted: [...digits].map(Number),
});

const byKey = ({ measures }: { measures: readonly Measure[] }, key: string) =>
  measures.find((measure) => measure.key === key)!;

test("every task has a figure that judges it, with an interval and a test, also of an evaluation", () => {
  for (const objective of OBJECTIVES) {
    const { measures } = TRAINING[objective];
    const [judged, second] = measures;
    assert.ok(judged.statistics && judged.evaluated && second.evaluated, objective);
    assert.is(new Set(measures.map(({ key }) => key)).size, measures.length, objective);
  }
});

test("a share is of the rows that are right, with Wilson's interval; of some rows, each as often as it is named", () => {
  const columns = classes("1101");
  assert.equal(estimate(accuracy, columns), { value: 0.75, ...wilson(3, 4) });
  assert.equal([accuracy.of(columns, [2]), accuracy.of(columns, [0, 2, 2, 2])], [0, 0.25]);
});

test("seeds: the mean of their figures; McNemar's test by the majority, undecided where they are even", () => {
  const first = [classes("1110"), classes("1010")];
  const { interval, test } = accuracy.statistics!;
  assert.equal(interval(first), wilson(2.5, 4));
  const { counts, difference, firstIsBetter, p } = test(first, [classes("0000")]);
  // Row 1 is undecided; rows 0 and 2 are right by the first alone: two fair coins.
  assert.equal([counts, firstIsBetter, p], [[2, 0, 1], true, 0.5]);
  assert.ok(difference.low <= 0 && difference.value > 0);
});

test("the paired bootstrap tells errors of half the size, and nothing of equal ones; several seeds are their mean", () => {
  const errors = Array.from({ length: 50 }, (_, i) => ((i % 7) - 3) / 2 + 0.1);
  const scores = (factor: number): Columns => ({
    truth: errors.map(() => 0),
    predicted: errors.map((e) => factor * e),
  });
  const { test, interval } = regression.measures[0].statistics!;
  const half = test([scores(0.5)], [scores(1)]);
  assert.ok(half.p < 0.01 && half.firstIsBetter && half.difference.high < 0);
  const same = test([scores(1)], [scores(1)]);
  assert.equal([same.p, same.difference.value, same.firstIsBetter], [1, 0, false]);
  const seeds = test([scores(0.5), scores(1.5)], [scores(1)]);
  assertAllClose("no difference", [seeds.difference.value], [0], { atol: 1e-12, rtol: 0 });
  const [own, mean] = [interval([scores(1)]), interval([scores(0.5), scores(1.5)])];
  assertAllClose("interval", [mean.low, mean.high], [own.low, own.high], DOUBLE);
});

test("samples of rows that are all right tell nothing: a share has Wilson's interval there, another figure has none", () => {
  const sentences = (same: readonly number[]): Columns => ({
    ...{ there: same.map(() => 2), named: same.map(() => 2), same },
    ...{ words: same.map(() => 5), hits: same.map((one) => one + 3) },
  });
  const [all, half, none] = [() => 2, (_: unknown, i: number) => i % 2, () => 0].map((of) =>
    sentences(Array.from({ length: 12 }, of)),
  );
  const figures = TRAINING.tokens.measures.map((measure) => estimate(measure, all!));
  for (const one of figures) assert.equal(one, { value: 1, ...wilson(12, 12) });
  const { interval, test } = TRAINING.tokens.measures[0].statistics!;
  const [own, other] = [wilson(12, 12), interval([half!])];
  const { difference, p } = test([all!], [half!]);
  assertAllClose(
    "difference, with the interval of two figures",
    [difference.value, difference.low, difference.high],
    [0.75, 0.75 - Math.hypot(1 - own.low, other.high - 0.25), 0.75 + (0.25 - other.low)],
    DOUBLE,
  );
  // Of the sign test, if all 12 are on one side.
  assert.is(p, 2 ** -11);
  const few = test([selectRows(all!, [0, 1, 2])], [selectRows(none!, [0, 1, 2])]);
  assert.equal([few.p, few.difference.low <= 0], [0.25, true]);
  // Scores that are all right have no spread, whatever their number.
  const scores: Columns = { truth: [1, 2, 3, 4, 5, 6], predicted: [1, 2, 3, 4, 5, 6] };
  for (const measure of regression.measures) assert.ok(Number.isNaN((estimate(measure, scores) as Estimate).low));
});

test("the best baseline is the one with the best figure, whether high or low, of equal ones the first", () => {
  const baselines = ([null, 2, 1, 1, null] as const).map((rmse, i) => ({ name: String(i), measured: { rmse } }));
  assert.is(bestOf(regression.measures[0], baselines as never)?.name, "2");
  assert.is(bestOf({ ...accuracy, key: "rmse" }, baselines as never)?.name, "1");
  assert.is(bestOf(accuracy, baselines as never), undefined);
});

test("figures of the confusion matrix, and what is not defined", () => {
  // 2 of 3 rows of class 0 are right, 1 of 1 of class 1; F1 .8 and 2/3.
  const columns: Columns = { truth: [0, 0, 0, 1], predicted: [0, 0, 1, 1] };
  const figures = ["macro_f1", "balanced_accuracy", "mcc"].map((key) => byKey(classification, key).of(columns));
  assertAllClose("figures", figures, [(0.8 + 2 / 3) / 2, (2 / 3 + 1) / 2, 1 / Math.sqrt(3)], DOUBLE);
  assert.is(estimate(byKey(classification, "mcc"), classes("11")), null);
  const equal: Columns = { truth: [2, 2, 2, 2], predicted: [1, 2, 3, 4] };
  assert.equal(
    [estimate(byKey(regression, "r2"), equal), estimate(byKey(regression, "spearman"), equal)],
    [null, null],
  );
  const some = estimate(byKey(regression, "r2"), { truth: [2, 2, 3], predicted: [2, 2, 3] }) as Estimate;
  // Samples of equal scores alone have none, and the others are all 1.
  assert.equal(some, { value: 1, low: Number.NaN, high: Number.NaN });
});

test("labels: rows as columns, and the hits of all rows or some", () => {
  const truth = [1, 0, 0, 1, 1, 0, 0, 1, 0];
  const predicted = [1, 1, 0, 0, 1, 0, 0, 1, 0];
  const columns = labelColumns(truth, predicted, 3);
  assert.equal(
    [columns.right, columns.both],
    [
      [1, 1, 1],
      [3, 3, 2],
    ],
  );
  // f1_score([[1,0,0],[1,1,0],[0,1,0]], [[1,1,0],[0,1,0],[0,1,0]], average="micro" | "macro", zero_division=0)
  const figures = TRAINING["multi-label"].measures.map(({ of }) => of(columns));
  assertAllClose("micro, exact, macro", figures, [0.75, 1 / 3, (2 / 3 + 0.8 + 0) / 3], DOUBLE);
  assert.equal(hitsOf(columns, [2, 2])[1], { there: 2, named: 2, right: 2 });
  assert.is(f1Of(hitsOf(columns, [1])).microF1, byKey(TRAINING["multi-label"], "micro_f1").of(columns, [1]));
});

test("texts: perplexity of their tokens, bits of their bytes", () => {
  const columns: Columns = { loss: [2, 6], tokens: [1, 3], bytes: [4, 12] };
  assertAllClose(
    "figures",
    lm.measures.map(({ of }) => of(columns)),
    [Math.exp(2), 0.5 / Math.LN2],
    DOUBLE,
  );
  assert.ok(lm.measures[0].statistics!.test([columns], [{ ...columns, loss: [3, 9] }]).firstIsBetter);
});

test("a run and its baselines: figures of each, Holm's correction, and rows that have copies in earlier sets", () => {
  const columns = classes("1".repeat(20));
  const others = ["0".repeat(20), "1".repeat(20)].map((digits, i) => ({
    name: `other ${i}`,
    columns: classes(digits),
  }));
  const leaked = new Set([0, 1]);
  const [own, worse, same] = compareWith(classification.measures, { name: "own", columns }, others, leaked);
  assert.equal([own.rows, own.against, own.unseen], [20, null, { value: 1, ...wilson(18, 18), rows: 18 }]);
  assert.equal([worse!.against!.standing, same!.against!.standing], ["better", "not distinguishable"]);
  // Twice 2 / 2^20, for two tests.
  assertAllClose("p", [worse!.against!.p, same!.against!.p], [2 * 2 * 2 ** -20, 1], DOUBLE);
  assert.equal((worse!.measured.acc as Estimate).value, 0);
  assert.not.ok("columns" in own);
  const all = new Set(Array.from({ length: 20 }, (_, row) => row));
  assert.is(compareWith(classification.measures, { name: "own", columns }, [], all)[0].unseen, null);
  assert.is(compareWith(classification.measures, { name: "own", columns }, [])[0].unseen, null);
});

test("some rows of each column", () => {
  assert.equal(selectRows({ a: [1, 2, 3], b: [4, 5, 6] }, [2, 0]), { a: [3, 1], b: [6, 4] });
});
