/** The charts of a run directory. Apart from its other files: what draws them is larger than all the rest. */
import { accuracyChart, type CurvePoint, type Curves, lossChart, perplexityChart } from "../report/charts.ts";
import type { StepRecord, TrainResult } from "../train/records.ts";
import { titleOf } from "./directory.ts";

type Key = "loss" | "accuracy" | "perplexity";

/**
 * Loss, and accuracy or a language model's perplexity, of train and validation over the run, as the files loss.svg, and
 * accuracy.svg or perplexity.svg.
 */
export function runCharts(result: TrainResult): [name: string, content: string][] {
  const curves = (key: Key): Curves => ({
    title: titleOf(result.options),
    train: trainingCurve(result.steps, key),
    validation: result.evaluations.map(({ examples, val }) => ({ examples_seen: examples, value: val[key]! })),
    examplesPerEpoch: examplesPerEpoch(result),
  });
  return [
    ["loss.svg", lossChart(curves("loss"))],
    result.spec.task.objective === "lm"
      ? ["perplexity.svg", perplexityChart(curves("perplexity"))]
      : ["accuracy.svg", accuracyChart(curves("accuracy"))],
  ];
}

/** Points of a training curve at most: single steps of a few messages are noise. */
const CURVE_POINTS = 40;

/** Means over stretches of equally many steps, each at its stretch's middle; a perplexity is that of the mean loss. */
function trainingCurve(steps: StepRecord[], key: Key): CurvePoint[] {
  const stretch = Math.ceil(steps.length / CURVE_POINTS);
  return Array.from({ length: Math.ceil(steps.length / stretch) || 0 }, (_, i) => {
    const some = steps.slice(i * stretch, (i + 1) * stretch);
    const mean = (of: (record: StepRecord) => number) => some.reduce((sum, r) => sum + of(r), 0) / some.length;
    const value = key === "perplexity" ? Math.exp(mean((r) => r.loss)) : mean((r) => r[key]);
    return { examples_seen: mean((r) => r.examples), value };
  });
}

function examplesPerEpoch({ steps }: TrainResult): number {
  const last = steps.at(-1);
  return last ? last.examples / last.epoch : 1;
}
