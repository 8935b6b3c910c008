/**
 * Which files of a directory are a run's: its config.json says that it is one, and what was written with it. All others are the
 * user's: they are never moved, replaced or deleted.
 */

import {
  canCreate,
  exists,
  finishReplacing,
  joinPath,
  listDirectory,
  remove,
  removeEmpty,
  temporaryDirectory,
} from "#platform";
import { ConfigError, LowrankError, nameList } from "../errors.ts";
import { readJson } from "../io/common.ts";
import { checkpointFiles, generations } from "./checkpoint.ts";

/** What a run's config.json calls itself. */
export const FORMAT = "lowrank-run";
export const CONFIG = "config.json";

/** The files that a run may leave, but for its checkpoints; error.txt is that of a run that failed. */
export const RUN_FILES: readonly string[] = [
  "accuracy.svg",
  "adapter/adapter_config.json",
  "adapter/adapter_model.safetensors",
  "adapter/lowrank.json",
  "adapter/lowrank.safetensors",
  "adapter/weights.safetensors",
  CONFIG,
  "confusion.csv",
  "error.txt",
  "loss.svg",
  "losses.csv",
  "metrics.csv",
  "perplexity.svg",
  "plan.txt",
  "result.json",
];

/** In the directory of every run that has ended. */
const LEARNED = "adapter/lowrank.json";

/** What every config.json of a run has, also of those that did not call themselves one yet. */
const KEYS = ["version", "model", "data", "options", "labels", "counts"];

/** Whether the contents of a config.json are a run's. */
export function isRunConfig(json: unknown): json is { files?: unknown } {
  if (typeof json !== "object" || json === null) return false;
  return "format" in json ? json.format === FORMAT : KEYS.every((key) => Object.hasOwn(json, key));
}

async function runConfigAt(directory: string): Promise<{ files?: unknown } | undefined> {
  const path = joinPath(directory, CONFIG);
  if (!(await exists(path))) return undefined;
  const json = await readJson(path).catch((error) => {
    if (error instanceof LowrankError) return undefined;
    throw error;
  });
  return isRunConfig(json) ? json : undefined;
}

/** The files of a run in this directory, there or not; none where there is no run. */
export async function ownFiles(directory: string): Promise<string[]> {
  const config = await runConfigAt(directory);
  if (config === undefined) return [];
  // Runs that do not list their files have some of these.
  const { files = RUN_FILES } = config;
  const written = RUN_FILES.filter((name) => Array.isArray(files) && files.includes(name));
  return [...(await checkpointFiles(directory)), ...written];
}

/** Whether a run has left something worth keeping: a checkpoint, or what it learned. */
export async function hasResult(directory: string): Promise<boolean> {
  return (await generations(directory)).length > 0 || (await exists(joinPath(directory, LEARNED)));
}

/** What the system leaves in a folder that was looked at. */
const isSystems = (entry: string) => /^(\.|Thumbs\.db$)/.test(entry);

/**
 * Throws ConfigError where the directory of a run to come cannot be made, or is taken: by a run that has learned something,
 * unless it is to be replaced (`force`), or by anything else. Returns whether there is a run to replace: an empty directory
 * and a run that was killed before its first checkpoint are none.
 */
export async function refuseExisting(
  directory: string,
  force: boolean,
  howToForce = "give --force to replace it when the new one is done",
): Promise<boolean> {
  if (!(await canCreate(directory)))
    throw new ConfigError("the output directory cannot be made", {
      where: directory,
      expected: "a path in a folder that can be written to",
      found: "no such folder, or no permission to write",
    });
  if (!(await exists(directory))) return false;
  const entries = (await listDirectory(directory).catch(() => ["a file"])).filter((entry) => !isSystems(entry));
  if (entries.length === 0) return false;
  if ((await runConfigAt(directory)) === undefined)
    throw new ConfigError("the output directory exists and is no run directory", {
      where: directory,
      expected: `an empty directory, or one with the ${CONFIG} of a run`,
      found: nameList(entries),
      hint: "choose another output directory",
    });
  if (!(await hasResult(directory))) return false;
  if (force) return true;
  const isDone = await exists(joinPath(directory, LEARNED));
  throw new ConfigError("the output directory exists", {
    where: directory,
    expected: "a path where nothing is yet",
    found: isDone ? "a run" : "a run that was stopped or killed",
    hint: `${isDone ? "" : `go on with --resume ${directory}, `}choose another output directory, or ${howToForce}`,
  });
}

/**
 * Files of a run that a new one at this place replaces: of one that may be replaced, or that has learned nothing. Under the
 * lock of the directory.
 */
export async function replaceable(directory: string, replace: boolean): Promise<string[]> {
  await finishReplacing(directory);
  return replace || !(await hasResult(directory)) ? ownFiles(directory) : [];
}

/** Deletes a run's files, what says that it is one last, and its folder where nothing else is in it. */
export async function removeRun(directory: string): Promise<void> {
  const files = await ownFiles(directory);
  for (const name of files.toSorted((a, b) => Number(a === CONFIG) - Number(b === CONFIG)))
    await remove(joinPath(directory, name));
  for (const folder of ["checkpoint", "adapter", ""]) await removeEmpty(joinPath(directory, folder));
}

/**
 * Saves in `directory`. Where that fails, what was learned is not lost: it is saved beside it, or else among the system's
 * temporary files. Returns where, and the `fault`; throws it where nothing can be saved anywhere.
 */
export async function saveSomewhere<T>(
  directory: string,
  save: (directory: string) => Promise<T>,
): Promise<{ saved: T; place: string; failure?: unknown }> {
  let failure: unknown;
  for (const other of ["", `${directory}.rescued`, joinPath(temporaryDirectory(), "lowrank.rescued")]) {
    const place = other ? await freePath(other) : directory;
    try {
      return { saved: await save(place), place, ...(other ? { failure } : {}) };
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

/** The path, with a number behind it where something is there already. */
export async function freePath(path: string): Promise<string> {
  let free = path;
  for (let i = 2; await exists(free); i++) free = `${path}.${i}`;
  return free;
}
