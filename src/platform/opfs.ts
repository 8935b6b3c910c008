/** Paths in the page's own storage, the origin private file system. */
import { ConfigError, type DownloadError } from "../core/errors.ts";
import { segments } from "./paths.ts";

/** Throws ConfigError where there is no page: in Node, with the wrong build. */
export function checkPage(): void {
  if (typeof location === "undefined") throw noPage();
}

export async function openDirectory(folder: string[], create = false): Promise<FileSystemDirectoryHandle> {
  checkPage();
  let directory = await navigator.storage.getDirectory();
  for (const name of folder) directory = await directory.getDirectoryHandle(name, { create });
  return directory;
}

export function split(path: string): { folder: string[]; name: string } {
  const all = segments(path);
  return { folder: all.slice(0, -1), name: all.at(-1) ?? "" };
}

/** The error of a program that is no page, and has the build for pages. */
const noPage = (): ConfigError =>
  new ConfigError("wrong-platform", "this is the build of lowrank for pages", {
    expected: "a page or a web worker",
    found: globalThis.navigator?.userAgent ?? "a program without a page's address",
    hint: 'import "lowrank", not "lowrank/browser"; a bundler for Node needs the condition "node"',
  });

/** The error of a file of the package that is not where the page looks for it. */
export const noPackageFile = (where: string, cause: DownloadError): ConfigError =>
  new ConfigError("missing-package-file", "a file of the package was not found", {
    where,
    found: cause.details.found!,
    hint: "a bundler copies a base model that is imported: import 'lowrank/bases/e5-small-cut'; without one, copy the package's folders unchanged; another origin must allow this one (CORS); Vite before 8 needs optimizeDeps: { exclude: ['lowrank'] }",
    cause,
  });
