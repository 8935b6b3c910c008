/** What a run leaves on the disk: settings, tables, the plan and the trained tensors. */
import {
  absolutePath,
  canCreate,
  exists,
  joinPath,
  listDirectory,
  packagePath,
  platformName,
  temporaryDirectory,
  writeDirectoryAtomic,
  writeFileAtomic,
} from "#platform";
import manifest from "../../package.json" with { type: "json" };
import type { DeviceInfo } from "../backend/backend.ts";
import { OBJECTIVES, type Objective, oneOf } from "../config.ts";
import { digestOf } from "../data/digest.ts";
import type { TrainingData } from "../data/texts.ts";
import { ConfigError } from "../errors.ts";
import { checkKinds, list, readJson } from "../io/common.ts";
import { type GPT2Checkpoint, SHIPPED_MODELS } from "../io/hf.ts";
import { snapshotOf } from "../io/hub.ts";
import { type Adapter, adapterFiles, type FinalNorm } from "../io/peft.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { printProgram } from "../plan/plan.ts";
import type { TrainOptions } from "./options.ts";
import type { TrainResult } from "./records.ts";
import { runTables } from "./run-tables.ts";

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
  const path = joinPath(directory, "config.json");
  if (!(await exists(path)))
    throw new ConfigError("this is no run directory", {
      where: directory,
      expected: "config.json, as training writes it",
      found: (await exists(directory)) ? "none" : "no such directory",
    });
  const json = await readJson(path);
  checkKinds({ json }, { json: "object" }, path);
  // Runs of before there were language models do not tell.
  const config = { objective: "classification", ...(json as object) } as RunConfig;
  oneOf("objective", config.objective, OBJECTIVES, path);
  const kinds = { model: "text", data: "object", options: "object", labels: "texts", counts: "object" } as const;
  checkKinds(config, { ...kinds, padTo: "count", maxLength: "size", adapter: "text?" }, path);
  return config;
}

/** Writes the config of a run that has just begun, where checkpoints are to be kept. */
export async function beginRun(directory: string, config: RunConfig, device: DeviceInfo): Promise<void> {
  await writeFileAtomic(joinPath(directory, "config.json"), settings(config, device));
}

/** What stands in a run directory; error.txt in that of a run that failed. A save replaces these, and nothing else. */
export const RUN_ENTRIES = [
  "accuracy.svg",
  "adapter",
  "checkpoint",
  "config.json",
  "confusion.csv",
  "error.txt",
  "loss.svg",
  "losses.csv",
  "metrics.csv",
  "perplexity.svg",
  "plan.txt",
  "result.json",
];

/** Throws ConfigError where the directory of a run to come cannot be made, or is taken; with `force`, where it is taken by anything but a run. */
export async function refuseExisting(directory: string, force: boolean): Promise<void> {
  if (!(await canCreate(directory)))
    throw new ConfigError("the output directory cannot be made", {
      where: directory,
      expected: "a path in a folder that can be written to",
      found: "no such folder, or no permission to write",
    });
  if (!(await exists(directory))) return;
  if (!force)
    throw new ConfigError("the output directory exists", {
      where: directory,
      expected: "a path where nothing is yet",
      hint: "choose another --out, or give --force to replace it when the run is done",
    });
  const entries = await listDirectory(directory).catch(() => null);
  // What the system leaves in a folder that was looked at tells nothing.
  const others = entries?.filter((entry) => !RUN_ENTRIES.includes(entry) && !/^(\.|Thumbs\.db$)/.test(entry)) ?? [
    "a file",
  ];
  // A folder that was named by mistake is not to be filled.
  if (others.length > 0)
    throw new ConfigError("what is to be replaced is no run directory", {
      where: directory,
      expected: `nothing but what a run leaves: ${RUN_ENTRIES.join(", ")}`,
      found: list(others),
      hint: "choose another output directory",
    });
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

/**
 * Writes a finished run, and `extra` files with it, whole or not at all. A run that is there already is replaced, and other
 * files stay; with `replace` false the directory must be new. Returns whether PEFT can load its adapter/, or why not.
 */
export async function saveRun(
  directory: string,
  config: RunConfig,
  result: TrainResult,
  extra: Iterable<[name: string, content: string]> = [],
  replace = true,
): Promise<{ peft: boolean; reason?: string }> {
  const adapter = adapterFiles(adapterOf(config, result.spec, result.tensors), { finalNorm: result.finalNorm });
  const files = new Map<string, string | Uint8Array>([
    ["config.json", settings(config, result.device)],
    ...runTables(result, config.labels),
    ["plan.txt", printProgram(result.plan)],
    ...extra,
  ]);
  for (const [name, content] of adapter.files) files.set(`adapter/${name}`, content);
  await writeDirectoryAtomic(directory, files, replace ? RUN_ENTRIES : undefined);
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
): Promise<void> {
  const { files } = adapterFiles(adapterOf(config, spec, contents.tensors), { finalNorm: contents.finalNorm });
  await writeDirectoryAtomic(
    directory,
    new Map<string, string | Uint8Array>([
      ["config.json", settings(config, device)],
      ["error.txt", `${error}\n`],
      ...[...files].map(([name, content]) => [joinPath("adapter", name), content] as const),
    ]),
    RUN_ENTRIES,
  );
}

/**
 * Saves in `directory`. Where that fails, what was learned is not lost: it is saved beside it, or else among the system's
 * temporary files. Returns where, and the `fault`; throws it where nothing can be saved anywhere.
 */
export async function saveSomewhere<T>(
  directory: string,
  save: (directory: string) => Promise<T>,
): Promise<{ saved: T; place: string; fault?: unknown }> {
  let fault: unknown;
  for (const other of ["", `${directory}.rescued`, joinPath(temporaryDirectory(), "lowrank.rescued")]) {
    const place = other ? await freePath(other) : directory;
    try {
      return { saved: await save(place), place, ...(other ? { fault } : {}) };
    } catch (error) {
      fault ??= error;
    }
  }
  throw fault;
}

/** The path, with a number behind it where something is there already. */
export async function freePath(path: string): Promise<string> {
  let free = path;
  for (let i = 2; await exists(free); i++) free = `${path}.${i}`;
  return free;
}

function settings(config: RunConfig, device: DeviceInfo): string {
  return `${JSON.stringify({ ...config, device, platform: platformName }, null, 2)}\n`;
}
