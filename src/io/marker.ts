/**
 * A folder of ours, on a disk, in a page's storage or in a zip file: files by name, and a marker, the last of them,
 * that lists the others with their SHA-256. What it does not list, or lists with another SHA-256, is the user's: it is
 * never moved, replaced or deleted.
 */
import {
  canCreate,
  createHasher,
  exists,
  isLinkOrMount,
  joinPath,
  listDirectory,
  otherFiles,
  remove,
  removeEmpty,
  writeDirectory,
} from "#platform";
import { isObject, isText } from "../core/checks.ts";
import { ConfigError, nameList } from "../core/errors.ts";
import { isTemporary, parentFolders } from "../platform/paths.ts";
import { contentPieces, type FileContent } from "../platform/reader.ts";
import { readJson, readPieces } from "./common.ts";
import { LIMITS } from "./limits.ts";

/** The marker of a kind of folder. */
export interface Marker {
  /** Its file. */
  name: string;
  format: string;
  version: number;
  /** Files that are known by their names alone, and not listed. */
  unlisted?: (directory: string) => Promise<readonly string[]>;
}

/** SHA-256 of files by their names. */
export type Sums = Record<string, string>;

/** A marker before it is checked. */
export type Marked = { [key in "files" | "pending" | "data" | "state"]?: unknown };

/** The marker of a folder that has no record of its own, by its format. */
export const listedIn = (format: string): Marker => ({ name: "lowrank-files.json", format, version: 1 });

export const isMarked = (json: unknown, { format, version }: Marker): json is Marked =>
  isObject(json) && json.format === format && json.version === version;

/** The marker in a directory; undefined: there is none of this kind. */
export async function readMarker(directory: string, marker: Marker): Promise<Marked | undefined> {
  const path = joinPath(directory, marker.name);
  if (!(await exists(path))) return undefined;
  const json = await readJson(path, LIMITS.ownJson).catch(() => undefined);
  return isMarked(json, marker) ? json : undefined;
}

/** Files, of which each, once it is read, has its SHA-256 in `sums`. */
function summed(files: ReadonlyMap<string, FileContent>, sums: Sums) {
  async function* read(name: string, content: FileContent) {
    const hasher = await createHasher("sha256");
    for await (const piece of contentPieces(content)) {
      hasher.update(piece);
      yield piece;
    }
    sums[name] = hasher.digest();
  }
  return [...files].map(([name, content]) => [name, read(name, content)] as const);
}

/** The SHA-256 of files, which can be read again. */
export async function sumFiles(files: ReadonlyMap<string, FileContent>): Promise<Sums> {
  const sums: Sums = {};
  for (const [, pieces] of summed(files, sums)) for await (const _ of pieces);
  return sums;
}

/** The files, and behind them a marker of what is read of them meanwhile: each once, in their order. */
export function marked(files: ReadonlyMap<string, FileContent>, { name, format, version }: Marker) {
  const sums: Sums = {};
  async function* print() {
    yield new TextEncoder().encode(`${JSON.stringify({ format, version, files: sums }, null, 1)}\n`);
  }
  return new Map<string, FileContent>([...summed(files, sums), [name, print()]]);
}

/** Whether a name is that of a file in a folder, and of none outside it. */
const isInside = (name: string) => !name.split("/").some((part) => /^\.{0,2}$|[\\:]/.test(part));

/** Of no bytes: nothing is lost with it. A page that is closed leaves one where it was about to write. */
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** The names that a marker lists, each with the SHA-256 that its file may have. */
function listed({ files, pending }: Marked): Map<string, string[]> {
  const sums = new Map<string, string[]>();
  for (const [name, sum] of [files, pending].flatMap((list) => Object.entries(isObject(list) ? list : {})))
    if (isInside(name) && isText(sum)) sums.set(name, [...(sums.get(name) ?? [EMPTY]), sum]);
  return sums;
}

/** Files that operating systems put into a folder that is looked at. */
const OF_SYSTEMS = [".DS_Store", "Thumbs.db"];

/** Whether a file is nobody's: a temporary one of a killed process, or the operating system's. */
export const isLeftByOthers = (name: string) => isTemporary(name) || OF_SYSTEMS.includes(name);

/** The contents of the files that a directory's marker lists, and it: read when they are written elsewhere. */
export async function readFolder(directory: string, marker: Marker): Promise<Map<string, FileContent>> {
  const files = new Map<string, FileContent>();
  const json = await readMarker(directory, marker);
  for (const name of json ? [...listed(json).keys(), marker.name] : []) {
    const path = joinPath(directory, name);
    if (await exists(path)) files.set(name, readPieces(path));
  }
  return files;
}

/**
 * The files of the folder in this directory, with the SHA-256 of those that are listed and there, and with the
 * temporary ones of killed processes; the last one is the marker, by which they are known. Empty if there is no such
 * folder.
 */
export async function ownFiles(directory: string, marker: Marker): Promise<Map<string, string | undefined>> {
  const own = new Map<string, string | undefined>();
  const json = await readMarker(directory, marker);
  if (!json) return own;
  for (const name of (await marker.unlisted?.(directory)) ?? []) own.set(name, undefined);
  const sums = listed(json);
  const there = await readFolder(directory, marker);
  for (const [name, known] of sums) {
    const content = there.get(name);
    // A file that cannot be read is not known to be ours.
    const sum = content && ((await sumFiles(new Map([[name, content]])).catch((): Sums => ({})))[name] ?? "");
    if (sum === undefined || known.includes(sum)) own.set(name, sum);
  }
  for (const folder of ["", ...parentFolders(sums.keys())]) {
    const entries = await listDirectory(joinPath(directory, folder)).catch(() => []);
    for (const name of entries.filter(isLeftByOthers)) own.set(folder ? `${folder}/${name}` : name, undefined);
  }
  own.delete(marker.name);
  return own.set(marker.name, undefined);
}

/**
 * Writes a folder, whose last file is its marker, as a new directory; with `replace`, that of its kind which is there
 * stays until the new one is whole. `left`: see `writeDirectory`.
 */
export async function writeFolder(
  directory: string,
  files: ReadonlyMap<string, FileContent>,
  marker: Marker,
  replace: boolean,
  left?: readonly string[],
): Promise<void> {
  const own = async (place: string) => [...(await ownFiles(place, marker)).keys()];
  await writeDirectory(directory, files, replace ? own : undefined, left);
}

/** Deletes a folder's files, the marker last, by which they are known, and then the directory if it is empty. */
export async function removeFolder(directory: string, marker: Marker): Promise<void> {
  const names = [...(await ownFiles(directory, marker)).keys()];
  for (const name of names) {
    if (name === marker.name)
      for (const folder of parentFolders(names).reverse()) await removeEmpty(joinPath(directory, folder));
    await remove(joinPath(directory, name));
  }
  await removeEmpty(directory);
}

/**
 * Throws ConfigError unless an output directory can be made, or is empty, or holds nothing but a folder of ours that
 * may be replaced. Returns whether there is something to replace. `describe` says of a marker what it is, and what to
 * do.
 */
export async function refuseOutput(
  directory: string,
  mayReplace: boolean,
  marker: Marker,
  describe: (marked: Marked) => { found: string; hint: string },
): Promise<boolean> {
  await refuseUncreatable(directory);
  await refuseLink(directory);
  if (!(await exists(directory))) return false;
  const entries = await listDirectory(directory).catch(() => ["a file"]);
  if (entries.length === 0) return false;
  const json = await readMarker(directory, marker);
  if (!json || !mayReplace)
    throw new ConfigError("output-exists", "the output directory already exists", {
      where: directory,
      expected: "a new path, or an empty directory",
      ...(json ? describe(json) : { found: nameList(entries), hint: "choose another output directory" }),
    });
  const others = await otherFiles(directory, [...(await ownFiles(directory, marker)).keys()]);
  const known = listed(json);
  if (others.length > 0)
    throw new ConfigError("output-exists", "the output directory has other files than those that would be replaced", {
      where: directory,
      found: nameList(others.map((name) => (known.has(name) ? `${name} (changed since it was written)` : name))),
      hint: "move them, or choose another output directory",
    });
  return true;
}

/** Throws ConfigError if a file or a directory cannot be made. */
export async function refuseUncreatable(where: string, what = "the output directory"): Promise<void> {
  if (await canCreate(where)) return;
  throw new ConfigError("invalid-output", `${what} cannot be created`, {
    where,
    expected: "a path in a writable directory",
    found: "no such directory, no write permission, or a link to nothing",
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
