/** What is measured beside the loss: accuracy and macro F1 of a classifier, perplexity and bits per byte of text. */
import type { Objective } from "../config.ts";
import type { Evaluation } from "../engine/evaluate.ts";
import { percent, showLoss, showPerplexity } from "../format.ts";
import type { RunRecord } from "../run/record.ts";

export interface Metric {
  title: string;
  /** In the header of CSV. */
  key: string;
  /** Of an evaluation; loss and what a run is judged by also of the steps before it. */
  of(measured: Partial<Evaluation> & { loss: number; accuracy: number }): number;
  show(value: number): string;
  /** A sentence for those who do not know it. */
  help?: string;
}

export const LOSS: Metric = { title: "Loss", key: "loss", of: ({ loss }) => loss, show: showLoss };

/** The first is what a run is judged by. */
export const METRICS: Record<Objective, readonly [Metric, Metric]> = {
  classification: [
    { title: "Accuracy", key: "acc", of: ({ accuracy }) => accuracy, show: (share) => percent(share) },
    { title: "Macro F1", key: "macro_f1", of: ({ macroF1 }) => macroF1!, show: (share) => percent(share) },
  ],
  lm: [
    {
      ...{ title: "Perplexity", key: "ppl", show: showPerplexity },
      of: ({ loss }) => Math.exp(loss),
      help: "A perplexity of 100 means that the model is as unsure of the next token as if it chose among 100 equally likely ones: lower is better.",
    },
    { title: "Bits per byte", key: "bpb", of: ({ bitsPerByte }) => bitsPerByte!, show: showLoss },
  ],
};

export function runMetric({ objective }: Pick<RunRecord, "objective">): Metric {
  return METRICS[objective][0];
}
