/**
 * Atomic writes of files and directories in Node, safe against crashes and power failures. Everything is synced to the disk
 * (fsync) before it is relied on: a file before it is renamed, a folder before anything depends on its entries.
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

/** Bytes; Lowrank's journals have a few hundred. */
const LARGEST_JOURNAL = 1 << 20;

/**
 * Writes a file atomically: to a temporary name next to it, which is then renamed. A link stays a link; its target is replaced.
 * Throws LowrankError if writing fails, and what `check` throws.
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
 * Writes a directory of files ("name" or "folder/name") atomically. In an existing directory only the files `own` are replaced
 * or deleted; links stay links. Throws LowrankError if writing fails or another file has the name of a new one, and what
 * `check` throws.
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

/** Stages the new files in a folder inside the directory, which may be a link or a mount point, and then moves them. */
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

/** Whether a replacement of this directory's files is in progress or was interrupted; "committed" if the new ones are valid. */
export async function isReplacing(path: string): Promise<"committed" | boolean> {
  return (await readJournal(path)) === undefined ? isThere(join(path, STAGING)) : "committed";
}

/**
 * Completes a replacement that is committed, and rolls back any other. Returns whether one was completed. May be repeated; the
 * caller holds the lock of the directory. Throws LowrankError if writing fails, and for a copied directory: its journal is not
 * trusted, and nothing is moved or deleted.
 */
export async function finishReplacing(path: string): Promise<boolean> {
  const journal = await readJournal(path);
  if (journal === undefined) {
    await onDisk(path, () => dropStaging(path));
    return false;
  }
  const staging = join(path, STAGING);
  if (journal.folder !== (await numberOf(staging)))
    throw new LowrankError("the directory was copied while its files were being replaced", {
      where: path,
      expected: `a directory without ${STAGING}`,
      hint: `copy it again, or move the files in ${staging} to their places and remove that folder`,
    });
  await onDisk(path, () => swap(path, journal)).catch((cause: LowrankError) => {
    const hint = `run a command on the directory to try again; the new files are in ${join(path, STAGING)}`;
    throw new LowrankError("the files could not be replaced", { ...cause.details, hint, cause });
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
  // In a repeated call an empty folder may have been removed already.
  for (const folder of changed) if (await isThere(folder)) await syncFolder(folder);
  for (const folder of foldersOf(gone).reverse()) await removeEmpty(join(path, folder));
  await dropStaging(path);
}

/** Moves a file over another one, or over the target of a link; returns the folder that then contains it. */
async function install(from: string, to: string): Promise<string> {
  const target = await behindLink(to);
  await dropTemporary(target);
  // It is missing if an interrupted call has moved it already.
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

/** Throws LowrankError if a file with one of these names is not in `own`, or something else is in place of a folder. */
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

/** The inode of a folder, which differs in a copy. */
async function numberOf(folder: string): Promise<string> {
  return String((await stat(folder, { bigint: true })).ino);
}

/** Deletes the journal first: the staged files are invalid without it. */
async function dropStaging(path: string): Promise<void> {
  const staging = join(path, STAGING);
  if (!(await isThere(staging))) return;
  await rm(join(staging, JOURNAL), { force: true });
  await syncFolder(staging);
  await rm(staging, { recursive: true, force: true });
  await syncFolder(path);
}

async function stage(folder: string, files: ReadonlyMap<string, FileContent>): Promise<void> {
  await mkdir(folder);
  for (const inside of foldersOf(files.keys())) await mkdir(join(folder, inside));
  for (const [name, content] of files) await writeSynced(join(folder, name), content);
  for (const inside of foldersOf(files.keys())) await syncFolder(join(folder, inside));
  await syncFolder(folder);
}

/**
 * Runs `write` with a temporary name, which is then renamed to `path`, or removed on failure. The temporary name depends only on
 * `path`, so that the next call removes what a killed process left.
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

/** Removes the temporary file or folder of a killed process. */
async function dropTemporary(path: string): Promise<void> {
  const temporary = temporaryName(path);
  if (await isThere(temporary)) await rm(temporary, { recursive: true, force: true });
}

/** The temporary name under which `path` is written. */
export function temporaryName(path: string): string {
  const whole = resolve(path);
  return join(dirname(whole), `.${basename(whole)}${TEMPORARY}`);
}

/** Runs `work`; converts system errors to LowrankError. */
export async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    if (!/^E[A-Z]+$/.test(code)) throw cause;
    const found = { ENOTEMPTY: "existing files", ENOSPC: "no space left" }[code];
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

/** Creates a folder and its parents, and syncs them. */
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

/** Removes a folder if it is empty; links and files stay. */
export async function removeEmpty(path: string): Promise<void> {
  const removed = rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (!["ENOTEMPTY", "EEXIST", "ENOTDIR", "ENOENT"].includes(error.code ?? "")) throw error;
  });
  await onDisk(path, () => removed);
}

/** Moves a file; replaces an existing one. */
export async function moveFile(from: string, to: string): Promise<void> {
  await makeFolder(dirname(to));
  await syncFile(from);
  await rename(from, to);
  await syncFolder(dirname(to));
}

/** Makes `path` another name of the file `target`: a relative link, or a copy where links are not allowed (Windows). */
export async function linkFile(target: string, path: string, _onCopied?: (bytes: number) => void): Promise<void> {
  await makeFolder(dirname(path));
  await rm(path, { force: true });
  await symlink(relative(dirname(path), target), path).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPERM") throw error;
    await copyFile(target, path);
    await syncFile(path);
  });
  await syncFolder(dirname(path));
}

/** The target of a link; the path itself if it is not a link, or does not exist. */
async function behindLink(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

/** Whether the path exists; a dangling link counts. */
async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

/** Whether the path is a file or any link. */
async function isFile(path: string): Promise<boolean> {
  const stats = await lstat(path).catch(() => undefined);
  return stats !== undefined && !stats.isDirectory();
}
