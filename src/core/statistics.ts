/** Statistics for small test sets: confidence intervals, paired comparisons, and classification metrics. */
import { Rng } from "./rng.ts";

/** A confidence interval; NaN: there is none, as all samples of the rows have the same figure. */
export interface Interval {
  low: number;
  high: number;
}

/** The 97.5 % point of the standard normal distribution. */
export const Z95 = 1.959963984540054;

/** Wilson's 95 % interval of the proportion `successes` / `n` (Wilson 1927, without continuity correction). */
export function wilson(successes: number, n: number): Interval {
  if (n === 0) return { low: 0, high: 1 };
  const p = successes / n;
  const z2 = Z95 * Z95;
  const centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const half = (Z95 / (1 + z2 / n)) * Math.sqrt((p * (1 - p)) / n + z2 / (4 * n * n));
  return { low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
}

export interface Summary {
  n: number;
  mean: number;
  /** Sample standard deviation (n - 1); 0 for a single value. */
  sd: number;
}

export function summarize(values: readonly number[]): Summary {
  const n = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { n, mean, sd: n > 1 ? Math.sqrt(squares / (n - 1)) : 0 };
}

/** The standard deviation within several samples, and its degrees of freedom: of samples of two or more values. */
export function poolSpread(samples: readonly Summary[]): { sd: number; freedom: number } {
  const freedom = samples.reduce((sum, { n }) => sum + n - 1, 0);
  const squares = samples.reduce((sum, { n, sd }) => sum + (n - 1) * sd * sd, 0);
  return { sd: Math.sqrt(squares / freedom), freedom };
}

/** The 97.5 % point of Student's t distribution with so many degrees of freedom. */
export function studentT95(freedom: number): number {
  let [low, high] = [0, 1];
  while (studentShare(high, freedom) < 0.95) high *= 2;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (studentShare(middle, freedom) < 0.95) low = middle;
    else high = middle;
  }
  return high;
}

/** P(|T| < t) with a whole number of degrees of freedom: Abramowitz and Stegun 1964, 26.7.3 and 26.7.4. */
function studentShare(t: number, freedom: number): number {
  const angle = Math.atan(t / Math.sqrt(freedom));
  const [sin, cos2] = [Math.sin(angle), Math.cos(angle) ** 2];
  const isOdd = freedom % 2 === 1;
  let term = isOdd ? Math.cos(angle) : 1;
  let sum = freedom > 1 ? term : 0;
  for (let k = isOdd ? 3 : 2; k < freedom; k += 2) {
    term *= (cos2 * (k - 1)) / k;
    sum += term;
  }
  return isOdd ? (2 / Math.PI) * (angle + sin * sum) : sin * sum;
}

/** The 95 % interval of the mean of several normally distributed values. */
export function meanInterval({ n, mean, sd }: Summary): Interval {
  const half = (studentT95(n - 1) * sd) / Math.sqrt(n);
  return { low: mean - half, high: mean + half };
}

/** A two-sided test of a first result against a second one. */
export interface Tested {
  /** Not adjusted. */
  p: number;
  firstIsBetter: boolean;
}

/** A value with its interval. */
export interface Estimate extends Interval {
  value: number;
}

interface McNemar extends Tested {
  /** Rows that only the first, or only the second, classifies correctly. */
  onlyFirst: number;
  onlySecond: number;
  /** Rows that are undecided for at least one of the two. */
  undecided: number;
  /** The first share of correct rows minus the second. */
  difference: Estimate;
}

/** Whether a row is classified correctly; null: undecided. */
export type Verdict = boolean | null;

/**
 * McNemar's exact test of two classifiers on the same rows (McNemar 1947): under the null hypothesis, each row on which
 * they differ is a fair coin flip. Undecided rows are excluded. Throws RangeError if the lengths differ.
 */
export function mcnemar(first: readonly Verdict[], second: readonly Verdict[]): McNemar {
  if (first.length !== second.length) throw new RangeError(`${first.length} rows against ${second.length}`);
  let both = 0;
  let onlyFirst = 0;
  let onlySecond = 0;
  let undecided = 0;
  first.forEach((right, i) => {
    if (right === null || second[i] === null) undecided++;
    else if (right && second[i]) both++;
    else if (right) onlyFirst++;
    else if (second[i]) onlySecond++;
  });
  const n = onlyFirst + onlySecond;
  const smaller = Math.min(onlyFirst, onlySecond);
  // 2 * P(X <= smaller), X ~ Binomial(n, 1/2), with logarithms of the binomial coefficients to avoid overflow.
  let logChoose = 0;
  let tail = 0;
  for (let k = 0; k <= smaller; k++) {
    tail += Math.exp(logChoose - n * Math.LN2);
    logChoose += Math.log(n - k) - Math.log(k + 1);
  }
  const p = Math.min(1, 2 * tail);
  const neither = first.length - undecided - both - n;
  const difference = withTest(pairedDifference(both, onlyFirst, onlySecond, neither), p);
  return { onlyFirst, onlySecond, undecided, difference, p, firstIsBetter: onlyFirst > onlySecond };
}

/**
 * The difference of two shares of the same rows, with a 95 % interval: Newcombe 1998, "Improved confidence intervals
 * for the difference between binomial proportions based on paired data", method 10.
 */
function pairedDifference(both: number, onlyFirst: number, onlySecond: number, neither: number): Estimate {
  const n = both + onlyFirst + onlySecond + neither;
  if (n === 0) return { value: 0, low: -1, high: 1 };
  const [first, second] = [both + onlyFirst, both + onlySecond];
  const margins = first * (n - first) * second * (n - second);
  const cross = both * neither - onlyFirst * onlySecond;
  // How the two are correlated, with a correction for continuity.
  const related = margins === 0 ? 0 : (cross > 0 ? Math.max(0, cross - n / 2) : cross) / Math.sqrt(margins);
  const share = (right: number) => ({ value: right / n, ...wilson(right, n) });
  return { ...estimateDifference(share(first), share(second), related), value: (onlyFirst - onlySecond) / n };
}

/**
 * The difference of two figures with an interval each, which are correlated so: Zou and Donner 2008, "Construction of
 * confidence limits about effect measures".
 */
export function estimateDifference(first: Estimate, second: Estimate, related = 0): Estimate {
  const value = first.value - second.value;
  const distance = (a: number, b: number) => Math.sqrt(a * a - 2 * related * a * b + b * b);
  return {
    value,
    low: value - distance(first.value - first.low, second.high - second.value),
    high: value + distance(second.value - second.low, first.high - first.value),
  };
}

/** The test is the stricter one: the interval reaches 0 where the test does not reject it. */
export const withTest = ({ value, low, high }: Estimate, p: number): Estimate =>
  p < SIGNIFICANT ? { value, low, high } : { value, low: Math.min(0, low), high: Math.max(0, high) };

/** From this p-value on, two results are not distinguishable. */
export const SIGNIFICANT = 0.05;

/** The result of a two-sided test of one result against another. */
export type Standing = "better" | "worse" | "not distinguishable";

/** The one rule for it; `isAhead`: whether the first has the better figure. */
function standing(isAhead: boolean, p: number): Standing {
  if (!(p < SIGNIFICANT)) return "not distinguishable";
  return isAhead ? "better" : "worse";
}

/** "0.012", or "< 0.001" */
export const formatP = (p: number): string => (p < 0.001 ? "< 0.001" : p.toFixed(3));

/** "p = 0.012" */
export const stateP = (p: number): string => `p ${formatP(p).replace(/^\d/, "= $&")}`;

/** In words: "better (p = 0.012)". */
export const formatStanding = (standing: Standing, p: number): string => `${standing} (${stateP(p)})`;

/** The p-values and the intervals of so many comparisons, behind the name of their test. */
export const aboutHolm = (count: number): string =>
  count > 1 ? `, corrected with Holm's method for ${count} comparisons (each interval is of one alone)` : "";

/**
 * p-values adjusted for the number of tests, in the same order (Holm 1979): rejecting those below a level keeps the
 * probability of any false rejection below it, whether or not the tests are independent.
 */
export function holm(ps: readonly number[]): number[] {
  const adjusted = new Array<number>(ps.length);
  let largest = 0;
  const ascending = [...ps.keys()].sort((a, b) => ps[a]! - ps[b]!);
  for (const [rank, i] of ascending.entries()) {
    largest = Math.max(largest, Math.min(1, (ps.length - rank) * ps[i]!));
    adjusted[i] = largest;
  }
  return adjusted;
}

/** Tests each pair, with the p-values adjusted for all of them: how the results of several runs are compared. */
export function comparePairs<T, R extends Tested>(
  pairs: readonly (readonly [first: T, second: T])[],
  test: (first: T, second: T) => R,
): (R & { adjusted: number; standing: Standing })[] {
  const tests = pairs.map(([first, second]) => test(first, second));
  const ps = holm(tests.map(({ p }) => p));
  return tests.map((one, i) => ({ ...one, adjusted: ps[i]!, standing: standing(one.firstIsBetter, ps[i]!) }));
}

/** Samples of the bootstrap for an interval, and for a p-value, which cannot be below 2 / samples. */
export const SAMPLES = { interval: 1000, p: 10_000 } as const;

/** More draws of rows take seconds. */
const MOST_DRAWS = 2e7;

/** Samples for a p-value of so many rows: with fewer it cannot be as small. */
export const pairedSamples = (rows: number) =>
  Math.max(SAMPLES.interval, Math.min(SAMPLES.p, Math.floor(MOST_DRAWS / rows)));

/**
 * The bootstrap (Efron 1979): a statistic of samples of `n` rows, drawn with replacement; in ascending order. The
 * samples depend only on `n` and their number, so that two statistics of the same rows are paired.
 */
export function bootstrap(n: number, samples: number, statistic: (rows: Uint32Array) => number): Float64Array {
  const rng = new Rng(1);
  const rows = new Uint32Array(n);
  return Float64Array.from({ length: samples }, () => {
    for (let i = 0; i < n; i++) rows[i] = Math.floor(rng.uniform() * n);
    return statistic(rows);
  }).sort();
}

/** The 95 % interval of a bootstrap's values: their percentiles, interpolated as by numpy. */
export function percentiles95(ascending: Float64Array): Interval {
  const at = (share: number) => {
    const place = share * (ascending.length - 1);
    const below = Math.floor(place);
    const next = ascending[Math.min(below + 1, ascending.length - 1)]!;
    return ascending[below]! + (place - below) * (next - ascending[below]!);
  };
  return { low: at(0.025), high: at(0.975) };
}

/**
 * The two-sided p-value of a bootstrap's differences: twice the smaller share on one side of 0, each counted with one
 * more, so that it is never 0 (Davison and Hinkley 1997, 4.2.3).
 */
export function bootstrapP(differences: Float64Array): number {
  const share = (isThere: (one: number) => boolean) =>
    (1 + differences.reduce((count, one) => count + Number(isThere(one)), 0)) / (1 + differences.length);
  return Math.min(
    1,
    2 *
      Math.min(
        share((one) => one <= 0),
        share((one) => one >= 0),
      ),
  );
}

/** Maximum number of classes shown individually and as a matrix; with more, the most frequent mistakes are shown. */
export const LISTED_CLASSES = 12;

/** The number of rows of class `truth` that were classified as `predicted`. */
export interface Confusion {
  truth: number;
  predicted: number;
  rows: number;
}

/** The confusion matrix in sparse form: its nonzero entries, sorted by truth, then by prediction. */
export function countConfusions(truth: readonly number[], predicted: readonly number[]): Confusion[] {
  const counts = new Map<number, Map<number, number>>();
  truth.forEach((t, i) => {
    const row = counts.get(t) ?? new Map<number, number>();
    counts.set(t, row.set(predicted[i]!, (row.get(predicted[i]!) ?? 0) + 1));
  });
  const sorted = <T>(map: ReadonlyMap<number, T>) => [...map].sort(([a], [b]) => a - b);
  return sorted(counts).flatMap(([t, row]) => sorted(row).map(([s, rows]) => ({ truth: t, predicted: s, rows })));
}

/** Rows that have a label, rows that it is predicted for, and rows of both. */
export interface Hits {
  there: number;
  named: number;
  right: number;
}

/** F1 of one label; 0 where nothing is right, as scikit-learn's. */
const f1 = ({ there, named, right }: Hits) => (right === 0 ? 0 : (2 * right) / (there + named));

/** F1 of all labels together, and the mean of each one's: a label that is nowhere counts as 0, as scikit-learn's. */
export function f1Of(hits: readonly Hits[]): { microF1: number; macroF1: number } {
  const sum = (key: keyof Hits) => hits.reduce((total, one) => total + one[key], 0);
  return {
    microF1: f1({ there: sum("there"), named: sum("named"), right: sum("right") }),
    macroF1: hits.reduce((total, one) => total + f1(one), 0) / hits.length,
  };
}

/** A lookup of the matrix entry [truth][predicted]. */
export function confusionLookup(confusions: readonly Confusion[]): (truth: number, predicted: number) => number {
  const cells = new Map(confusions.map(({ truth, predicted, rows }) => [`${truth} ${predicted}`, rows]));
  return (truth, predicted) => cells.get(`${truth} ${predicted}`) ?? 0;
}

/** The entries off the diagonal, by descending number of rows; the sort is stable. */
export function sortMistakes(confusions: readonly Confusion[]): Confusion[] {
  return confusions.filter(({ truth, predicted }) => truth !== predicted).sort((a, b) => b.rows - a.rows);
}

/** A share, with Wilson's interval. */
export interface Measured extends Interval {
  share: number;
}

/** null: not measured, for a class without rows, and the precision of one that is never predicted. */
export interface LabelMeasures {
  /** Rows of the class or label, and rows that were classified as it. */
  rows: number;
  predicted: number;
  precision: Measured | null;
  recall: Measured | null;
  f1: Measured | null;
}

const measured = (hits: number, n: number): Measured => ({ share: hits / n, ...wilson(hits, n) });

/**
 * Precision, recall and F1 of each class. F1 is not a proportion, but
 * x = right / (right + wrong + missed) is one, and F1 = 2x / (1 + x): Lam, Gopal and Qian 2023, "Confidence intervals
 * for the F1 score".
 */
export function classMeasures(confusions: readonly Confusion[], classes: number): LabelMeasures[] {
  const zeros = () => new Array<number>(classes).fill(0);
  const [there, named, right] = [zeros(), zeros(), zeros()];
  for (const { truth, predicted, rows } of confusions) {
    there[truth]! += rows;
    named[predicted]! += rows;
    if (truth === predicted) right[truth]! += rows;
  }
  return right.map((hits, i) => labelMeasures({ there: there[i]!, named: named[i]!, right: hits }));
}

/** Those of one class or label. */
export function labelMeasures({ there: rows, named: predicted, right: hits }: Hits): LabelMeasures {
  if (rows === 0) return { rows, predicted, precision: null, recall: null, f1: null };
  const [precision, recall] = [predicted === 0 ? null : measured(hits, predicted), measured(hits, rows)];
  const f1 = hits === 0 ? 0 : (2 * precision!.share * recall.share) / (precision!.share + recall.share);
  const { low, high } = wilson(hits, rows + predicted - hits);
  const dice = (x: number) => (2 * x) / (1 + x);
  return { rows, predicted, precision, recall, f1: { share: f1, low: dice(low), high: dice(high) } };
}

/**
 * The mean F1 of the classes that occur as truth or as prediction, 0 of one without rows, as scikit-learn's
 * `f1_score(average="macro")`.
 */
export function macroF1(confusions: readonly Confusion[]): number {
  const present = [...new Set(confusions.flatMap(({ truth, predicted }) => [truth, predicted]))];
  const largest = present.reduce((most, label) => Math.max(most, label), -1);
  const measures = classMeasures(confusions, largest + 1);
  return present.reduce((sum, label) => sum + (measures[label]!.f1?.share ?? 0), 0) / present.length;
}
