/**
 * The door for what strangers send: the files of a folder by their paths in it, whether it is a zip file, on a server,
 * or chosen by a visitor. Nothing is read before it is asked for, and while a folder is read no other file has its
 * name.
 */
import { exists, isServed, joinPath, openFile } from "#platform";
import { DownloadError } from "../core/errors.ts";
import { forgetFile, loadUrlFiles, putFile, registeredFile, registeredNames } from "../platform/files.ts";
import { isRemote, isZip } from "../platform/paths.ts";
import { blobReader, type FileReader } from "../platform/reader.ts";
import { LIMITS } from "./limits.ts";
import { openZip } from "./unzip.ts";

type Pieces = AsyncIterable<Uint8Array<ArrayBuffer>>;
/** Files by their paths in their folder. */
export type Files = ReadonlyMap<string, FileReader>;

const JSON_START = /^(\xef\xbb\xbf)?\s*([[{]|$)/;
/** The most bytes of files by their names, and how they begin. */
const KINDS: readonly [name: RegExp, limit: number, begins: RegExp][] = [
  [/\.zip$/i, LIMITS.archive, /^PK\W\W/],
  [/\.gguf$/i, LIMITS.weights, /^GGUF/],
  // Eight bytes have the length of the header, which is a JSON object.
  [/\.safetensors$/, LIMITS.weights, /^.{4}\0{4}\{/s],
  [/\/(lowrank|(adapter_)?config|.*\.index)\.json$/, LIMITS.json, JSON_START],
  [/\.json$/, LIMITS.tokenizer, JSON_START],
  [/(?:)/, LIMITS.tokenizer, /(?:)/],
];

/** Opens a file. What a server sends instead of it is not read to its end. */
export async function openSent(path: string): Promise<FileReader> {
  const [, limit, begins] = KINDS.find(([kind]) => kind.test(path.replace(/\?.*/, "")))!;
  if (!isRemote(path) || !isServed(path)) return openFile(path, limit);
  return (await loadUrlFiles()).openUrl(path, path, limit, (pieces) => checkStart(pieces, path, begins));
}

/** Bytes by which a file is known. */
const START_BYTES = 16;

async function* checkStart(pieces: Pieces, where: string, begins: RegExp): Pieces {
  let start = "";
  for await (const piece of pieces) {
    if (start.length < START_BYTES) start += String.fromCharCode(...piece.subarray(0, START_BYTES));
    if (start.length >= START_BYTES && !begins.test(start))
      throw new DownloadError("wrong-content", "the server sends something else than the file", {
        where,
        found: start,
      });
    yield piece;
  }
}

/** Runs `work` on the files in a zip file, by its path or address. Throws as `openZip` does. */
export async function inZip<T>(path: string, work: (files: Files) => Promise<T>): Promise<T> {
  const archive = await openSent(path);
  try {
    return await work(await openZip(archive));
  } finally {
    await archive.close();
  }
}

/** The files that a visitor has chosen, and those in zip files among them. Throws as `openZip` does. */
export async function unpack(chosen: readonly File[]): Promise<Files> {
  const files = new Map<string, FileReader>();
  for (const file of chosen) {
    const reader = blobReader(file.name, file);
    if (isZip(file.name)) await openZip(reader, files);
    else files.set(file.name, reader);
  }
  return files;
}

/** The folder of the outermost file of the first of these names that there is; all files if there is none. */
export function folderWith(files: Files, names: readonly string[]): Files {
  const depth = (path: string) => path.split("/").length;
  const paths = [...files.keys()].sort((a, b) => depth(a) - depth(b));
  const roots = names.map((name) => paths.find((path) => `/${path}`.endsWith(`/${name}`))?.slice(0, -name.length));
  const root = roots.find((start) => start !== undefined) ?? "";
  const inside = [...files].filter(([path]) => path.startsWith(root));
  return new Map(inside.map(([path, file]) => [path.slice(root.length), file]));
}

/** Runs `work` on a directory of these files, whose name in errors is that of the path or the address. */
export async function asDirectory<T>(path: string, files: Files, work: (directory: string) => Promise<T>): Promise<T> {
  // Without the scheme it is no address: what the folder lacks is not asked of the server.
  const name = joinPath(path.replace(/^\w+:\/*/, "/").replace(/\?.*/, ""));
  const isTaken = isRemote(path) && (await exists(name).catch(() => false));
  let directory = isTaken ? `${name}~` : name;
  // The same folder may be opened twice at the same time, and a zip file can be a registered file itself.
  for (let i = 2; registeredNames(directory)?.some(Boolean); i++) directory = `${name}~${i}`;
  const placed = [...files].map(([file, reader]) => [joinPath(directory, file), reader] as const);
  for (const [place, reader] of placed) putFile(place, reader);
  try {
    return await work(directory);
  } finally {
    for (const [place, reader] of placed) if (registeredFile(place) === reader) forgetFile(place);
  }
}
