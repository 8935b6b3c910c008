/** Answers to test sets: what a run gave, and results of made-up ones. */
import type { LoadedDataset } from "../../src/data/datasets.ts";
import type { ClassDetails } from "../../src/tasks/classification.ts";
import { measuring } from "../../src/tasks/classification-results.ts";
import type { Prediction } from "../../src/tasks/predictions.ts";
import type { Answered, TestResults } from "../../src/tasks/task.ts";
import { type Baseline, measureTest, measuringContext } from "../../src/train/measure.ts";
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
  const predicted = { ...joinPredictions(predictions), decision: null };
  return measureTest(measuring, data, predicted, baselines, context) as TestResults<ClassDetails>;
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
