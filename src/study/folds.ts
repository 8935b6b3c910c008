/** A study of folds: a run for each, what they say of all rows together, and a run on all rows. */
import { joinPath } from "#platform";
import { fitWithin } from "../classic/fit.ts";
import type { ClassicModel } from "../classic/model.ts";
import { setTexts } from "../classic/tfidf.ts";
import { checkKinds } from "../core/checks.ts";
import { FormatError } from "../core/errors.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { digestData } from "../data/digest.ts";
import type { LoadedTexts } from "../data/text/texts.ts";
import type { TrainingData } from "../data/training-data.ts";
import { readJson } from "../io/common.ts";
import { LIMITS } from "../io/limits.ts";
import { takesSteps } from "../methods/index.ts";
import type { RunRecord } from "../record/record.ts";
import { PREDICTED } from "../run/directory.ts";
import { keptFigures } from "../tasks/compare.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { predictions } from "../tasks/predictions.ts";
import type { Answered, Baseline, ChosenDecision, Predicted, Results } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";
import { type FittedBaselines, fitBaselines } from "../train/baselines.ts";
import { leakedRows, measureTest, measuringContext } from "../train/measure.ts";
import { DEFAULTS } from "../train/options.ts";
import type { TrainOptions } from "../train/settings.ts";
import { nameTrial, type Trial } from "./grid.ts";
import { mean } from "./outcome.ts";
import { findSuspects, joinShares, type Review } from "./review.ts";
import { type TrialRecord, trialDirectory } from "./store.ts";

/** The number of folds, and whether a run learns from all rows afterwards. */
export interface FoldsAsked {
  count: number;
  final: boolean;
}

export type FoldedData = Exclude<TrainingData, LoadedTexts>;

export interface Fold {
  data: FoldedData;
  trial: Trial;
}

export type FoldRecord = RunRecord & TrialRecord;

/** The run on each fold's data. `base`: the fingerprint of the base model. */
export function listFolds(
  folds: readonly FoldedData[],
  model: { name: string; base: string },
  options: TrainOptions,
): Promise<Fold[]> {
  return Promise.all(
    folds.map(async (data, i) => {
      const trial = await nameTrial(model.name, options, { data: await digestData(data), base: model.base });
      return { data, trial: { ...trial, name: `fold${i + 1}-${trial.name}` } };
    }),
  );
}

/**
 * The run on all rows. No validation set chooses an epoch, so that it has as many as the folds have kept on average,
 * nor a temperature or a threshold: see `joinDecisions`.
 */
export async function finalTrial(
  all: FoldedData,
  runs: readonly FoldRecord[],
  model: { name: string; base: string },
  options: TrainOptions,
): Promise<Trial> {
  const { calibrate, threshold, positive } = DEFAULTS;
  const kept = Math.max(1, Math.round(mean(runs.map(keptEpoch))));
  const epochs = takesSteps(options.mode) ? kept : options.epochs;
  const foldOptions = { ...options, epochs, patience: 0, calibrate, threshold, positive };
  const trial = await nameTrial(model.name, foldOptions, { data: await digestData(all), base: model.base });
  return { ...trial, name: `all-${trial.name}` };
}

/** The epoch after which the saved parameters of a run are. */
export const keptEpoch = ({ keptStep, stepsPerEpoch }: RunRecord): number => keptStep / stepsPerEpoch;

/** The predictions of a fold that has ended in a directory, for its rows. */
export async function readPredicted(out: string, { trial, data }: Fold, record: FoldRecord): Promise<Predicted> {
  const path = joinPath(trialDirectory(out, trial), PREDICTED);
  const predicted = (await readJson(path, LIMITS.ownJson)) as Predicted;
  checkKinds({ predicted }, { predicted: "object" }, path);
  checkKinds(predicted, { values: "numbers", probabilities: "numbers?" }, path);
  const { test, labels, objective } = data;
  const { values, probabilities } = predicted;
  const columns = TRAINING[objective].columns(test, values, labels.length);
  const isWhole = probabilities === undefined || probabilities.length === test.size * labels.length;
  if (isWhole && JSON.stringify(columns) === JSON.stringify(record.results.test.rows)) return predicted;
  throw new FormatError("invalid-field", `not what the run in this directory says of its rows`, {
    where: path,
    hint: "remove the run's directory: the same command trains it again",
  });
}

/** The predictions of the folds for all rows, each of which one of them has tested. */
export interface Pooled {
  /** All rows are the test set, one fold behind the other. */
  data: FoldedData;
  /** The fold of each of them, from 0. */
  folds: readonly number[];
  results: Results;
  answers: Answered;
  /** The rows whose label is improbable; null: a row has not one class. */
  review: Review | null;
  /** Fits the classic model of all rows, with the middle one of the folds' strengths; null: there is none. */
  fitClassic: () => Promise<ClassicModel | null>;
}

export interface FoldResults {
  all: FoldedData;
  pooled: Pooled;
  runs: readonly FoldRecord[];
  /** The run on all rows; null: none was asked for. */
  final: RunRecord | null;
}

/**
 * Puts together what the folds' runs `said` of their rows. The baselines are fitted to each fold's training set;
 * measures are those of all rows, and what is of a training or validation set is the mean of the folds, by their rows.
 */
export async function poolFolds(
  all: FoldedData,
  folds: readonly Fold[],
  records: readonly FoldRecord[],
  said: readonly Predicted[],
): Promise<Pooled> {
  const training = TRAINING[all.objective];
  const data = pooledData(all, folds);
  const context = measuringContext(all, records[0]!.options);
  const predicted = joinPredicted(said);
  const fitted: FittedBaselines[] = [];
  for (const fold of folds) fitted.push(await fitBaselines(fold.data));
  const leaked = new Set<number>();
  let start = 0;
  for (const fold of folds) {
    for (const row of leakedRows(fold.data)) leaked.add(start + row);
    start += fold.data.test.size;
  }
  const baselines = joinBaselines(fitted.map((fit) => fit.baselines));
  const test = measureTest(data, predicted, baselines, context, leaked);
  const evaluated = (when: "before" | "after") => ({
    train: meanEvaluation(records.map(({ results }) => results[when].train)),
    val: null,
    test: meanEvaluation(records.map(({ results }) => results[when].test)),
  });
  const after = evaluated("after");
  // What has learned nothing knows no wrong label.
  const isBetter = test.compared.at(-1)!.against?.standing === "better";
  const shares = training.labels.classOf && isBetter ? await reviewShares(folds, fitted, predicted) : null;
  const figures = keptFigures(training.measures, test.rows);
  return {
    data,
    folds: folds.flatMap(({ data: { test: rows } }, fold) => new Array<number>(rows.size).fill(fold)),
    results: {
      before: evaluated("before"),
      after: { ...after, test: { ...after.test, ...figures } },
      parts: [],
      decision: joinDecisions(records),
      test,
    },
    answers: training.answers!(data.test, predicted, context),
    fitClassic: () => fitAll(all, fitted),
    review: shares && { shares, suspects: findSuspects(shares, test.rows.truth!, all.labels.length) },
  };
}

/** The mean of what the folds have chosen, each on its validation set. */
function joinDecisions(records: readonly FoldRecord[]): ChosenDecision | null {
  const all = records.flatMap(({ results }) => results.decision ?? []);
  if (all.length < records.length) return null;
  const meanOf = (name: "threshold" | "precision" | "recall") => {
    const values = all.flatMap((decision) => decision[name] ?? []);
    return values.length > 0 ? { [name]: mean(values) } : {};
  };
  const [{ temperature, positive, thresholds }] = all as [ChosenDecision];
  const reached = all.flatMap((decision) => (decision.threshold === undefined ? (decision.reached ?? null) : []));
  return {
    ofFolds: records[0]!.options.threshold,
    // A factor: twice and half of it cancel.
    ...(temperature === undefined
      ? {}
      : { temperature: Math.exp(mean(all.map((decision) => Math.log(decision.temperature!)))) }),
    ...(positive === undefined ? {} : { positive }),
    ...meanOf("threshold"),
    ...meanOf("precision"),
    ...meanOf("recall"),
    ...(thresholds === undefined
      ? {}
      : { thresholds: thresholds.map((_, i) => mean(all.map((decision) => decision.thresholds![i]!))) }),
    ...(positive !== undefined && reached.length === all.length
      ? { reached: reached.includes(null) ? null : Math.max(...(reached as number[])) }
      : {}),
  };
}

async function fitAll(all: FoldedData, fitted: readonly FittedBaselines[]): Promise<ClassicModel | null> {
  const strengths = fitted.flatMap(({ classic }) => classic?.parts.strength ?? []).sort((a, b) => a - b);
  if (strengths.length < fitted.length) return null;
  return fitWithin(all as LoadedDataset, {}, strengths[Math.floor(strengths.length / 2)]);
}

/** By which probabilities labels are reviewed: those of the runs and of the classic models of their folds. */
async function reviewShares(
  folds: readonly Fold[],
  fitted: readonly FittedBaselines[],
  { probabilities }: Predicted,
): Promise<ArrayLike<number>> {
  const { labels } = folds[0]!.data;
  const others: number[] = [];
  for (const [i, { data }] of folds.entries()) {
    const { classic } = fitted[i]!;
    if (!classic) return probabilities!;
    const set = data.test as LoadedDataset["test"];
    const logits = await classic.logits([...setTexts(set, set.positions())], labels);
    for (const prediction of predictions(Float64Array.from(logits), labels.length))
      others.push(...prediction.probabilities);
  }
  return joinShares(probabilities!, others, labels.length);
}

/** The data with the rows of all folds, one behind the other, as its test set. */
function pooledData(all: FoldedData, folds: readonly Fold[]): FoldedData {
  const positions = new Map(Array.from(all.train.positions(), (i) => [all.train.place(i), i]));
  const order = folds.flatMap(({ data: { test } }) =>
    Array.from(test.positions(), (i) => positions.get(test.place(i))!),
  );
  const test = all.train.select(order);
  return { ...all, test, stats: { ...all.stats, test: test.stats() } } as FoldedData;
}

function joinPredicted(some: readonly Predicted[]): Predicted {
  const join = (lists: readonly ArrayLike<number>[]) => lists.flatMap((list) => Array.from(list));
  const values = join(some.map((fold) => fold.values));
  const shares = some.flatMap(({ probabilities }) => (probabilities ? [probabilities] : []));
  return shares.length === some.length ? { values, probabilities: join(shares) } : { values };
}

/** The baselines that all folds have. What their names differ in, such as a strength, is left out. */
function joinBaselines(fitted: readonly Baseline[][]): Baseline[] {
  const fewest = Math.min(...fitted.map(({ length }) => length));
  // The last are the simplest, which every fold has.
  const tails = fitted.map((own) => own.slice(own.length - fewest));
  return tails[0]!.map((_, i) => {
    const own = tails.map((list) => list[i]!);
    const limits = own.find((baseline) => baseline.limits !== undefined)?.limits;
    const alike = own.flatMap((baseline) => baseline.alike ?? []);
    return {
      name: joinNames(own.map(({ name }) => name)),
      ...(limits === undefined ? {} : { limits }),
      ...(alike.length > 0 ? { alike: mean(alike) } : {}),
      values: own.flatMap(({ values }) => Array.from(values)),
    };
  });
}

/** The strength, or the mean, that a baseline was fitted with. */
const FITTED = / \((C|alpha) [^)]*\)$|(?<=^always the mean), .*$/;

/** "TF-IDF, logistic regression" of several strengths, "always the mean", or "always ham or spam". */
function joinNames(names: readonly string[]): string {
  if (new Set(names).size === 1) return names[0]!;
  const [first, ...others] = new Set(names.map((name) => name.replace(FITTED, "")));
  return [first!, ...others.map((name) => name.replace(/^always /, ""))].join(" or ");
}

/** The mean of evaluations, by their rows. */
function meanEvaluation(evaluations: readonly Evaluation[]): Evaluation {
  const rows = evaluations.reduce((sum, evaluation) => sum + evaluation.rows, 0);
  const keys = Object.keys(evaluations[0]!) as (keyof Evaluation)[];
  const figures = keys.map((key) => [
    key,
    evaluations.reduce((sum, evaluation) => sum + (evaluation.rows / rows) * evaluation[key]!, 0),
  ]);
  return { ...(Object.fromEntries(figures) as unknown as Evaluation), rows };
}
