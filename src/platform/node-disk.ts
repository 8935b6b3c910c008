/**
 * Node's disk: files and directories that are written whole or not at all, whatever ends the process. What counts has reached
 * the disk (fsync) before it does: a file before it gets its name, a folder before anything relies on what it lists.
 */
import {
  copyFile,
  lstat,
  mkdir,
  open,
  readFile,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { LowrankError } from "../errors.ts";
import type { FileContent } from "./reader.ts";
import {
  type Check,
  encodeJournal,
  foldersOf,
  JOURNAL,
  type Journal,
  parseJournal,
  type Replacing,
  refuseInTheWay,
  STAGING,
  TEMPORARY,
} from "./replacing.ts";

/** Bytes; ours have some hundreds. */
const LARGEST_JOURNAL = 1 << 20;

/**
 * Writes a whole file or nothing: to a temporary name beside it, then renamed. A link stays one, and the file that it points
 * to is replaced. Throws LowrankError where the disk refuses, and what `check` throws.
 */
export function writeFileAtomic(path: string, content: string | Uint8Array, check?: Check): Promise<void> {
  return onDisk(path, async () => {
    await check?.();
    const target = await behindLink(path);
    await makeFolder(dirname(target));
    await viaTemporary(target, async (temporary) => {
      await writeSynced(temporary, content);
      await check?.();
    });
  });
}

/**
 * Writes a directory of files (by name, "folder/name" for one in a folder) or nothing. Of a directory that is there already
 * only the files `own` are replaced or deleted; links stay links. Throws LowrankError where the disk refuses, or where
 * another file has the name of a new one; what `check` throws.
 */
export function writeDirectoryAtomic(
  path: string,
  files: ReadonlyMap<string, FileContent>,
  { own = [], check }: Replacing = {},
): Promise<void> {
  return onDisk(path, async () => {
    await check?.();
    if (await isThere(path)) return replaceFiles(path, files, own, check);
    await makeFolder(dirname(resolve(path)));
    await viaTemporary(path, async (temporary) => {
      await stage(temporary, files);
      await check?.();
    });
  });
}

/** The new files wait in a folder inside the directory (it may be a link, or a disk of its own) until all are there. */
async function replaceFiles(
  path: string,
  files: ReadonlyMap<string, FileContent>,
  own: readonly string[],
  check: Check | undefined,
): Promise<void> {
  await finishReplacing(path);
  await refuseForeign(path, [...files.keys()], own);
  const staging = join(path, STAGING);
  const gone: string[] = [];
  for (const name of own) if (!files.has(name) && (await isFile(join(path, name)))) gone.push(name);
  try {
    await stage(staging, files);
    await syncFolder(path);
    await check?.();
    const journal = encodeJournal({ files: [...files.keys()], gone, folder: await numberOf(staging) });
    await viaTemporary(join(staging, JOURNAL), (temporary) => writeSynced(temporary, journal));
  } catch (error) {
    await dropStaging(path).catch(() => {});
    throw error;
  }
  await finishReplacing(path);
}

/** Whether a process replaces files of this directory, or ended while it did; "committed" where the new ones count. */
export async function isReplacing(path: string): Promise<"committed" | boolean> {
  return (await readJournal(path)) === undefined ? isThere(join(path, STAGING)) : "committed";
}

/**
 * Completes a replacement whose new files count, and drops any other; returns whether there was one to complete. May be done
 * again and again, under the lock of the directory. Throws LowrankError where the disk refuses, and for a copy, which may
 * come from a stranger: its journal moves and deletes nothing.
 */
export async function finishReplacing(path: string): Promise<boolean> {
  const journal = await readJournal(path);
  if (journal === undefined) {
    await onDisk(path, () => dropStaging(path));
    return false;
  }
  const staging = join(path, STAGING);
  if (journal.folder !== (await numberOf(staging)))
    throw new LowrankError("this is the copy of a directory whose files were being replaced", {
      where: path,
      expected: `a directory without ${STAGING}`,
      hint: `copy it again when that is done, or move the files of ${staging} to where they belong and remove it`,
    });
  await onDisk(path, () => swap(path, journal)).catch((cause: LowrankError) => {
    const hint = `the new files are in ${join(path, STAGING)}: the next command that opens the directory tries again`;
    throw new LowrankError("files could not be replaced", { ...cause.details, hint, cause });
  });
  return true;
}

async function swap(path: string, { files, gone }: Journal): Promise<void> {
  const changed = new Set<string>();
  for (const folder of foldersOf(files)) await makeFolder(join(path, folder));
  for (const name of files) changed.add(await install(join(path, STAGING, name), join(path, name)));
  for (const name of gone) {
    await rm(join(path, name), { force: true });
    changed.add(await behindLink(dirname(join(path, name))));
  }
  // Where it is done again a folder that became empty is gone.
  for (const folder of changed) if (await isThere(folder)) await syncFolder(folder);
  for (const folder of foldersOf(gone).reverse()) await removeEmpty(join(path, folder));
  await dropStaging(path);
}

/** Moves a file over another one, or over the file that a link points to; returns the folder in which it is then. */
async function install(from: string, to: string): Promise<string> {
  const target = await behindLink(to);
  await dropTemporary(target);
  // One that was moved before the process ended is not there.
  if (await isThere(from))
    await rename(from, target).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "EXDEV") throw error;
      await viaTemporary(target, async (temporary) => {
        await copyFile(from, temporary);
        await syncFile(temporary);
      });
    });
  return behindLink(dirname(target));
}

/** Throws LowrankError where files of these names are none of `own`, or where something else stands in place of a folder. */
async function refuseForeign(path: string, names: readonly string[], own: readonly string[]): Promise<void> {
  const found: string[] = [];
  for (const name of names) {
    const file = join(path, name);
    if ((await isThere(file)) && !(own.includes(name) && (await isFile(file)))) found.push(name);
  }
  for (const folder of foldersOf(names)) {
    const stats = await stat(join(path, folder)).catch(() => undefined);
    if (!stats?.isDirectory() && (await isThere(join(path, folder)))) found.push(folder);
  }
  refuseInTheWay(path, found);
}

async function readJournal(path: string): Promise<Journal | undefined> {
  const journal = join(path, STAGING, JOURNAL);
  const stats = await lstat(journal).catch(() => undefined);
  return stats?.isFile() && stats.size <= LARGEST_JOURNAL ? parseJournal(await readFile(journal, "utf8")) : undefined;
}

/** What tells a folder from any copy of it. */
async function numberOf(folder: string): Promise<string> {
  return String((await stat(folder, { bigint: true })).ino);
}

/** Without its journal what is left of it does not count. */
async function dropStaging(path: string): Promise<void> {
  const staging = join(path, STAGING);
  if (!(await isThere(staging))) return;
  await rm(join(staging, JOURNAL), { force: true });
  await syncFolder(staging);
  await rm(staging, { recursive: true, force: true });
  await syncFolder(path);
}

/** Writes a folder of files. */
async function stage(folder: string, files: ReadonlyMap<string, FileContent>): Promise<void> {
  await mkdir(folder);
  for (const inside of foldersOf(files.keys())) await mkdir(join(folder, inside));
  for (const [name, content] of files) await writeSynced(join(folder, name), content);
  for (const inside of foldersOf(files.keys())) await syncFolder(join(folder, inside));
  await syncFolder(folder);
}

/**
 * Runs what writes a file or folder under a temporary name, which is then renamed to `path`; nothing is left of it where that
 * fails. The name is always the same: what a killed process left under it goes when the next one writes.
 */
async function viaTemporary(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path);
  await dropTemporary(path);
  try {
    await write(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
  await syncFolder(dirname(temporary));
}

/** Removes what a killed process left of a file or folder that it wrote. */
async function dropTemporary(path: string): Promise<void> {
  const temporary = temporaryName(path);
  if (await isThere(temporary)) await rm(temporary, { recursive: true, force: true });
}

/** The name under which a file or folder is written until it is whole. */
export function temporaryName(path: string): string {
  const whole = resolve(path);
  return join(dirname(whole), `.${basename(whole)}${TEMPORARY}`);
}

/** Runs what writes; throws LowrankError where the disk refuses. */
export async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    if (!/^E[A-Z]+$/.test(code)) throw cause;
    const found = { ENOTEMPTY: "other files, which are there already", ENOSPC: "no space left" }[code];
    throw new LowrankError("the disk cannot be written to", { where: path, found: found ?? message, cause });
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
  // Windows syncs what is open for writing.
  const handle = await open(path, "r+");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Brings what a folder lists to the disk, where the system can: Windows opens no folders, some network disks sync none. */
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

/** Makes a folder and those above it, so that they are there after a power cut. */
async function makeFolder(path: string): Promise<void> {
  if (await isThere(path)) return;
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  const outermost = dirname(resolve(first));
  for (let folder = dirname(resolve(path)); folder.length >= outermost.length; folder = dirname(folder)) {
    await syncFolder(folder);
    if (folder === dirname(folder)) return;
  }
}

export async function makeDirectory(path: string): Promise<void> {
  await onDisk(path, () => mkdir(path, { recursive: true }));
}

export async function remove(path: string): Promise<void> {
  await onDisk(path, () => rm(path, { recursive: true, force: true }));
}

/** Removes a folder that is empty; one that is not, a link or a file stays. */
export async function removeEmpty(path: string): Promise<void> {
  const removed = rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (!["ENOTEMPTY", "EEXIST", "ENOTDIR", "ENOENT"].includes(error.code ?? "")) throw error;
  });
  await onDisk(path, () => removed);
}

/** Moves a file; one that was there before is gone then. */
export async function moveFile(from: string, to: string): Promise<void> {
  await makeFolder(dirname(to));
  await syncFile(from);
  await rename(from, to);
  await syncFolder(dirname(to));
}

/** Makes `path` another name of the file `target`: a relative link, or a copy where links are not allowed (Windows). */
export async function linkFile(target: string, path: string): Promise<void> {
  await makeFolder(dirname(path));
  await rm(path, { force: true });
  await symlink(relative(dirname(path), target), path).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPERM") throw error;
    await copyFile(target, path);
    await syncFile(path);
  });
  await syncFolder(dirname(path));
}

/** The file that a link points to; the path itself where it is none, or where there is no such file. */
async function behindLink(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

/** Whether anything has this name, be it a link to nothing. */
async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

/** Whether this is a file or a link, to whatever. */
async function isFile(path: string): Promise<boolean> {
  const stats = await lstat(path).catch(() => undefined);
  return stats !== undefined && !stats.isDirectory();
}
