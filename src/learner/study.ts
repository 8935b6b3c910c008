/** `study`: a model of rows whose settings are chosen, or that all rows have tested, in one call. */
import { checkArguments, checkOptions, type FieldKind, inRange, optional } from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import type { TrainedRun } from "../run/trained-run.ts";
import { type CrossValidation, crossValidate } from "../study/cross-validate.ts";
import type { FoldedData } from "../study/folds.ts";
import type { StudyReport } from "../study/report/report.ts";
import type { StudyEvent } from "../study/runner.ts";
import { study as trainRuns } from "../study/study.ts";
import type { Objective } from "../tasks/index.ts";
import { usualMode } from "../train/options.ts";
import { OTHER_NAMES, type TrainOptions } from "../train/settings.ts";
import { Learner } from "./learner.ts";
import { ROW_SOURCE, type RowSource, readRows, rowsOf } from "./rows.ts";
import { opening, TRAIN_OPTIONS, type TrainModelOptions } from "./train.ts";

/** The arguments of `study`: those of `train`, which all runs have, and what is studied. */
export interface StudyOptions extends TrainModelOptions {
  /** Settings to choose from by a validation set, a run each; with other seeds several. Default: folds. */
  runs?: readonly Partial<TrainOptions>[];
  /** Into how many parts the rows are divided, each of which tests a run on the others. Default: 5, without `runs`. */
  folds?: number;
  /** A directory: the same call does not repeat what has ended there. Default: in memory. */
  save?: string;
}

/** What a study has found. */
export interface Study<O extends Objective = "classification">
  extends Partial<Pick<CrossValidation, "estimate" | "answers" | "review">> {
  /** The model to use: of the recommended settings, or, of folds, of all rows. */
  model: Learner<O>;
  /** Its run, whose record has the results. */
  best: TrainedRun;
  report: StudyReport;
}

const KINDS: Record<string, FieldKind> = {
  ...TRAIN_OPTIONS,
  ...{ runs: "objects?", folds: optional(inRange({ min: 2, whole: true })), save: "text?" },
};

/** See index.ts. */
export async function study(source: RowSource, options: StudyOptions): Promise<Study<Objective>> {
  checkArguments({ rows: source }, { rows: ROW_SOURCE });
  checkOptions("options", options, KINDS, OTHER_NAMES);
  const { runs, folds, save, ...given } = options;
  if (runs && folds !== undefined)
    throw new ConfigError("options-conflict", "runs and folds are two studies", { expected: "one of them" });
  return opening(source, given, async ({ lease, base, isOwner, reading, training }) => {
    const { onProgress, signal, ...settings } = training;
    const data = await readRows(source, base, runs ? reading : { ...reading, test: 0 });
    const where = { device: lease.device, model: base };
    let done = 0;
    const onEvent = (event: StudyEvent) => {
      if (event.type !== "done") return;
      const { left, secondsLeft } = event;
      done++;
      onProgress?.({ phase: "train", fraction: done / (done + left), ...(secondsLeft !== null && { secondsLeft }) });
    };
    const how = { ...(save && { save }), ...(signal && { signal }), onEvent };
    const mode = usualMode(training, data as LoadedDataset, base.config);
    const { best, ...found } = runs
      ? await chooseRun({ ...where, data, runs: runs.map((run) => ({ mode, ...settings, ...run })), ...how })
      : await testAll({ ...where, data: data as FoldedData, ...settings, mode, ...(folds && { folds }), ...how });
    const adapter = await best.learned(base);
    const rows = async () => rowsOf(data, source);
    const model = await Learner.of({ lease, base, isOwner, adapter, rows, run: null, saved: null });
    return { model, best, ...found };
  });
}

async function chooseRun(args: Parameters<typeof trainRuns>[0]) {
  const { best, report, runs } = await trainRuns(args);
  const failed = runs.find((run) => run.status === "rejected");
  if (!best || !report) throw failed?.reason;
  return { best, report };
}

async function testAll(args: Parameters<typeof crossValidate>[0]) {
  const { final, estimate, answers, review, report } = await crossValidate(args);
  return { best: final!, estimate, answers, review, report };
}
