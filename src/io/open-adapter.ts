/** A trained model as it is used: the adapter of a run, or of PEFT, with the base model that it belongs to. */
import { exists, isReplacing, joinPath } from "#platform";
import { checkArguments } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { readJson } from "./common.ts";
import type { DownloadOptions } from "./download.ts";
import { type GPT2Checkpoint, loadModel } from "./hf.ts";
import { type Adapter, readAdapter } from "./peft.ts";
import { baseModelOf, type PeftBase } from "./peft-import.ts";

export interface OpenedAdapter {
  adapter: Adapter;
  /** The base model; close it when nothing more is read from it. */
  checkpoint: GPT2Checkpoint;
}

/**
 * Opens a run directory, its adapter/ directory, or one that PEFT wrote, and the base model that it names (`model`
 * overrides it), fetching that where it must be. Throws ConfigError where there is no adapter or no model, or where they do
 * not belong together, FormatError where a file is damaged.
 */
export async function openAdapter(
  directory: string,
  model?: string,
  options: DownloadOptions = {},
): Promise<OpenedAdapter> {
  const checkpoint = await openBase(await placeOf(directory), model, options);
  try {
    return { adapter: await loadAdapter(directory, checkpoint), checkpoint };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** Reads a run directory, its adapter/ directory, or one that PEFT wrote, over its base model. Throws as `openAdapter` does. */
export async function loadAdapter(directory: string, checkpoint: GPT2Checkpoint): Promise<Adapter> {
  checkArguments({ directory, checkpoint }, { directory: "text", checkpoint: "model" });
  const place = await placeOf(directory);
  // Beside an adapter of its own, PEFT's users keep the tokenizer that it was trained with.
  if (!(await exists(joinPath(place, OURS)))) await (await import("./tokenizer-files.ts")).checkTokenizer(place);
  return readAdapter(place, { base: await baseOf(checkpoint) });
}

const OURS = "lowrank.json";
/** One of these is in the directory of every adapter. */
const ADAPTER_FILES = [OURS, "adapter_config.json"];

async function placeOf(directory: string): Promise<string> {
  const parents = /(^|[\\/])adapter[\\/]*$/.test(directory) ? [joinPath(directory, "..")] : [];
  for (const place of [directory, ...parents])
    if (await isReplacing(place)) await (await import("./recover.ts")).recover(place);
  const places = [directory, joinPath(directory, "adapter")];
  for (const place of places) for (const file of ADAPTER_FILES) if (await exists(joinPath(place, file))) return place;
  return directory;
}

async function openBase(
  directory: string,
  model: string | undefined,
  options: DownloadOptions,
): Promise<GPT2Checkpoint> {
  if (model !== undefined) return loadModel(model, options);
  const named = await namedBase(directory);
  // Says what is wrong with a directory that holds no adapter.
  if (named === undefined) await readAdapter(directory);
  try {
    return await loadModel(named ?? "", options);
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new ConfigError("the base model that the adapter names is not here", {
      where: directory,
      expected: `a directory of a GPT-2 at ${named || "the path in the adapter's configuration, which is empty"}`,
      found: cause.message.split("\n")[0]!,
      hint: "say where it is: --model DIR",
      cause,
    });
  }
}

/** The base model that a directory names; undefined where it is no adapter's. */
export async function namedBase(directory: string): Promise<string | undefined> {
  for (const [file, key] of [
    [OURS, "base_model"],
    ["adapter_config.json", "base_model_name_or_path"],
  ] as const) {
    const path = joinPath(directory, file);
    if (!(await exists(path))) continue;
    return baseModelOf(await readJson(path), key, path);
  }
  return undefined;
}

async function baseOf(checkpoint: GPT2Checkpoint): Promise<PeftBase> {
  const { config, names, directory } = checkpoint;
  const tokenTable = () => checkpoint.read("wte.weight");
  if (!names.includes("score.weight")) return { config, directory, tokenTable };
  return {
    config,
    directory,
    tokenTable,
    score: { shape: checkpoint.shape("score.weight"), data: await checkpoint.read("score.weight") },
  };
}
