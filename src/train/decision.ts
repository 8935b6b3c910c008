/** What is chosen on the validation set when a classifier is trained: a temperature, a threshold. */
import type { Dataset } from "../data/dataset.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { evaluateRows } from "../engine/evaluate.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { type Decision, decide, type Prediction } from "../tasks/predictions.ts";
import type { TrainOptions } from "./settings.ts";
import { parseThreshold, type ThresholdRule } from "./threshold.ts";

/** A decision, and what it is like on the validation set. */
export interface ChosenDecision extends Decision {
  /** Precision and recall of the class with the threshold. */
  precision?: number;
  recall?: number;
  /** No threshold reaches the precision that was asked for: the highest that one has; null: no row is of that class. */
  reached?: number | null;
}

/** Temperatures are between 1 / LIMIT and LIMIT: without errors, the lowest loss would be that of certainty. */
const LIMIT = 10;

/**
 * Of two classes the one whose threshold is chosen and whose probability ranks the rows: the one that is asked for, or
 * the rarer in the training set, of equally frequent ones the second. Null: there are more classes.
 */
export function choosePositive(
  { labels, stats }: Pick<LoadedDataset, "labels" | "stats">,
  asked: string | null = null,
) {
  if (labels.length !== 2) return null;
  if (asked !== null) return labels.indexOf(asked);
  const [first, second] = labels.map((label) => stats.train.classes[label]!) as [number, number];
  return Number(second <= first);
}

type Sets<T> = Record<"train" | "val" | "test", T>;

/** What a decision is chosen by; `positive`: the class with a threshold. */
interface Asked extends Pick<TrainOptions, "calibrate" | "threshold"> {
  positive: number | null;
}

/** What is made of each set's predictions, of which `evaluated` is the evaluation as they are. */
export function decideSets(
  asked: Asked,
  sets: Sets<Dataset>,
  evaluated: Sets<Evaluation>,
  own: Sets<Prediction[]>,
): { decision: ChosenDecision | null; after: Sets<Evaluation>; predictions: Sets<Prediction[]> } {
  const truth = own.val.map(({ row }) => sets.val.label(row));
  const decision = chooseDecision(asked, own.val, truth);
  if (decision === null) return { decision, after: evaluated, predictions: own };
  const decided = (name: keyof typeof own) => own[name].map((one) => decide(one, decision));
  const predictions = { train: decided("train"), val: decided("val"), test: decided("test") };
  const evaluate = (name: keyof typeof own) => evaluateRows(predictions[name], (row) => sets[name].label(row));
  return { decision, after: { train: evaluate("train"), val: evaluate("val"), test: evaluate("test") }, predictions };
}

/** Null: nothing was asked for. `predictions` are those of the validation set, `truth` their classes. */
export function chooseDecision(
  { calibrate, threshold, positive }: Asked,
  predictions: readonly Prediction[],
  truth: readonly number[],
): ChosenDecision | null {
  const rule = parseThreshold(threshold);
  if (!calibrate && rule === null) return null;
  const rows = predictions.map(({ probabilities }) => probabilities);
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
