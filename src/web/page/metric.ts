/** What a run is judged by beside its loss, with a sentence for those who do not know it. */
import type { RunRecord } from "../../run/record.ts";
import { MEASURES, type Measure } from "../../views/measures.ts";

export interface Metric extends Measure {
  help: string;
}

const HELP = {
  classification: "",
  lm: "A perplexity of 100 means that the model is as unsure of the next token as if it chose among 100 equally likely ones: lower is better.",
};

export function runMetric({ objective }: Pick<RunRecord, "objective">): Metric {
  return { ...MEASURES[objective][0], help: HELP[objective] };
}
