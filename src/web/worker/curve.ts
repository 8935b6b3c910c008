/** The plotted training curve. Single steps of a few messages are noisy, so groups of steps are averaged. */
import type { StepRecord } from "../../train/records.ts";
import type { Curve } from "../protocol.ts";

/** Maximum number of points of a curve. */
const POINTS = 60;
/** Number of last steps in the current mean. */
const RECENT = 20;

/** Means over groups of equally many steps, each at the last step of its group. */
export function curveOf(steps: readonly StepRecord[]): Curve {
  const groupSize = Math.ceil(steps.length / POINTS);
  const curve: Curve = { examples: [], loss: [], accuracy: [] };
  for (let start = 0; start < steps.length; start += groupSize) {
    const some = steps.slice(start, start + groupSize);
    // During a run the last group is incomplete, and its mean would jump.
    if (some.length < groupSize && curve.examples.length > 0) break;
    curve.examples.push(some.at(-1)!.examples);
    curve.loss.push(mean(some, "loss"));
    curve.accuracy.push(mean(some, "accuracy"));
  }
  return curve;
}

/** Means over the last steps. */
export function recentOf(steps: readonly StepRecord[]): { loss: number; accuracy: number } {
  const some = steps.slice(-RECENT);
  return { loss: mean(some, "loss"), accuracy: mean(some, "accuracy") };
}

function mean(steps: readonly StepRecord[], key: "loss" | "accuracy"): number {
  return steps.reduce((sum, step) => sum + step[key], 0) / steps.length;
}
