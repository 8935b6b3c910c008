/** What is shown of runs that differ only in their seed, and of a run of one seed. */
import * as assert from "uvu/assert";
import type { RunRecord, SeedResult } from "../../src/run/record.ts";
import { gatherSeeds } from "../../src/run/seeds.ts";
import { compareWith } from "../../src/tasks/compare.ts";
import { TRAINING } from "../../src/tasks/training.ts";
import { DEFAULTS } from "../../src/train/options.ts";
import { tableToCsv } from "../../src/views/csv.ts";
import { aboutOneSeed, seedBlocks, seedsTable } from "../../src/views/seeds.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { test } from "../helpers/harness.ts";

const ROWS = 400;

/** A seed that has ended, with this validation loss and test accuracy. */
function ended(seed: number, loss: number, accuracy: number): SeedResult {
  const evaluation = { rows: ROWS, loss, accuracy: 0.5, macroF1: 0.4 };
  return { seed, val: evaluation, test: { ...evaluation, accuracy }, seconds: 2 };
}

/** The record of a finished run with this seed, as far as these views read it. */
function recordOf(seed: number, seeds: SeedResult[] | undefined, more: Partial<RunRecord> = {}): RunRecord {
  const rows = {
    truth: new Array(ROWS).fill(1),
    predicted: Array.from({ length: ROWS }, (_, i) => Number(i % 10 > 0)),
  };
  const own = { name: "this run", columns: rows };
  const results = { test: { rows, compared: compareWith(TRAINING.classification.measures, own, [own]) } };
  const options = { ...DEFAULTS, seed };
  return {
    objective: "classification",
    unequal: false,
    options,
    results,
    ...(seeds && { seeds: gatherSeeds(more.objective ?? "classification", seeds) }),
    ...more,
  } as RunRecord;
}

const show = (record: RunRecord, width?: number) => renderBlocks(seedBlocks(record), width).replaceAll("\u00a0", " ");

const THREE = [ended(1, 0.3, 0.9), ended(2, 0.2, 0.88), ended(3, 0.25, 0.92)];

test("mean, interval and spread of the seeds, beside what other test rows make, and which one is kept", () => {
  const text = show(recordOf(2, THREE));
  // t(2) * 0.02 / sqrt(3) = 0.0497; sqrt(.9 * .1 / 400) = 0.015
  assert.match(
    text,
    "The test accuracy of 3 seeds is 90.0 % on average, 95 % interval 85.0 % to 95.0 % (Student's t).",
  );
  assert.match(
    text,
    "moves it by 2.0 points (standard deviation), 400 other test rows by about 1.5 points; the intervals",
  );
  assert.match(text, "Kept: seed 2, for its lowest validation loss. Its test accuracy of 88.0 % is one of 3;");
  assert.match(text, /│ +2 │ +0\.2000 │ +88\.0 % │ lowest loss │/);
  // Of a run of fineTuneMany that is not the best one.
  assert.match(show(recordOf(3, THREE)), "This run has seed 3; seed 2 has the lowest validation loss.");
});

test("an interval stays within what accuracy can be, and equal figures have none", () => {
  assert.match(show(recordOf(1, [ended(1, 0.1, 0.99), ended(2, 0.2, 0.9)])), "95 % interval 37.3 % to 100.0 %");
  const equal = show(recordOf(1, [ended(1, 0.1, 0.9), ended(2, 0.2, 0.9)]));
  assert.match(equal, "The test accuracy of each of the 2 seeds is 90.0 %. Another seed moves it by 0.0 points");
});

test("seeds that have failed or have not ended are named, and are in no mean", () => {
  const some = [...THREE.slice(0, 2), { seed: 3, error: "the loss is not finite" }, { seed: 4 }];
  const text = show(recordOf(1, some, { results: null }));
  assert.match(text, /│ +3 │ +– │ +– │ the loss is not finite │\n│ +4 │ +– │ +– │ not finished +│/);
  assert.match(text, "The test accuracy of 2 seeds is 89.0 % on average");
  assert.not.match(text, "Kept");
  assert.is(show(recordOf(1, [{ seed: 1 }, { seed: 2 }], { results: null })).split("\n").length, 7);
});

test("unequal classes have macro F1, and the table fits a narrow terminal; a language model has its perplexity", () => {
  const lines = show(recordOf(2, THREE, { unequal: true }), 80).split("\n");
  assert.match(lines.join(), "│ Test macro F1 │");
  for (const line of lines) assert.ok(line.length <= 80, line);
  const texts = [1, 2].map((loss, i) => {
    const evaluation = { rows: 9, loss, accuracy: 0.1, perplexity: Math.exp(loss), bitsPerByte: 2 };
    return { seed: i, val: evaluation, test: evaluation, seconds: 1 };
  });
  // A language model's loss of 1 and 2 is a perplexity of e and e squared.
  const text = show(recordOf(0, texts, { objective: "lm", results: null }));
  assert.match(text, "The test perplexity of 2 seeds is 5.05 on average, 95 % interval 0.00 to 34.73 (Student's t).");
  assert.match(text, "Another seed moves it by 3.30 (standard deviation).");
});

test("seeds.csv has all figures of each seed", () => {
  const lines = tableToCsv(seedsTable(recordOf(2, THREE), gatherSeeds("classification", THREE))).split("\r\n");
  assert.is(lines[0], "seed,val_loss,val_acc,test_acc,test_macro_f1,seconds,state");
  assert.equal(lines.slice(1, 3), ["1,0.3,0.5,0.9,0.4,2,finished", "2,0.2,0.5,0.88,0.4,2,lowest loss"]);
});

test("a run of one seed says so where it has intervals; a sweep says it of its trials", () => {
  assert.match(aboutOneSeed(recordOf(1, undefined)).join(), "One seed: ");
  const trial = { name: "a", key: "b", model: "c" };
  const others = [recordOf(1, THREE), recordOf(1, undefined, { trial }), recordOf(1, undefined, { results: null })];
  assert.equal(others.flatMap(aboutOneSeed), []);
});
