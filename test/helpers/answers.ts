/** Answers to test sets: what a run gave, and results of made-up ones. */

import { measureRanking, measureReliability } from "../../src/core/measures.ts";
import type { LoadedDataset } from "../../src/data/datasets.ts";
import type { ClassDetails } from "../../src/tasks/classification/classification-training.ts";
import type { Prediction } from "../../src/tasks/predictions.ts";
import type { Answered, Baseline, Results, TestResults } from "../../src/tasks/task.ts";
import { measureTest, measuringContext } from "../../src/train/measure.ts";
import type { TrainResult } from "../../src/train/records.ts";

/** The predictions of a classifier as those of all rows. */
export const joinPredictions = (predictions: readonly Pick<Prediction, "label" | "probabilities">[]) => ({
  values: predictions.map(({ label }) => label),
  probabilities: predictions.flatMap(({ probabilities }) => [...probabilities]),
});

/** The results of a classifier that made these predictions of the test set's rows. */
export function measureClasses(
  data: LoadedDataset,
  predictions: readonly Prediction[],
  baselines: readonly Baseline[] = [],
): TestResults<ClassDetails> {
  const context = measuringContext(data, { calibrate: false, threshold: "none", positive: null });
  const predicted = joinPredictions(predictions);
  return measureTest(data, predicted, baselines, context) as TestResults<ClassDetails>;
}

const ranking = measureRanking([true, false, true], [0.9, 0.8, 0.7]);

/** The results of three rows, all of them given the second class; the classes whose ranking is known as these say. */
export function threeRows(positive: number | null, ...isRanked: boolean[]): Results<ClassDetails> {
  const none = { rows: 1, predicted: 1, precision: null, recall: null, f1: null };
  const details = {
    ...{ positive, rocAuc: null, prAuc: null },
    calibration: measureReliability([0.9, 0.8, 0.7].map((probability) => ({ probability, right: true }))),
    classes: isRanked.map((known) => ({ ...none, ranking: known ? ranking : null })),
  };
  const rows = { truth: [1, 0, 1], predicted: [1, 1, 1] };
  const compared = [{ name: "this run", rows: 3, measured: {}, unseen: null, against: null }];
  const test = { compared, rows, samples: [], mistakes: [], example: "", details };
  return { parts: [], decision: null, test } as unknown as Results<ClassDetails>;
}

/** A run's answers to its test set, or to its validation set, a row each. */
export function answersOf({ answers }: Pick<TrainResult, "answers">, set: "val" | "test" = "test") {
  const { truth, predicted, probability = [], probabilities = [] } = answers![set] as Answered;
  const k = probabilities.length / truth.length;
  return truth.map((one, row) => ({
    ...{ row, truth: one, predicted: predicted[row]!, probability: probability[row]! },
    probabilities: Array.from(probabilities).slice(row * k, (row + 1) * k),
  }));
}

/** The share of a set's rows that a run answered right. */
export function shareRight(run: Pick<TrainResult, "answers">, set: "val" | "test" = "test"): number {
  const rows = answersOf(run, set);
  return rows.filter(({ truth, predicted }) => truth === predicted).length / rows.length;
}
