import { formatLoss, formatPerplexity, formatScore, percent } from "../format.ts";
import type { RunRecord } from "../run/record.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import type { Objective } from "../tasks/index.ts";

export interface Metric {
  title: string;
  /** In the header of CSV. */
  key: string;
  /** Of an evaluation; loss and what a run is judged by also of the steps before it. */
  of(measured: Partial<Evaluation> & { loss: number }): number;
  show(value: number): string;
  /** A sentence for those who do not know it. */
  help?: string;
}

export const LOSS: Metric = { title: "Loss", key: "loss", of: ({ loss }) => loss, show: formatLoss };

const RMSE_HELP =
  "The root of the mean squared error: how far a score is from the true one, where large errors count more. Always giving the mean has the standard deviation of the scores.";

/** The first is what a run is judged by. */
export const METRICS: Record<Objective, readonly [Metric, Metric]> = {
  classification: [
    { title: "Accuracy", key: "acc", of: ({ accuracy }) => accuracy!, show: (share) => percent(share) },
    { title: "Macro F1", key: "macro_f1", of: ({ macroF1 }) => macroF1!, show: (share) => percent(share) },
  ],
  // In the scores' own unit.
  regression: [
    { title: "RMSE", key: "rmse", of: ({ loss }) => Math.sqrt(loss), show: formatScore, help: RMSE_HELP },
    { title: "MAE", key: "mae", of: ({ meanError }) => meanError!, show: formatScore },
  ],
  "multi-label": [
    { title: "Exact match", key: "exact", of: ({ accuracy }) => accuracy!, show: (share) => percent(share) },
    { title: "Micro F1", key: "micro_f1", of: ({ microF1 }) => microF1!, show: (share) => percent(share) },
  ],
  lm: [
    {
      ...{ title: "Perplexity", key: "ppl", show: formatPerplexity },
      of: ({ loss }) => Math.exp(loss),
      help: "A perplexity of 100 means that the model is as unsure of the next token as if it chose among 100 equally likely ones: lower is better.",
    },
    { title: "Bits per byte", key: "bpb", of: ({ bitsPerByte }) => bitsPerByte!, show: formatLoss },
  ],
};

/** Its name within a sentence: "accuracy", "RMSE". */
export const nameMetric = ({ title }: Metric) =>
  /^[A-Z]{2}/.test(title) ? title : title.charAt(0).toLowerCase() + title.slice(1);

export function runMetric({ objective }: Pick<RunRecord, "objective">): Metric {
  return METRICS[objective][0];
}
