/** Makes and measures the scores of a regression. */
import { summarize, Z95 } from "../../statistics.ts";
import { INTERVAL } from "../stored.ts";
import { type LabelledRows, type Measuring, MISTAKES } from "../task.ts";
import { type ScoreBin, type ScoreDetails, trueScores } from "./regression-training.ts";

const BINS = 10;
const SAMPLED = 3;

export const measuring: Measuring<LabelledRows, ScoreDetails> = {
  stored: {
    answer: "number",
    columns: () => ({ truth: Infinity, predicted: Infinity }),
    details: { bins: [{ truth: "number", predicted: "number", interval: INTERVAL }] },
  },
  predict: (scores) => ({ values: scores }),
  answers: (set, { values }) => ({ truth: trueScores(set), predicted: Array.from(values) }),
  describe(_, { columns }) {
    const { truth = [], predicted = [] } = columns;
    const distance = (row: number) => Math.abs(predicted[row]! - truth[row]!);
    const order = [...truth.keys()].sort((a, b) => distance(a) - distance(b) || a - b);
    return {
      samples: order.slice(0, SAMPLED),
      mistakes: order.slice(-MISTAKES).reverse(),
      preferred: order,
      details: { bins: binScores(truth, predicted) },
    };
  },
};

/** Rows with equal true scores are in one bin. */
function binScores(truth: readonly number[], scores: readonly number[]): ScoreBin[] {
  const order = [...truth.keys()].sort((a, b) => truth[a]! - truth[b]! || a - b);
  const bins: ScoreBin[] = [];
  for (let start = 0; start < order.length; ) {
    let end = Math.min(order.length, start + Math.ceil(order.length / BINS));
    while (end < order.length && truth[order[end]!] === truth[order[end - 1]!]) end++;
    const rows = order.slice(start, end);
    const { mean, sd } = summarize(rows.map((row) => scores[row]!));
    const half = (Z95 * sd) / Math.sqrt(rows.length);
    const middle = summarize(rows.map((row) => truth[row]!)).mean;
    bins.push({ truth: middle, predicted: mean, interval: { low: mean - half, high: mean + half } });
    start = end;
  }
  return bins;
}
