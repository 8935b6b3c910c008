/**
 * Determines which files of a directory belong to a run: run.json identifies the run and lists its files. All other
 * files are the user's; they are never moved, replaced or deleted.
 */

import {
  canCreate,
  exists,
  joinPath,
  listDirectory,
  readBytes,
  remove,
  removeEmpty,
  temporaryDirectory,
} from "#platform";
import { ConfigError, LowrankError, nameList } from "../errors.ts";
import { readJson } from "../io/common.ts";
import { LIMITS } from "../io/limits.ts";
import { IS_ADAPTER } from "../io/open-adapter.ts";
import { finishReplacing } from "../platform/replacing.ts";
import { checkpointFiles, generations } from "./checkpoint.ts";
import { FORMAT, RECORD, VERSION } from "./record.ts";

/** The files that a run can write, except checkpoints. */
export const RUN_FILES: readonly string[] = [
  "accuracy.svg",
  "adapter/adapter_config.json",
  "adapter/adapter_model.safetensors",
  "adapter/lowrank.json",
  "adapter/lowrank.safetensors",
  "adapter/weights.safetensors",
  "baselines.csv",
  "classes.csv",
  "confusion.csv",
  "loss.svg",
  "losses.csv",
  "measures.csv",
  "metrics.csv",
  "perplexity.svg",
  "plan.txt",
  "precision-recall.svg",
  "predictions.csv",
  "reliability.svg",
  "roc.svg",
  RECORD,
  "seeds.csv",
  "texts.csv",
];

/** Present in the directory of every run that has ended. */
const ADAPTER = "adapter/lowrank.json";

/** Whether the contents of a run.json are a run's. */
export function isRunRecord(json: unknown): json is { files?: unknown; data?: unknown } {
  const { format, version } = (json ?? {}) as { format?: unknown; version?: unknown };
  return format === FORMAT && version === VERSION;
}

async function recordAt(directory: string): Promise<{ files?: unknown; data?: unknown } | undefined> {
  const path = joinPath(directory, RECORD);
  if (!(await exists(path))) return undefined;
  const json = await readJson(path, LIMITS.ownJson).catch((error) => {
    if (error instanceof LowrankError) return undefined;
    throw error;
  });
  return isRunRecord(json) ? json : undefined;
}

/** The text column that a run was given; `directory`: a run's or its adapter/; any other one has none. */
export async function givenTextColumn(directory: string): Promise<string | undefined> {
  const record = await recordAt(IS_ADAPTER.test(directory) ? joinPath(directory, "..") : directory);
  const { textColumn } = (record?.data ?? {}) as { textColumn?: unknown };
  return typeof textColumn === "string" ? textColumn : undefined;
}

/** The files of the run in this directory, whether they exist or not. Empty if there is no run. */
export async function ownFiles(directory: string): Promise<string[]> {
  const record = await recordAt(directory);
  if (record === undefined) return [];
  const { files } = record;
  const written = RUN_FILES.filter((name) => Array.isArray(files) && files.includes(name));
  return [...(await checkpointFiles(directory)), ...written];
}

/** The contents of the files of the run in this directory. */
export async function readOwnFiles(directory: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const name of await ownFiles(directory))
    if (await exists(joinPath(directory, name))) files.set(name, await readBytes(joinPath(directory, name)));
  return files;
}

/** Whether a run has results: a checkpoint or trained parameters. */
export async function hasResult(directory: string): Promise<boolean> {
  return (await generations(directory)).length > 0 || (await exists(joinPath(directory, ADAPTER)));
}

/** Files that the operating system creates in a folder. */
const isSystems = (entry: string) => /^(\.|Thumbs\.db$)/.test(entry);

/**
 * Throws ConfigError if the directory of a new run cannot be created, holds a run with results and `force` is not set,
 * or holds anything else. Returns whether there is a run to replace: false for an empty directory, and for a run that
 * was killed before its first checkpoint.
 */
export async function refuseExisting(
  directory: string,
  force: boolean,
  howToForce = "give --force to replace it when the new run is finished",
): Promise<boolean> {
  if (!(await canCreate(directory)))
    throw new ConfigError("invalid-output", "the output directory cannot be created", {
      where: directory,
      expected: "a path in a writable directory",
      found: "no such directory, or no write permission",
    });
  if (!(await exists(directory))) return false;
  const entries = (await listDirectory(directory).catch(() => ["a file"])).filter((entry) => !isSystems(entry));
  if (entries.length === 0) return false;
  if ((await recordAt(directory)) === undefined)
    throw new ConfigError("output-exists", "the output directory already exists and is not a run directory", {
      where: directory,
      expected: `an empty directory, or one with the ${RECORD} of a run`,
      found: nameList(entries),
      hint: "choose another output directory",
    });
  if (!(await hasResult(directory))) return false;
  if (force) return true;
  const isDone = (await generations(directory)).length === 0;
  throw new ConfigError("output-exists", "the output directory already exists", {
    where: directory,
    expected: "a new path",
    found: isDone ? "a finished run" : "an interrupted run",
    hint: `${isDone ? "" : `resume it with --resume ${directory}, `}choose another output directory, or ${howToForce}`,
  });
}

/**
 * The files of an existing run that a new one replaces: those of a run without results, or of any run if `replace` is
 * set. The caller holds the directory's lock.
 */
export async function replaceable(directory: string, replace: boolean): Promise<string[]> {
  await finishReplacing(directory);
  return replace || !(await hasResult(directory)) ? ownFiles(directory) : [];
}

/** Deletes a run's files, run.json last because it identifies the run, and then its directory if it is empty. */
export async function removeRun(directory: string): Promise<void> {
  const files = await ownFiles(directory);
  for (const name of files.toSorted((a, b) => Number(a === RECORD) - Number(b === RECORD)))
    await remove(joinPath(directory, name));
  for (const folder of ["checkpoint", "adapter", ""]) await removeEmpty(joinPath(directory, folder));
}

/**
 * Saves in `directory`. If that fails, saves beside it, or in the system's temporary directory. Returns the directory
 * that was used, and the first failure; throws that failure if saving fails everywhere.
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

/** The path, with a number appended if it exists. */
export async function freePath(path: string): Promise<string> {
  let free = path;
  for (let i = 2; await exists(free); i++) free = `${path}.${i}`;
  return free;
}
