/**
 * Writes of files in Node, safe against crashes and power failures. Everything is synced to the disk
 * (fsync) before it is relied on: a file before it is renamed, a folder before anything depends on its entries.
 */
import { copyFile, lstat, mkdir, open, realpath, rename, rm, rmdir, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { LowrankError } from "../errors.ts";
import { parentFolders, TEMPORARY } from "./paths.ts";
import type { Check, FileContent } from "./reader.ts";

/**
 * Writes a file atomically: to a temporary name next to it, which is then renamed. A link stays a link; its target is
 * replaced.
 * Throws LowrankError if writing fails, and what `check` throws.
 */
export function writeFileAtomic(path: string, content: FileContent, check?: Check): Promise<void> {
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

/** Makes a folder with these files ("name" or "folder/name"). */
export function writeFolder(path: string, files: ReadonlyMap<string, FileContent>): Promise<void> {
  return onDisk(dirname(path), async () => {
    const folders = ["", ...parentFolders(files.keys())].map((folder) => join(path, folder));
    for (const folder of folders) await makeFolder(folder);
    for (const [name, content] of files) await writeSynced(join(path, name), content);
    for (const folder of folders) await syncFolder(folder);
  });
}

/** The inode of a folder, which differs in a copy. */
export async function folderNumber(path: string): Promise<string> {
  return String((await stat(path, { bigint: true })).ino);
}

/**
 * Runs `write` with a temporary name, which is then renamed to `path`, or removed on failure. The temporary name
 * depends only on `path`, so that the next call removes what a killed process left.
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
    throw new LowrankError("write-failed", "the disk cannot be written to", {
      where: path,
      found: found ?? message,
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

/** Moves a file; replaces an existing one. */
export function moveFile(from: string, to: string): Promise<void> {
  return onDisk(to, async () => {
    await syncFile(from);
    await syncFolder(await install(from, to));
  });
}

/** Moves those of these files that are in one folder into another; replaces existing ones. */
export function moveFiles(from: string, names: readonly string[], to: string): Promise<void> {
  return onDisk(to, async () => {
    const changed = new Set<string>();
    for (const name of names) changed.add(await install(join(from, name), join(to, name)));
    for (const folder of changed) await syncFolder(folder);
  });
}

/**
 * Moves a file, if it is there, over another one, or over the target of a link; returns the folder that then contains
 * it.
 */
async function install(from: string, to: string): Promise<string> {
  await makeFolder(dirname(to));
  const target = await behindLink(to);
  await dropTemporary(target);
  if (await isThere(from))
    await rename(from, target).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "EXDEV") throw error;
      await viaTemporary(target, async (temporary) => {
        await copyFile(from, temporary);
        await syncFile(temporary);
      });
      await rm(from);
    });
  return behindLink(dirname(target));
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
