/** Opens the adapter of a run, or one written by PEFT, together with its base model. */
import { exists, joinPath } from "#platform";
import { checkArguments } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { isGguf, isRemote, STAGING } from "../platform/paths.ts";
import { readJson } from "./common.ts";
import type { DownloadOptions } from "./download-options.ts";
import { type BaseModel, loadModel } from "./hf.ts";
import { type Adapter, type AdapterMeta, readAdapter } from "./peft.ts";
import { type PeftBase, readBaseModel } from "./peft-form.ts";
import { checkFingerprint } from "./vocabulary.ts";

export interface OpenedAdapter {
  adapter: Adapter;
  /** The base model; the caller closes it. */
  checkpoint: BaseModel;
}

/**
 * Opens a run directory, its adapter/ directory, or an adapter written by PEFT, and the base model that it names
 * (`model` overrides it), which is downloaded if needed. Throws ConfigError if the adapter or the model does not exist,
 * or they do not belong together, FormatError if a file is damaged.
 */
export async function openAdapter(
  directory: string,
  model?: string,
  options: DownloadOptions = {},
): Promise<OpenedAdapter> {
  const place = await locateAdapter(directory);
  const checkpoint = await openBase(place, model, options);
  try {
    return { adapter: await readFrom(place, checkpoint), checkpoint };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/**
 * Reads a run's adapter, or one written by PEFT, for a base model that is open already. Throws as `openAdapter` does.
 *
 * @example
 * ```ts
 * import { fineTune, loadAdapter, loadDataset, loadModel, openDevice } from "lowrank";
 *
 * const model = await loadModel("gpt2-micro");
 * const adapter = await loadAdapter("runs/first", model);
 * const data = await loadDataset({ file: "more.csv" }, { model });
 * const run = await fineTune({ device: await openDevice(), model, data, adapter });
 * ```
 */
export async function loadAdapter(directory: string, checkpoint: BaseModel): Promise<Adapter> {
  checkArguments({ directory, checkpoint }, { directory: "text", checkpoint: "model" });
  return readFrom(await locateAdapter(directory), checkpoint);
}

async function readFrom(place: string, checkpoint: BaseModel): Promise<Adapter> {
  const { vocabulary, config } = checkpoint;
  // Adapters written by PEFT often come with the tokenizer that they were trained with.
  if (!(await exists(joinPath(place, OURS))))
    await (await import("./tokenizer-files.ts")).checkSameVocabulary(place, vocabulary, config);
  const adapter = await readAdapter(place, { base: await describePeftBase(checkpoint) });
  const { vocabulary: trained = vocabulary.fingerprint } = adapter.meta.settings as { vocabulary?: string };
  checkFingerprint(place, vocabulary.fingerprint, trained);
  await checkBase(adapter.meta, checkpoint, place);
  return adapter;
}

/** Throws ConfigError if the adapter was trained on another base model. The same one may have another name. */
async function checkBase(meta: AdapterMeta, checkpoint: BaseModel, where: string): Promise<void> {
  const { base_model, base_fingerprint: expected } = meta;
  if (expected === undefined) return;
  // Imported on demand: PEFT's adapters and pages of one file have none.
  const found = await (await import("./fingerprint.ts")).fingerprint(checkpoint);
  if (found === expected) return;
  throw new ConfigError("wrong-base-model", "the adapter belongs to another base model", {
    where,
    expected: `${base_model}, fingerprint ${expected.slice(0, 12)}`,
    found: `${checkpoint.directory}, fingerprint ${found.slice(0, 12)}`,
    hint: "give the base model that the adapter was trained on: --model DIR",
  });
}

const OURS = "lowrank.json";
const THEIRS = "adapter_config.json";

async function locateAdapter(directory: string): Promise<string> {
  const parents = IS_ADAPTER.test(directory) ? [joinPath(directory, "..")] : [];
  for (const place of [directory, ...parents])
    if (!isRemote(place) && (await exists(joinPath(place, STAGING))))
      await (await import("./recover.ts")).recover(place);
  return (await findAdapter(directory)) ?? directory;
}

/** Matches a path that ends in the adapter/ of a run. */
export const IS_ADAPTER = /(^|[\\/])adapter[\\/]*$/;

/**
 * Where the adapter is: in adapter/ of a run, or in the directory itself; undefined if there is none. A server with a
 * run is not asked for files that a run does not have.
 */
export async function findAdapter(directory: string): Promise<string | undefined> {
  if (isGguf(directory)) return undefined;
  const inside = joinPath(directory, "adapter");
  const ours = IS_ADAPTER.test(directory) ? [directory, inside] : [inside, directory];
  for (const place of ours) if (await exists(joinPath(place, OURS))) return place;
  for (const place of [directory, inside]) if (await exists(joinPath(place, THEIRS))) return place;
  return undefined;
}

async function openBase(directory: string, model: string | undefined, options: DownloadOptions): Promise<BaseModel> {
  if (model !== undefined) return loadModel(model, options);
  const named = await namedBase(directory);
  // Throws the error for a directory without an adapter.
  if (named === undefined) await readAdapter(directory);
  try {
    return await loadModel(named ?? "", options);
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new ConfigError("base-model-not-found", "the base model of the adapter was not found", {
      where: directory,
      expected: `a model at ${named || "the path in the adapter's configuration, which is empty"}`,
      found: cause.message.split("\n")[0]!,
      hint: "give its directory: --model DIR",
      cause,
    });
  }
}

/** The base model that an adapter's directory names; undefined for any other directory. */
export async function namedBase(directory: string): Promise<string | undefined> {
  for (const [file, key] of [
    [OURS, "base_model"],
    [THEIRS, "base_model_name_or_path"],
  ] as const) {
    const path = joinPath(directory, file);
    if (!(await exists(path))) continue;
    return readBaseModel(await readJson(path), key, path);
  }
  return undefined;
}

async function describePeftBase(checkpoint: BaseModel): Promise<PeftBase> {
  const { config, names, directory, problemType } = checkpoint;
  const read = (name: string) => checkpoint.read(name);
  const base = { config, directory, read, problemType };
  if (!names.includes("score.weight")) return base;
  return {
    ...base,
    score: { shape: checkpoint.shape("score.weight"), data: await checkpoint.read("score.weight") },
  };
}
