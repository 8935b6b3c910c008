/**
 * Replaces the files of a directory: the new ones are staged in a folder inside it, a journal is written, and then they
 * are moved to their places. The journal is the commit: whoever finds it completes the replacement; without it the
 * staged files are dropped.
 */
import {
  exists,
  folderNumber,
  joinPath,
  listDirectory,
  moveFiles,
  readBytes,
  remove,
  removeEmpty,
  writeFileAtomic,
  writeFolder,
} from "#platform";
import { LowrankError } from "../errors.ts";
import { isRemote, parentFolders, STAGING } from "./paths.ts";
import type { Check, FileContent } from "./reader.ts";

interface Replacing {
  /** Existing files ("name" or "folder/name") to replace; those without a new version are deleted. Others stay. */
  own?: readonly string[];
  /** Called before anything is written, and again before the commit; throws to abort. */
  check?: Check;
}

interface Journal {
  /** The new files. */
  files: string[];
  /** The old files to delete. */
  gone: string[];
  /** The number of the staging folder. It differs in a copy, which is not trusted. */
  folder: string | null;
}

/** In STAGING. */
export const JOURNAL = "journal.json";
/** Bytes; Lowrank's journals have a few hundred. */
const LARGEST_JOURNAL = 1 << 20;

/**
 * Writes a directory of files ("name" or "folder/name") atomically. In an existing directory, which may be a link or a
 * mount point, only the files `own` are replaced or deleted; links stay links. Throws LowrankError if writing fails or
 * another file has the name of a new one, and what `check` throws.
 */
export async function writeDirectoryAtomic(
  path: string,
  files: ReadonlyMap<string, FileContent>,
  { own = [], check }: Replacing = {},
): Promise<void> {
  await check?.();
  const isNew = !(await exists(path));
  await finishReplacing(path);
  const findKind = findKinds(path);
  await refuseForeign(path, findKind, [...files.keys()], own);
  const gone: string[] = [];
  for (const name of own) if (!files.has(name) && (await findKind(name)) === "file") gone.push(name);
  const staging = joinPath(path, STAGING);
  try {
    await writeFolder(staging, files);
    await check?.();
    const journal: Journal = { files: [...files.keys()], gone, folder: await folderNumber(staging) };
    await writeFileAtomic(joinPath(staging, JOURNAL), `${JSON.stringify(journal)}\n`);
  } catch (error) {
    await dropStaging(path).catch(() => {});
    if (isNew) await removeEmpty(path).catch(() => {});
    throw error;
  }
  await finishReplacing(path);
}

/** Whether this directory's files are being replaced, or were interrupted; "committed" if the new ones are valid. */
export async function isReplacing(path: string): Promise<"committed" | boolean> {
  if (isRemote(path) || !(await exists(joinPath(path, STAGING)))) return false;
  return (await readJournal(path)) === undefined || "committed";
}

/**
 * Completes a replacement that is committed, and rolls back any other. Returns whether one was completed. May be
 * repeated; the caller holds the lock of the directory. Throws LowrankError if writing fails, and for a copied
 * directory: its journal is not trusted, and nothing is moved or deleted.
 */
export async function finishReplacing(path: string): Promise<boolean> {
  const staging = joinPath(path, STAGING);
  const journal = await readJournal(path);
  if (journal === undefined) {
    await dropStaging(path);
    return false;
  }
  if (journal.folder !== (await folderNumber(staging)))
    throw new LowrankError("copied-while-replaced", "the directory was copied while its files were being replaced", {
      where: path,
      expected: `a directory without ${STAGING}`,
      hint: `copy it again, or move the files in ${staging} to their places and remove that folder`,
    });
  await swap(path, journal).catch((cause: LowrankError) => {
    const hint = `run a command on the directory to try again; the new files are in ${staging}`;
    throw new LowrankError("replacement-failed", "the files could not be replaced", { ...cause.details, hint, cause });
  });
  return true;
}

async function swap(path: string, { files, gone }: Journal): Promise<void> {
  // Those that are missing have been moved by an interrupted call.
  await moveFiles(joinPath(path, STAGING), files, path);
  for (const name of gone) await remove(joinPath(path, name));
  for (const folder of parentFolders(gone).reverse()) await removeEmpty(joinPath(path, folder));
  await dropStaging(path);
}

/** Deletes the journal first: the staged files are invalid without it. */
async function dropStaging(path: string): Promise<void> {
  const staging = joinPath(path, STAGING);
  if (!(await exists(staging))) return;
  await remove(joinPath(staging, JOURNAL));
  await remove(staging);
}

/** The journal; undefined for none, a truncated one, and one that names files outside the directory. */
async function readJournal(path: string): Promise<Journal | undefined> {
  const journal = joinPath(path, STAGING, JOURNAL);
  if (isRemote(path) || !(await exists(journal))) return undefined;
  const bytes = await readBytes(journal, LARGEST_JOURNAL);
  try {
    const { files, gone, folder = null } = JSON.parse(new TextDecoder().decode(bytes)) as Journal;
    return [...files, ...gone].every(isInside) ? { files, gone, folder } : undefined;
  } catch {
    return undefined;
  }
}

function isInside(name: string): boolean {
  return name.split(/[\\/]/).every((part) => !["", ".", ".."].includes(part)) && !/^[a-z]:/i.test(name);
}

/** Throws LowrankError if a file with one of these names is not in `own`, or something else is in place of a folder. */
async function refuseForeign(
  path: string,
  findKind: ReturnType<typeof findKinds>,
  names: readonly string[],
  own: readonly string[],
): Promise<void> {
  const found: string[] = [];
  for (const name of names) {
    const kind = await findKind(name);
    if (kind === "folder" || (kind === "file" && !own.includes(name))) found.push(name);
  }
  for (const folder of parentFolders(names)) if ((await findKind(folder)) === "file") found.push(folder);
  if (found.length > 0)
    throw new LowrankError("files-in-the-way", "other files are in the way", {
      where: path,
      expected: "no other files with the names of the new ones",
      found: found.join(", "),
    });
}

/** Tells what has a name in a directory; lists each folder once. A link is what it leads to, or a file. */
function findKinds(path: string): (name: string) => Promise<"file" | "folder" | undefined> {
  const lists = new Map<string, Promise<string[] | null>>();
  const list = (folder: string) => {
    const found = lists.get(folder) ?? listDirectory(joinPath(path, folder)).catch(() => null);
    lists.set(folder, found);
    return found;
  };
  return async (name) => {
    const at = name.lastIndexOf("/");
    const inFolder = await list(name.slice(0, Math.max(at, 0)));
    if (!inFolder?.includes(name.slice(at + 1))) return undefined;
    return (await list(name)) ? "folder" : "file";
  };
}
