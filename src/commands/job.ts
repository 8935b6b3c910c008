/** Prepares a run of train, from flags or from a run to resume. */

import type { Command } from "commander";
import { absolutePath, exists, joinPath } from "#platform";
import type { Backend } from "../backend/backend.ts";
import { openBackend } from "../backend/device.ts";
import { checkNumber } from "../core/checks.ts";
import { ConfigError, DeviceError } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import type { DatasetOptions } from "../data/dataset-options.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { isCertain } from "../data/problems.ts";
import { splitAlready, usualFolds } from "../data/sets/folds.ts";
import { findSetColumn } from "../data/table/column-names.ts";
import type { TrainingData } from "../data/training-data.ts";
import { type BaseModel, describeModel, loadModel } from "../io/hf.ts";
import { openAdapter } from "../io/peft/open-adapter.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { newRecord, type RunRecord, within } from "../record/record.ts";
import { readAsMeant } from "../run/check.ts";
import { generations, lastCheckpoint, removeCheckpoints } from "../run/checkpoint.ts";
import { readRecord, refuseExisting } from "../run/directory.ts";
import { type DataSource, loadData, resolveSettings } from "../run/load-data.ts";
import { dataSpec, mergePreset, PRESETS, pickSettings, trainOptions } from "../run/settings.ts";
import { refuseUnlabelled } from "../study/cross-validate.ts";
import type { FoldsAsked } from "../study/folds.ts";
import { findStudy, readStudy } from "../study/study-record.ts";
import { DEFAULT_OBJECTIVE, isOfMessages } from "../tasks/index.ts";
import { notOnWebGPU } from "../train/device.ts";
import { DEFAULTS } from "../train/options.ts";
import type { Checkpoint } from "../train/records.ts";
import type { RunSettings } from "../train/settings.ts";
import { SETTINGS } from "../train/settings.ts";
import { type DeviceFlags, printNote, printRead, settle } from "./cli.ts";
import { type OpenedFolds, openFolds } from "./run-folds.ts";
import { DOWNLOADS, readModel, type StudyRequest } from "./run-study.ts";

export interface TrainFlags extends RunSettings, DeviceFlags {
  preset: keyof typeof PRESETS;
  out?: string;
  force?: boolean;
  json?: boolean;
  checkpointEvery?: number;
  resume?: string;
  adapter?: string;
  plan?: boolean;
  seeds: number;
  folds?: number;
  final?: "all" | "none";
}

export interface RunJob {
  out: string;
  /** Where checkpoints are stored until the run is finished: `out`; next to it if it replaces another run. */
  directory: string;
  /** Whether `out` is an earlier run, which is replaced. */
  replaces: boolean;
  /** Whether it has no directory yet. */
  isNew: boolean;
  model: BaseModel;
  data: TrainingData;
  record: RunRecord;
  adapter?: Adapter;
  resume?: Checkpoint;
}

const loadFor =
  (model: BaseModel, onTable?: DatasetOptions["onTable"]) =>
  (source: DataSource): Promise<TrainingData> =>
    loadData(source, model, DOWNLOADS, onTable);

/** The settings that flags and their preset give. Throws ConfigError before anything is opened. */
function readFlags(flags: RunSettings, preset: TrainFlags["preset"]): RunSettings {
  const settings = pickSettings(mergePreset(flags, PRESETS[preset]));
  trainOptions(settings);
  dataSpec(settings);
  return settings;
}

type Opened = Pick<RunJob, "model" | "adapter">;

/** Completes settings, as a run does. */
type Complete = (given: RunSettings) => RunSettings;

const describeOnly = async ({ model }: RunSettings): Promise<Opened> => ({
  model: await describeModel(model!, DOWNLOADS),
});

/**
 * Opens the base model, and reads the data as it is meant: settings that it `needed` besides the given ones are said.
 * Throws the error of data that cannot be read, or that may be meant in several ways.
 */
async function openData(given: RunSettings, complete: Complete, open: (settings: RunSettings) => Promise<Opened>) {
  let settings = complete(given);
  let opened = await open(settings);
  const meant = await readAsMeant(
    pickSettings(given),
    async (asked, onTable) => {
      const { model: before } = settings;
      settings = complete(asked);
      // Another task has another default.
      if (settings.model !== before) {
        await opened.model.close();
        opened = await open(settings);
      }
      const { model, adapter } = opened;
      return resolveSettings(settings, model, adapter, loadFor(model, onTable));
    },
    isCertain,
  ).catch((error) => ({ error, read: null, problems: [] }));
  for (const problem of meant.problems) if (Object.keys(problem.settings).length > 0) printRead(problem);
  if (!meant.read) {
    await opened.model.close();
    throw meant.error;
  }
  const needed: RunSettings = Object.assign({}, ...meant.problems.map((problem) => problem.settings));
  return { needed, settings, table: meant.table, ...opened, ...meant.read };
}

/** Settings that the user's own data needs besides the given ones. */
export async function neededSettings(given: RunSettings, complete: Complete): Promise<RunSettings> {
  if (given.data === undefined) return {};
  try {
    const { needed, model } = await openData(given, complete, describeOnly);
    await model.close();
    return needed;
  } catch (error) {
    // Wrong settings are refused where they are used.
    if (error instanceof ConfigError) return {};
    throw error;
  }
}

export async function newJob(flags: TrainFlags & { out: string }): Promise<RunJob> {
  const complete = (given: RunSettings) => readFlags(given, flags.preset);
  complete(flags);
  const out = pathWithName(flags.out);
  await settle(out);
  const replaces = await refuseExisting(out, flags.force ?? false);
  const directory = replaces ? `${out}${NEW}` : out;
  // An earlier one that has not replaced it blocks the next, which would have the same place.
  if (replaces) await refuseExisting(directory, false, "remove it");
  const open = (settings: RunSettings) => openModel(settings.model!, flags);
  const { settings, model, data, options, adapter } = await openData(flags, complete, open);
  return closedOnFailure(model, async () => {
    const record = await newRecord({ model, data }, settings, options);
    if (replaces) record.replaces = true;
    if (adapter) record.adapter = absolutePath(flags.adapter!);
    return { out, directory, replaces, isNew: true, model, data, record, ...(adapter ? { adapter } : {}) };
  });
}

/** The settings of a study's trials. */
const studyBase = async ({ model = "", ...settings }: RunSettings): Promise<RunSettings> =>
  // A study is resumed from any folder.
  ({ ...settings, model: (await exists(model)) ? absolutePath(model) : model });

/** A study of trials that differ in their seed alone. */
export async function newSeeds(flags: TrainFlags): Promise<StudyRequest> {
  const { seeds, preset } = flags;
  refuseWithStudy(flags, readFlags(flags, preset));
  const needed = await neededSettings(flags, (given) => readFlags(given, preset));
  return { base: await studyBase(readFlags({ ...flags, ...needed }, preset)), arms: [{}], seeds };
}

const WHOLE = { fractions: [1, 0, 0] as const };

/** Reads all rows for folds. */
async function openRows(flags: TrainFlags) {
  const complete = (given: RunSettings) => ({ ...readFlags(given, flags.preset), ...WHOLE });
  const { needed, table, model, data, options } = await openData(flags, complete, openForStudy);
  const settings = readFlags({ ...flags, ...needed }, flags.preset);
  const divide = async (folds: FoldsAsked) =>
    openFolds(await studyBase({ ...settings, mode: options.mode }), { model, data }, folds);
  return { needed, table, data, options, divide };
}

const openForStudy = async ({ model }: RunSettings): Promise<Opened> => ({ model: await readModel(model!) });

/** The folds that are asked for. */
export async function newFolds(flags: TrainFlags, count: number): Promise<OpenedFolds> {
  const settings = readFlags(flags, flags.preset);
  refuseWithStudy(flags, settings);
  refuseUnlabelled({ objective: settings.objective ?? DEFAULT_OBJECTIVE });
  const { divide } = await openRows(flags).catch((error) => {
    // It speaks of shares, which nobody has asked for.
    const isSplit = error instanceof ConfigError && error.code === "already-split";
    const { dataset, data } = settings;
    throw isSplit ? splitAlready(setting(dataset === undefined ? "data" : "dataset", dataset ?? data)) : error;
  });
  return divide({ count, final: flags.final !== "none" });
}

/** Flags and settings that say how a model is tested, or what only a single run can do. */
const OF_ONE_RUN = [
  ...["dataset", "val", "test", "fractions", "split", "trainRows", "balance", "calibrate", "threshold", "positive"],
  ...["adapter", "plan"],
] as const;

/**
 * Folds of the user's own rows where a run is a probe, so that they take seconds: all rows test it. null: rows are in
 * sets, or too few, or another run is replaced. `needed`: the settings that they need besides the given ones.
 */
export async function usualRun(
  flags: TrainFlags,
  out: string,
): Promise<{ needed: RunSettings; folds: OpenedFolds | null }> {
  const isOne = flags.data === undefined || OF_ONE_RUN.some((name) => flags[name as keyof TrainFlags]);
  const { mode = "probe", objective = DEFAULT_OBJECTIVE } = readFlags(flags, flags.preset);
  if (isOne || mode !== "probe" || !isOfMessages(objective)) return { needed: {}, folds: null };
  if (!(await findStudy(out)) && (await refuseExisting(out, flags.force ?? false))) {
    printNote(`what is in ${out} is replaced by a single run; in a new --out folds would test all rows`);
    return { needed: {}, folds: null };
  }
  const opened = await openRows(flags).catch((error) => {
    if (error instanceof ConfigError && error.code === "already-split") return null;
    throw error;
  });
  if (!opened || (opened.table && findSetColumn(opened.table))) return { needed: {}, folds: null };
  const { needed, data, options, divide } = opened;
  const count = options.mode === "probe" ? usualFolds(data as LoadedDataset) : 1;
  return { needed, folds: count > 1 ? await divide({ count, final: true }) : null };
}

/** All that determines a run's plans. Reads the model's config and tokenizer, unless it continues from an adapter. */
export function plannedJob(flags: TrainFlags) {
  const open = (settings: RunSettings) => openModel(settings.model!, flags);
  return openData(flags, (given) => readFlags(given, flags.preset), flags.adapter === undefined ? describeOnly : open);
}

/** Returns what `make` returns; closes the model if it throws. */
async function closedOnFailure<T>(model: BaseModel, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    await model.close();
    throw error;
  }
}

export function defaultOut(): string {
  return joinPath("runs", new Date().toISOString().slice(0, 23).replace("T", "_").replaceAll(/[:.]/g, "-"));
}

/** Suffix of a run that replaces another one when it is finished. */
const NEW = ".new";

/** Throws ConfigError for what only a single run can do, and for what does not go with folds. */
function refuseWithStudy(flags: TrainFlags, { dtype, seed = DEFAULTS.seed }: RunSettings): void {
  const [study, given] =
    flags.folds === undefined ? ["--seeds", `--seeds ${flags.seeds}`] : ["--folds", `--folds ${flags.folds}`];
  const refused: [boolean, what: string, hint: string][] = [
    [flags.adapter !== undefined, "--adapter", "continue from the adapter with a single run"],
    [dtype === "auto", "--dtype auto", "name the type, so that all runs have the same: --plan says what fits"],
    [flags.force === true, "--force", "choose another --out; the same command resumes a study that is there"],
    [study === "--folds" && flags.plan === true, "--plan", "omit --folds: --plan says what one run takes"],
    [study === "--folds" && flags.seeds > 1, "--seeds", "choose one of them"],
    [study === "--folds" && flags.fractions !== undefined, "--fractions", "omit it: folds divide all rows"],
    [study === "--folds" && flags.val !== undefined, "--val", "give all rows in one file: folds divide them"],
    [study === "--folds" && flags.test !== undefined, "--test", "give all rows in one file: folds divide them"],
  ];
  for (const [isGiven, what, hint] of refused)
    if (isGiven)
      throw new ConfigError("options-conflict", `${what} is invalid with ${study}`, {
        expected: `${study} without it`,
        found: `${given}, ${what}`,
        hint,
      });
  checkNumber("the last seed", seed + flags.seeds - 1, SETTINGS.seed.number!);
}

/** The path in a form to which a suffix can be added: absolute if it ends in a separator, "." or "..". */
function pathWithName(path: string): string {
  return /(^|[\\/])\.{0,2}[\\/]*$/.test(path) ? absolutePath(path) : path;
}

/** Opens the base model and the adapter to continue from, which names the base model unless --model is given. */
async function openModel(
  name: string,
  { adapter: directory, model: given }: { adapter?: string; model?: string },
): Promise<{ model: BaseModel; adapter?: Adapter }> {
  if (directory === undefined) return { model: await loadModel(name, DOWNLOADS) };
  const { baseModel, adapter } = await openAdapter(directory, given, DOWNLOADS);
  return { model: baseModel, adapter };
}

/** Flags that are valid with --resume. Only another --device changes the result, by its rounding. */
const WITH_RESUME = ["resume", "device", "threads", "recompute", "json", "checkpointEvery"];

/** Throws ConfigError for a flag that is none of these. */
function refuseFlags(program: Command, valid: readonly string[], words: string): void {
  const refused = program.options.filter((option) => {
    const name = option.attributeName();
    return program.getOptionValueSource(name) === "cli" && !valid.includes(name);
  });
  if (refused.length > 0)
    throw new ConfigError("settings-of-resumed-run", "what is resumed keeps its settings", {
      expected: `--resume DIR with no other flags than ${words}--device, --threads, --recompute, --checkpoint-every and --json`,
      found: refused.map(({ long }) => long).join(", "),
    });
}

export async function resumedStudy(out: string, program: Command): Promise<StudyRequest> {
  refuseFlags(program, WITH_RESUME, "");
  const { spec, seeds, folds, about, objective, data } = (await readStudy(out))!;
  const { recompute } = program.opts<TrainFlags>();
  const base = recompute === undefined ? spec.base : { ...spec.base, recompute };
  const source = { objective, data: data.source };
  return { base, arms: spec.arms, seeds, folds, about, source };
}

export async function resumedJob(flag: string, program: Command): Promise<RunJob> {
  const directory = pathWithName(flag);
  refuseFlags(program, ["model", ...WITH_RESUME], "--model (where the same model now is), ");
  await settle(directory);
  const record = await readRecord(directory);
  if (record.state === "finished" || record.state === "failed") await refuseEnded(directory, record.state);
  // One that was killed before its first checkpoint begins again.
  const resume = (await generations(directory)).length > 0 ? await lastCheckpoint(directory) : undefined;
  const out = record.replaces && directory.endsWith(NEW) ? directory.slice(0, -NEW.length) : directory;
  if (out !== directory) await settle(out);
  const replaces = out !== directory && (await refuseExisting(out, true));
  if (program.getOptionValueSource("device") === "cli") delete resume?.device;
  const inputs = await reopen(directory, record, program);
  const { recompute = record.options.recompute } = program.opts<TrainFlags>();
  const options = { ...record.options, recompute };
  const job = { out, directory, replaces, isNew: false, ...inputs, record: { ...record, options } };
  return { ...job, ...(resume ? { resume } : {}) };
}

/** Throws ConfigError for a run that has ended, and deletes what a killed process has left of its checkpoints. */
async function refuseEnded(directory: string, state: "finished" | "failed"): Promise<never> {
  await removeCheckpoints(directory);
  throw new ConfigError("no-checkpoint", `there is nothing to resume: the run has ${state}`, {
    where: directory,
    expected: "a run that was interrupted or killed",
    hint: `train --adapter ${directory} starts a new run from what it has learned`,
  });
}

/** The model, the data and the adapter of a run that was interrupted. Throws ConfigError if they have changed. */
async function reopen(
  directory: string,
  record: RunRecord,
  program: Command,
): Promise<Pick<RunJob, "model" | "data" | "adapter">> {
  const given = program.getOptionValueSource("model") === "cli" ? program.getOptionValue("model") : undefined;
  const { model, adapter } = await openModel(given ?? record.model, {
    ...within(directory, record),
    ...(given === undefined ? {} : { model: given }),
  });
  return closedOnFailure(model, async () => {
    const data = await loadData(within(directory, record), model, DOWNLOADS);
    const now = await newRecord({ model, data }, record.settings, record.options);
    const [present, expected] = [now, record].map(({ revision, base, counts }) =>
      JSON.stringify({ revision, base, ...counts }),
    );
    if (present !== expected)
      throw new ConfigError("inputs-changed", "the data or the base model has changed since the run started", {
        where: directory,
        expected: expected!,
        found: present!,
      });
    return { model, data, ...(adapter ? { adapter } : {}) };
  });
}

/** Opens the device that the checkpoint or the flag names. */
export async function openJobDevice({ device, threads }: TrainFlags, began = device): Promise<Backend> {
  try {
    return await openBackend(began, { threads });
  } catch (error) {
    throw error instanceof DeviceError && began !== device ? notOnWebGPU(error) : error;
  }
}
