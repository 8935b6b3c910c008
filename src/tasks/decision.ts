/** What is chosen on the validation set when a classifier is trained: a temperature, thresholds. */
import type { ChosenDecision } from "./task.ts";
import { parseThreshold, type ThresholdRule } from "./threshold.ts";

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

/**
 * The scores of a class are the thresholds that are tried, as by scikit-learn; of equally good ones the highest.
 * `truth`: 1 for its rows, 0 for others.
 */
export function chooseThreshold(
  rule: ThresholdRule,
  scores: readonly number[],
  truth: readonly number[],
): Pick<ChosenDecision, "threshold" | "precision" | "recall" | "reached"> {
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
  const positives = truth.filter((label) => label === 1).length;
  if (positives === 0) return { reached: null };
  let best: { value: number; decision: ChosenDecision } | null = null;
  let [hits, highest] = [0, 0];
  for (const [i, row] of order.entries()) {
    hits += truth[row]!;
    const score = scores[row]!;
    // Rows of the same score are on one side.
    if (i + 1 < order.length && scores[order[i + 1]!] === score) continue;
    const [precision, recall] = [hits / (i + 1), hits / positives];
    highest = Math.max(highest, precision);
    const value = judge(rule, precision, recall);
    if (value > (best?.value ?? 0)) best = { value, decision: { threshold: score, precision, recall } };
  }
  return best?.decision ?? { reached: highest };
}

/** What is to be as high as possible; 0: it does not count. */
function judge(rule: ThresholdRule, precision: number, recall: number): number {
  if (rule.measure === "f1") return precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);
  if (rule.measure === "precision") return precision >= rule.least ? recall : 0;
  return recall >= rule.least ? precision : 0;
}
