/**
 * Determines which files of a directory belong to a run: run.json identifies the run and lists its files. All other
 * files are the user's; they are never moved, replaced or deleted.
 */

import { canCreate, exists, isLinkOrMount, joinPath, listDirectory, otherFiles, remove, removeEmpty } from "#platform";
import { CLASSIC } from "../classic/parts.ts";
import { ConfigError, LowrankError, nameList } from "../errors.ts";
import { readJson, readPieces } from "../io/common.ts";
import { LIMITS } from "../io/limits.ts";
import { isTemporary } from "../platform/paths.ts";
import type { FileContent } from "../platform/reader.ts";
import { FORMAT, RECORD, REPORT, type RunRecord, VERSION } from "../record/record.ts";
import { setting } from "../setting.ts";
import { checkpointFiles } from "./checkpoint.ts";

/** The files that a run can write, except checkpoints. */
export const RUN_FILES: readonly string[] = [
  "adapter/adapter_config.json",
  "adapter/adapter_model.safetensors",
  "adapter/counts.json",
  "adapter/lowrank.json",
  "adapter/lowrank.safetensors",
  "adapter/weights.safetensors",
  CLASSIC,
  "predicted.json",
  "predictions.csv",
  REPORT,
  RECORD,
  "tuned/adapter_config.json",
  "tuned/adapter_model.safetensors",
  "tuned/lowrank.json",
  "tuned/lowrank.safetensors",
  "tuned/weights.safetensors",
];

/** What is read of a record before it is checked. */
type Loose = { [key in keyof Pick<RunRecord, "files" | "data" | "state">]?: unknown };

/** Whether the contents of a run.json are a run's. */
export function isRunRecord(json: unknown): json is Loose {
  const { format, version } = (json ?? {}) as { format?: unknown; version?: unknown };
  return format === FORMAT && version === VERSION;
}

/** The record of a run's directory; undefined: there is none. */
export async function recordAt(directory: string): Promise<Loose | undefined> {
  const path = joinPath(directory, RECORD);
  if (!(await exists(path))) return undefined;
  const json = await readJson(path, LIMITS.ownJson).catch((error) => {
    if (error instanceof LowrankError) return undefined;
    throw error;
  });
  return isRunRecord(json) ? json : undefined;
}

/** What operating systems put into a folder that is looked at. */
const OF_SYSTEMS = [".DS_Store", "Thumbs.db"];

/** Whether a file is nobody's: a temporary one of a killed process, or the operating system's. */
export const isLeftByOthers = (name: string) => isTemporary(name) || OF_SYSTEMS.includes(name);

/**
 * The files of the run in this directory, whether they exist or not, with the temporary ones of killed processes; the
 * last one is run.json, by which they are known. Empty if there is no run.
 */
export async function ownFiles(directory: string): Promise<string[]> {
  const record = await recordAt(directory);
  if (record === undefined) return [];
  const { files } = record;
  const names = RUN_FILES.filter((name) => name !== RECORD && Array.isArray(files) && files.includes(name));
  for (const folder of ["", "adapter"]) {
    const entries = await listDirectory(joinPath(directory, folder)).catch(() => []);
    const left = entries.filter(isLeftByOthers);
    names.push(...left.map((name) => (folder ? `${folder}/${name}` : name)));
  }
  return [...(await checkpointFiles(directory)), ...names, RECORD];
}

/** The contents of the files of the run in this directory, without checkpoints: read when they are written elsewhere. */
export async function readOwnFiles(directory: string): Promise<Map<string, FileContent>> {
  const files = new Map<string, FileContent>();
  for (const name of await ownFiles(directory)) {
    const path = joinPath(directory, name);
    if (RUN_FILES.includes(name) && (await exists(path))) files.set(name, readPieces(path));
  }
  return files;
}

/** What to say of a run in an output directory. */
const FOUND: Record<RunRecord["state"], string> = {
  finished: "a finished run",
  failed: "a run that has failed",
  stopped: "an interrupted run",
  training: "a run that is being trained, or was killed",
};

/** What an output directory may hold that is ours. */
interface Replaceable {
  /** The files of it, whether they exist or not; empty: there is no such thing. */
  own(directory: string): Promise<readonly string[]>;
  /** What it is, and how to replace it. */
  describe(): Promise<{ found: string; hint: string }> | { found: string; hint: string };
}

/**
 * Throws ConfigError unless an output directory can be made, or is empty, or holds nothing but what is ours and may be
 * replaced. Returns whether there is something to replace.
 */
export async function refuseOutput(
  directory: string,
  mayReplace: boolean,
  { own, describe }: Replaceable,
): Promise<boolean> {
  await refuseUncreatable(directory);
  await refuseLink(directory);
  if (!(await exists(directory))) return false;
  const entries = await listDirectory(directory).catch(() => ["a file"]);
  if (entries.length === 0) return false;
  const files = await own(directory);
  if (files.length === 0 || !mayReplace)
    throw new ConfigError("output-exists", "the output directory already exists", {
      where: directory,
      expected: "a new path, or an empty directory",
      ...(files.length > 0 ? await describe() : { found: nameList(entries), hint: "choose another output directory" }),
    });
  await refuseOthers(directory, files);
  return true;
}

/** `refuseOutput` for a run. */
export const refuseExisting = (
  directory: string,
  force: boolean,
  howToForce = `give ${setting("force")} to replace it when the new run is finished`,
): Promise<boolean> =>
  refuseOutput(directory, force, {
    own: ownFiles,
    async describe() {
      const { state } = (await recordAt(directory)) as RunRecord;
      const isOver = state === "finished" || state === "failed";
      const resume = isOver ? "" : `resume it with ${setting("resume", directory)}, `;
      return { found: FOUND[state], hint: `${resume}choose another output directory, or ${howToForce}` };
    },
  });

/** Throws ConfigError if a directory cannot be made. */
export async function refuseUncreatable(directory: string): Promise<void> {
  if (await canCreate(directory)) return;
  throw new ConfigError("invalid-output", "the output directory cannot be created", {
    where: directory,
    expected: "a path in a writable directory",
    found: "no such directory, or no write permission",
  });
}

/** Throws ConfigError if a directory that is to be replaced has other files than `own`: they would go with it. */
async function refuseOthers(directory: string, own: readonly string[]): Promise<void> {
  const others = await otherFiles(directory, own);
  if (others.length > 0)
    throw new ConfigError("output-exists", "the output directory has other files than those that would be replaced", {
      where: directory,
      found: nameList(others),
      hint: "move them, or choose another output directory",
    });
}

/** Throws ConfigError if an output directory could not be renamed into its place. */
async function refuseLink(directory: string): Promise<void> {
  if (await isLinkOrMount(directory))
    throw new ConfigError("invalid-output", "the output directory is a link or a mount point", {
      where: directory,
      expected: "a path at which a directory can be made",
      hint: `choose a directory in it: ${joinPath(directory, "run")}`,
    });
}

/** Deletes a run's files, run.json last, by which they are known, and then its directory if it is empty. */
export async function removeRun(directory: string): Promise<void> {
  for (const name of await ownFiles(directory)) {
    if (name === RECORD) for (const folder of ["checkpoint", "adapter"]) await removeEmpty(joinPath(directory, folder));
    await remove(joinPath(directory, name));
  }
  await removeEmpty(directory);
}
