/** What is measured beside the loss: accuracy and macro F1 of a classifier, perplexity and bits per byte of text. */
import type { Objective } from "../config.ts";
import type { Evaluation } from "../engine/evaluate.ts";
import { percent, showLoss, showPerplexity } from "../format.ts";

export interface Measure {
  title: string;
  /** In the header of CSV. */
  key: string;
  /** Of an evaluation, or of the first two also of the steps before it. */
  of(measured: Partial<Evaluation> & { loss: number; accuracy: number }): number;
  show(value: number): string;
}

export const LOSS: Measure = { title: "Loss", key: "loss", of: ({ loss }) => loss, show: showLoss };

/** The first is what a run is judged by. */
export const MEASURES: Record<Objective, readonly [Measure, Measure]> = {
  classification: [
    { title: "Accuracy", key: "acc", of: ({ accuracy }) => accuracy, show: (share) => percent(share) },
    { title: "Macro F1", key: "macro_f1", of: ({ macroF1 }) => macroF1!, show: (share) => percent(share) },
  ],
  lm: [
    { title: "Perplexity", key: "ppl", of: ({ loss }) => Math.exp(loss), show: showPerplexity },
    { title: "Bits per byte", key: "bpb", of: ({ bitsPerByte }) => bitsPerByte!, show: showLoss },
  ],
};
