/** The charts of a run directory. Imported on demand: the chart library takes longer to load than the rest of a command. */
import type { TrainingData } from "../data/texts.ts";
import { accuracyChart, type CurvePoint, type Curves, lossChart, perplexityChart } from "../report/charts.ts";
import { reliabilityChart } from "../report/reliability-chart.ts";
import type { StepRecord, TrainResult } from "../train/records.ts";
import { testReliability } from "./comparison.ts";
import { titleOf } from "./directory.ts";

type Key = "loss" | "accuracy" | "perplexity";

/**
 * Training and validation curves as files: loss.svg, and accuracy.svg, or for a language model perplexity.svg. Of a classifier that
 * was evaluated on the test set also reliability.svg.
 */
export function runCharts(result: TrainResult, data: TrainingData): [name: string, content: string][] {
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
    ...reliabilityFile(result, data),
  ];
}

function reliabilityFile(result: TrainResult, data: TrainingData): [name: string, content: string][] {
  if (data.objective === "lm" || !result.after) return [];
  return [["reliability.svg", reliabilityChart(titleOf(result.options), testReliability(result, data))]];
}

/** Maximum points of a training curve: single steps are noisy. */
const CURVE_POINTS = 40;

/** Means over chunks of equally many steps, each at the chunk's centre. Perplexity is computed from the mean loss. */
function trainingCurve(steps: StepRecord[], key: Key): CurvePoint[] {
  const chunk = Math.ceil(steps.length / CURVE_POINTS);
  return Array.from({ length: Math.ceil(steps.length / chunk) || 0 }, (_, i) => {
    const some = steps.slice(i * chunk, (i + 1) * chunk);
    const mean = (of: (record: StepRecord) => number) => some.reduce((sum, r) => sum + of(r), 0) / some.length;
    const value = key === "perplexity" ? Math.exp(mean((r) => r.loss)) : mean((r) => r[key]);
    return { examples_seen: mean((r) => r.examples), value };
  });
}

function examplesPerEpoch({ steps }: TrainResult): number {
  const last = steps.at(-1);
  return last ? last.examples / last.epoch : 1;
}
