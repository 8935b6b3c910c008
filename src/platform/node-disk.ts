/**
 * Writes of files in Node, safe against kills and power failures: into a temporary neighbour, which is synced (fsync)
 * and then renamed. A file is synced before it is renamed, a folder before anything depends on its entries.
 */
import {
  copyFile,
  lstat,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { LowrankError } from "../core/errors.ts";
import { parentFolders, TEMPORARY } from "./paths.ts";
import type { FileContent } from "./reader.ts";

/** Suffix of a directory that is being replaced, between the two renames. */
const REPLACED = ".lowrank.old";

/** Writes a file atomically. A link stays a link; its target is replaced. Throws LowrankError if writing fails. */
export async function writeFileAtomic(path: string, content: FileContent): Promise<void> {
  const target = await realpath(path).catch(() => resolve(path));
  // A killed process may have left large files, of content that is made while it is written.
  if (typeof content !== "string" && !(content instanceof Uint8Array))
    for (const left of await neighbours(target, TEMPORARY).catch(() => []))
      await rm(left, { force: true }).catch(() => {});
  await writeFiles(dirname(target), new Map([[basename(target), content]]));
}

/**
 * Writes files ("name" or "folder/name") into a directory that may have others: all of them under temporary names, then
 * the old ones in `gone` are deleted, then the new ones are renamed in their order. The last one is the commit: it has
 * its name when all others are on the disk. Throws LowrankError if writing fails; until the first rename nothing has
 * changed.
 */
export function writeFiles(
  directory: string,
  files: ReadonlyMap<string, FileContent>,
  gone: readonly string[] = [],
): Promise<void> {
  return onDisk(directory, async () => {
    const folders = ["", ...parentFolders(files.keys())].map((folder) => join(directory, folder));
    for (const folder of folders) await makeFolder(folder);
    const staged = [...files.keys()].map(
      (name) => [temporaryName(join(directory, name)), join(directory, name)] as const,
    );
    try {
      const contents = [...files.values()];
      for (const [i, [temporary]] of staged.entries()) await writeSynced(temporary, contents[i]!);
      for (const name of gone) await rm(join(directory, name), { force: true });
      for (const [i, [temporary, path]] of staged.entries()) {
        if (i === staged.length - 1) for (const folder of folders) await syncFolder(folder);
        await rename(temporary, path);
      }
      await syncFolder(directory);
    } catch (error) {
      for (const [temporary] of staged) await rm(temporary, { force: true }).catch(() => {});
      throw error;
    }
  });
}

/**
 * Writes a directory of files ("name" or "folder/name"): whole, under the name of a temporary neighbour, which is then
 * renamed. `path` must be missing, empty, or have no other files than those that `listOwn` gives, the one by which it
 * knows them last: the old directory stays until the new one is whole. Of two processes that write to the same path one
 * fails. Throws LowrankError if there is anything else, and if writing fails. `left`: the names with a dot in its
 * parent folder, among which are what killed processes have left; default: that folder is read.
 */
export function writeDirectory(
  path: string,
  files: ReadonlyMap<string, FileContent>,
  listOwn: (directory: string) => Promise<string[]> = async () => [],
  left?: readonly string[],
): Promise<void> {
  return onDisk(path, async () => {
    await makeFolder(dirname(resolve(path)));
    // Left by killed processes.
    for (const old of await neighbours(path, TEMPORARY, left))
      await rm(old, { recursive: true, force: true }).catch(() => {});
    for (const old of (await isThere(path)) ? await neighbours(path, REPLACED, left) : [])
      await removeFiles(old, await listOwn(old));
    const temporary = temporaryName(path);
    try {
      const folders = ["", ...parentFolders(files.keys())].map((folder) => join(temporary, folder));
      for (const folder of folders) await makeFolder(folder);
      for (const [name, content] of files) await writeSynced(join(temporary, name), content);
      for (const folder of folders) await syncFolder(folder);
      // Now, not before: what has changed while the new files were written is not removed with the old ones.
      const replaced = await listOwn(path);
      const foreign = await otherFiles(path, replaced);
      if (foreign.length > 0) throw inTheWay(path, foreign.join(", "));
      await install(temporary, path, replaced);
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      // Another process that writes to the path has removed it as left by a killed one.
      const isRemoved = code === "ENOENT" && !(await isThere(temporary));
      await rm(temporary, { recursive: true, force: true }).catch(() => {});
      throw isRemoved || ["ENOTEMPTY", "EEXIST"].includes(code) ? inTheWay(path, "existing files") : error;
    }
  });
}

/** Renames a new directory to `path`, and removes the old one, which has only the files `own`. */
async function install(from: string, path: string, own: readonly string[]): Promise<void> {
  const old = temporaryName(path, REPLACED);
  const isReplaced = own.length > 0 && (await isThere(path));
  if (isReplaced) await rename(path, old);
  // An empty one: not every system renames a directory over it.
  else if (await isThere(path)) await rmdir(path);
  await rename(from, path).catch(async (error) => {
    if (isReplaced) await rename(old, path);
    throw error;
  });
  await syncFolder(dirname(resolve(path)));
  if (isReplaced) await removeFiles(old, own);
}

/**
 * Removes these files of a replaced directory, its folders, and itself. The last file, by which the others are known,
 * goes when they have gone: what fails is left for the next time.
 */
async function removeFiles(directory: string, names: readonly string[]): Promise<void> {
  const last = names.at(-1);
  try {
    for (const name of names) if (name !== last) await rm(join(directory, name), { force: true });
    for (const folder of parentFolders(names).reverse())
      await rmdir(join(directory, folder)).catch(ifMissing(undefined));
    if (last !== undefined) await rm(join(directory, last), { force: true });
    await rmdir(directory);
  } catch {} // The new directory has its name.
}

/** After a kill between the two renames of `writeDirectory`: gives the old directory its name back. */
export async function restoreDirectory(path: string): Promise<boolean> {
  const [old] = (await isThere(path)) ? [] : await neighbours(path, REPLACED).catch(() => []);
  if (old !== undefined) await onDisk(path, () => rename(old, path));
  return old !== undefined;
}

/** What is in a directory besides the files `own` and their folders: a folder of others as a whole, links by name. */
export async function otherFiles(directory: string, own: readonly string[]): Promise<string[]> {
  const folders = parentFolders(own);
  const foreign: string[] = [];
  for (const folder of ["", ...folders]) {
    const entries = await readdir(join(directory, folder), { withFileTypes: true }).catch(ifMissing([]));
    for (const entry of entries) {
      const name = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory() ? !folders.includes(name) : !own.includes(name)) foreign.push(name);
    }
  }
  return foreign.sort();
}

/** Whether a directory cannot be renamed: it is a link, or another disk is mounted there. */
export async function isLinkOrMount(path: string): Promise<boolean> {
  const stats = await lstat(path).catch(ifMissing(undefined));
  if (stats === undefined) return false;
  return stats.isSymbolicLink() || stats.dev !== (await stat(dirname(resolve(path)))).dev;
}

function inTheWay(where: string, found: string): LowrankError {
  return new LowrankError("files-in-the-way", "other files are in the way", {
    where,
    expected: "no such directory, an empty one, or none but the files that are replaced",
    found,
  });
}

/** Gives `value` where there is no such file; throws any other error. */
const ifMissing =
  <T>(value: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
    return value;
  };

/** The temporary names of a path that are there, among `all` of its folder. */
async function neighbours(path: string, suffix: string, all?: readonly string[]): Promise<string[]> {
  const folder = dirname(resolve(path));
  const { length } = basename(temporaryName(path, suffix));
  const start = `.${basename(resolve(path))}.`;
  const names = all ?? (await readdir(folder).catch(ifMissing([])));
  const leftovers = names.filter((name) => name.length === length && name.startsWith(start) && name.endsWith(suffix));
  return leftovers.map((name) => join(folder, name));
}

/** A temporary name next to a path: each writer has its own, so that no two write into the same file. */
function temporaryName(path: string, suffix = TEMPORARY): string {
  const whole = resolve(path);
  return join(dirname(whole), `.${basename(whole)}.${crypto.randomUUID().slice(0, 8)}${suffix}`);
}

/** Runs `work`; converts system errors to LowrankError. */
async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    if (!/^E[A-Z]+$/.test(code)) throw cause;
    const reason = { ENOTEMPTY: "existing files", ENOSPC: "no space left" }[code];
    throw new LowrankError("write-failed", "the disk cannot be written to", {
      where: path,
      found: reason ?? message,
      cause,
    });
  }
}

async function writeSynced(path: string, content: FileContent): Promise<void> {
  const handle = await open(path, "w");
  try {
    await writeFile(handle, content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function syncFile(path: string): Promise<void> {
  // Windows syncs only files that are open for writing.
  const handle = await open(path, "r+");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Syncs a folder's entries, if supported: Windows cannot open folders, some network file systems cannot sync them. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } catch (error) {
    if (!["EINVAL", "ENOTSUP"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Creates a folder and its parents, and syncs them. Node's recursive mkdir never ends in /proc, where none can be made.
 */
export async function makeFolder(path: string): Promise<void> {
  if (await isThere(path)) return;
  const parent = dirname(resolve(path));
  await makeFolder(parent);
  await mkdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  await syncFolder(parent);
}

export async function remove(path: string): Promise<void> {
  await onDisk(path, async () => {
    if (!(await isThere(path))) return;
    await rm(path, { recursive: true, force: true });
    await syncFolder(dirname(path));
  });
}

/** Removes a folder if it is empty; links and files stay. */
export async function removeEmpty(path: string): Promise<void> {
  const removed = rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (!["ENOTEMPTY", "EEXIST", "ENOTDIR", "ENOENT"].includes(error.code ?? "")) throw error;
  });
  await onDisk(path, () => removed);
}

/** Moves a file within a folder; replaces an existing one. */
export function moveFile(from: string, to: string): Promise<void> {
  return onDisk(to, async () => {
    await syncFile(from);
    await rename(from, to);
    await syncFolder(dirname(to));
  });
}

/** Makes `path` another name of the file `target`: a relative link, or a copy where links are not allowed (Windows). */
export async function linkFile(target: string, path: string, _onCopied?: (bytes: number) => void): Promise<void> {
  await makeFolder(dirname(path));
  const temporary = temporaryName(path);
  await symlink(relative(dirname(path), target), temporary).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPERM") throw error;
    await copyFile(target, temporary);
    await syncFile(temporary);
  });
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** Whether the path exists; a dangling link counts. */
async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
