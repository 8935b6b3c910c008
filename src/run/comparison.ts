/** A classifier's results on the test set beside the baselines'. */
import type { LoadedDataset } from "../data/datasets.ts";
import {
  confusionsOf,
  type Interval,
  macroF1,
  mcnemar,
  type Reliability,
  reliabilityOf,
  SIGNIFICANT,
  showStanding,
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
  const isBetter = own.correct > always.correct && (always.p < SIGNIFICANT || own.rows < ENOUGH_ROWS);
  return isBetter ? null : against(own, always, `the most frequent class, "${show(always.name)}"`);
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** What McNemar's test says of the run beside a baseline: "better (p = 0.012)". */
export function standingOf(own: Compared, { correct, p }: Compared): string {
  return showStanding(own.correct > correct, p!);
}

function against(own: Compared, other: Compared, name: string): string {
  return `This run against ${name}: ${standingOf(own, other)}, ${percent(own.accuracy)} against ${percent(other.accuracy)}`;
}

/** With fewer test rows, the accuracy is said to be a rough guess. */
const FEW_ROWS = 20;

/** What to know about the accuracy on a small test set; null if it is not small. */
export function fewRows([own]: readonly Compared[]): string | null {
  if (!own || own.rows >= FEW_ROWS) return null;
  const { rows, accuracy, interval } = own;
  const bounds = [interval.low, interval.high].map((share) => (100 * share).toFixed(1));
  return (
    `The test set has only ${rows} ${rows === 1 ? "row" : "rows"}: the accuracy of ${percent(accuracy)} is a rough guess, ` +
    `with a 95 % interval of ${bounds.join(" to ")} %`
  );
}

/**
 * The best baseline that has as many right as the run; null if there is none, or if the run makes no error. `show` makes a name
 * printable.
 */
export function bestBaseline([own, ...others]: readonly Compared[], show: (name: string) => string): string | null {
  const best = others.reduce<Compared | null>((most, one) => (most && most.correct >= one.correct ? most : one), null);
  if (!own || best === null || best.correct < own.correct || own.correct === own.rows) return null;
  return against(own, best, `"${show(best.name)}"`);
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
