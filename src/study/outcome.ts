/** The results of a sweep's cells, and which of them are compared. */
import type { Mode } from "../methods/index.ts";
import { type Interval, type Summary, summarize } from "../statistics.ts";
import { type Measure, readEvaluated } from "../tasks/compare.ts";
import { lowestLoss } from "../train/best.ts";
import { SETTING_NAMES } from "../train/settings.ts";
import { describeTrial, formatRate } from "./grid.ts";
import type { FinishedCell, TrialRecord } from "./store.ts";

/** A cell with finished trials. */
export interface Outcome {
  label: string;
  mode: Mode;
  rank: number;
  alpha: number;
  lr: number;
  /** The rates that it was chosen from; empty: it was not chosen. */
  tried: { lr: number; trial: TrialRecord | null }[];
  trials: TrialRecord[];
  /** Mean validation loss: the best cell has the lowest. */
  loss: number;
  val: Summary;
  test: Summary;
  interval: Interval;
  seconds: number;
}

export const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

const cellOptions = ({ trials: [first] }: FinishedCell) => first!.options;

/** The cells' descriptions, with the settings in which those of the same description differ. */
function labelCells(cells: readonly FinishedCell[]): string[] {
  const models = new Set(cells.map(({ trials: [first] }) => first!.trial.model));
  const names = cells.map(({ trials: [first] }) => {
    return describeTrial(first!) + (models.size > 1 ? `, ${first!.trial.model}` : "");
  });
  const rateLabel = (cell: FinishedCell) =>
    cell.rates.length > 1 ? "its own rate" : `rate ${formatRate(cellOptions(cell).lr)}`;
  const words: ((cell: FinishedCell) => string)[] = [
    rateLabel,
    ...SETTING_NAMES.filter((name) => name !== "lr" && name !== "seed").map(
      (name) => (cell: FinishedCell) => `${name} ${cellOptions(cell)[name]}`,
    ),
  ];
  const differing = new Map(
    [...new Set(names)].map((name) => {
      const same = cells.filter((_, i) => names[i] === name);
      return [name, words.filter((word) => new Set(same.map(word)).size > 1)];
    }),
  );
  return cells.map((cell, i) => [names[i], ...differing.get(names[i]!)!.map((word) => word(cell))].join(", "));
}

/** The cells that have finished trials. */
export function listOutcomes(cells: readonly FinishedCell[], measure: Measure): Outcome[] {
  const finished = cells.filter(({ trials }) => trials.length > 0);
  const labels = labelCells(finished);
  return finished.map((cell, i) => {
    const { trials } = cell;
    const { mode, rank, alpha, lr } = cellOptions(cell);
    const isTuned = cell.rates.length > 1;
    return {
      label: labels[i]!,
      ...{ mode, rank, alpha, lr, trials },
      tried: isTuned ? cell.rates.map(([first], j) => ({ lr: first!.options.lr, trial: cell.tried[j]! })) : [],
      loss: mean(trials.map(({ results }) => results.after.val.loss)),
      val: summarize(trials.map(({ results }) => readEvaluated(measure, results.after.val))),
      test: summarize(trials.map(({ results }) => readEvaluated(measure, results.after.test))),
      interval: measure.statistics!.interval(testRows(trials)),
      seconds: mean(trials.map(({ seconds }) => seconds)),
    };
  });
}

/** The answers of each trial to the test set. */
export const testRows = (trials: readonly TrialRecord[]) => trials.map(({ results }) => results.test.rows);

/** The mean over the seeds on the test set, with its interval. */
export const testEstimate = ({ test, interval }: Outcome) => ({ value: test.mean, ...interval });

/** All finished trials, by name. */
export function finishedTrials(cells: readonly FinishedCell[]): TrialRecord[] {
  const all = cells.flatMap(({ tried, trials }) => [...tried, ...trials]).filter((one) => one !== null);
  const trialName = ({ trial }: TrialRecord) => trial.name;
  return [...new Map(all.map((one) => [one.trial.key, one])).values()].sort((a, b) =>
    trialName(a) < trialName(b) ? -1 : 1,
  );
}

/** The one with the lowest validation loss. The test set is not used for selection. */
export function bestOutcome(outcomes: readonly Outcome[]): Outcome | undefined {
  return lowestLoss(outcomes, ({ loss }) => loss);
}

/** The trial to use: of the best setting the one with the lowest validation loss. */
export function bestTrial(cells: readonly FinishedCell[], measure: Measure): TrialRecord | undefined {
  const best = bestOutcome(dropUntuned(listOutcomes(cells, measure)));
  return best && lowestLoss(best.trials, ({ results }) => results.after.val.loss);
}

/** Without the cells at a shared learning rate, where there are others of the same mode with a rate of their own. */
export function dropUntuned(outcomes: readonly Outcome[]): Outcome[] {
  const tuned = new Set(outcomes.filter(({ tried }) => tried.length > 0).map(({ mode }) => mode));
  return outcomes.filter(({ mode, tried }) => tried.length > 0 || !tuned.has(mode));
}

/** The best cell of each mode. */
export function bestPerMode(outcomes: readonly Outcome[]): Outcome[] {
  const modes = [...new Set(outcomes.map(({ mode }) => mode))];
  return modes.flatMap((mode) => bestOutcome(outcomes.filter((outcome) => outcome.mode === mode)) ?? []);
}
