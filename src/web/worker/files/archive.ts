/** Zips adapters and run directories, and unpacks them. */

import { exists, joinPath, listDirectory, openFile } from "#platform";
import { checkKinds } from "../../../checks.ts";
import { FormatError } from "../../../errors.ts";
import { parseJson } from "../../../io/limits.ts";
import { blobReader, filePieces } from "../../../platform/reader.ts";
import { generations } from "../../../run/checkpoint.ts";
import { isRunRecord, RUN_FILES } from "../../../run/files.ts";
import { dataFiles, fileName, RECORD, type RunRecord } from "../../../run/record.ts";

const FOLDERS = ["adapter", "checkpoint", "data", "start"];

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

/** The content of a file, which is opened when the first piece is read. */
type Pieces = AsyncIterable<Uint8Array<ArrayBuffer>>;

/** The files of a run directory, or of one of its folders, by relative path. */
export async function readFiles(directory: string): Promise<Map<string, Pieces>> {
  return new Map((await pathsIn(directory)).map((path) => [path, readPieces(joinPath(directory, path))]));
}

async function* readPieces(path: string): Pieces {
  const file = await openFile(path);
  try {
    yield* filePieces(file);
  } finally {
    await file.close();
  }
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
  const files = new Map<string, Pieces | Uint8Array<ArrayBuffer>[]>(await readFiles(directory));
  if (readme !== null) files.set("README.md", [new TextEncoder().encode(readme)]);
  const { zip } = await import("../../../io/zip.ts");
  return zip([...files].map(([path, content]) => [`${folder}/${path}`, content]));
}

/** Files by their paths, or by their names alone. */
type Unpacked = ReadonlyMap<string, () => Promise<Blob>>;

/** The selected files, and those of the zip files among them. */
export async function unpack(selected: readonly File[]): Promise<Unpacked> {
  const found = new Map<string, () => Promise<Blob>>();
  for (const file of selected) {
    if (!file.name.endsWith(".zip")) found.set(file.name, async () => file);
    else {
      const { openZip } = await import("../../../io/zip.ts");
      for (const [path, { open }] of await openZip(file, file.name)) found.set(path, open);
    }
  }
  return found;
}

async function* unpackedPieces(open: () => Promise<Blob>): Pieces {
  yield* filePieces(blobReader("", await open()));
}

/** The files of the run directory among some, by their paths in it; null if there is none. */
export async function runFiles(some: Unpacked): Promise<Map<string, Pieces> | null> {
  const record = [...some.keys()].filter((path) => fileName(path) === RECORD).sort((a, b) => a.length - b.length)[0];
  const json =
    record === undefined ? null : parseJson(new Uint8Array(await (await some.get(record)!()).arrayBuffer()), RECORD);
  if (!isRunRecord(json)) return null;
  checkKinds(json, { data: "object" }, RECORD);
  const root = record!.slice(0, -RECORD.length);
  const data = dataFiles(json.data as RunRecord["data"]).map(fileName);
  const files = new Map<string, Pieces>();
  for (const [path, open] of some) {
    const place = path.startsWith(root) ? placeInRun(path.slice(root.length), data) : undefined;
    if (place !== undefined) files.set(place, unpackedPieces(open));
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
export function adapterFiles(some: Unpacked, where: string): Map<string, Pieces> {
  const found = new Map<string, Pieces>();
  for (const [path, open] of some)
    if (RUN_FILES.includes(`adapter/${fileName(path)}`)) found.set(`adapter/${fileName(path)}`, unpackedPieces(open));
  if (!found.has("adapter/lowrank.json") && !found.has("adapter/adapter_config.json"))
    throw new FormatError("no-run-or-adapter", "These files contain neither a run nor an adapter", {
      where,
      expected:
        "a zip file from this page or of a run directory, or PEFT's adapter_config.json and adapter_model.safetensors",
    });
  return found;
}
