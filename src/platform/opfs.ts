/** Paths in the page's own storage, the origin private file system. */
import { segments } from "./paths.ts";

/** Throws ConfigError where there is no page: in Node, with the wrong build. */
export async function checkPage(): Promise<void> {
  if (typeof location === "undefined") throw (await pageErrors()).noPage();
}

export const pageErrors = () => import("./page-errors.ts");

export async function openDirectory(folder: string[], create = false): Promise<FileSystemDirectoryHandle> {
  await checkPage();
  let directory = await navigator.storage.getDirectory();
  for (const name of folder) directory = await directory.getDirectoryHandle(name, { create });
  return directory;
}

export function split(path: string): { folder: string[]; name: string } {
  const all = segments(path);
  return { folder: all.slice(0, -1), name: all.at(-1) ?? "" };
}
