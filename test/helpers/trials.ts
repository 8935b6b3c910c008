/** Finished trials with made-up results. */

import type { Estimate } from "../../src/core/statistics.ts";
import type { LoadedDataset } from "../../src/data/datasets.ts";
import type { FinishedCell, TrialRecord } from "../../src/study/store.ts";
import { measureClasses } from "./answers.ts";

/** The trial as if it had given these classes to the rows of a test set, the probability of each by its row. */
export function predicting(
  trial: TrialRecord,
  data: LoadedDataset,
  predicted: readonly number[],
  probabilityOf: (row: number) => number = () => 0.5,
): TrialRecord {
  const { labels, test } = data;
  const predictions = predicted.map((label, row) => {
    const probability = probabilityOf(row);
    const rest = (1 - probability) / Math.max(1, labels.length - 1);
    const probabilities = Float64Array.from(labels, (_, id) => (id === label ? probability : rest));
    return { row, label, probability, probabilities };
  });
  const measured = measureClasses(data, predictions);
  const [{ acc, macro_f1: macroF1 }] = [measured.compared[0].measured];
  const { value: accuracy } = acc as Estimate;
  const after = { ...trial.results.after, test: { rows: test.size, loss: 1, accuracy, macroF1: macroF1 as number } };
  const whole = { ...trial, labels, results: { ...trial.results, after, test: measured } };
  return whole;
}

/** A cell at a shared learning rate, by seed. */
export function cellOf(trials: readonly TrialRecord[]): FinishedCell {
  const planned = trials.map(({ trial, options }) => ({ ...trial, options }));
  return { rates: [planned], chosen: 0, missing: [], tried: trials.slice(0, 1), trials: [...trials] };
}
