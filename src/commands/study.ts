/** What train --seeds and sweep have in common: a study is opened, its trials are run, and its report is written. */
import type { Backend } from "../backend/backend.ts";
import { digestData } from "../data/digest.ts";
import type { TrainingData } from "../data/texts.ts";
import type { LowrankError } from "../errors.ts";
import { fingerprint } from "../io/fingerprint.ts";
import { type BaseModel, loadModel } from "../io/hf.ts";
import { methodConfig } from "../methods/training.ts";
import { type DataSource, loadData } from "../run/load-data.ts";
import { dataOptions, dataSpec } from "../run/settings.ts";
import { checkTrials } from "../study/check-trials.ts";
import { type Cell, checkArms, expandArms, listCells, runnableTrials, type Trial, without } from "../study/grid.ts";
import { finishedTrials } from "../study/outcome.ts";
import type { SweepPreset } from "../study/presets.ts";
import type { StudyEvent } from "../study/runner.ts";
import { type Known, keepError, readFinished, readFinishedCells } from "../study/store.ts";
import { beginStudy, type StudyRecord } from "../study/study-record.ts";
import { DEFAULT_OBJECTIVE } from "../tasks/index.ts";
import { isUnequal } from "../train/class-weights.ts";
import { DEFAULTS, knownBase } from "../train/options.ts";
import { downloadProgress } from "../views/terminal/download.ts";
import { Interruption, printNote } from "./cli.ts";
import { type TrialFailure, TrialPrinter } from "./trial-printer.ts";

/** Downloads are reported on stderr. */
export const DOWNLOADS = { onProgress: downloadProgress(process.stderr) };

/** The trials that are asked for. */
export interface Asked extends SweepPreset {
  seeds: number;
  /** The data of a study that is resumed; default: as the settings say. */
  source?: DataSource;
}

/** A study whose data is loaded. Its models are closed: each was read once, for its fingerprint. */
export interface Study {
  record: StudyRecord;
  data: TrainingData;
  cells: Cell[];
  models: ReadonlyMap<string, BaseModel>;
}

/** Opens what trials are made of, and lists them. Throws ConfigError for a setting that has no valid value. */
export async function openStudy({ base, arms, seeds, source, about }: Asked): Promise<Study> {
  checkArms(Array.isArray(arms) ? arms : [], seeds);
  const { objective = DEFAULT_OBJECTIVE, seed = DEFAULTS.seed } = base;
  const spec = source ? undefined : dataSpec(base);
  const models = new Map<string, BaseModel>();
  const open = async (name: string) => {
    if (!models.has(name)) models.set(name, await readModel(name));
    return models.get(name)!;
  };
  const model = await open(base.model!);
  const { config } = model;
  const asked = { base, arms: typeof arms === "function" ? arms(config, base) : arms };
  // All trials have the same texts: the most virtual tokens of any leave this room.
  let context = config.n_positions;
  for (const { model: name, rates } of expandArms(asked)) {
    await open(name);
    // One whose virtual tokens leave no room is reported with the trials that cannot be made.
    for (const options of rates) {
      const { num_virtual_tokens = 0 } = methodConfig(options);
      if (num_virtual_tokens < config.n_positions) context = Math.min(context, config.n_positions - num_virtual_tokens);
    }
  }
  const data = await loadData(
    source ?? { objective, data: { ...spec, ...dataOptions(base, seed, context) } },
    model,
    DOWNLOADS,
  );
  // Where no weights are needed, a trial is the same with and without them.
  if (!isUnequal(data)) asked.base = { ...base, classWeights: "none" };
  const known = (name: string) => ({ rows: data.train.size, ...knownBase(models.get(name)!.config) });
  // Data and models are identified by their contents: a moved file is the same, a changed one is not.
  const sha256 = await digestData(data);
  const identify = async (name: string) => ({ data: sha256, base: await fingerprint(models.get(name)!) });
  const cells = await listCells({ ...asked, known }, seeds, identify);
  const bases: Record<string, string> = {};
  for (const [name, opened] of models) bases[name] = await fingerprint(opened);
  const record = { objective, data: { source: data.origin, sha256 }, bases, spec: asked, seeds };
  return { record: about === undefined ? record : { ...record, about }, data, cells, models };
}

async function readModel(name: string): Promise<BaseModel> {
  const model = await loadModel(name, DOWNLOADS);
  try {
    await fingerprint(model);
    return model;
  } finally {
    await model.close();
  }
}

export interface StudyOptions {
  out: string;
  device: Backend;
  json?: boolean | undefined;
  /** Steps between the checkpoints of a trial. */
  checkpointEvery?: number | undefined;
  /** Whether this process runs a trial; default: it runs all. */
  isMine?: (trial: Trial) => boolean;
  /** Called when the directory is the study's, before the trials are run. */
  onBegun?: () => Promise<void>;
  /** What resumes it when it was interrupted. */
  resumption: string;
}

/** Trains those of some trials that are to be trained here and are not finished. */
type RunTrials = (trials: readonly Trial[]) => Promise<void>;

/** Decides which trials are run, and in which order. Returns the cells that the report is on. */
type Strategy = (out: string, cells: readonly Cell[], run: RunTrials) => Promise<readonly Cell[]>;

/**
 * All of them: first those that need no results, then the further seeds of the cells whose learning rate can be chosen.
 */
const runAll: Strategy = async (out, cells, run) => {
  const now = runnableTrials(cells);
  await run(now);
  const all = runnableTrials(await readCells(out, cells), ({ chosen }) => chosen);
  await run(without(all, now));
  return cells;
};

/** What was read of finished trials: each is read once. */
const trialsRead: Known = new Map();

export const readCells = (out: string, cells: readonly Cell[]) => readFinishedCells(out, cells, trialsRead);

/** Runs the trials and reports on them. Returns the exit code. */
export async function runStudy(study: Study, options: StudyOptions): Promise<number> {
  const { out, device, json = false, isMine = () => true } = options;
  const { record, data, cells, models } = study;
  // Before the trials, so that a study does not depend on files that change meanwhile.
  const { writeReport } = await import("../views/study/report.ts");
  const findModel = (name: string) => models.get(name)!;
  // What is wrong with all of them is reported once, before anything is stored.
  const all = runnableTrials(cells, () => 0).filter(isMine);
  const unmakeable = checkTrials(all, { device, data, findModel });
  await beginStudy(out, record);
  const printer = new TrialPrinter(data, json, cells);
  printer.begin(record.spec.base);
  await options.onBegun?.();
  const trained = await trainTrials(study, options, { unmakeable, printer, strategy: runAll });
  if (trained === null) {
    printNote(options.resumption);
    return 130;
  }
  let finished = await readCells(out, trained.cells);
  // Shards with the same output directory write the same report: of what others finish meanwhile it is written again.
  for (let done = 0; done < finishedTrials(finished).length; finished = await readCells(out, trained.cells)) {
    done = finishedTrials(finished).length;
    await writeReport(out, finished, data, record.about);
  }
  await printer.end(out, finished, trained.failures);
  return trained.failures.length > 0 ? 1 : 0;
}

/** The trials that have failed, and the cells to report on; null if the study was interrupted. */
async function trainTrials(
  { data, cells }: Study,
  { out, device, checkpointEvery, isMine = () => true }: StudyOptions,
  how: { unmakeable: ReadonlyMap<string, LowrankError>; printer: TrialPrinter; strategy: Strategy },
): Promise<{ failures: TrialFailure[]; cells: readonly Cell[] } | null> {
  const { unmakeable, printer, strategy } = how;
  const { runTrials } = await import("../study/runner.ts");
  const { runFiles: views } = await import("../views/run-files.ts");
  const interruption = new Interruption("stopping after a checkpoint; interrupt again to stop immediately");
  const { signal } = interruption;
  const failures: TrialFailure[] = [];
  const onEvent = (event: StudyEvent) => {
    if (event.type === "step" && !signal.aborted) interruption.begin();
    // There is nothing to save before the first step.
    else if (event.type === "group") interruption.end();
    if (event.type === "failed") failures.push(event);
    printer.event(event);
  };
  const every = checkpointEvery === undefined ? {} : { checkpointEvery };
  const run: RunTrials = async (some) => {
    const trials: Trial[] = [];
    for (const trial of some.filter(isMine)) {
      const error = unmakeable.get(trial.key);
      if (!error || (await readFinished(out, trial))) trials.push(trial);
      else {
        await keepError(out, trial, error.message);
        onEvent({ type: "failed", trial, error });
      }
    }
    await runTrials({ out, trials, device, data, signal, views, onEvent, ...every });
  };
  try {
    const reported = await strategy(out, cells, run);
    return signal.aborted ? null : { failures, cells: reported };
  } finally {
    interruption.end();
    printer.stop();
  }
}
