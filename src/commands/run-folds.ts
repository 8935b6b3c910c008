/** train --folds: a run for each fold, the estimate that they make together, and the run on all rows. */
import { joinPath } from "#platform";
import { nameList } from "../core/errors.ts";
import { divideFolds } from "../data/sets/folds.ts";
import type { TrainingData } from "../data/training-data.ts";
import { countOf } from "../io/common.ts";
import type { BaseModel } from "../io/hf.ts";
import { loadData } from "../run/load-data.ts";
import { trainOptions } from "../run/settings.ts";
import { type DividedFolds, refuseUnlabelled, trainFolds } from "../study/cross-validate.ts";
import { type FoldedData, type FoldsAsked, listFolds } from "../study/folds.ts";
import type { Trial } from "../study/grid.ts";
import { foldsSummary, reportFolds } from "../study/report/folds.ts";
import { Ended } from "../study/runner.ts";
import { trialDirectory } from "../study/store.ts";
import { beginStudy, recordStudy, type StudyRecord } from "../study/study-record.ts";
import { knownRun } from "../train/options.ts";
import { prepareRun } from "../train/prepare.ts";
import type { RunSettings } from "../train/settings.ts";
import { print, printNote } from "./cli.ts";
import { printBlocks, tryIt } from "./run-printer.ts";
import { DOWNLOADS, readModel, type StudyOptions, type StudyRequest, watch } from "./run-study.ts";
import { reached, TrialPrinter } from "./trial-printer.ts";

/** A study of folds whose data is loaded. Its model is closed: it was read for its fingerprint. */
export interface OpenedFolds extends DividedFolds {
  record: StudyRecord;
  model: BaseModel;
}

/** Divides all rows, and lists the runs; `base`: their settings. Throws ConfigError or DataError: see `divideFolds`. */
export async function openFolds(
  base: RunSettings,
  { model, data }: { model: BaseModel; data: TrainingData },
  asked: FoldsAsked,
): Promise<OpenedFolds> {
  refuseUnlabelled(data);
  const all = data as FoldedData;
  const record = await recordStudy(all, [[base.model!, model]], {
    spec: { base, arms: [{}] },
    seeds: 1,
    folds: asked,
  });
  const named = { name: base.model!, base: record.bases[base.model!]! };
  const parts = divideFolds(all, asked.count);
  const options = trainOptions(base, knownRun(parts[0]!, model));
  return { record, asked, model, named, all, options, folds: await listFolds(parts, named, options) };
}

/** Opens a study that is resumed. */
export async function reopenFolds({ base, source }: StudyRequest, asked: FoldsAsked): Promise<OpenedFolds> {
  const model = await readModel(base.model!);
  return openFolds(base, { model, data: await loadData(source!, model, DOWNLOADS) }, asked);
}

/** Runs the folds, puts them together, trains on all rows, and reports. Returns the exit code. */
export async function runFolds(study: OpenedFolds, options: StudyOptions): Promise<number> {
  const { record, all, folds, model } = study;
  const { out, device, checkpointEvery, json = false } = options;
  // Before the runs, so that a study does not depend on files that change meanwhile.
  // What is wrong with all of them is reported once, before anything is stored.
  prepareRun({ device, model, data: folds[0]!.data, ...study.options });
  await beginStudy(out, record);
  const titles = new Map(folds.map(({ trial }, i) => [trial.key, `fold ${i + 1} of ${folds.length}`]));
  const title = ({ key }: Trial) => titles.get(key) ?? `all ${all.train.size} rows`;
  const printer = new TrialPrinter(all, json, [{ rates: [folds.map(({ trial }) => trial)] }], title);
  printer.begin(record.spec.base);
  const ended = new Ended(out);
  const trained = await watch(printer, (how) => trainFolds(study, { ...how, out, device, checkpointEvery, ended }));
  if (trained === null) {
    printNote(options.resumption);
    const ran = await Promise.all(folds.map(({ trial }) => ended.find(trial)));
    const first = ran.findIndex((run) => run !== null);
    if (first >= 0 && !json) {
      printNote(`until then the run of ${title(folds[first]!.trial)} answers, which has not learned from all rows`);
      tryIt(out, ran[first]!.record);
    }
    return 130;
  }
  if (Array.isArray(trained)) return reportMissing(trained.map(title));
  const { results } = trained;
  const { pooled, runs, final } = results;
  await reportFolds(results, out);
  const report = joinPath(out, "report.html");
  const saved = final?.trial && trialDirectory(out, final.trial);
  if (json) {
    const each = runs.map((run, i) => ({ trial: run.trial.name, fold: i + 1, ...reached(run) }));
    const { compared } = pooled.results.test;
    console.log(JSON.stringify({ type: "end", trials: each, compared, best: final?.trial?.name ?? null }));
    console.log(JSON.stringify({ type: "saved", directory: out, report, run: saved ?? null }));
    return 0;
  }
  printBlocks(foldsSummary(results));
  if (saved) tryIt(out, final!);
  const { suspects = [] } = pooled.review ?? {};
  const reviewed = joinPath(out, "review.csv");
  const doubtful = `; ${countOf(suspects, "label")} to review: ${reviewed}, for --corrections ${reviewed}`;
  print(`look at next:  ${report}${suspects.length > 0 ? doubtful : ""}`);
  return 0;
}

function reportMissing(titles: readonly string[]): number {
  printNote(`${countOf(titles, "run")} not finished: ${nameList(titles)}. The same command trains what is missing`);
  return 1;
}
