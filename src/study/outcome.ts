/** The results of a sweep's cells, and which of them are compared. */
import type { Mode } from "../methods/index.ts";
import { comparePairs, type Interval, type Summary, summarize } from "../statistics.ts";
import { type Measure, readEvaluated } from "../tasks/compare.ts";
import { lowestLoss } from "../train/best.ts";
import { SETTING_NAMES } from "../train/settings.ts";
import { describeTrial, formatRate } from "./grid.ts";
import type { Candidate } from "./halving.ts";
import type { FinishedCell, TrialRecord } from "./store.ts";

/** A finished run, of a study or of the page. */
export type MeasuredRun = Omit<TrialRecord, "trial" | "device">;

/** A setting with finished runs: a cell with its trials. */
export interface Outcome<Run = TrialRecord> {
  label: string;
  mode: Mode;
  rank: number;
  alpha: number;
  lr: number;
  /** The rates that it was chosen from; empty: it was not chosen. */
  tried: { lr: number; trial: TrialRecord | null }[];
  trials: readonly Run[];
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
  const epochs = new Set(cells.map((cell) => cellOptions(cell).epochs));
  const names = cells.map(({ trials: [first] }) => {
    const { options, trial } = first!;
    return [
      describeTrial(first!),
      models.size > 1 ? trial.model : [],
      epochs.size > 1 ? `${options.epochs} epoch${options.epochs === 1 ? "" : "s"}` : [],
    ]
      .flat()
      .join(", ");
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
  return finished.map(({ trials, rates, tried }, i) => ({
    ...measureRuns(labels[i]!, trials, measure),
    tried: rates.length > 1 ? rates.map(([first], j) => ({ lr: first!.options.lr, trial: tried[j]! })) : [],
  }));
}

/** What runs that differ only in their seed have reached together. */
export function measureRuns<Run extends MeasuredRun>(
  label: string,
  trials: readonly Run[],
  measure: Measure,
): Outcome<Run> {
  const { mode, rank, alpha, lr } = trials[0]!.options;
  return {
    ...{ label, mode, rank, alpha, lr, trials },
    tried: [],
    loss: mean(trials.map(validationLoss)),
    val: summarize(trials.map(({ results }) => readEvaluated(measure, results.after.val))),
    test: summarize(trials.map(({ results }) => readEvaluated(measure, results.after.test))),
    interval: measure.statistics!.interval(testRows(trials)),
    seconds: mean(trials.map(({ seconds }) => seconds)),
  };
}

const validationLoss = ({ results }: MeasuredRun) => results.after.val.loss;

/** The answers of each trial to the test set. */
export const testRows = (trials: readonly MeasuredRun[]) => trials.map(({ results }) => results.test.rows);

/** The mean over the seeds on the test set, with its interval. */
export const testEstimate = ({ test, interval }: Pick<Outcome, "test" | "interval">) => ({
  value: test.mean,
  ...interval,
});

/** All finished trials, by name. */
export function finishedTrials(cells: readonly FinishedCell[]): TrialRecord[] {
  const all = cells.flatMap(({ tried, trials }) => [...tried, ...trials]).filter((one) => one !== null);
  const trialName = ({ trial }: TrialRecord) => trial.name;
  return [...new Map(all.map((one) => [one.trial.key, one])).values()].sort((a, b) =>
    trialName(a) < trialName(b) ? -1 : 1,
  );
}

/** The one with the lowest validation loss. The test set is not used for selection. */
export function bestOutcome<O extends Pick<Outcome, "loss">>(outcomes: readonly O[]): O | undefined {
  return lowestLoss(outcomes, ({ loss }) => loss);
}

/** Of runs that differ only in their seed the one with the lowest validation loss. */
export function bestRun<Run extends MeasuredRun>({ trials }: Pick<Outcome<Run>, "trials">): Run {
  return lowestLoss(trials, validationLoss) ?? trials[0]!;
}

/** The trial to use: the best run of the best setting. */
export function bestTrial(cells: readonly FinishedCell[]): TrialRecord | undefined {
  const finished = cells.filter(({ trials }) => trials.length > 0);
  const measured = finished.map(({ trials, rates }) => ({
    trials,
    mode: trials[0]!.options.mode,
    tried: rates.length > 1 ? rates : [],
    loss: mean(trials.map(validationLoss)),
  }));
  const compared = dropUntuned(measured);
  const best = bestOutcome(compared) ?? compared[0];
  return best && bestRun(best);
}

/** The best outcome, and each other one tested against it; p is corrected with Holm's method for all of them. */
export function compareWithBest<O extends Outcome<MeasuredRun>>(outcomes: readonly O[], measure: Measure) {
  const best = bestOutcome(outcomes) ?? outcomes[0]!;
  const others = outcomes.filter((one) => one !== best);
  const pairs = others.map((other) => [other, best] as const);
  const tests = comparePairs(pairs, (one, other) => ({
    outcome: one,
    ...measure.statistics!.test(testRows(one.trials), testRows(other.trials)),
  }));
  return { best, tests };
}

/** Without the cells at a shared learning rate, where there are others of the same mode with a rate of their own. */
export function dropUntuned<O extends { mode: Mode; tried: readonly unknown[] }>(outcomes: readonly O[]): O[] {
  const tuned = new Set(outcomes.filter(({ tried }) => tried.length > 0).map(({ mode }) => mode));
  return outcomes.filter(({ mode, tried }) => tried.length > 0 || !tuned.has(mode));
}

/** Of each candidate the outcome with the most epochs. */
export function longestOf(candidates: readonly Candidate[], outcomes: readonly Outcome[]): Outcome[] {
  const known = new Map(outcomes.map((outcome) => [outcome.trials[0]!.trial.key, outcome]));
  const longest = candidates.map(({ rungs }) =>
    rungs.findLast((trials) => trials.some(({ key }) => known.has(key)))?.find(({ key }) => known.has(key)),
  );
  return [...new Set(longest.flatMap((trial) => (trial ? known.get(trial.key)! : [])))];
}

/** The best cell of each mode. */
export function bestPerMode(outcomes: readonly Outcome[]): Outcome[] {
  const modes = [...new Set(outcomes.map(({ mode }) => mode))];
  return modes.flatMap((mode) => bestOutcome(outcomes.filter((outcome) => outcome.mode === mode)) ?? []);
}
