/** Replacing the files of a directory atomically: the parts that Node and pages share. */
import { LowrankError } from "../errors.ts";

export interface Replacing {
  /** Existing files ("name" or "folder/name") that may be replaced; those without a new version are deleted. No others are touched. */
  own?: readonly string[];
  /** Called before anything is written, and again before the commit; throws to abort. */
  check?: Check;
}

export type Check = () => Promise<void>;

/** Throws that another process, `owner` if it is known, holds a lock. */
export type Refuse = (owner?: string) => never;

/** The folder inside a directory in which new files are staged. */
export const STAGING = ".lowrank-new";
/** The commit record, written to STAGING last. Any process that finds it completes the replacement. */
export const JOURNAL = "journal.json";

/** Suffix of the temporary names under which Node writes files and folders. */
export const TEMPORARY = ".lowrank.tmp";

export interface Journal {
  /** The new files. */
  files: string[];
  /** The old files to delete. */
  gone: string[];
  /** The inode of the staging folder. It differs in a copy, which is not trusted. */
  folder?: string;
}

export function encodeJournal(journal: Journal): string {
  return `${JSON.stringify(journal)}\n`;
}

/** Parses a journal. Returns undefined for a truncated one, and for one that names files outside the directory. */
export function parseJournal(text: string): Journal | undefined {
  try {
    const { files, gone, folder } = JSON.parse(text) as Journal;
    return [...files, ...gone].every(isInside)
      ? { files, gone, ...(folder === undefined ? {} : { folder }) }
      : undefined;
  } catch {
    return undefined;
  }
}

function isInside(name: string): boolean {
  return name.split(/[\\/]/).every((part) => !["", ".", ".."].includes(part)) && !/^[a-z]:/i.test(name);
}

/** The folders of these files, outermost first. */
export function foldersOf(names: Iterable<string>): string[] {
  const folders = [...names].flatMap((name) => {
    const parts = name.split("/").slice(0, -1);
    return parts.map((_, i) => parts.slice(0, i + 1).join("/"));
  });
  return [...new Set(folders)];
}

/** Throws LowrankError if `names`, the files that must not be replaced, is not empty. */
export function refuseInTheWay(path: string, names: readonly string[]): void {
  if (names.length === 0) return;
  throw new LowrankError("other files are in the way", {
    where: path,
    expected: "no other files with the names of the new ones",
    found: names.join(", "),
  });
}
