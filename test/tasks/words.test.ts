/** What people read of each task. */
import * as assert from "uvu/assert";
import type { Block, Figure, Table } from "../../src/document/blocks.ts";
import type { LineChart } from "../../src/document/chart.ts";
import { NONE } from "../../src/labels/none.ts";
import { OBJECTIVES, TASKS } from "../../src/tasks/index.ts";
import type { LabelledRows, Results, Shown } from "../../src/tasks/task.ts";
import { TRAINING } from "../../src/tasks/training.ts";
import { WORDS } from "../../src/tasks/words.ts";
import { threeRows } from "../helpers/answers.ts";
import { test } from "../helpers/harness.ts";

const run = (labels: readonly string[], threshold = "none"): Shown => ({
  ...{ labels, unequal: false, options: { threshold } },
});

/** The blocks of some kind, also those that are opened on demand. */
function find(blocks: readonly Block[], kind: "figure" | "table"): Block[] {
  return blocks.flatMap((block) =>
    block.kind === "details" ? find(block.blocks, kind) : block.kind === kind ? [block] : [],
  );
}

const charts = (labels: readonly string[], results: Results) =>
  new Map(
    find(WORDS.classification.blocks!(run(labels), results), "figure").map((block) => {
      const { name, chart } = block as Figure;
      return [name, chart as LineChart];
    }),
  );

test("every task says what its rows are; one with labels, what they can be, and what is known of its data", () => {
  for (const objective of OBJECTIVES) {
    const { units, choice, learned, data } = WORDS[objective];
    for (const word of Object.values(units)) assert.match(word, /^[a-z]+$/, objective);
    const hasLabels = TRAINING[objective].labels !== NONE;
    assert.equal([choice, learned, data].map(Boolean), [hasLabels, hasLabels, hasLabels], objective);
  }
  assert.equal(
    OBJECTIVES.filter((objective) => TASKS[objective].head === "own").map((one) => WORDS[one].learned!(3)),
    ["of 3 classes", "with a score", "with any of 3 labels", "with 3 tags"],
  );
});

test("what is known of data: the rows of each class, or what scores are like", () => {
  const scores = (...some: number[]): LabelledRows => ({
    size: some.length,
    text: () => "",
    label: () => 0,
    values: (row) => Float32Array.of(some[row]!),
  });
  const sets = { train: scores(1, 2, 3), val: scores(), test: scores(4, 8) };
  const none = { classes: { bug: 2, idea: 1 } };
  const data = {
    ...sets,
    labels: ["bug", "idea"],
    stats: { train: none, val: { classes: { bug: 0, idea: 1 } }, test: none },
  };
  assert.equal((WORDS.regression.data!(data)[0] as Table).rows, [
    ["Training", 2, 1, 1, 3],
    ["Test", 6, Math.sqrt(8), 4, 8],
  ]);
  for (const [objective, caption] of [
    ["classification", "Rows by class"],
    ["multi-label", "Rows by label"],
  ] as const) {
    const table = WORDS[objective].data!(data)[0] as Table;
    assert.is(table.caption, caption);
    assert.equal(table.rows, [
      ["bug", 2, 2],
      ["idea", 1, 1],
    ]);
  }
});

test("the reliability diagram: accuracy with intervals, and the rows of each bin", () => {
  const { note, lines, counts } = charts(["ham", "spam"], threeRows(1, true, true)).get("reliability")!;
  assert.match(note!, /^test set, 3 rows; expected calibration error 20\.0/);
  assert.equal(
    lines[0]!.xs.map((x) => x.toFixed(1)),
    ["0.7", "0.8", "0.9"],
  );
  assert.is(lines[0]!.intervals!.length, 3);
  assert.equal(counts!.values, [1, 1, 1]);
});

test("the ROC and the precision-recall curve: of the positive of two classes, of each of more, none where undefined", () => {
  const names = (name: string, labels: string[], results: Results) =>
    charts(labels, results)
      .get(name)
      ?.lines.map(({ name }) => name);
  const two = threeRows(1, true, true);
  assert.equal(names("roc", ["ham", "spam"], two), ["spam, area 0.5000", "chance"]);
  assert.equal(names("precision-recall", ["ham", "spam"], two), ["spam, area 0.8333"]);
  assert.is(names("roc", ["bug", "question"], threeRows(0, true, true))![0], "bug, area 0.5000");
  assert.equal(names("roc", ["a", "b", "c"], threeRows(null, true, false, true)), [
    ...["a, area 0.5000", "c, area 0.5000"],
    "chance",
  ]);
  assert.is(names("roc", ["ham", "spam"], threeRows(1, true, false)), undefined);
});

test("what the validation set has chosen, or why it has not", () => {
  const notes = (decision: object, threshold = "f1", objective: "classification" | "multi-label" = "classification") =>
    WORDS[objective].notes!(run(["ham", "spam"], threshold), { ...threeRows(1), decision } as Results)
      .join(" ")
      .replaceAll("\u00a0", " ");
  assert.match(notes({ temperature: 1.25 }), "Calibrated: logits are divided by 1.25");
  assert.match(
    notes({ positive: 1, threshold: 0.3, precision: 0.9, recall: 0.8 }),
    'Threshold: "spam" is predicted from a probability of 30.0 % (f1 on the validation set: precision 90.0 %, recall 80.0 %)',
  );
  const cost = (mostProbable: number) => {
    const results = { ...threeRows(1), decision: { positive: 1, threshold: 0.3, precision: 0.9, recall: 0.8 } };
    Object.assign(results, { after: { test: { rows: 100, accuracy: 0.6 } } });
    Object.assign(results.test.details, { mostProbable, classes: [{}, { precision: { share: 0.75 }, recall: null }] });
    const shown = run(["ham", "spam"], "f1");
    return [WORDS.classification.headline(shown, results), ...WORDS.classification.notes!(shown, results)].map((one) =>
      one.replaceAll("\u00a0", " "),
    );
  };
  const [headline, note] = cost(0.9);
  assert.is(headline, '60 of 100 test messages right; of "spam" by its threshold precision 75.0 %, recall –');
  assert.match(note!, "costs accuracy on purpose: by the more probable class 90.0 % of the test messages are correct.");
  assert.match(
    cost(0.5)[1]!,
    "recall 80.0 %): by the more probable class 50.0 % of the test messages would be correct.",
  );
  assert.match(notes({ positive: 1, reached: null }), 'the validation set has no row of "spam"');
  assert.match(notes({ positive: 0, reached: 0.5 }), 'the highest precision of "ham" on the validation set is 50.0 %');
  assert.is(notes({}, "none", "multi-label"), "");
  assert.match(notes({}, "f1", "multi-label"), "each label is predicted from a probability of its own (f1");
});
