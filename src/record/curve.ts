/**
 * The training curve of a run: means over groups of equally many steps, as single steps of a few messages are noisy.
 */
import type { StepRecord } from "../train/records.ts";

/** A curve has at most twice as many points: then the groups are joined in pairs. */
const POINTS = 40;

export interface Curve {
  /** Steps of a group. */
  group: number;
  /** Messages, or blocks of text, trained on at the last step of each group. */
  examples: number[];
  /** Means over each group. */
  loss: number[];
  accuracy: number[];
  /** The sums over the steps of the group that is not complete. */
  open: { steps: number; loss: number; accuracy: number };
}

const NOTHING = { steps: 0, loss: 0, accuracy: 0 };

export const EMPTY_CURVE: Curve = { group: 1, examples: [], loss: [], accuracy: [], open: NOTHING };

export function extendCurve(curve: Curve, step: StepRecord): Curve {
  const open = {
    steps: curve.open.steps + 1,
    loss: curve.open.loss + step.loss,
    accuracy: curve.open.accuracy + step.accuracy,
  };
  if (open.steps < curve.group) return { ...curve, open };
  return joinPairs({
    group: curve.group,
    examples: [...curve.examples, step.examples],
    loss: [...curve.loss, open.loss / open.steps],
    accuracy: [...curve.accuracy, open.accuracy / open.steps],
    open: NOTHING,
  });
}

function joinPairs(curve: Curve): Curve {
  if (curve.examples.length < 2 * POINTS) return curve;
  const second = (values: readonly number[]) => values.filter((_, i) => i % 2 === 1);
  const mean = (values: readonly number[]) => second(values).map((value, i) => (values[2 * i]! + value) / 2);
  return {
    group: 2 * curve.group,
    examples: second(curve.examples),
    loss: mean(curve.loss),
    accuracy: mean(curve.accuracy),
    open: NOTHING,
  };
}
