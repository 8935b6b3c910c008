/** The charts of a run directory. Imported on demand: the chart library loads slower than the rest of a command. */

import { describeMethod, examplesPerEpoch, type RunRecord } from "../run/record.ts";
import { accuracyChart, type Curves, lossChart, perplexityChart } from "./charts/lines.ts";
import { reliabilityChart } from "./charts/reliability-chart.ts";

type Key = "loss" | "accuracy" | "perplexity";

/**
 * Training and validation curves as files: loss.svg, and accuracy.svg, or for a language model perplexity.svg. Of a
 * classifier that was evaluated on the test set also reliability.svg.
 */
export function runCharts(record: RunRecord): [name: string, content: string][] {
  const { curve, evaluations, objective, options, results } = record;
  const title = describeMethod(options);
  const value = (key: Key, i: number) => (key === "perplexity" ? Math.exp(curve.loss[i]!) : curve[key][i]!);
  const curves = (key: Key): Curves => ({
    title,
    train: curve.examples.map((examples_seen, i) => ({ examples_seen, value: value(key, i) })),
    validation: evaluations.map(({ examples, val }) => ({ examples_seen: examples, value: val[key]! })),
    examplesPerEpoch: examplesPerEpoch(record),
  });
  return [
    ["loss.svg", lossChart(curves("loss"))],
    objective === "lm"
      ? ["perplexity.svg", perplexityChart(curves("perplexity"))]
      : ["accuracy.svg", accuracyChart(curves("accuracy"))],
    ...(results?.test ? [reliabilityFile(title, results.test.calibration)] : []),
  ];
}

function reliabilityFile(
  title: string,
  calibration: Parameters<typeof reliabilityChart>[1],
): [name: string, content: string] {
  return ["reliability.svg", reliabilityChart(title, calibration)];
}
