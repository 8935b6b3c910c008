/** Cross-validation: the runs of folds, what they say together, and a run on all rows; and the API of it. */
import { backendOf } from "../backend/backend.ts";
import { checkOptions, type FieldKind } from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import type { TextOrPair } from "../core/pair.ts";
import { setting } from "../core/setting.ts";
import type { Estimate } from "../core/statistics.ts";
import { divideFolds } from "../data/sets/folds.ts";
import { FeatureStore } from "../engine/features.ts";
import { nameBase } from "../record/base-name.ts";
import type { TrainedRun } from "../run/trained-run.ts";
import { type Objective, TASKS } from "../tasks/index.ts";
import { type Answer, byLabel } from "../tasks/predictions.ts";
import type { Predicted, Results } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";
import { OPTIONS } from "../train/job.ts";
import { completeOptions, prepareRun } from "../train/prepare.ts";
import type { TrainOptions } from "../train/settings.ts";
import { OTHER_NAMES } from "../train/settings.ts";
import {
  type Fold,
  type FoldedData,
  type FoldRecord,
  type FoldResults,
  type FoldsAsked,
  finalTrial,
  listFolds,
  type Pooled,
  poolFolds,
  readPredicted,
} from "./folds.ts";
import { refuseAuto, type Trial } from "./grid.ts";
import { reportFolds } from "./report/folds.ts";
import type { StudyReport } from "./report/report.ts";
import type { Suspect } from "./review.ts";
import { type CompletedRun, Ended, runTrials, type StudyEvent, type TrialsArguments } from "./runner.ts";
import { STUDY_KINDS, type StudyArguments } from "./study.ts";
import { beginStudy, keepBest, recordStudy } from "./study-record.ts";

/** The arguments of `crossValidate`, with the settings of `TrainOptions`. */
export interface CrossValidateArguments
  extends Partial<TrainOptions>,
    Pick<StudyArguments, "device" | "model" | "checkpointEvery" | "signal"> {
  /**
   * From `loadDataset` or `loadTagged`, with all rows in the training set: `{ fractions: [1, 0, 0] }`. Near-duplicates
   * are in one fold, and with a `groupColumn` the rows of one group.
   */
  data: FoldedData;
  /** Into how many parts the rows are divided, each of which tests a run on the others. Default: 5. */
  folds?: number;
  /** Whether a run learns from all rows at the end. Default: true. */
  final?: boolean;
  /**
   * A study's directory: the runs are in its folder trials, and the report and its tables are there, too. The same call
   * does not repeat what has ended, and resumes what was interrupted. Default: runs are kept in memory.
   */
  save?: string;
  /** Called with what happens to each run, which `trial` names: "fold1-...", or "all-...". */
  onEvent?: (event: StudyEvent) => void;
}

/** The answer to a row by the one run that has not learned from it. */
export interface OutOfFold {
  /** Its index among the rows that were read. */
  row: number;
  /** From 1. */
  fold: number;
  text: TextOrPair;
  truth: Answer;
  predicted: Answer;
  /** Of each label, where labels have them. */
  probabilities?: Record<string, number>;
}

/** A row whose label is improbable by models that have not learned from it, and so perhaps wrong. */
export interface LabelToReview {
  /** Its index among the rows that were read. */
  row: number;
  text: TextOrPair;
  /** The label that it has, and its probability. */
  label: string;
  probability: number;
  suggested: string;
}

/** The results of folds. */
export interface CrossValidation {
  /**
   * What runs are judged by, such as the accuracy: of all rows, with its 95 % interval (NaN: all samples of the
   * rows have the same figure). null: it is not defined for these rows.
   */
  estimate: (Estimate & { measure: string }) | null;
  /** All that is measured: `results.test` is of all rows, with the baselines of the folds. */
  results: Results;
  /** The answer to each row, in the order of the rows. */
  answers: OutOfFold[];
  /** The rows to look at, the worst first, by confident learning; null where a row has not one class. */
  review: LabelToReview[] | null;
  /** The run of each fold. */
  runs: TrainedRun[];
  /** The run on all rows, whose record has `results`; null: none was asked for. */
  final: TrainedRun | null;
  report: StudyReport;
}

/** A study of folds whose data is divided. */
export interface DividedFolds {
  asked: FoldsAsked;
  all: FoldedData;
  folds: readonly Fold[];
  /** The model as the runs name it, and its fingerprint. */
  named: { name: string; base: string };
  options: TrainOptions;
}

interface TrainedFolds {
  results: FoldResults;
  runs: TrainedRun[];
  final: TrainedRun | null;
}

/** Throws ConfigError for data that has no folds. */
export function refuseUnlabelled({ objective }: { objective: Objective }): void {
  if (TRAINING[objective].answers) return;
  throw new ConfigError("options-conflict", `${setting("folds")} is invalid for ${TASKS[objective].title}`, {
    expected: "data with labels",
    hint: `omit ${setting("folds")}`,
  });
}

/**
 * Trains what is left of the folds and, when they have ended, the run on all rows. Returns the trials that have not
 * ended, if there are any: those have failed, or were aborted, or another process trains them.
 */
export async function trainFolds(
  { asked, all, folds, named, options }: DividedFolds,
  how: Omit<TrialsArguments, "trials" | "dataOf" | "complete"> & { ended: Ended },
): Promise<TrainedFolds | Trial[]> {
  const { out, ended } = how;
  const shared = { store: FeatureStore.ofStudy(), ...how };
  const predicted = new Map<string, Predicted>();
  const dataOf = new Map(folds.map(({ trial, data }) => [trial.key, data]));
  const trials = folds.map(({ trial }) => trial);
  await runTrials({
    ...shared,
    trials,
    dataOf: ({ key }) => dataOf.get(key)!,
    async complete(trained) {
      predicted.set(trained.record.trial!.key, trained.result.predicted!);
      return trained;
    },
  });
  const found = await Promise.all(trials.map((trial) => ended.find(trial)));
  const runs = found.filter((run) => run !== null);
  // Until there is a run on all rows.
  if (out !== undefined) await keepBest(out, runs[0]?.record.trial);
  if (runs.length < trials.length) return trials.filter((_, i) => !found[i]);
  const records = runs.map(({ record }) => record as FoldRecord);
  const said = folds.map(async (fold, i) => predicted.get(fold.trial.key) ?? readPredicted(out!, fold, records[i]!));
  const pooled = await poolFolds(all, folds, records, await Promise.all(said));
  if (!asked.final) return { results: { all, pooled, runs: records, final: null }, runs, final: null };
  const trial = await finalTrial(all, records, named, options);
  const complete = async ({ record, result }: CompletedRun): Promise<CompletedRun> => ({
    record: { ...record, results: pooled.results, folds: folds.length },
    result: { ...result, classic: await pooled.fitClassic() },
  });
  await runTrials({ ...shared, trials: [trial], dataOf: () => all, complete });
  const final = await ended.find(trial);
  if (out !== undefined && final) await keepBest(out, trial);
  return final ? { results: { all, pooled, runs: records, final: final.record }, runs, final } : [trial];
}

const KINDS: Record<Exclude<keyof CrossValidateArguments, keyof TrainOptions>, FieldKind> = {
  ...STUDY_KINDS,
  folds: "number?",
  final: "boolean?",
};

/** Trains the runs as `trainFolds` does. Rejects if one of them fails. */
export async function crossValidate(args: CrossValidateArguments): Promise<CrossValidation> {
  checkOptions("args", args, { ...KINDS, ...OPTIONS }, OTHER_NAMES);
  const { device: _, model, data: all, folds: count = 5, final = true, save: out, ...others } = args;
  const { checkpointEvery, signal = new AbortController().signal, onEvent: report, ...settings } = others;
  const device = backendOf(args.device);
  refuseUnlabelled(all);
  const parts = divideFolds(all, count);
  refuseAuto(settings);
  const first = { device, model, data: parts[0]!, ...settings };
  prepareRun(first);
  const options = completeOptions(first);
  const asked = { count, final };
  const { name } = nameBase(model.directory);
  const spec = { base: { model: name, objective: all.objective, ...settings }, arms: [{}] };
  const record = await recordStudy(all, [[name, model]], { spec, seeds: 1, folds: asked });
  const named = { name, base: record.bases[name]! };
  const folds = await listFolds(parts, named, options);
  if (out !== undefined) await beginStudy(out, record);
  const ended = new Ended(out);
  const trained = await trainFolds(
    { asked, all, folds, named, options },
    { out, device, model, signal, checkpointEvery, ended, onEvent: (event) => report?.(event) },
  );
  if (Array.isArray(trained)) {
    signal.throwIfAborted();
    throw [...ended.errors.values()][0] ?? ended.reason(trained[0]!, signal);
  }
  const { results, ...runs } = trained;
  return { ...describePooled(results.pooled), ...runs, report: await reportFolds(results, out) };
}

function describePooled({ data, folds, results, answers, review }: Pooled) {
  const { test, labels, objective } = data;
  const [{ key, title: measure }] = TRAINING[objective].measures;
  const estimate = results.test.compared[0].measured[key] as Estimate | null;
  const { truth, predicted, probabilities } = answers;
  const k = labels.length;
  const describeSuspect = ({ row, suggested }: Suspect): LabelToReview => {
    const label = String(truth[row]);
    const probability = review!.shares[row * k + labels.indexOf(label)]!;
    return { row: test.place(row), text: test.text(row), label, probability, suggested: labels[suggested]! };
  };
  const rows = folds.map((fold, i): OutOfFold => {
    const byName =
      probabilities &&
      byLabel(
        labels,
        Array.from({ length: k }, (_, c) => probabilities[i * k + c]!),
      );
    return {
      row: test.place(i),
      fold: fold + 1,
      text: test.text(i),
      truth: truth[i]!,
      predicted: predicted[i]!,
      ...(byName ? { probabilities: byName } : {}),
    };
  });
  return {
    results,
    estimate: estimate && { measure, ...estimate },
    answers: rows.sort((a, b) => a.row - b.row),
    review: review?.suspects.map(describeSuspect) ?? null,
  };
}
