/** Zips adapters and run directories, and unpacks them. */

import { unzipSync, zipSync } from "fflate";
import { exists, joinPath, listDirectory, openFile, readBytes } from "#platform";
import { FormatError } from "../../errors.ts";
import { checkKinds } from "../../io/common.ts";
import { parseJson } from "../../io/limits.ts";
import { finishReplacing } from "../../platform/replacing.ts";
import { generations } from "../../run/checkpoint.ts";
import { isRunRecord, RUN_FILES } from "../../run/files.ts";
import { dataFiles, fileName, RECORD, type RunRecord } from "../../run/record.ts";

/** The folders of a run directory. */
const FOLDERS = ["adapter", "checkpoint", "data", "start"];

/** The paths of the files in a run directory or in one of its folders. */
async function pathsIn(directory: string): Promise<string[]> {
  await finishReplacing(directory);
  const paths: string[] = [];
  for (const name of await listDirectory(directory))
    if (!FOLDERS.includes(name)) paths.push(name);
    else for (const file of await listDirectory(joinPath(directory, name))) paths.push(`${name}/${file}`);
  // A run goes on from the last checkpoint.
  const [, ...older] = (await exists(joinPath(directory, "checkpoint"))) ? await generations(directory) : [];
  return paths.filter((path) => !older.includes(path));
}

/** The files of a run directory, or of one of its folders, by relative path. */
export async function readFiles(directory: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const path of await pathsIn(directory)) files.set(path, await readBytes(joinPath(directory, path)));
  return files;
}

/** The bytes of all files of a directory. */
export async function bytesIn(directory: string): Promise<number> {
  let bytes = 0;
  for (const path of await pathsIn(directory)) {
    const file = await openFile(joinPath(directory, path));
    bytes += file.size;
    await file.close();
  }
  return bytes;
}

/** Zips the files of a directory, and a README if there is one, in a folder with the given name. */
export async function zipDirectory(directory: string, folder: string, readme: string | null): Promise<Blob> {
  const files = await readFiles(directory);
  if (readme !== null) files.set("README.md", new TextEncoder().encode(readme));
  // Weights hardly compress.
  const zip = zipSync(
    Object.fromEntries(
      [...files].map(([path, bytes]) => [
        `${folder}/${path}`,
        [bytes, { level: path.endsWith(".safetensors") ? 0 : 6 }],
      ]),
    ),
  );
  return new Blob([zip as Uint8Array<ArrayBuffer>], { type: "application/zip" });
}

/** Files by their paths, or by their names alone. */
export type Unpacked = ReadonlyMap<string, Uint8Array>;

/** The selected files, and those of the zip files among them. */
export async function unpack(selected: readonly File[]): Promise<Unpacked> {
  const found = new Map<string, Uint8Array>();
  for (const file of selected) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (!file.name.endsWith(".zip")) found.set(file.name, bytes);
    else for (const [path, content] of Object.entries(unzip(bytes, file.name))) found.set(path, content);
  }
  return found;
}

function unzip(bytes: Uint8Array, where: string): Record<string, Uint8Array> {
  try {
    return unzipSync(bytes);
  } catch (cause) {
    throw new FormatError("damaged-archive", "This zip file cannot be read", {
      where,
      found: (cause as Error).message,
      cause,
    });
  }
}

/** The files of the run directory among some, by their paths in it; null if there is none. */
export function runFiles(some: Unpacked): Map<string, Uint8Array> | null {
  const record = [...some.keys()].filter((path) => fileName(path) === RECORD).sort((a, b) => a.length - b.length)[0];
  const json = record === undefined ? null : parseJson(some.get(record)!, RECORD);
  if (!isRunRecord(json)) return null;
  checkKinds(json, { data: "object" }, RECORD);
  const root = record!.slice(0, -RECORD.length);
  const data = dataFiles(json.data as RunRecord["data"]).map(fileName);
  const files = new Map<string, Uint8Array>();
  for (const [path, bytes] of some) {
    const place = path.startsWith(root) ? placeInRun(path.slice(root.length), data) : undefined;
    if (place !== undefined) files.set(place, bytes);
  }
  return files;
}

/**
 * Where a file belongs in a run directory; undefined if it is none of a run's. A file without a folder is placed by its
 * name.
 */
function placeInRun(path: string, data: readonly string[]): string | undefined {
  const [folder, name, ...deeper] = path.includes("/") ? path.split("/") : [undefined, path];
  if (deeper.length > 0 || /^\.{0,2}$/.test(name!)) return undefined;
  if (folder !== undefined)
    return RUN_FILES.includes(path) || (folder !== "adapter" && FOLDERS.includes(folder)) ? path : undefined;
  if (data.includes(name!)) return `data/${name}`;
  if (/^step-\d+\.safetensors$/.test(name!)) return `checkpoint/${name}`;
  return RUN_FILES.find((file) => fileName(file) === name);
}

/** The files of the adapter among some. Throws FormatError if there is none. */
export function adapterFiles(some: Unpacked, where: string): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const [path, bytes] of some)
    if (RUN_FILES.includes(`adapter/${fileName(path)}`)) found.set(`adapter/${fileName(path)}`, bytes);
  if (!found.has("adapter/lowrank.json") && !found.has("adapter/adapter_config.json"))
    throw new FormatError("no-run-or-adapter", "These files contain neither a run nor an adapter", {
      where,
      expected:
        "a zip file from this page or of a run directory, or PEFT's adapter_config.json and adapter_model.safetensors",
    });
  return found;
}
