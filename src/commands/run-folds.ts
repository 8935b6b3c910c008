/** train --folds: a run for each fold, the estimate that they make together, and the run on all rows. */
import { joinPath } from "#platform";
import { divideFolds } from "../data/folds.ts";
import { ConfigError, nameList } from "../errors.ts";
import { countOf } from "../io/common.ts";
import type { BaseModel } from "../io/hf.ts";
import type { RunViews } from "../run/directory.ts";
import { loadData, resolveSettings } from "../run/load-data.ts";
import type { RunRecord } from "../run/record.ts";
import { trainOptions } from "../run/settings.ts";
import { setting } from "../setting.ts";
import {
  type Fold,
  type FoldedData,
  type FoldsAsked,
  finalTrial,
  foldFiles,
  listFolds,
  poolFolds,
  readFold,
} from "../study/folds.ts";
import type { Trial } from "../study/grid.ts";
import { type CompletedRun, type EventSubject, runTrials, type StudyEvent } from "../study/runner.ts";
import { readFinished, trialDirectory } from "../study/store.ts";
import { beginStudy, recordStudy, type StudyRecord } from "../study/study-record.ts";
import { DEFAULT_OBJECTIVE, TASKS } from "../tasks/index.ts";
import { TRAINING } from "../tasks/training.ts";
import { knownBase } from "../train/options.ts";
import { prepareRun } from "../train/prepare.ts";
import type { RunSettings, TrainOptions } from "../train/settings.ts";
import { Interruption, print, printNote } from "./cli.ts";
import { printBlocks, tryIt } from "./run-printer.ts";
import { DOWNLOADS, readModel, type StudyOptions, type StudyRequest } from "./run-study.ts";
import { reached, TrialPrinter } from "./trial-printer.ts";

/** A study of folds whose data is loaded. Its model is closed: it was read for its fingerprint. */
interface OpenedFolds {
  record: StudyRecord;
  asked: FoldsAsked;
  model: BaseModel;
  /** The model as the runs name it, and its fingerprint. */
  named: { name: string; base: string };
  all: FoldedData;
  options: TrainOptions;
  folds: Fold[];
}

/** Loads all rows, divides them, and lists the runs. Throws ConfigError or DataError for what has no folds. */
export async function openFolds({ base, source }: StudyRequest, asked: FoldsAsked): Promise<OpenedFolds> {
  refuseWithFolds(base, asked);
  const model = await readModel(base.model!);
  const whole = { ...base, fractions: [1, 0, 0] as const };
  const { data } = await resolveSettings(whole, model, undefined, (given) =>
    loadData(source ?? given, model, DOWNLOADS),
  );
  const all = data as FoldedData;
  const spec = { base, arms: [{}] };
  const record = await recordStudy(all, [[base.model!, model]], { spec, seeds: 1, folds: asked });
  const named = { name: base.model!, base: record.bases[base.model!]! };
  const parts = divideFolds(all, asked.count);
  const options = trainOptions(base, { rows: parts[0]!.train.size, ...knownBase(model.config) });
  return { record, asked, model, named, all, options, folds: await listFolds(parts, named, options) };
}

function refuseWithFolds(
  { objective = DEFAULT_OBJECTIVE, calibrate, threshold = "none" }: RunSettings,
  asked: FoldsAsked,
) {
  if (TRAINING[objective].labels === null)
    throw new ConfigError("options-conflict", `--folds is invalid for ${TASKS[objective].title}`, {
      expected: "data with labels",
      hint: "omit --folds",
    });
  const chosen = calibrate ? "calibrate" : threshold === "none" ? null : "threshold";
  if (chosen && asked.final)
    throw new ConfigError(
      "options-conflict",
      `${setting(chosen)} needs a validation set, which a run on all rows has not`,
      {
        expected: `${setting("folds", asked.count)} without it`,
        hint: `with ${setting("final", "none")} the folds alone are trained`,
      },
    );
}

/** Runs the folds, puts them together, trains on all rows, and reports. Returns the exit code. */
export async function runFolds(study: OpenedFolds, options: StudyOptions): Promise<number> {
  const { record, asked, all, folds, model, named } = study;
  const { out, device, json = false } = options;
  // Before the runs, so that a study does not depend on files that change meanwhile.
  const views = await import("../views/study/folds.ts");
  const { runFiles } = await import("../views/run-files.ts");
  // What is wrong with all of them is reported once, before anything is stored.
  prepareRun({ device, model, data: folds[0]!.data, ...study.options });
  await beginStudy(out, record);
  const titles = new Map(folds.map(({ trial }, i) => [trial.key, `fold ${i + 1} of ${folds.length}`]));
  const trials = folds.map(({ trial }) => trial);
  const title = ({ key }: Trial) => titles.get(key) ?? `all ${all.train.size} rows`;
  const printer = new TrialPrinter(all, json, [{ rates: [trials] }], title);
  printer.begin(record.spec.base);
  const runner = new Runner(options, printer);
  try {
    const dataOf = new Map(folds.map(({ trial, data }) => [trial.key, data]));
    await runner.run(trials, ({ key }) => dataOf.get(key)!, foldFiles(runFiles));
    if (runner.isInterrupted) return runner.interrupted();
    const read = await Promise.all(folds.map((fold) => readFold(out, fold)));
    const runs = read.filter((one) => one !== null);
    if (runs.length < folds.length) return reportMissing(trials.filter((_, i) => !read[i]).map(title));
    const pooled = await poolFolds(all, folds, runs);
    const records = runs.map(([run]) => run);
    let final: RunRecord | null = null;
    if (asked.final) {
      const trial = await finalTrial(all, records, named, study.options);
      const complete = async ({ record: run, result }: CompletedRun): Promise<CompletedRun> => ({
        record: { ...run, results: pooled.results, folds: folds.length },
        result: { ...result, classic: await pooled.fitClassic() },
      });
      await runner.run([trial], () => all, runFiles, complete);
      if (runner.isInterrupted) return runner.interrupted();
      final = await readFinished(out, trial);
      if (!final) return reportMissing([title(trial)]);
    }
    const results = { all, pooled, runs: records, final };
    await views.writeFolds(out, results);
    const report = joinPath(out, "report.html");
    const saved = final?.trial && trialDirectory(out, final.trial);
    if (json) {
      const each = records.map((run, i) => ({ trial: run.trial.name, fold: i + 1, ...reached(run) }));
      const { compared } = pooled.results.test;
      console.log(JSON.stringify({ type: "end", trials: each, compared, best: final?.trial?.name ?? null }));
      console.log(JSON.stringify({ type: "saved", directory: out, report, run: saved ?? null }));
      return 0;
    }
    printBlocks(views.foldsSummary(results));
    print(`report: ${report}; the answer to each row: ${joinPath(out, "out-of-fold.csv")}`);
    const { suspects = [] } = pooled.review ?? {};
    if (suspects.length > 0) print(`labels to review: ${countOf(suspects, "row")} in ${joinPath(out, "review.csv")}`);
    if (saved) tryIt(saved, final!);
    return 0;
  } finally {
    runner.end();
  }
}

function reportMissing(titles: readonly string[]): number {
  printNote(`${countOf(titles, "run")} not finished: ${nameList(titles)}. The same command trains what is missing`);
  return 1;
}

/** Runs trials, and stops after a checkpoint when it is interrupted. */
class Runner {
  private readonly interruption = new Interruption("stopping after a checkpoint; interrupt again to stop immediately");

  constructor(
    private readonly options: StudyOptions,
    private readonly printer: TrialPrinter,
  ) {}

  get isInterrupted(): boolean {
    return this.interruption.signal.aborted;
  }

  async run(
    trials: readonly Trial[],
    dataOf: (trial: Trial) => FoldedData,
    views: RunViews,
    complete?: (run: CompletedRun) => Promise<CompletedRun>,
  ): Promise<void> {
    const { interruption, printer } = this;
    const { out, device, checkpointEvery } = this.options;
    const { signal } = interruption;
    const onEvent = (event: StudyEvent, subject?: EventSubject) => {
      if (event.type === "step" && !signal.aborted) interruption.begin();
      // There is nothing to save before the first step.
      else if (event.type === "group") interruption.end();
      printer.event(event, subject);
    };
    const more = complete ? { complete } : {};
    await runTrials({ out, trials, device, dataOf, signal, views, onEvent, checkpointEvery, ...more });
  }

  /** Says how to resume. Returns the exit code. */
  interrupted(): number {
    printNote(this.options.resumption);
    return 130;
  }

  end(): void {
    this.interruption.end();
    this.printer.stop();
  }
}
