/** What a run of train is made of: from flags, or from the run that is gone on with. */
import type { Command } from "commander";
import { absolutePath, joinPath } from "#platform";
import type { DeviceName } from "../config.ts";
import { type DatasetOptions, type DatasetSpec, loadDataset } from "../data/datasets.ts";
import { loadTexts, type TextsOptions, type TextsSpec, type TrainingData } from "../data/texts.ts";
import { ConfigError } from "../errors.ts";
import { fingerprint } from "../io/fingerprint.ts";
import { type GPT2Checkpoint, loadModel } from "../io/hf.ts";
import { openAdapter } from "../io/open-adapter.ts";
import type { Adapter } from "../io/peft.ts";
import { downloadProgress } from "../report/download.ts";
import { lastCheckpoint } from "../run/checkpoint.ts";
import { type RunConfig, readRunConfig, runConfig } from "../run/directory.ts";
import { refuseExisting } from "../run/files.ts";
import {
  datasetOptions,
  datasetSpec,
  PRESETS,
  type RunSettings,
  settingsOf,
  textsOptions,
  textsSpec,
  trainOptions,
} from "../run/settings.ts";
import { resolveOptions, type TrainOptions, withAdapter } from "../train/options.ts";
import type { Checkpoint } from "../train/records.ts";
import { settle } from "./recovery.ts";

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
}

export interface Job {
  out: string;
  /** Where it keeps its checkpoints until it is done: `out`, or beside a run that it replaces then. */
  kept: string;
  /** Whether `out` is to be replaced: what was there when the run began, or what it left there itself. */
  replaces: boolean;
  modelName: string;
  model: GPT2Checkpoint;
  data: TrainingData;
  options: TrainOptions;
  config: RunConfig;
  adapter?: Adapter;
  resume?: Checkpoint;
}

/** Downloads are told of on stderr. */
const DOWNLOADS = { onProgress: downloadProgress(process.stderr) };

export async function newJob(flags: TrainFlags): Promise<Job> {
  const settings = settingsOf(flags, PRESETS[flags.preset]);
  const { objective = "classification" } = settings;
  const checked = trainOptions(settings);
  const source = objective === "lm" ? textsSpec(settings) : datasetSpec(settings);
  const out = pathWithName(flags.out ?? defaultOut());
  await settle(out);
  const replaces = await refuseExisting(out, flags.force ?? false);
  const kept = replaces ? `${out}${NEW}` : out;
  if (replaces) await refuseStopped(kept, flags.checkpointEvery !== undefined);
  const { model, adapter } = await openModel(settings.model!, flags);
  return closedOnFailure(model, async () => {
    const options = adapter ? trainOptions(withAdapter(settings, adapter.meta, objective)) : checked;
    const { n_positions } = model.config;
    const how =
      objective === "lm"
        ? textsOptions(settings, options.seed, n_positions)
        : datasetOptions(settings, options.seed, n_positions);
    const data = await loadData({ objective, data: { ...source, ...how } });
    const config: RunConfig = { ...(await runConfig(model, data, options)), base: await fingerprint(model) };
    const job = { out, kept, replaces, model, data, options, config };
    if (!adapter) return { ...job, modelName: settings.model! };
    config.adapter = absolutePath(flags.adapter!);
    return { ...job, modelName: config.model, adapter };
  });
}

/** What is made of a model; where that fails, the model is closed. */
async function closedOnFailure<T>(model: GPT2Checkpoint, make: () => Promise<T>): Promise<T> {
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

/** Where a run that was to replace another one was stopped: it is in the way of the next one that keeps checkpoints there. */
async function refuseStopped(kept: string, isNeeded: boolean): Promise<void> {
  const isTaken = await refuseExisting(kept, true).catch((error) => {
    if (isNeeded) throw error;
    return false;
  });
  const [what, hint] = ["a run that was to replace this one was stopped", `go on with --resume ${kept}, or remove it`];
  if (isTaken && isNeeded) throw new ConfigError(what, { where: kept, hint });
  if (isTaken) console.error(`${kept}: ${what}; ${hint}`);
}

/** Ends the name of a run that replaces another one when it is done. */
const NEW = ".new";

/** A path to whose name something can be added: in full where it ends in a separator, "." or "..". */
function pathWithName(path: string): string {
  return /(^|[\\/])\.{0,2}[\\/]*$/.test(path) ? absolutePath(path) : path;
}

/** The base model, and the adapter to go on from: that names its base model, unless a flag does. */
async function openModel(
  name: string,
  { adapter: directory, model: given }: { adapter?: string; model?: string },
): Promise<{ model: GPT2Checkpoint; adapter?: Adapter }> {
  if (directory === undefined) return { model: await loadModel(name, DOWNLOADS) };
  const { checkpoint, adapter } = await openAdapter(directory, given, DOWNLOADS);
  return { model: checkpoint, adapter };
}

/** The data that a run's config tells of: both what is read and how. */
function loadData({ objective, data }: Pick<RunConfig, "objective" | "data">): Promise<TrainingData> {
  return objective === "lm"
    ? loadTexts(data as unknown as TextsSpec, data as TextsOptions)
    : loadDataset(data as unknown as DatasetSpec, { ...(data as DatasetOptions), ...DOWNLOADS });
}

/** Flags that make sense beside --resume: how to compute and print, not what. */
const BESIDE_RESUME = ["resume", "device", "threads", "json", "checkpointEvery"];

export async function resumedJob(flag: string, program: Command): Promise<Job> {
  const directory = pathWithName(flag);
  const refused = program.options
    .filter((option) => program.getOptionValueSource(option.attributeName()) === "cli")
    .filter((option) => !BESIDE_RESUME.includes(option.attributeName()));
  if (refused.length > 0)
    throw new ConfigError("a run goes on with the settings that it began with", {
      expected: "--resume DIR alone, or with --device, --threads, --checkpoint-every and --json",
      found: refused.map(({ long }) => long).join(", "),
    });
  await settle(directory);
  const { replaces = false, ...config } = await readRunConfig(directory);
  const out = replaces && directory.endsWith(NEW) ? directory.slice(0, -NEW.length) : directory;
  if (out !== directory) await settle(out);
  const resume = await lastCheckpoint(directory);
  const { model, adapter } = await openModel(config.model, config);
  const data = await closedOnFailure(model, async () => {
    const data = await loadData(config);
    const { counts, revision } = await runConfig(model, data, config.options);
    const base = await fingerprint(model);
    // Runs of before do not tell their base.
    const [found, expected] = [
      { revision, base, ...counts },
      { revision: config.revision, base: config.base ?? base, ...config.counts },
    ].map((one) => JSON.stringify(one));
    if (found !== expected)
      throw new ConfigError("the data, or the base model, has changed since the run began", {
        where: directory,
        expected: expected!,
        found: found!,
      });
    return data;
  });
  return {
    out,
    kept: directory,
    replaces: true,
    modelName: config.model,
    model,
    data,
    options: resolveOptions(config.options, config.objective),
    config,
    resume,
    ...(adapter ? { adapter } : {}),
  };
}
