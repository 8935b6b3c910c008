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

/** The best baseline that is as good as the run, and by how much; null if there is none, or if the run makes no error. `show` makes a name printable. */
export function bestBaseline([own, ...others]: readonly Compared[], show: (name: string) => string): string | null {
  const best = others.reduce<Compared | null>((most, one) => (most && most.correct >= one.correct ? most : one), null);
  if (!own || best === null || best.correct < own.correct || own.correct === own.rows) return null;
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const chance = best.p! >= 0.05 ? ", which can be chance" : "";
  const p = best.p! < 0.001 ? "< 0.001" : `= ${best.p!.toFixed(3)}`;
  const kind = best.correct > own.correct ? "is better than this run" : "is as good as this run";
  return `"${show(best.name)}" ${kind}: ${percent(best.accuracy)} against ${percent(own.accuracy)} (McNemar's test: p ${p}${chance})`;
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
