/** Opens a study, runs its trials and writes its report, for train --seeds and for sweep. */
import type { Backend } from "../backend/backend.ts";
import type { LowrankError } from "../core/errors.ts";
import { digestData } from "../data/digest.ts";
import type { TrainingData } from "../data/training-data.ts";
import { FeatureStore } from "../engine/features.ts";
import { fingerprint } from "../io/fingerprint.ts";
import { type BaseModel, loadModel } from "../io/hf.ts";
import { methodConfig } from "../methods/training.ts";
import { errorRecord } from "../record/record.ts";
import { type DataSource, loadData } from "../run/load-data.ts";
import { dataOptions, dataSpec } from "../run/settings.ts";
import { checkTrials } from "../study/check-trials.ts";
import type { FoldsAsked } from "../study/folds.ts";
import {
  type Cell,
  checkArms,
  expandArms,
  listCells,
  runnableTrials,
  type SweepSpec,
  type Trial,
  without,
} from "../study/grid.ts";
import { type Candidate, candidateCells, halve, listCandidates } from "../study/halving.ts";
import { finishedTrials, recommendedTrial } from "../study/outcome.ts";
import type { SweepPreset } from "../study/presets.ts";
import { reportStudy } from "../study/report/report.ts";
import { Ended, runTrials, type TrialsArguments } from "../study/runner.ts";
import { costsIn } from "../study/shards.ts";
import { keepError, type ReadTrials, readFinished, readFinishedCells } from "../study/store.ts";
import { beginStudy, keepBest, recordStudy, type StudyRecord } from "../study/study-record.ts";
import { DEFAULT_OBJECTIVE, hasHead } from "../tasks/index.ts";
import { isUnequal } from "../train/class-weights.ts";
import { DEFAULTS, knownRun } from "../train/options.ts";
import { downloadProgress } from "../views/terminal/download.ts";
import { Interruption, printNote } from "./cli.ts";
import { TrialPrinter } from "./trial-printer.ts";

export const DOWNLOADS = { onProgress: downloadProgress(process.stderr) };

export interface StudyRequest extends SweepPreset {
  seeds: number;
  folds?: FoldsAsked | undefined;
  /** Whether they are chosen by halving, in a limited time. */
  halves?: boolean;
  /** The data of a study that is resumed; default: as the settings say. */
  source?: DataSource;
}

/** A study whose data is loaded. Its models are closed: each was read once, for its fingerprint. */
export interface OpenedStudy {
  record: StudyRecord;
  /** That of the model that trials have if none is named. */
  data: TrainingData;
  /** The data as a model reads it: the same rows in tokens of its vocabulary. */
  dataOf: (model: string) => TrainingData;
  spec: SweepSpec;
  cells: Cell[];
  /** The settings that halving chooses from, if it does; the cells are all of their trials. */
  candidates?: Candidate[];
  models: ReadonlyMap<string, BaseModel>;
  /** Finished trials that were read: each is read once. */
  read: ReadTrials;
  /** The operations of a trial. */
  costOf: (trial: Trial) => number;
}

/** Data and devices of the models of one vocabulary. */
interface Texts {
  model: BaseModel;
  context: number;
}

/** Opens what trials are made of, and lists them. Throws ConfigError for a setting that has no valid value. */
export async function openStudy(request: StudyRequest): Promise<OpenedStudy> {
  const { base, arms, seeds, halves = false, source, about } = request;
  checkArms(Array.isArray(arms) ? arms : [], seeds);
  const { objective = DEFAULT_OBJECTIVE, seed = DEFAULTS.seed } = base;
  const from = source ? undefined : dataSpec(base);
  const models = new Map<string, BaseModel>();
  const open = async (name: string) => {
    if (!models.has(name)) models.set(name, await readModel(name));
    return models.get(name)!;
  };
  const first = await open(base.model!);
  const asked = { base, arms: typeof arms === "function" ? arms(first.config, base) : arms };
  // Losses of texts in other tokens cannot be compared: a language model of another vocabulary has no data.
  const vocabularyOf = ({ vocabulary }: BaseModel) => (hasHead({ objective }) ? vocabulary.fingerprint : "");
  const texts = new Map<string, Texts>();
  const textsOf = (model: BaseModel): Texts => {
    const key = vocabularyOf(model);
    if (!texts.has(key)) texts.set(key, { model, context: model.config.n_positions });
    return texts.get(key)!;
  };
  textsOf(first);
  for (const { model: name, rates } of expandArms(asked)) {
    const readTexts = textsOf(await open(name));
    const { n_positions } = readTexts.model.config;
    // All trials have the same texts: the most virtual tokens of any leave this room.
    // One whose virtual tokens leave no room is reported with the trials that cannot be made.
    for (const options of rates) {
      const { num_virtual_tokens = 0 } = methodConfig(options);
      if (num_virtual_tokens < n_positions)
        readTexts.context = Math.min(readTexts.context, n_positions - num_virtual_tokens);
    }
  }
  const loaded = new Map<string, TrainingData>();
  for (const [key, { model, context }] of texts) {
    const read = source ?? { objective, data: { ...from, ...dataOptions(base, seed, context) } };
    loaded.set(key, await loadData(read, model, DOWNLOADS));
  }
  const dataOf = (name: string) => loaded.get(vocabularyOf(models.get(name)!))!;
  const data = dataOf(base.model!);
  // Where no weights are needed, a trial is the same with and without them.
  if (!isUnequal(data)) asked.base = { ...base, classWeights: "none" };
  const known = (name: string) => knownRun(data, models.get(name)!);
  const spec = { ...asked, known };
  // Data and models are identified by their contents: a moved file is the same, a changed one is not.
  const identify = async (name: string) => ({
    data: await digestData(dataOf(name)),
    base: await fingerprint(models.get(name)!),
  });
  const costOf = costsIn(dataOf, (name) => models.get(name)!);
  const candidates = halves ? await listCandidates(spec, seeds, identify, costOf) : undefined;
  const cells = candidates ? candidateCells(candidates) : await listCells(spec, seeds, identify);
  return {
    record: await recordStudy(data, models, { spec: asked, seeds, about }),
    data,
    dataOf,
    spec,
    cells,
    models,
    costOf,
    read: new Map(),
    ...(candidates ? { candidates } : {}),
  };
}

export async function readModel(name: string): Promise<BaseModel> {
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
  /** The command that resumes it when it was interrupted. */
  resumption: string;
  /** Seconds that are left for a study of candidates. */
  secondsLeft?: () => number;
}

/**
 * All of them, the costliest first, so that no long one is left alone at the end: those that need no results, then the
 * further seeds of the cells whose learning rate can be chosen.
 */
async function* listAll({ cells, read, costOf }: OpenedStudy, out: string): AsyncGenerator<readonly Trial[]> {
  const costliestFirst = (trials: readonly Trial[]) => [...trials].sort((a, b) => costOf(b) - costOf(a));
  const now = runnableTrials(cells);
  yield costliestFirst(now);
  const all = runnableTrials(await readFinishedCells(out, cells, read), ({ chosen }) => chosen);
  yield costliestFirst(without(all, now));
}

/** Does work with a signal that is aborted with another one, and when the time is up. */
async function withDeadline(
  other: AbortSignal,
  secondsLeft: number,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const deadline = new AbortController();
  const pass = () => {
    printNote("the time is up: stopping after a checkpoint");
    deadline.abort();
  };
  const timer = setTimeout(pass, 1000 * Math.max(0, secondsLeft));
  await work(AbortSignal.any([other, deadline.signal])).finally(() => clearTimeout(timer));
}

/** Runs the trials and reports on them. Returns the exit code. */
export async function runStudy(study: OpenedStudy, options: StudyOptions): Promise<number> {
  const { out, device, json = false } = options;
  const { record, data, dataOf, spec, cells, candidates, models, read } = study;
  // Before the trials, so that a study does not depend on files that change meanwhile.
  const findModel = (name: string) => models.get(name)!;
  // What is wrong with all of them, whoever runs them, is reported once, before anything is stored.
  const all = runnableTrials(cells, () => 0);
  const unmakeable = checkTrials(all, { device, dataOf, findModel });
  await beginStudy(out, record);
  const printer = new TrialPrinter(data, json, cells);
  printer.begin(record.spec.base);
  await options.onBegun?.();
  const failures = await trainTrials(study, options, unmakeable, printer);
  if (failures === null) {
    printNote(options.resumption);
    return 130;
  }
  const asked = { ...spec, about: record.about, candidates };
  const readCells = () => readFinishedCells(out, cells, read);
  let finished = await readCells();
  // Shards with the same output directory write the same report: of what others finish meanwhile it is written again.
  for (let done = 0; done < finishedTrials(finished).length; finished = await readCells()) {
    done = finishedTrials(finished).length;
    await reportStudy(finished, data, out, asked);
  }
  const best = recommendedTrial(finished, data);
  await keepBest(out, best?.trial);
  await printer.end(out, finished, failures, best, asked);
  return failures.size > 0 ? 1 : 0;
}

/**
 * Trains, and prints what happens. After the first step Ctrl-C ends `signal`, and the runs keep a checkpoint: null.
 */
export async function watch<T>(
  printer: TrialPrinter,
  work: (how: Pick<TrialsArguments, "signal" | "onEvent">) => Promise<T>,
): Promise<T | null> {
  const interruption = new Interruption("stopping after a checkpoint; interrupt again to stop immediately");
  const { signal } = interruption;
  const onEvent: TrialsArguments["onEvent"] = (event, error) => {
    if (event.type === "step" && !signal.aborted) interruption.begin();
    // There is nothing to save before the first step.
    else if (event.type === "group") interruption.end();
    printer.event(event, error);
  };
  try {
    const result = await work({ signal, onEvent });
    return signal.aborted ? null : result;
  } finally {
    interruption.end();
    printer.stop();
  }
}

/** Trains what is this process's. Returns why trials have failed, by their keys; null: it was interrupted. */
function trainTrials(
  study: OpenedStudy,
  { out, device, checkpointEvery, isMine = () => true, secondsLeft }: StudyOptions,
  unmakeable: ReadonlyMap<string, LowrankError>,
  printer: TrialPrinter,
): Promise<Ended["errors"] | null> {
  const { dataOf, candidates, costOf } = study;
  const ended = new Ended(out);
  const store = FeatureStore.ofStudy();
  return watch(printer, async ({ signal: interrupted, onEvent }) => {
    const isMakeable = async (trial: Trial) => {
      const error = unmakeable.get(trial.key);
      if (!error || (await readFinished(out, trial))) return true;
      await keepError(out, trial, error);
      ended.errors.set(trial.key, error);
      onEvent({ type: "failed", trial, error: errorRecord(error) }, error);
      return false;
    };
    const runAll = async (rounds: AsyncIterable<readonly Trial[]>, signal: AbortSignal) => {
      const shared = { out, device, signal, onEvent, checkpointEvery, store, ended };
      for await (const round of rounds) {
        const trials: Trial[] = [];
        for (const trial of round) if (isMine(trial) && (await isMakeable(trial))) trials.push(trial);
        await runTrials({ ...shared, trials, dataOf: ({ model }) => dataOf(model) });
      }
    };
    const find = async (trial: Trial) => {
      const record = await readFinished(out, trial);
      return record && { loss: record.results.after.val.loss, seconds: record.seconds };
    };
    if (candidates && secondsLeft)
      await withDeadline(interrupted, secondsLeft(), (signal) =>
        runAll(halve({ candidates, find, costOf, secondsLeft, signal, say: printNote }), signal),
      );
    else await runAll(listAll(study, out), interrupted);
    return ended.errors;
  });
}
