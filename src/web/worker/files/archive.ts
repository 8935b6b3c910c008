/** Zips adapters and run directories, and finds them among the files that a visitor chose. */

import { exists, joinPath, listDirectory, openFile } from "#platform";
import { checkKinds } from "../../../core/checks.ts";
import { FormatError } from "../../../core/errors.ts";
import { readPieces } from "../../../io/common.ts";
import { type Files, folderWith } from "../../../io/folder.ts";
import { LIMITS, parseJson } from "../../../io/limits.ts";
import { isMarked } from "../../../io/marker.ts";
import { ADAPTER_FILES, META, PEFT_CONFIG } from "../../../io/peft/peft.ts";
import { zip } from "../../../io/zip.ts";
import { checkSize, type FileContent, filePieces } from "../../../platform/reader.ts";
import { dataFiles, fileName, RECORD, type RunRecord } from "../../../record/record.ts";
import { generations } from "../../../run/checkpoint.ts";
import { RUN, TUNED } from "../../../run/directory.ts";

/** The folders of a run, and those of which each file is its own. */
const WHOLE = ["checkpoint", "data", "start"];
const FOLDERS = ["adapter", TUNED, ...WHOLE];

/** The paths of the files in a run directory or in one of its folders. */
async function pathsIn(directory: string): Promise<string[]> {
  const paths: string[] = [];
  for (const name of await listDirectory(directory))
    if (!FOLDERS.includes(name)) paths.push(name);
    else for (const file of await listDirectory(joinPath(directory, name))) paths.push(`${name}/${file}`);
  // A run resumes from the last checkpoint.
  const [, ...older] = (await exists(joinPath(directory, "checkpoint"))) ? await generations(directory) : [];
  return paths.filter((path) => !older.includes(path));
}

type Pieces = AsyncIterable<Uint8Array<ArrayBuffer>>;

/** The files of a run directory, or of one of its folders, by relative path. */
export async function readFiles(directory: string): Promise<Map<string, Pieces>> {
  return new Map((await pathsIn(directory)).map((path) => [path, readPieces(joinPath(directory, path))]));
}

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
  const files = new Map<string, FileContent>(await readFiles(directory));
  if (readme !== null) files.set("README.md", readme);
  return zip(files, `${folder}/`);
}

/** The files of the run directory among some, by their paths in it; null if there is none. */
export async function runFiles(some: Files): Promise<Map<string, Pieces> | null> {
  const folder = folderWith(some, [RECORD]);
  const record = folder.get(RECORD);
  if (record === undefined) return null;
  checkSize(record, LIMITS.ownJson);
  const json = parseJson(await record.read(0, record.size), RECORD);
  if (!isMarked(json, RUN)) return null;
  checkKinds(json, { data: "object", files: "object" }, RECORD);
  const { data, files } = json as unknown as RunRecord;
  const names = [...dataFiles(data).map((path) => `data/${fileName(path)}`), ...Object.keys(files), RECORD];
  return placed(folder, names);
}

/** Those of some files that belong in a run directory, which has these names, at their places. */
function placed(some: Files, names: readonly string[], within = ""): Map<string, Pieces> {
  const files = [...some].map(([path, file]) => [placeInRun(within + path, names), filePieces(file)] as const);
  return new Map(files.filter(([place]) => place !== ""));
}

/** The place of a file; "": it is none of a run's. One without a folder is placed by its name. */
function placeInRun(path: string, names: readonly string[]): string {
  const [folder, name, ...deeper] = path.includes("/") ? path.split("/") : [undefined, path];
  if (deeper.length > 0 || /^\.{0,2}$/.test(name!)) return "";
  if (folder !== undefined) return names.includes(path) || WHOLE.includes(folder) ? path : "";
  if (/^step-\d+\.safetensors$/.test(name!)) return `checkpoint/${name}`;
  return names.find((file) => fileName(file) === name) ?? "";
}

/** The files of the adapter among some. Throws FormatError if there is none. */
export function adapterFiles(some: Files, where: string): Map<string, Pieces> {
  const names = ADAPTER_FILES.map((name) => `adapter/${name}`);
  const found = placed(folderWith(some, [META, PEFT_CONFIG]), names, "adapter/");
  if (!found.has(`adapter/${META}`) && !found.has(`adapter/${PEFT_CONFIG}`))
    throw new FormatError("no-run-or-adapter", "These files contain neither a run nor an adapter", {
      where,
      expected:
        "a zip file from this page or of a run directory, or PEFT's adapter_config.json and adapter_model.safetensors",
    });
  return found;
}
