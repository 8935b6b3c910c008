/** Measures of a classifier's probabilities, and of its classes as a whole, as scikit-learn defines them. */
import {
  bootstrap,
  type Confusion,
  classMeasures,
  type Estimate,
  type Interval,
  percentiles95,
  SAMPLES,
  wilson,
} from "./statistics.ts";

/** The mean recall of the classes that have rows. */
export function balancedAccuracy(confusions: readonly Confusion[], classes: number): number {
  const recalls = classMeasures(confusions, classes).flatMap(({ recall }) => (recall ? [recall.share] : []));
  return recalls.reduce((sum, recall) => sum + recall, 0) / recalls.length;
}

/**
 * Matthews' correlation coefficient of truth and prediction, for any number of classes (Gorodkin 2004); null: one of
 * them is a single class.
 */
export function matthews(confusions: readonly Confusion[], classes: number): number | null {
  const zeros = () => new Array<number>(classes).fill(0);
  const [there, named] = [zeros(), zeros()];
  let [rows, right] = [0, 0];
  for (const { truth, predicted, rows: some } of confusions) {
    there[truth]! += some;
    named[predicted]! += some;
    rows += some;
    if (truth === predicted) right += some;
  }
  const product = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const spread = (some: readonly number[]) => rows * rows - product(some, some);
  const both = Math.sqrt(spread(there) * spread(named));
  return both === 0 ? null : (rows * right - product(there, named)) / both;
}

export interface Points {
  xs: number[];
  ys: number[];
}

/** How well a score ranks rows of a class before others. */
export interface Ranking {
  /** Area under the ROC curve: the share of pairs that are in order, a tie being a half (Mann-Whitney U). */
  rocAuc: number;
  /** Average precision: the sum of the precisions at each threshold, weighted by the recall that it adds. */
  prAuc: number;
  /**
   * True positive rate over false positive rate, and precision over recall; points that are nearly equal are left out.
   */
  roc: Points;
  pr: Points;
}

/** null: there are no positives or no negatives, or a score is NaN. */
export function measureRanking(positive: readonly boolean[], scores: readonly number[]): Ranking | null {
  const positives = positive.filter(Boolean).length;
  const negatives = positive.length - positives;
  if (positives === 0 || negatives === 0 || scores.some(Number.isNaN)) return null;
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
  const [roc, pr] = [startCurve(0, 0), startCurve(0, 1)];
  let [hits, alarms, rocAuc, prAuc] = [0, 0, 0, 0];
  for (let i = 0; i < order.length; ) {
    const [hitsBefore, alarmsBefore] = [hits, alarms];
    // Rows of the same score have the same place.
    for (const score = scores[order[i]!]; i < order.length && scores[order[i]!] === score; i++)
      if (positive[order[i]!]) hits++;
      else alarms++;
    const [recall, precision] = [hits / positives, hits / (hits + alarms)];
    rocAuc += ((alarms - alarmsBefore) * (hits + hitsBefore)) / (2 * positives * negatives);
    prAuc += ((hits - hitsBefore) / positives) * precision;
    roc.add(alarms / negatives, recall, i === order.length);
    pr.add(recall, precision, i === order.length);
  }
  return { rocAuc, prAuc, roc: roc.points, pr: pr.points };
}

/** The way along a curve between two of its points, at least. */
const STEP = 0.01;

function startCurve(x: number, y: number) {
  const points: Points = { xs: [x], ys: [y] };
  const add = (x: number, y: number, isLast: boolean) => {
    if (!isLast && Math.abs(x - points.xs.at(-1)!) + Math.abs(y - points.ys.at(-1)!) < STEP) return;
    points.xs.push(x);
    points.ys.push(y);
  };
  return { points, add };
}

/** The rows whose highest probability is in an interval of equal width. */
export interface ReliabilityBin {
  /** The middle of the interval. */
  middle: number;
  rows: number;
  /** Mean of the highest probabilities, share of rows that are right, and Wilson's interval of that share. */
  confidence: number;
  accuracy: number;
  interval: Interval;
}

export interface Reliability {
  /** By confidence; bins without rows are left out. */
  bins: ReliabilityBin[];
  /** Expected calibration error: the mean distance of confidence and accuracy of the bins, weighted by their rows. */
  error: Estimate;
}

/** Intervals of confidence: [0, 0.1), [0.1, 0.2), ..., [0.9, 1]. */
const RELIABILITY_BINS = 10;

interface Judged {
  /** Of the predicted class; NaN counts as 0. */
  probability: number;
  right: boolean;
}

/** How well probabilities agree with shares of right rows (Naeini et al. 2015, Guo et al. 2017). */
export function measureReliability(rows: readonly Judged[]): Reliability {
  const bins = fillBins(rows)
    .filter((bin) => bin.rows > 0)
    .map(({ middle, rows: n, confidence, right }) => ({
      middle,
      rows: n,
      confidence: confidence / n,
      accuracy: right / n,
      interval: wilson(right, n),
    }));
  const value = calibrationError(rows);
  const sampled = bootstrap(rows.length, SAMPLES.interval, (chosen) =>
    calibrationError(Array.from(chosen, (row) => rows[row]!)),
  );
  // The error of a sample exceeds that of the rows as theirs exceeds the true one, so that the percentiles are
  // mirrored: Davison and Hinkley 1997, 5.2.1, the basic bootstrap.
  const { low, high } = percentiles95(sampled);
  return { bins, error: { value, low: Math.max(0, 2 * value - high), high: Math.max(0, 2 * value - low) } };
}

function fillBins(rows: readonly Judged[]) {
  const bins = Array.from({ length: RELIABILITY_BINS }, (_, i) => {
    return { middle: (i + 0.5) / RELIABILITY_BINS, rows: 0, confidence: 0, right: 0 };
  });
  for (const { probability, right } of rows) {
    const confidence = Number.isNaN(probability) ? 0 : probability;
    const bin = bins[Math.min(RELIABILITY_BINS - 1, Math.floor(confidence * RELIABILITY_BINS))]!;
    bin.rows++;
    bin.confidence += confidence;
    if (right) bin.right++;
  }
  return bins;
}

function calibrationError(rows: readonly Judged[]): number {
  return fillBins(rows).reduce((sum, { confidence, right }) => sum + Math.abs(confidence - right), 0) / rows.length;
}
