/** What is chosen on the validation set when a classifier is trained: a temperature, a threshold. */
import type { ChosenDecision } from "./task.ts";
import { chooseThreshold, parseThreshold, type ThresholdRule } from "./threshold.ts";

/** Temperatures are between 1 / LIMIT and LIMIT: without errors, the lowest loss would be that of certainty. */
const LIMIT = 10;

/** What a decision is chosen by; `positive`: the class with a threshold. */
interface Asked {
  calibrate: boolean;
  threshold: string;
  positive: number | null;
}

/** Null: nothing was asked for. `rows`: the probabilities of the validation set's rows, `truth` their classes. */
export function chooseDecision(
  { calibrate, threshold, positive }: Asked,
  rows: readonly Float64Array[],
  truth: readonly number[],
): ChosenDecision | null {
  const rule = parseThreshold(threshold);
  if (!calibrate && rule === null) return null;
  const temperature = calibrate ? fitTemperature(rows, truth) : 1;
  const withThreshold = (rule: ThresholdRule, id: number): ChosenDecision => {
    const scores = rows.map((row) => scaledShare(row, id, 1 / temperature));
    const isPositive = truth.map((label) => Number(label === id));
    return { positive: id, ...chooseThreshold(rule, scores, isPositive) };
  };
  return { ...(calibrate ? { temperature } : {}), ...(rule ? withThreshold(rule, positive!) : {}) };
}

/** The probability of a class after its logits were multiplied. */
function scaledShare(row: Float64Array, label: number, factor: number): number {
  return row[label]! ** factor / row.reduce((sum, share) => sum + share ** factor, 0);
}

/** The temperature with the lowest cross-entropy, which is convex in its inverse. */
export function fitTemperature(rows: readonly Float64Array[], truth: readonly number[]): number {
  const slope = (factor: number) =>
    rows.reduce((sum, row, i) => {
      const logits = row.map((share) => Math.log(Math.max(share, Number.MIN_VALUE)));
      const mean = row.reduce((total, _, label) => total + scaledShare(row, label, factor) * logits[label]!, 0);
      return sum + mean - logits[truth[i]!]!;
    }, 0);
  let [low, high] = [1 / LIMIT, LIMIT];
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (slope(middle) < 0) low = middle;
    else high = middle;
  }
  return 2 / (low + high);
}
