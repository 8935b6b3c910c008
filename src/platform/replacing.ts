/** How the files of a directory are replaced: what Node's side and the page's side share. */
import { LowrankError } from "../errors.ts";

export interface Replacing {
  /** Files of the directory ("name" or "folder/name") that are replaced or, where no new one has their name, deleted. No other is touched. */
  own?: readonly string[];
  /** Called before anything is written, and again before what was written counts; throws where it must not. */
  check?: Check;
}

export type Check = () => Promise<void>;

/** The folder in a directory in which new files wait until all of them are there. */
export const STAGING = ".lowrank-new";
/** Written into it last. From then on the new files count, and whoever finds it completes the replacement. */
export const JOURNAL = "journal.json";

/** Ends the name under which a file or folder is written until it is whole, in Node. */
export const TEMPORARY = ".lowrank.tmp";

export interface Journal {
  /** The new files. */
  files: string[];
  /** The old files that none of them replaces. */
  gone: string[];
  /** The folder's own number: in a copy, which may come from a stranger, it is another one. */
  folder?: string;
}

export function encodeJournal(journal: Journal): string {
  return `${JSON.stringify(journal)}\n`;
}

/** A journal; undefined for a file that was cut off while it was written, and for one that names files outside the directory. */
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

/** Folders of these files, from the outermost on. */
export function foldersOf(names: Iterable<string>): string[] {
  const folders = [...names].flatMap((name) => {
    const parts = name.split("/").slice(0, -1);
    return parts.map((_, i) => parts.slice(0, i + 1).join("/"));
  });
  return [...new Set(folders)];
}

/** Throws LowrankError where there are files that new ones of their names must not replace. */
export function refuseInTheWay(path: string, names: readonly string[]): void {
  if (names.length === 0) return;
  throw new LowrankError("other files are in the way", {
    where: path,
    expected: "no files of these names but those that are to be replaced",
    found: names.join(", "),
  });
}
