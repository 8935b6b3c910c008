/** The training curve as it is drawn: single steps of a few messages are noise, so stretches of them are averaged. */
import type { StepRecord } from "../../train/records.ts";
import type { Curve } from "../protocol.ts";

/** Points of a curve at most. */
const POINTS = 60;
/** Steps whose mean stands for "now". */
const RECENT = 20;

/** Means over stretches of equally many steps, each at its stretch's end. */
export function curveOf(steps: readonly StepRecord[]): Curve {
  const stretch = Math.ceil(steps.length / POINTS);
  const curve: Curve = { examples: [], loss: [], accuracy: [] };
  for (let start = 0; start < steps.length; start += stretch) {
    const some = steps.slice(start, start + stretch);
    // The last stretch is not yet full while a run goes on: it would jump.
    if (some.length < stretch && curve.examples.length > 0) break;
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
