/** What is measured beside the loss: the accuracy of a classifier, the perplexity of a language model. */

import { count, percent } from "../format.ts";
import type { RunRecord } from "../run/record.ts";

export interface Metric {
  title: string;
  of(measured: { loss: number; accuracy: number }): number;
  show(value: number): string;
  /** A sentence for those who do not know it. */
  help: string;
}

const ACCURACY: Metric = {
  title: "Accuracy",
  of: ({ accuracy }) => accuracy,
  show: (value) => percent(value),
  help: "",
};

const PERPLEXITY: Metric = {
  title: "Perplexity",
  of: ({ loss }) => Math.exp(loss),
  show: (value) => (value < 1000 ? value.toFixed(1) : count(Math.round(value))),
  help: "A perplexity of 100 means that the model is as unsure of the next token as if it chose among 100 equally likely ones: lower is better.",
};

export function runMetric({ objective }: Pick<RunRecord, "objective">): Metric {
  return objective === "lm" ? PERPLEXITY : ACCURACY;
}
