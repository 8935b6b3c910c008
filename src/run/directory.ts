/** What a run leaves on the disk: settings, tables, the plan and the trained tensors. */
import {
  absolutePath,
  exists,
  joinPath,
  packagePath,
  platformName,
  writeDirectoryAtomic,
  writeFileAtomic,
} from "#platform";
import manifest from "../../package.json" with { type: "json" };
import type { DeviceInfo } from "../backend/backend.ts";
import { OBJECTIVES, type Objective, oneOf } from "../config.ts";
import { digestOf } from "../data/digest.ts";
import type { TrainingData } from "../data/texts.ts";
import { ConfigError } from "../errors.ts";
import { checkKinds, readJson } from "../io/common.ts";
import { type GPT2Checkpoint, SHIPPED_MODELS } from "../io/hf.ts";
import { snapshotOf } from "../io/hub.ts";
import type { Adapter, FinalNorm } from "../io/peft.ts";
import { type AdapterFiles, adapterFiles } from "../io/peft-write.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { printProgram } from "../plan/print.ts";
import type { Check } from "../platform/replacing.ts";
import type { TrainOptions } from "../train/options.ts";
import type { TrainResult } from "../train/records.ts";
import { CONFIG, FORMAT, isRunConfig, RUN_FILES, replaceable } from "./files.ts";
import { runTables } from "./tables.ts";

/** Everything that is needed to repeat a run and to use what it learned: config.json. */
export interface RunConfig {
  version: string;
  /** Name or directory of the base model. */
  model: string;
  /** The revision of a base model from the hub. */
  revision?: string;
  /** `fingerprint` of the base model: a run goes on only with the one that it began with. */
  base?: string;
  objective: Objective;
  /** The run replaces another one when it is done: this is DIR.new, and that DIR. */
  replaces?: true;
  /** Where the data came from and how it was read. */
  data: Record<string, unknown>;
  options: TrainOptions;
  /** The adapter that training began with. */
  adapter?: string;
  /** Of which trial of a sweep this is the run: with its result.json the sweep takes it for done. */
  trial?: { name: string; key: string; model: string };
  /** Tokens to which every row is padded; 0: packed. */
  padTo: number;
  /** Longest row in tokens; longer ones were cut, texts into blocks. */
  maxLength: number;
  labels: readonly string[];
  /** Rows and tokens of train, val and test, and `digestOf` them: a run goes on only with the data that it began with. */
  counts: { rows: number[]; tokens: number[]; sha256: string };
}

/** The config of a run; `source` says where the data came from, where the data set does not know it. */
export async function runConfig(
  model: GPT2Checkpoint,
  data: TrainingData,
  options: TrainOptions,
  source = data.origin,
): Promise<RunConfig> {
  const sets = [data.stats.train, data.stats.val, data.stats.test];
  const revision = snapshotOf(model.directory)?.revision;
  return {
    version: manifest.version,
    model: baseModelName(model.directory),
    ...(revision === undefined ? {} : { revision }),
    objective: data.objective,
    data: source,
    options,
    padTo: data.train.padTo,
    maxLength: data.maxLength,
    labels: data.labels,
    counts: {
      rows: sets.map(({ rows }) => rows),
      tokens: sets.map(({ tokens }) => tokens),
      sha256: await digestOf(data),
    },
  };
}

/** Reads the config of a run directory. Throws ConfigError where there is none. */
export async function readRunConfig(directory: string): Promise<RunConfig> {
  const path = joinPath(directory, CONFIG);
  const refuse = (found: string): never => {
    throw new ConfigError("this is no run directory", {
      where: directory,
      expected: `${CONFIG}, as training writes it`,
      found,
    });
  };
  if (!(await exists(path))) refuse((await exists(directory)) ? "none" : "no such directory");
  const json = await readJson(path);
  if (!isRunConfig(json)) refuse(`the ${CONFIG} of something else`);
  checkKinds({ json }, { json: "object" }, path);
  // Runs of before there were language models do not tell.
  const config = { objective: "classification", ...(json as object) } as RunConfig;
  oneOf("objective", config.objective, OBJECTIVES, path);
  const kinds = { model: "text", data: "object", options: "object", labels: "texts", counts: "object" } as const;
  checkKinds(config, { ...kinds, padTo: "count", maxLength: "size", adapter: "text?" }, path);
  return config;
}

/** Writes the config of a run that has just begun, where checkpoints are to be kept. */
export async function beginRun(directory: string, config: RunConfig, device: DeviceInfo, check?: Check): Promise<void> {
  await writeFileAtomic(joinPath(directory, CONFIG), settings(config, device, [CONFIG]), check);
}

/** "LoRA, rank 8, alpha 16" or "mode last_block". */
export function titleOf({ mode, rank, alpha }: TrainOptions): string {
  return mode === "lora" ? `LoRA, rank ${rank}, alpha ${alpha}` : `mode ${mode}`;
}

/** The name of a base model as it is kept in files: a shipped one or one of the hub by its name, another by its full path. */
function baseModelName(directory: string): string {
  const path = absolutePath(directory);
  const shipped = SHIPPED_MODELS.find((name) => absolutePath(packagePath(`data/models/${name}`)) === path);
  return shipped ?? snapshotOf(path)?.name ?? path;
}

/** Trained tensors with what is needed to use them. */
export function adapterOf(
  config: Pick<RunConfig, "model" | "labels" | "maxLength" | "padTo">,
  spec: ModelSpec,
  tensors: TrainResult["tensors"],
): Adapter {
  return {
    meta: {
      base_model: config.model,
      model: spec.config,
      mode: spec.mode,
      lora: spec.lora,
      task: spec.task,
      labels: [...config.labels],
      settings: {
        maxLength: config.maxLength,
        padTo: config.padTo,
        ...(spec.dtype === "f16" ? { dtype: spec.dtype } : {}),
      },
    },
    tensors,
  };
}

/** How a run is saved. */
export interface Saving {
  /** Whether a run that has learned something may be there already, which is replaced. */
  replace?: boolean;
  /** Throws where this process has lost the directory to another one. */
  check?: Check | undefined;
}

/**
 * Writes a finished run, and `extra` files with it, whole or not at all; files that are not a run's stay. Returns whether PEFT
 * can load its adapter/, or why not.
 */
export async function saveRun(
  directory: string,
  config: RunConfig,
  result: TrainResult,
  extra: Iterable<[name: string, content: string]> = [],
  saving: Saving = {},
): Promise<{ peft: boolean; reason?: string }> {
  const adapter = adapterFiles(adapterOf(config, result.spec, result.tensors), { finalNorm: result.finalNorm });
  await writeRun(
    directory,
    [config, result.device],
    [...runTables(result, config.labels), ["plan.txt", printProgram(result.plan)], ...extra],
    adapter,
    saving,
  );
  return { peft: adapter.peft, ...(adapter.reason === undefined ? {} : { reason: adapter.reason }) };
}

/** Writes what is left of a run that failed: its settings, the error, and the last good state of what was trained. */
export async function saveFailedRun(
  directory: string,
  config: RunConfig,
  spec: ModelSpec,
  contents: { tensors: TrainResult["tensors"]; finalNorm: FinalNorm },
  device: DeviceInfo,
  error: string,
  saving: Saving = {},
): Promise<void> {
  const adapter = adapterFiles(adapterOf(config, spec, contents.tensors), { finalNorm: contents.finalNorm });
  await writeRun(directory, [config, device], [["error.txt", `${error}\n`]], adapter, saving);
}

async function writeRun(
  directory: string,
  described: [config: RunConfig, device: DeviceInfo],
  about: readonly (readonly [name: string, content: string])[],
  adapter: AdapterFiles,
  { replace = true, check }: Saving,
): Promise<void> {
  const files = new Map<string, string | Uint8Array>(about);
  for (const [name, content] of adapter.files) files.set(`adapter/${name}`, content);
  const names = [CONFIG, ...files.keys()].sort();
  const unknown = names.filter((name) => !RUN_FILES.includes(name));
  if (unknown.length > 0) throw new Error(`not among the files of a run: ${unknown.join(", ")}`);
  files.set(CONFIG, settings(...described, names));
  const own = await replaceable(directory, replace);
  await writeDirectoryAtomic(directory, files, { own, ...(check ? { check } : {}) });
}

/** config.json: also says that this is a run, and which files are its own. */
function settings(config: RunConfig, device: DeviceInfo, files: readonly string[]): string {
  return `${JSON.stringify({ format: FORMAT, ...config, files, device, platform: platformName }, null, 2)}\n`;
}
