/** The results of a sweep's cells, and which of them are compared. */
import { groupBy } from "../core/group-by.ts";
import { comparePairs, type Interval, SIGNIFICANT, type Summary, summarize } from "../core/statistics.ts";
import { METHODS, type Mode, takesSteps } from "../methods/index.ts";
import { type Measure, readEvaluated } from "../tasks/compare.ts";
import type { Objective } from "../tasks/index.ts";
import { TRAINING } from "../tasks/training.ts";
import { lowestLoss } from "../train/best.ts";
import { SETTING_NAMES } from "../train/settings.ts";
import { describeAmong, formatRate, type Trial } from "./grid.ts";
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
  /** Mean validation loss: the best cell has the lowest. Not finite if one of them is not. */
  loss: number;
  val: Summary;
  test: Summary;
  interval: Interval;
  seconds: number;
}

export const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** The cells' descriptions, with the settings in which those of the same description differ before the base model. */
function labelCells(cells: readonly FinishedCell[]): string[] {
  type Word = (trial: Pick<Trial, "options" | "model">) => string;
  const all = cells.map(({ trials: [first] }) => ({ options: first!.options, model: first!.trial.model }));
  const differ = (group: typeof all) => (word: Word) => new Set(group.map(word).filter(Boolean)).size > 1;
  const settings = SETTING_NAMES.filter((name) => name !== "lr" && name !== "seed");
  const words: Word[] = [
    ({ options }) => `rate ${formatRate(options.lr)}`,
    ...settings.map(
      (name): Word =>
        ({ options }) =>
          `${name} ${options[name]}`,
    ),
  ];
  const epochs: Word = ({ options: { mode, epochs: n } }) =>
    takesSteps(mode) ? `${n} epoch${n === 1 ? "" : "s"}` : "";
  const describe = describeAmong(all);
  const model: Word = (trial) => trial.model;
  const last = [epochs, model].filter(differ(all));
  const label = (more: readonly Word[], trial: (typeof all)[number]) =>
    [describe, ...more, ...last].flatMap((word) => word(trial) || []).join(", ");
  const same = groupBy(all, (trial) => label([], trial));
  const differing = new Map([...same].map(([key, group]) => [key, words.filter(differ(group))]));
  return all.map((trial) => label(differing.get(label([], trial))!, trial));
}

export function listOutcomes(cells: readonly FinishedCell[], measure: Measure): Outcome[] {
  const finished = cells.filter(({ trials }) => trials.length > 0);
  const labels = labelCells(finished);
  return finished.map(({ trials, rates, tried }, i) => ({
    ...measureRuns(labels[i]!, trials, measure),
    tried: rates.length > 1 ? rates.map(([first], j) => ({ lr: first!.options.lr, trial: tried[j]! })) : [],
  }));
}

/** The joint results of runs that differ only in their seed. */
export function measureRuns<Run extends MeasuredRun>(
  label: string,
  trials: readonly Run[],
  measure: Measure,
): Outcome<Run> {
  const { mode, rank, alpha, lr } = trials[0]!.options;
  return {
    label,
    mode,
    rank,
    alpha,
    lr,
    trials,
    tried: [],
    loss: mean(trials.map(validationLoss)),
    val: summarize(trials.map(({ results }) => readEvaluated(measure, results.after.val))),
    test: summarize(trials.map(({ results }) => readEvaluated(measure, results.after.test))),
    interval: measure.statistics!.interval(testRows(trials)),
    seconds: mean(trials.map(({ seconds }) => seconds)),
  };
}

/** One that is not finite is null in a stored record. */
const validationLoss = ({ results }: MeasuredRun) => results.after.val.loss ?? Number.NaN;

/** The answers of each trial to the test set. */
export const testRows = (trials: readonly MeasuredRun[]) => trials.map(({ results }) => results.test.rows);

/** The mean over the seeds on the test set, with its interval. */
export const testEstimate = ({ test, interval }: Pick<Outcome, "test" | "interval">) => ({
  value: test.mean,
  ...interval,
});

/** All finished trials, by name. */
export function finishedTrials(cells: readonly FinishedCell[]): TrialRecord[] {
  const all = cells.flatMap(({ tried, trials }) => [...tried, ...trials]).filter((outcome) => outcome !== null);
  const byKey = new Map(all.map((outcome) => [outcome.trial.key, outcome]));
  return [...byKey.values()].sort((a, b) => (a.trial.name < b.trial.name ? -1 : 1));
}

/** By the validation loss; those whose loss is not finite are last. */
export function sortByLoss(outcomes: readonly Outcome[]): Outcome[] {
  const order = ({ loss }: Outcome) => (Number.isFinite(loss) ? loss : Number.MAX_VALUE);
  return [...outcomes].sort((a, b) => order(a) - order(b));
}

/**
 * The one with the lowest validation loss; undefined if none is finite. The test set is not used for selection.
 */
export function bestOutcome<O extends Pick<Outcome, "loss">>(outcomes: readonly O[]): O | undefined {
  return lowestLoss(outcomes, ({ loss }) => loss);
}

/** Of a setting the trial with the lowest validation loss; default: of the best one. */
export function bestTrial(outcomes: readonly Outcome[], best = bestOutcome(outcomes)): TrialRecord | undefined {
  return lowestLoss(best?.trials ?? [], validationLoss);
}

/**
 * The setting to use: the one with the lowest validation loss; or a probe, which takes seconds, unless the best other
 * one is distinguishably better on the validation set. Its p is multiplied by the number of others (Bonferroni): the
 * best of many is better by chance.
 */
export function recommended(outcomes: readonly Outcome[], measure: Measure): Outcome | undefined {
  const probe = bestOutcome(outcomes.filter(({ mode }) => METHODS[mode].isFitted));
  const others = outcomes.filter((outcome) => outcome !== probe && (!probe || hasValRows([outcome, probe])));
  const best = bestOutcome(others);
  if (!probe || !best) return probe ?? best;
  const [rows, ofProbe] = [best, probe].map(({ trials }) => trials.map(({ results }) => results.val!));
  const { p, firstIsBetter } = measure.statistics!.test(rows!, ofProbe!);
  return firstIsBetter && p * others.length < SIGNIFICANT ? best : probe;
}

const hasValRows = (compared: readonly Outcome[]) =>
  compared.flatMap(({ trials }) => trials).every(({ results }) => results.val !== undefined);

/** The run to use of a study. */
export function recommendedTrial(cells: readonly FinishedCell[], { objective }: { objective: Objective }) {
  const [measure] = TRAINING[objective].measures;
  const outcomes = listOutcomes(cells, measure);
  return bestTrial(outcomes, recommended(outcomes, measure));
}

/** Pairs of outcomes, tested on the same rows; p is corrected with Holm's method for all of them. */
export function testPairs<O extends Outcome<MeasuredRun>>(pairs: readonly (readonly [O, O])[], measure: Measure) {
  return comparePairs(pairs, (one, other) => ({
    one,
    other,
    ...measure.statistics!.test(testRows(one.trials), testRows(other.trials)),
  }));
}

/** The outcome with the lowest loss, and each other one tested against it; undefined if no loss is finite. */
export function compareWithBest<O extends Outcome<MeasuredRun>>(outcomes: readonly O[], measure: Measure) {
  const best = bestOutcome(outcomes);
  if (!best) return undefined;
  const others = outcomes.filter((outcome) => outcome !== best);
  const tests = testPairs(
    others.map((other) => [other, best]),
    measure,
  );
  return { best, tests };
}

/** Of each candidate the outcome with the most epochs. */
export function longestOf(candidates: readonly Candidate[], outcomes: readonly Outcome[]): Outcome[] {
  const known = new Map(outcomes.map((outcome) => [outcome.trials[0]!.trial.key, outcome]));
  const longest = candidates.map(({ rungs }) =>
    rungs.findLast((trials) => trials.some(({ key }) => known.has(key)))?.find(({ key }) => known.has(key)),
  );
  return [...new Set(longest.flatMap((trial) => (trial ? known.get(trial.key)! : [])))];
}

export function bestPerMode(outcomes: readonly Outcome[]): Outcome[] {
  const modes = [...new Set(outcomes.map(({ mode }) => mode))];
  return modes.flatMap((mode) => bestOutcome(outcomes.filter((outcome) => outcome.mode === mode)) ?? []);
}
