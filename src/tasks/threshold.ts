/** The threshold of a class, and the rules by which it is chosen on the validation set. */
import { ConfigError } from "../core/errors.ts";
import type { ChosenDecision } from "./task.ts";

/** The highest F1, or the other one as high as possible where precision or recall is at least `least`. */
export type ThresholdRule = { measure: "f1" } | { measure: "precision" | "recall"; least: number };

/** What a threshold is chosen by; "none": the more probable class is predicted. Throws ConfigError for other texts. */
export function parseThreshold(text: unknown): ThresholdRule | null {
  if (text === "none") return null;
  if (text === "f1") return { measure: "f1" };
  const [, measure, share] = /^(precision|recall)=(0?\.\d+|1|1\.0+)$/.exec(String(text)) ?? [];
  if (measure && Number(share) > 0) return { measure: measure as "precision" | "recall", least: Number(share) };
  throw new ConfigError("unknown-value", "threshold is invalid", {
    expected: "none, f1, precision=P or recall=R with a share above 0 and up to 1, such as precision=.95",
    found: String(text),
  });
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
