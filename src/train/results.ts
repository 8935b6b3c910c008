/** What a run is measured by when it has ended, computed once: plain JSON, from which every view of a run is made. */
import type { LoadedDataset } from "../data/datasets.ts";
import { findLeaks } from "../data/duplicates.ts";
import type { TextLosses } from "../engine/evaluate.ts";
import {
  balancedAccuracy,
  matthews,
  measureRanking,
  measureReliability,
  type Ranking,
  type Reliability,
} from "../measures.ts";
import { joinPair, type TextOrPair } from "../pair.ts";
import {
  type Confusion,
  classMeasures,
  comparePairs,
  countConfusions,
  type Estimate,
  type Interval,
  type LabelMeasures,
  LISTED_CLASSES,
  macroF1,
  mcnemar,
  type Standing,
  wilson,
} from "../statistics.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import type { Prediction } from "../tasks/predictions.ts";
import type { Baseline } from "./baselines.ts";
import { type ChosenDecision, choosePositive } from "./decision.ts";
import { MISTAKES, type Splits } from "./measured.ts";
import type { LabelResults } from "./multi-label.ts";
import type { ScoreResults } from "./regression.ts";
import { textToTry } from "./text-to-try.ts";

interface PartEvaluation extends Evaluation {
  name: string;
}

/** Rows that are classified correctly. */
interface Accuracy {
  rows: number;
  correct: number;
  accuracy: number;
  /** Wilson's interval of the accuracy. */
  interval: Interval;
}

/** A classifier on the test set: the run itself, or a baseline. */
export interface Compared extends Accuracy, Pick<Baseline, "limits"> {
  name: string;
  /**
   * Without the rows that have a near-duplicate in the training or validation set; null: there are none, or no others.
   */
  unseen: Accuracy | null;
  /** The mean of F1 over the classes that occur, as scikit-learn computes it. */
  macroF1: number;
  balancedAccuracy: number;
  /** Matthews' correlation coefficient; null where it is not defined. */
  mcc: number | null;
  /** The run against it; null for the run itself. */
  against: Against | null;
}

/** The run against another classifier on the same rows. */
interface Against {
  /** The run's accuracy minus the other's. */
  difference: Estimate;
  /** McNemar's exact test, corrected with Holm's method for all baselines. */
  p: number;
  /** The run is better, worse, or not distinguishable from the other. */
  standing: Standing;
}

/** A class on the test set. */
export interface ClassResults extends LabelMeasures {
  /**
   * How well its probability ranks its rows; null where that is not defined, and with over `LISTED_CLASSES` classes.
   */
  ranking: Ranking | null;
}

/** A message of the test set. */
export interface TestMessage {
  text: TextOrPair;
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
  /** The class of two whose figures are given where there is one for both; null: there are more classes. */
  positive: number | null;
  /** Of this class, or the means over all, each against the rest. null: not defined for one of them. */
  rocAuc: number | null;
  prAuc: number | null;
  calibration: Reliability;
  /** Whether each row is classified correctly: 1 or 0. */
  verdicts: number[];
  /** Some messages that were classified correctly, taking the classes one after the other. */
  samples: TestMessage[];
  /** The misclassified messages, the most confident first; at most `MISTAKES`. */
  mistakes: TestMessage[];
  /** A message to try the model with. */
  example: TextOrPair;
}

/** What is measured after the last step. */
export interface Results {
  /** Before the first step. Training accuracy is measured on at most as many rows as the test set has. */
  before: Splits<Evaluation>;
  /** With the parameters that are kept. */
  after: Splits<Evaluation>;
  /** The test rows of each part of the data, after training; empty if the data has no parts. */
  parts: PartEvaluation[];
  /** Of a classifier, what was chosen on the validation set, with which all of `after` is measured. */
  decision: ChosenDecision | null;
  /** Of a classifier with one class a message; null for other models. */
  test: TestResults | null;
  /** Of a regression. */
  scores?: ScoreResults;
  /** Where messages have several labels. */
  multiLabel?: LabelResults;
  /** The losses of a language model on the texts of the test set; null for a classifier. */
  texts: TextLosses | null;
}

/** Correctly classified messages that are kept with the results, at least; more where there are more classes. */
const SAMPLES = 3;
/** Characters of a sample that is read at a glance. */
const SHORT = 200;

/** With more classes and rows, the areas under the curves would take seconds. */
const RANKED_SCORES = 1 << 22;

/** The results of a classifier that made these predictions of the test set's rows. */
export function measureTest(
  data: LoadedDataset,
  predictions: readonly Prediction[],
  baselines: readonly Baseline[],
  positive = choosePositive(data),
): TestResults {
  const { labels, test } = data;
  const truth = predictions.map(({ row }) => test.label(row));
  const right = predictions.map(({ label }, i) => label === truth[i]);
  const own = { name: "this run", predicted: predictions.map(({ label }) => label) };
  const confusions = countConfusions(truth, own.predicted);
  const rankings = rankClasses(labels.length, truth, predictions);
  const counted = positive === null ? rankings : [rankings[positive]!];
  const message = ({ row, label, probability }: Prediction): TestMessage => ({
    text: test.text(row),
    truth: labels[test.label(row)]!,
    predicted: labels[label]!,
    probability,
  });
  const wrong = predictions.filter((_, i) => !right[i]).toSorted((a, b) => b.probability - a.probability);
  return {
    confusions,
    classes: classMeasures(confusions, labels.length).map((measures, id) => ({
      ...measures,
      ranking: labels.length > LISTED_CLASSES ? null : rankings[id]!,
    })),
    compared: compare(data, truth, own, baselines),
    positive,
    rocAuc: meanOf(counted, ({ rocAuc }) => rocAuc),
    prAuc: meanOf(counted, ({ prAuc }) => prAuc),
    calibration: measureReliability(predictions.map(({ probability }, i) => ({ probability, right: right[i]! }))),
    verdicts: right.map(Number),
    samples: pickSamples(
      predictions.filter((_, i) => right[i]),
      labels.length,
      (row) => joinPair(test.text(row)),
    ).map(message),
    mistakes: wrong.slice(0, MISTAKES).map(message),
    example: textToTry(orderTexts(test, predictions, right), data.pairs !== undefined),
  };
}

/** Each class against the rest. */
function rankClasses(classes: number, truth: readonly number[], predictions: readonly Prediction[]) {
  const isFeasible = classes * truth.length <= RANKED_SCORES;
  return Array.from({ length: classes }, (_, id): Ranking | null => {
    if (!isFeasible) return null;
    const scores = predictions.map(({ probabilities }) => probabilities[id]!);
    return measureRanking(
      truth.map((label) => label === id),
      scores,
    );
  });
}

function meanOf(rankings: readonly (Ranking | null)[], of: (one: Ranking) => number): number | null {
  const known = rankings.filter((one) => one !== null);
  return known.length < rankings.length ? null : known.reduce((sum, one) => sum + of(one), 0) / known.length;
}

/** The run and the baselines, each of which it is compared with. */
function compare(
  { train, val, test, labels, stats }: LoadedDataset,
  truth: readonly number[],
  own: Baseline,
  baselines: readonly Baseline[],
): [Compared, ...Compared[]] {
  const leaked = new Set(stats.leaks.test > 0 ? findLeaks([train, val, test])[2] : []);
  const verdicts = ({ predicted }: Baseline) => truth.map((label, i) => predicted[i] === label);
  const tests = comparePairs(
    baselines.map((other) => [own, other] as const),
    (one, other) => mcnemar(verdicts(one), verdicts(other)),
  );
  const measure = (one: Baseline, against: Against | null): Compared => {
    const confusions = countConfusions(truth, one.predicted);
    const unseen = verdicts(one).filter((_, row) => !leaked.has(row));
    return {
      name: one.name,
      ...(one.limits && { limits: one.limits }),
      ...measureAccuracy(verdicts(one)),
      unseen: leaked.size > 0 && unseen.length > 0 ? measureAccuracy(unseen) : null,
      macroF1: macroF1(confusions),
      balancedAccuracy: balancedAccuracy(confusions, labels.length),
      mcc: matthews(confusions, labels.length),
      against,
    };
  };
  const others = baselines.map((one, i) => {
    const { difference, adjusted, standing } = tests[i]!;
    return measure(one, { difference, p: adjusted, standing });
  });
  return [measure(own, null), ...others];
}

function measureAccuracy(verdicts: readonly boolean[]): Accuracy {
  const rows = verdicts.length;
  const correct = verdicts.filter(Boolean).length;
  return { rows, correct, accuracy: correct / rows, interval: wilson(correct, rows) };
}

/** Some of each class, short ones where there are any. */
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
): Iterable<TextOrPair> {
  for (const [i, { row }] of predictions.entries()) if (right[i]) yield test.text(row);
  for (const { row } of predictions) yield test.text(row);
}
