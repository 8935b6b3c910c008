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
import { defaultRate, smallerRate } from "../train/options.ts";
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

/** With fewer test rows, a run that learned much may not be distinguishable from the most frequent class. */
const ENOUGH_ROWS = 50;

/**
 * Why a finished run has learned nothing, and the learning rate to try; null if it has learned something. `compared`, whose last
 * entry is the most frequent class, is empty for a language model.
 */
export function nothingLearned(
  { options: { mode, lr }, before, after }: Pick<TrainResult, "options" | "before" | "after">,
  compared: readonly Compared[],
  show: (name: string) => string,
): { text: string; lr: number } | null {
  if (!before || !after) return null;
  const text = lossRemains(before.train.loss, after.train.loss) ?? noBetter(compared, show);
  if (text === null) return null;
  const usual = defaultRate(mode);
  return { text, lr: lr < usual / 3 ? usual : smallerRate(lr, mode) };
}

function lossRemains(before: number, after: number): string | null {
  if (after < before) return null;
  return `The training loss did not fall: ${before.toFixed(4)} before training, ${after.toFixed(4)} after it`;
}

function noBetter(compared: readonly Compared[], show: (name: string) => string): string | null {
  const [own, always] = [compared[0], compared.at(-1)];
  if (!own || !always || always.p === null) return null;
  const isBetter = own.correct > always.correct && (always.p < 0.05 || own.rows < ENOUGH_ROWS);
  if (isBetter) return null;
  return `This run is no better than the most frequent class, "${show(always.name)}": ${percent(own.accuracy)} against ${percent(always.accuracy)}`;
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** The best baseline that is as good as the run, and by how much; null if there is none, or if the run makes no error. `show` makes a name printable. */
export function bestBaseline([own, ...others]: readonly Compared[], show: (name: string) => string): string | null {
  const best = others.reduce<Compared | null>((most, one) => (most && most.correct >= one.correct ? most : one), null);
  if (!own || best === null || best.correct < own.correct || own.correct === own.rows) return null;
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
