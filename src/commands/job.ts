/** Prepares a run of train, from flags or from a run to resume. */

import type { Command } from "commander";
import { absolutePath, joinPath, withLock } from "#platform";
import type { Backend } from "../backend/backend.ts";
import { openDevice } from "../backend/device.ts";
import type { DeviceName } from "../config.ts";
import type { TrainingData } from "../data/texts.ts";
import { ConfigError, DeviceError } from "../errors.ts";
import { type BaseModel, describeModel, loadModel } from "../io/hf.ts";
import { openAdapter } from "../io/open-adapter.ts";
import type { Adapter } from "../io/peft.ts";
import { checkNumber } from "../number-range.ts";
import { lastCheckpoint } from "../run/checkpoint.ts";
import { readRecord } from "../run/directory.ts";
import { recordAt, refuseExisting } from "../run/files.ts";
import { type DataSource, loadData, resolveSettings } from "../run/load-data.ts";
import { newRecord, type RunRecord, type Seeds, within } from "../run/record.ts";
import { listSeeds } from "../run/seeds.ts";
import {
  dataSpec,
  type PRESETS,
  pickSettings,
  type RunSettings,
  trainOptions,
  trainSettings,
} from "../run/settings.ts";
import { begunTrials, removeTrials, trialDirectory } from "../sweep/store.ts";
import { notOnWebGPU } from "../train/device.ts";
import { DEFAULTS, SETTINGS, type TrainOptions } from "../train/options.ts";
import type { Checkpoint } from "../train/records.ts";
import { downloadProgress } from "../views/terminal/download.ts";
import { printNote, settle } from "./cli.ts";

export interface TrainFlags extends RunSettings {
  device: DeviceName;
  threads?: number;
  preset: keyof typeof PRESETS;
  out?: string;
  force?: boolean;
  json?: boolean;
  checkpointEvery?: number;
  resume?: string;
  adapter?: string;
  plan?: boolean;
  seeds: number;
}

export interface Job {
  out: string;
  /**
   * Where checkpoints are stored until the run is finished: `out`; beside it with several seeds, or if it replaces
   * another run.
   */
  kept: string;
  /** Whether `out` is replaced: an earlier run, or this run's own checkpoints. */
  replaces: boolean;
  model: BaseModel;
  data: TrainingData;
  /** With several seeds, the record with which each of their runs begins. */
  record: RunRecord;
  adapter?: Adapter;
  resume?: Checkpoint;
}

/** Downloads are reported on stderr. */
const DOWNLOADS = { onProgress: downloadProgress(process.stderr) };
const loadFor = (model: BaseModel) => (source: DataSource) => loadData(source, model, DOWNLOADS);

/** The settings that flags and their preset give. Throws ConfigError before anything is opened. */
function readFlags(flags: TrainFlags): RunSettings {
  const settings = pickSettings(trainSettings(flags, flags.preset));
  if (flags.seeds > 1) refuseBesideSeeds(flags, settings);
  trainOptions(settings);
  dataSpec(settings);
  return settings;
}

export async function newJob(flags: TrainFlags): Promise<Job> {
  const settings = readFlags(flags);
  const { seeds } = flags;
  const out = pathWithName(flags.out ?? defaultOut());
  await (seeds > 1 ? finishSeeds(out) : settle(out));
  const replaces = await refuseExisting(out, flags.force ?? false);
  const kept = seeds > 1 ? `${out}${SEEDS}` : replaces ? `${out}${NEW}` : out;
  if (seeds > 1 ? await hasSeeds(kept) : replaces && (await refuseExisting(kept, true))) refuseUnfinished(kept);
  const { model, adapter } = await openModel(settings.model!, flags);
  return closedOnFailure(model, async () => {
    const { data, options } = await resolveSettings(settings, model, adapter, loadFor(model));
    const record = await newRecord({ model, data }, settings, options);
    if (replaces) record.replaces = true;
    if (adapter) record.adapter = absolutePath(flags.adapter!);
    if (seeds > 1) record.seeds = listSeeds(options.seed, seeds);
    return { out, kept, replaces, model, data, record, ...(adapter ? { adapter } : {}) };
  });
}

/** What determines a run's plans. Reads only the model's config and tokenizer, unless it continues from an adapter. */
export async function plannedJob(
  flags: TrainFlags,
): Promise<Pick<Job, "model" | "data" | "adapter"> & { options: TrainOptions }> {
  const settings = readFlags(flags);
  const opened: Pick<Job, "model" | "adapter"> =
    flags.adapter === undefined
      ? { model: await describeModel(settings.model!, DOWNLOADS) }
      : await openModel(settings.model!, flags);
  const { model, adapter } = opened;
  return closedOnFailure(model, async () => ({
    ...opened,
    ...(await resolveSettings(settings, model, adapter, loadFor(model))),
  }));
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

function defaultOut(): string {
  return joinPath("runs", new Date().toISOString().slice(0, 23).replace("T", "_").replaceAll(/[:.]/g, "-"));
}

/** An interrupted run beside its directory blocks the next, whose checkpoints would have the same place. */
function refuseUnfinished(kept: string): never {
  throw new ConfigError("unfinished-run-exists", "an interrupted run exists at this path", {
    where: kept,
    hint: `resume it with --resume ${kept}, or remove it`,
  });
}

/** Suffix of a run that replaces another one when it is finished. */
const NEW = ".new";
/** Suffix of the folder of several seeds' runs until one of them is kept. */
const SEEDS = ".seeds";

/** The trial in which a seed is trained. */
export const nameSeed = (seed: number) => ({ name: `seed-${seed}` });

/** Whether a folder has runs of several seeds. */
async function hasSeeds(folder: string): Promise<boolean> {
  return folder.endsWith(SEEDS) && (await begunTrials(folder)).length > 0;
}

/**
 * Removes the runs of several seeds, the one that was kept last: while it is there, a process that is killed leaves
 * what tells that the others are not needed.
 */
export async function removeSeeds(folder: string, { runs }: Seeds, kept?: number): Promise<void> {
  const order = runs.map(({ seed }) => seed).sort((a, b) => Number(a === kept) - Number(b === kept));
  await removeTrials(folder, order.map(nameSeed));
}

/** Removes the seeds' runs if a process was killed after it had kept one of them in `out`. Returns whether it was. */
async function finishSeeds(out: string): Promise<boolean> {
  await settle(out);
  const folder = `${out}${SEEDS}`;
  if (!(await recordAt(out))) return false;
  const { seeds, options, created } = await readRecord(out);
  const source = trialDirectory(folder, nameSeed(options.seed));
  if (!seeds || !(await recordAt(source)) || (await readRecord(source)).created !== created) return false;
  await withLock(out, () => removeSeeds(folder, seeds, options.seed), refuseUsed(out));
  printNote(`${folder}: removed what an interrupted process had left; the run that it kept is in ${out}`);
  return true;
}

/** Throws ConfigError: another process has the lock of a run's directory. */
export const refuseUsed = (out: string) => (): never => {
  throw new ConfigError("used-by-another-process", "another run is using this directory", {
    where: out,
    hint: "wait for it to finish, or choose another --out",
  });
};

/** Throws ConfigError for what only a single run can do. */
function refuseBesideSeeds(flags: TrainFlags, { dtype, seed = DEFAULTS.seed }: RunSettings): void {
  const refused: [boolean, what: string, hint: string][] = [
    [flags.adapter !== undefined, "--adapter", "continue from the adapter with one seed"],
    [dtype === "auto", "--dtype auto", "name the type, so that all runs have the same: --plan says what fits"],
    [flags.plan === true, "--plan", "omit --seeds: --plan says what one run takes, and as many run at once as fit"],
  ];
  for (const [isGiven, what, hint] of refused)
    if (isGiven)
      throw new ConfigError("options-conflict", `${what} is invalid with --seeds`, {
        expected: "--seeds without it",
        found: `--seeds ${flags.seeds}, ${what}`,
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
  const { checkpoint, adapter } = await openAdapter(directory, given, DOWNLOADS);
  return { model: checkpoint, adapter };
}

/** Flags that are valid with --resume. Only another --device changes the result, by its rounding. */
const BESIDE_RESUME = ["resume", "model", "device", "threads", "recompute", "json", "checkpointEvery"];

/** The run that is resumed, or the several seeds of `train --seeds`; null: one of them is kept, and none is left. */
export async function resumedJob(flag: string, program: Command): Promise<Job | null> {
  const directory = pathWithName(flag);
  const refused = program.options
    .filter((option) => program.getOptionValueSource(option.attributeName()) === "cli")
    .filter((option) => !BESIDE_RESUME.includes(option.attributeName()));
  if (refused.length > 0)
    throw new ConfigError("settings-of-resumed-run", "a resumed run keeps its settings", {
      expected:
        "--resume DIR with no other flags than --model (where the same model now is), --device, --threads, --recompute, " +
        "--checkpoint-every and --json",
      found: refused.map(({ long }) => long).join(", "),
    });
  // Also by the directory that the kept run will have, or that one of the runs has.
  for (const folder of [directory, `${directory}${SEEDS}`, directory.replace(/([\\/][^\\/]+){2}[\\/]*$/, "")])
    if (await hasSeeds(folder))
      return (await finishSeeds(folder.slice(0, -SEEDS.length))) ? null : resumedSeeds(folder, program);
  await settle(directory);
  const resume = await lastCheckpoint(directory);
  const record = await readRecord(directory);
  const out = record.replaces && directory.endsWith(NEW) ? directory.slice(0, -NEW.length) : directory;
  if (out !== directory) await settle(out);
  if (program.getOptionValueSource("device") === "cli") delete resume.device;
  const { now: _, ...inputs } = await reopen(directory, record, program);
  return { out, kept: directory, replaces: true, ...inputs, record: withRecompute(record, program), resume };
}

async function resumedSeeds(folder: string, program: Command): Promise<Job> {
  const out = folder.slice(0, -SEEDS.length);
  const [first] = await begunTrials(folder);
  const begun = await readRecord(first!);
  const replaces = begun.replaces === true;
  await refuseExisting(out, replaces);
  const { now, model, data } = await reopen(first!, begun, program);
  const record: RunRecord = { ...now, seeds: begun.seeds!, ...(replaces ? { replaces } : {}) };
  return { out, kept: folder, replaces, model, data, record: withRecompute(record, program) };
}

/** As `--recompute` says, if it is given. */
function withRecompute(record: RunRecord, program: Command): RunRecord {
  const { recompute = record.options.recompute } = program.opts<TrainFlags>();
  return { ...record, options: { ...record.options, recompute } };
}

/**
 * The model, the data and the adapter of a run that was interrupted, and its record as if it began now. Throws
 * ConfigError if they have changed.
 */
async function reopen(
  directory: string,
  record: RunRecord,
  program: Command,
): Promise<Pick<Job, "model" | "data" | "adapter"> & { now: RunRecord }> {
  const given = program.getOptionValueSource("model") === "cli" ? program.getOptionValue("model") : undefined;
  const { model, adapter } = await openModel(given ?? record.model, {
    ...within(directory, record),
    ...(given === undefined ? {} : { model: given }),
  });
  return closedOnFailure(model, async () => {
    const data = await loadData(within(directory, record), model, DOWNLOADS);
    const now = await newRecord({ model, data }, record.settings, record.options);
    const [found, expected] = [now, record].map(({ revision, base, counts }) =>
      JSON.stringify({ revision, base, ...counts }),
    );
    if (found !== expected)
      throw new ConfigError("inputs-changed", "the data or the base model has changed since the run started", {
        where: directory,
        expected: expected!,
        found: found!,
      });
    return { model, data, now, ...(adapter ? { adapter } : {}) };
  });
}

/** Opens the device that the checkpoint or the flag names. */
export async function openJobDevice({ device, threads }: TrainFlags, began = device): Promise<Backend> {
  try {
    return await openDevice(began, { threads });
  } catch (error) {
    throw error instanceof DeviceError && began !== device ? notOnWebGPU(error) : error;
  }
}
