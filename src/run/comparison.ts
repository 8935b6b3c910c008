/** A classifier's results on the test set beside the baselines'. */
import type { LoadedDataset } from "../data/datasets.ts";
import {
  confusionsOf,
  type Interval,
  macroF1,
  mcnemar,
  type Reliability,
  reliabilityOf,
  wilson,
} from "../report/statistics.ts";
import type { TrainResult } from "../train/records.ts";

export interface Compared {
  name: string;
  rows: number;
  correct: number;
  accuracy: number;
  /** Wilson's interval of the accuracy. */
  interval: Interval;
  /** The mean of F1 over the classes that occur, as scikit-learn computes it. */
  macroF1: number;
  /** McNemar's exact test against the run; null for the run itself. */
  p: number | null;
}

/** The calibration of the run's probabilities on the test set. */
export function testReliability(
  { predictions }: Pick<TrainResult, "predictions">,
  { test }: LoadedDataset,
): Reliability {
  return reliabilityOf(
    predictions.map(({ row, label, probability }) => ({ probability, right: label === test.label(row) })),
  );
}

/** The run first, then the baselines. */
export function comparison(
  { predictions, baselines }: Pick<TrainResult, "predictions" | "baselines">,
  { test }: LoadedDataset,
): [Compared, ...Compared[]] {
  const truth = predictions.map(({ row }) => test.label(row));
  const own = predictions.map(({ label }) => label);
  const verdicts = (predicted: readonly number[]) => truth.map((label, i) => predicted[i] === label);
  const compare = (name: string, predicted: readonly number[], p: number | null): Compared => {
    const rows = truth.length;
    const correct = verdicts(predicted).filter(Boolean).length;
    const shares = { accuracy: correct / rows, macroF1: macroF1(confusionsOf(truth, predicted)) };
    return { name, rows, correct, ...shares, interval: wilson(correct, rows), p };
  };
  return [
    compare("this run", own, null),
    ...baselines.map(({ name, predicted }) => compare(name, predicted, mcnemar(verdicts(own), verdicts(predicted)).p)),
  ];
}
