/** How certain a prediction is. Apart from predictions.ts, which a page that classifies loads. */
import { type Classification, type Decision, type Labelled, labelThreshold } from "./predictions.ts";

/** A prediction without labels, or entities, of a lower probability; a score as it is: it has none. */
export function atLeast(result: Labelled, least: number): Labelled {
  if ("score" in result) return result;
  if ("entities" in result) return { entities: result.entities.filter(({ probability }) => probability >= least) };
  const { probabilities, labels } = result;
  const isLess = result.label !== null && result.probability < least;
  const kept: Classification = isLess ? { ...result, label: null, reason: "unsure" } : result;
  return labels === undefined ? kept : { ...kept, labels: labels.filter((label) => probabilities[label]! >= least) };
}

/**
 * How far the probabilities of a text's label or labels are from those at which it would have others, from 0; null: it
 * has no label.
 */
export function marginOf(
  result: Labelled,
  { labels, settings }: { labels: readonly string[]; settings: Record<string, unknown> },
): number | null {
  if (!("probabilities" in result)) return null;
  const { probabilities } = result;
  if (result.labels)
    return Math.min(...labels.map((name, i) => Math.abs(probabilities[name]! - labelThreshold(settings, i))));
  const { threshold, positive } = settings as Decision;
  if (threshold !== undefined) return Math.abs(probabilities[labels[positive!]!]! - threshold);
  const [first, second] = labels.map((name) => probabilities[name]!).sort((a, b) => b - a);
  return first! - second!;
}
