/** The run directory: settings, tables, the plan and the trained tensors. */
import { absolutePath, exists, joinPath, packagePath, platformName, writeFileAtomic } from "#platform";
import { version } from "../../package.json";
import type { DeviceInfo } from "../backend/backend.ts";
import { MODE_TITLES, type Mode, OBJECTIVES, type Objective, oneOf } from "../config.ts";
import { digestOf } from "../data/digest.ts";
import type { TrainingData } from "../data/texts.ts";
import { ConfigError } from "../errors.ts";
import { checkKinds, readJson } from "../io/common.ts";
import { fingerprint } from "../io/fingerprint.ts";
import { type GPT2Checkpoint, SHIPPED_MODELS } from "../io/hf.ts";
import { snapshotOf } from "../io/hub-names.ts";
import type { NoveltySettings } from "../io/novelty.ts";
import type { Adapter, FinalNorm } from "../io/peft.ts";
import { type AdapterFiles, adapterFiles } from "../io/peft-write.ts";
import { GPT2_VOCABULARY } from "../io/vocabulary.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { printProgram } from "../plan/print.ts";
import type { Check, FileContent } from "../platform/reader.ts";
import { writeDirectoryAtomic } from "../platform/replacing.ts";
import type { TrainOptions } from "../train/options.ts";
import type { TrainResult } from "../train/records.ts";
import { checkpointFiles } from "./checkpoint.ts";
import { CONFIG, FORMAT, isRunConfig, RUN_FILES, replaceable } from "./files.ts";
import { runTables } from "./tables.ts";

/** Everything that is needed to repeat a run and to use the trained model: config.json. */
export interface RunConfig {
  version: string;
  /** Name or directory of the base model. */
  model: string;
  /** The revision of a base model from the hub. */
  revision?: string;
  /** The fingerprint of the model's vocabulary, unless it is GPT-2's. */
  vocabulary?: string;
  /** `fingerprint` of the base model: a run can only be resumed, and its adapter only be used, with the same model. */
  base: string;
  objective: Objective;
  /** The run is stored in DIR.new, and replaces the one in DIR when it is finished. */
  replaces?: true;
  /** The source of the data, and the options it was read with. */
  data: Record<string, unknown>;
  options: TrainOptions;
  /** The adapter that training started from. */
  adapter?: string;
  /** The trial of a sweep that this run belongs to. With a result.json, the sweep considers the trial finished. */
  trial?: { name: string; key: string; model: string };
  /** Tokens to which every row is padded; 0: packed. */
  padTo: number;
  /** Maximum row length in tokens. Longer messages were truncated, texts were split into blocks. */
  maxLength: number;
  labels: readonly string[];
  /** Rows and tokens of train, val and test, and their `digestOf`: a run can only be resumed with the same data. */
  counts: { rows: number[]; tokens: number[]; sha256: string };
}

/** The config of a run. `source` overrides the origin that the data set reports. */
export async function runConfig(
  model: GPT2Checkpoint,
  data: TrainingData,
  options: TrainOptions,
  source = data.origin,
): Promise<RunConfig> {
  const sets = [data.stats.train, data.stats.val, data.stats.test];
  const revision = snapshotOf(model.directory)?.revision;
  return {
    version,
    model: nameBase(model.directory).name,
    ...(revision === undefined ? {} : { revision }),
    base: await fingerprint(model),
    ...(data.vocabulary === GPT2_VOCABULARY.fingerprint ? {} : { vocabulary: data.vocabulary }),
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

/** Reads the config of a run directory. Throws ConfigError if there is none. */
export async function readRunConfig(directory: string): Promise<RunConfig> {
  const path = joinPath(directory, CONFIG);
  const refuse = (found: string): never => {
    throw new ConfigError("not a run directory", {
      where: directory,
      expected: `a ${CONFIG} written by train`,
      found,
    });
  };
  if (!(await exists(path))) refuse((await exists(directory)) ? `no ${CONFIG}` : "no such directory");
  const json = await readJson(path);
  if (!isRunConfig(json)) refuse(`a ${CONFIG} of another format`);
  checkKinds({ json }, { json: "object" }, path);
  const config = json as RunConfig;
  oneOf("objective", config.objective, OBJECTIVES, path);
  const texts = { model: "text", base: "text", labels: "texts", adapter: "text?" } as const;
  checkKinds(config, { ...texts, data: "object", options: "object", counts: "object" }, path);
  checkKinds(config, { padTo: "count", maxLength: "size" }, path);
  return config;
}

/** Writes the config of a run that has just started, before its first checkpoint. */
export async function beginRun(directory: string, config: RunConfig, device: DeviceInfo, check?: Check): Promise<void> {
  await writeFileAtomic(joinPath(directory, CONFIG), settings(config, device, [CONFIG]), check);
}

/** "LoRA, rank 8, alpha 16", "prompt tuning, 20 virtual tokens" or "last block". */
export function titleOf({ mode, rank, alpha, bottleneck, virtualTokens }: TrainOptions): string {
  const sizes: Partial<Record<Mode, string>> = {
    lora: `rank ${rank}, alpha ${alpha}`,
    adapter: `width ${bottleneck}`,
    prompt: `${virtualTokens} virtual tokens`,
    prefix: `${virtualTokens} virtual tokens`,
  };
  return [MODE_TITLES[mode], sizes[mode] ?? []].flat().join(", ");
}

/** A base model as stored in files: its name, if it is in the package or from the hub, otherwise its absolute path. */
export interface BaseName {
  name: string;
  place: "package" | "hub" | "folder";
}

/** How a base model in a directory is named. */
export function nameBase(directory: string): BaseName {
  const path = absolutePath(directory);
  const shipped = SHIPPED_MODELS.find((name) => absolutePath(packagePath(`data/models/${name}`)) === path);
  if (shipped !== undefined) return { name: shipped, place: "package" };
  const fetched = snapshotOf(path);
  return fetched ? { name: fetched.name, place: "hub" } : { name: path, place: "folder" };
}

/** The trained tensors with the metadata that is needed to use them. */
export function adapterOf(
  config: Pick<RunConfig, "model" | "base" | "vocabulary" | "labels" | "maxLength" | "padTo">,
  spec: ModelSpec,
  tensors: TrainResult["tensors"],
  novelty: NoveltySettings | null,
): Adapter {
  return {
    meta: {
      base_model: config.model,
      base_fingerprint: config.base,
      model: spec.config,
      mode: spec.mode,
      lora: spec.lora,
      task: spec.task,
      ...(spec.bottleneck === undefined ? {} : { bottleneck: spec.bottleneck }),
      ...(spec.num_virtual_tokens === undefined ? {} : { num_virtual_tokens: spec.num_virtual_tokens }),
      labels: [...config.labels],
      settings: {
        maxLength: config.maxLength,
        padTo: config.padTo,
        ...(config.vocabulary === undefined ? {} : { vocabulary: config.vocabulary }),
        ...(spec.dtype === undefined || spec.dtype === "f32" ? {} : { dtype: spec.dtype }),
        ...(novelty ? { novelty } : {}),
      },
    },
    tensors,
  };
}

/** The files of a run directory, and whether PEFT can load its adapter/, or the reason why it cannot. */
interface RunContents {
  files: Map<string, FileContent>;
  peft: boolean;
  reason?: string;
}

/** The files of a finished run, with `extra` ones. */
export function runContents(
  config: RunConfig,
  result: TrainResult,
  data: TrainingData,
  extra: Iterable<[name: string, content: string]> = [],
): RunContents {
  const adapter = adapterFiles(adapterOf(config, result.spec, result.tensors, result.novelty), {
    finalNorm: result.finalNorm,
  });
  const about = [...runTables(result, data), ["plan.txt", printProgram(result.plan)] as const, ...extra];
  const { peft, reason } = adapter;
  return {
    files: contentsOf(config, result.device, about, adapter),
    peft,
    ...(reason === undefined ? {} : { reason }),
  };
}

/** How a run is saved. */
export interface Saving {
  /** Whether an existing run with results is replaced. */
  replace?: boolean;
  /** Whether the run's checkpoints stay: it has been interrupted. */
  keepCheckpoints?: boolean;
  /** Throws if another process has taken over the directory. */
  check?: Check | undefined;
}

/**
 * Writes a finished run, with `extra` files, atomically. Files that do not belong to a run are not touched. Returns whether
 * PEFT can load its adapter/, or the reason why it cannot.
 */
export async function saveRun(
  directory: string,
  config: RunConfig,
  result: TrainResult,
  data: TrainingData,
  extra: Iterable<[name: string, content: string]> = [],
  saving: Saving = {},
): Promise<{ peft: boolean; reason?: string }> {
  const { files, ...about } = runContents(config, result, data, extra);
  await writeRun(directory, files, saving);
  return about;
}

/** Writes a failed run: its settings, the error, and the last good trained tensors. */
export async function saveFailedRun(
  directory: string,
  config: RunConfig,
  spec: ModelSpec,
  contents: { tensors: TrainResult["tensors"]; finalNorm: FinalNorm },
  device: DeviceInfo,
  error: string,
  saving: Saving = {},
): Promise<void> {
  const adapter = adapterFiles(adapterOf(config, spec, contents.tensors, null), { finalNorm: contents.finalNorm });
  const files = contentsOf(config, device, [["error.txt", `${error}\n`]], adapter);
  await writeRun(directory, files, saving);
}

function contentsOf(
  config: RunConfig,
  device: DeviceInfo,
  about: readonly (readonly [name: string, content: FileContent])[],
  adapter: AdapterFiles,
): Map<string, FileContent> {
  const files = new Map<string, FileContent>(about);
  for (const [name, content] of adapter.files) files.set(`adapter/${name}`, content);
  const names = [CONFIG, ...files.keys()].sort();
  const unknown = names.filter((name) => !RUN_FILES.includes(name));
  if (unknown.length > 0) throw new Error(`not listed in RUN_FILES: ${unknown.join(", ")}`);
  return files.set(CONFIG, settings(config, device, names));
}

/** Writes the files of a run, atomically. Files that do not belong to a run are not touched. */
export async function writeRun(
  directory: string,
  files: ReadonlyMap<string, FileContent>,
  { replace = true, keepCheckpoints = false, check }: Saving = {},
): Promise<void> {
  const kept = keepCheckpoints ? await checkpointFiles(directory) : [];
  const own = (await replaceable(directory, replace)).filter((name) => !kept.includes(name));
  await writeDirectoryAtomic(directory, files, { own, ...(check ? { check } : {}) });
}

/** The text of config.json, which also marks the directory as a run and lists its files. */
function settings(config: RunConfig, device: DeviceInfo, files: readonly string[]): string {
  return `${JSON.stringify({ format: FORMAT, ...config, files, device, platform: platformName }, null, 2)}\n`;
}
