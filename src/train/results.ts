/** What a run is measured by when it has ended, computed once: plain JSON, from which every view of a run is made. */
import type { LoadedDataset } from "../data/datasets.ts";
import type { Evaluation, TextLosses } from "../engine/evaluate.ts";
import type { Prediction } from "../engine/predictions.ts";
import {
  type ClassMeasures,
  type Confusion,
  classMeasures,
  countConfusions,
  type Interval,
  LISTED_CLASSES,
  macroF1,
  mcnemar,
  measureReliability,
  type Reliability,
  rocAuc,
  wilson,
} from "../statistics.ts";
import type { Baseline } from "./baselines.ts";
import { textToTry } from "./text-to-try.ts";

/** A value for each set. */
export interface Splits<T> {
  train: T;
  val: T;
  test: T;
}

export interface PartEvaluation extends Evaluation {
  name: string;
}

/** A classifier on the test set: the run itself, or a baseline. */
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

/** A class on the test set. */
export interface ClassResults extends ClassMeasures {
  /** Area under the ROC curve; null where it is not defined, and with more than `LISTED_CLASSES` classes. */
  auc: number | null;
}

/** A message of the test set. */
export interface TestMessage {
  text: string;
  /** Its class, and the one that it got. */
  truth: string;
  predicted: string;
  /** Probability of `predicted`. */
  probability: number;
}

/** A classifier's results on the test set. */
export interface TestResults {
  confusions: Confusion[];
  /** By class id. */
  classes: ClassResults[];
  /** The run first, then the baselines; the last is the most frequent class. */
  compared: [Compared, ...Compared[]];
  calibration: Reliability;
  /** Whether each row is classified correctly: 1 or 0. */
  verdicts: number[];
  /** Some messages that were classified correctly, of each class in turn. */
  samples: TestMessage[];
  /** The misclassified messages, the most confident first; at most `MISTAKES`. */
  mistakes: TestMessage[];
  /** A message to try the model with. */
  example: string;
}

/** What is measured after the last step. */
export interface Results {
  /** Before the first step. Training accuracy is measured on at most as many rows as the test set has. */
  before: Splits<Evaluation>;
  /** With the parameters that are kept. */
  after: Splits<Evaluation>;
  /** The test rows of each part of the data, after training; empty if the data has no parts. */
  parts: PartEvaluation[];
  /** Null for a language model. */
  test: TestResults | null;
  /** The losses of a language model on the texts of the test set; null for a classifier. */
  texts: TextLosses | null;
}

/** Misclassified messages that are kept with the results. */
const MISTAKES = 100;
/** Correctly classified messages that are kept with the results, at least; more where there are more classes. */
const SAMPLES = 3;
/** Characters of a sample that is read at a glance. */
const SHORT = 200;

/** The results of a classifier that made these predictions of the test set's rows. */
export function measureTest(
  { labels, test }: LoadedDataset,
  predictions: readonly Prediction[],
  baselines: readonly Baseline[],
): TestResults {
  const truth = predictions.map(({ row }) => test.label(row));
  const right = predictions.map(({ label }, i) => label === truth[i]);
  const confusions = countConfusions(
    truth,
    predictions.map(({ label }) => label),
  );
  const message = ({ row, label, probability }: Prediction): TestMessage => ({
    text: test.text(row),
    truth: labels[test.label(row)]!,
    predicted: labels[label]!,
    probability,
  });
  const wrong = predictions.filter((_, i) => !right[i]).toSorted((a, b) => b.probability - a.probability);
  return {
    confusions,
    classes: measureClasses(confusions, labels.length, truth, predictions),
    compared: compare(truth, predictions, baselines),
    calibration: measureReliability(predictions.map(({ probability }, i) => ({ probability, right: right[i]! }))),
    verdicts: right.map(Number),
    samples: pickSamples(
      predictions.filter((_, i) => right[i]),
      labels.length,
      (row) => test.text(row),
    ).map(message),
    mistakes: wrong.slice(0, MISTAKES).map(message),
    example: textToTry(orderTexts(test, predictions, right)),
  };
}

function measureClasses(
  confusions: readonly Confusion[],
  classes: number,
  truth: readonly number[],
  predictions: readonly Prediction[],
): ClassResults[] {
  const area = (id: number) =>
    rocAuc(
      truth.map((label) => label === id),
      predictions.map(({ probabilities }) => probabilities[id]!),
    );
  return classMeasures(confusions, classes).map((measures, id) => {
    const auc = classes > LISTED_CLASSES ? Number.NaN : area(id);
    return { ...measures, auc: Number.isNaN(auc) ? null : auc };
  });
}

function compare(
  truth: readonly number[],
  predictions: readonly Prediction[],
  baselines: readonly Baseline[],
): [Compared, ...Compared[]] {
  const own = predictions.map(({ label }) => label);
  const verdicts = (predicted: readonly number[]) => truth.map((label, i) => predicted[i] === label);
  const measure = (name: string, predicted: readonly number[], p: number | null): Compared => {
    const rows = truth.length;
    const correct = verdicts(predicted).filter(Boolean).length;
    const shares = { accuracy: correct / rows, macroF1: macroF1(countConfusions(truth, predicted)) };
    return { name, rows, correct, ...shares, interval: wilson(correct, rows), p };
  };
  return [
    measure("this run", own, null),
    ...baselines.map(({ name, predicted }) => measure(name, predicted, mcnemar(verdicts(own), verdicts(predicted)).p)),
  ];
}

/** Of each class in turn, short ones where there are some. */
function pickSamples(right: readonly Prediction[], classes: number, text: (row: number) => string): Prediction[] {
  const some = right.filter(({ row }) => text(row).trim() !== "");
  const short = some.filter(({ row }) => text(row).length <= SHORT);
  const seen = new Map<number, number>();
  const turns = (short.length > 0 ? short : some).map((prediction) => {
    const turn = seen.get(prediction.label) ?? 0;
    seen.set(prediction.label, turn + 1);
    return { prediction, turn };
  });
  return turns
    .sort((a, b) => a.turn - b.turn || a.prediction.label - b.prediction.label)
    .slice(0, Math.max(SAMPLES, Math.min(classes, LISTED_CLASSES / 2)))
    .map(({ prediction }) => prediction);
}

/** The messages of the test set, those that were classified correctly first. */
function* orderTexts(
  test: LoadedDataset["test"],
  predictions: readonly Prediction[],
  right: readonly boolean[],
): Iterable<string> {
  for (const [i, { row }] of predictions.entries()) if (right[i]) yield test.text(row);
  for (const { row } of predictions) yield test.text(row);
}
