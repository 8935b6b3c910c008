/** The report of a study in short, for a terminal: its settings, or the seeds of a single one, and its best run. */

import { formatLoss } from "../../core/format.ts";
import type { TrainingData } from "../../data/training-data.ts";
import { type Block, text } from "../../document/blocks.ts";
import { judgedBy, nameMeasure, showMeasure } from "../../views/measures.ts";
import { bestTrial, compareWithBest, measureRuns, type Outcome, sortByLoss } from "../outcome.ts";
import { trialDirectory } from "../store.ts";
import { comparisonTable, describeComparison } from "./comparison.ts";
import { describeSeeds } from "./seeds.ts";

/** Settings that are shown and compared; the report has all. */
const SHOWN = 10;

/** `out`: the study's directory. Empty if no setting is the best. */
export function summaryBlocks(out: string, all: readonly Outcome[], data: TrainingData): Block[] {
  const measure = judgedBy(data);
  const outcomes = sortByLoss(all);
  const [best] = outcomes;
  const run = bestTrial(outcomes);
  if (!best || !run) return [];
  const shown = outcomes.slice(0, SHOWN);
  const isOne = outcomes.length === 1;
  const compared = isOne ? undefined : compareWithBest(shown, measure);
  const rows = isOne
    ? best.trials.map((trial) => {
        const label = `seed ${trial.options.seed}`;
        return { label, outcome: measureRuns(label, [trial], measure) };
      })
    : shown.map((outcome) => ({ label: outcome.label, outcome }));
  const caption = isOne
    ? best.label
    : `Settings${outcomes.length > SHOWN ? `: the ${SHOWN} with the lowest validation loss of ${outcomes.length}` : ""}`;
  const { val, test } = run.results.after;
  const expected =
    isOne && rows.length > 1 ? `, one of ${rows.length}: of another seed the average is to be expected` : "";
  const words = [
    compared ? describeComparison(compared, measure) : "",
    describeSeeds(outcomes, measure),
    `Best run: ${best.label}, seed ${run.options.seed}, with a validation loss of ${formatLoss(val.loss)}; its test ` +
      `${nameMeasure(measure)} is ${showMeasure(measure, test)}${expected}. It is in ${trialDirectory(out, run.trial)}.`,
  ];
  return [comparisonTable(caption, rows, measure, compared), ...words.filter(Boolean).map(text)];
}
