/**
 * The platform layer for pages. `node.ts` has the same exports, and says what they do.
 *
 * A path is one of: the path of a file that the user selected (`files.ts`); a path in the package (`assets.ts`) or a
 * URL, which are fetched and read-only; otherwise a path in the origin private file system.
 */
import { concat } from "../core/concat.ts";
import { ConfigError, DeviceError, DownloadError } from "../core/errors.ts";
import { assetUrl, isPackagePath, packageFiles, packagePath } from "./assets.ts";
import type { Hasher } from "./browser-download.ts";
import { checkFile, FIRST_MESSAGE } from "./build.ts";
import { forgetFile, loadUrlFiles, openSource, registeredFile, registeredNames, registeredPaths } from "./files.ts";
import type { Answer } from "./http.ts";
import type { ListedAdapter } from "./listed-adapter.ts";
import { checkPage, noPackageFile, openDirectory, split } from "./opfs.ts";
import { pageMemory } from "./page-memory.ts";
import { isRemote, joinUrl, segments } from "./paths.ts";
import { checkSize, type FileContent, type FileReader, type FileWriter, filePieces } from "./reader.ts";

export const platformName = "browser";

const disk = () => import("./browser-disk.ts");
/** A page of one file asks no server. */
const http = () => import("./http.ts");

export async function openFile(path: string, limit?: number): Promise<FileReader> {
  const source = registeredFile(path) ?? (isRemote(path) ? new URL(path) : await openBlob(path));
  return openSource(path, source, limit);
}

export async function readBytes(path: string, limit = Infinity): Promise<Uint8Array<ArrayBuffer>> {
  if (registeredFile(path) === undefined) return new Uint8Array(await (await openBlob(path, limit)).arrayBuffer());
  const file = await openFile(path, limit);
  checkSize(file, limit);
  return file.read(0, file.size);
}

/** Reads a file that was built with the program, by its path inside `dist/`. Throws FormatError for another build's. */
export async function readAsset(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return checkFile(name, await readBytes(packagePath(`dist/${name}`)));
}

export { joinUrl as joinPath, packagePath };

/** Whether what has this path comes from a server: the package's files, too. */
export function isServed(path: string): boolean {
  return isUrl(path) && registeredPaths(path).length === 0;
}

/**
 * The errors of a path whose folder does not exist or is a file, and of a page that has no file system: one from the
 * disk, or one without HTTPS. That the browser cannot read its file system at the moment is another matter.
 */
const ABSENT = ["NotFoundError", "TypeMismatchError", "SecurityError", "TypeError"];

export async function exists(path: string): Promise<boolean> {
  if (isPackagePath(path)) return packageFiles().some((file) => `${file}/`.startsWith(`${joinUrl(path)}/`));
  if (registeredPaths(path).length > 0) return true;
  if (isUrl(path)) return (await loadUrlFiles()).existsUrl(path);
  const { folder, name } = split(path);
  if (name === "") return true;
  try {
    const directory = await openDirectory(folder);
    return (await names(directory)).includes(name);
  } catch (error) {
    if (ABSENT.includes((error as Error).name)) return false;
    throw error;
  }
}

/** Whether a file or directory of this path can be created: always, in the page's own storage. */
export async function canCreate(_path: string): Promise<boolean> {
  return true;
}

/** Whether the page's own storage has a file of this path, not a folder. */
export async function isFile(path: string): Promise<boolean> {
  return (await openStored(path).catch(() => undefined)) !== undefined;
}

/** Whether two paths lead to the same file: a page's file system has no links. */
export async function isSameFile(a: string, b: string): Promise<boolean> {
  return joinUrl(a) === joinUrl(b);
}

export async function listDirectory(path: string): Promise<string[]> {
  const inside = registeredNames(path);
  if (inside !== undefined) return inside;
  if (isUrl(path)) throw new Error(`${path}: a URL has no list of files`);
  return names(await openDirectory(segments(path)));
}

export async function remove(path: string): Promise<void> {
  for (const file of registeredPaths(path)) forgetFile(file);
  const { folder, name } = split(path);
  if (await exists(path)) await (await openDirectory(folder)).removeEntry(name, { recursive: true });
}

/** A page has no working directory: every path is absolute. */
export function absolutePath(path: string): string {
  return joinUrl(path);
}

/** Where a saved model is: in storage, or, by a path that begins with "/" or ".", on the page's server. */
export function modelAddress(path: string): string {
  return /^[/.]/.test(path) && globalThis.location ? new URL(path, location.href).href : path;
}

/**
 * Writes a file atomically: the browser keeps the old content until the new one is complete. For a moment another tab
 * can read neither.
 */
export async function writeFileAtomic(path: string, content: FileContent): Promise<void> {
  const { folder, name } = split(path);
  await (await disk()).writeInto(folder, [[name, content]]);
}

/**
 * Writes files ("name" or "folder/name") one after the other, the last as the commit; then the old ones are deleted.
 */
export async function writeFiles(
  directory: string,
  files: ReadonlyMap<string, FileContent>,
  gone: readonly string[] = [],
): Promise<void> {
  await (await disk()).writeInto(segments(directory), files);
  for (const name of gone) if (!files.has(name)) await remove(joinUrl(directory, name));
}

/** As `writeFiles`, in place of the files that `listOwn` gives: a page's file system renames no folders. */
export async function writeDirectory(
  path: string,
  files: ReadonlyMap<string, FileContent>,
  listOwn?: (directory: string) => Promise<string[]>,
  _left?: readonly string[],
): Promise<void> {
  await writeFiles(path, files, await listOwn?.(path));
}

/** None: the files of others stay where they are. */
export async function otherFiles(_directory: string, _own: readonly string[]): Promise<string[]> {
  return [];
}

/** False: no directory loses its name while it is replaced. */
export async function restoreDirectory(_path: string): Promise<boolean> {
  return false;
}

/** False: a page's file system has neither. */
export async function isLinkOrMount(_path: string): Promise<boolean> {
  return false;
}

export async function removeEmpty(path: string): Promise<void> {
  const { folder, name } = split(path);
  if (await exists(path)) await (await openDirectory(folder)).removeEntry(name).catch(() => {});
}

export async function openAppend(path: string): Promise<FileWriter> {
  return (await import("./browser-download.ts")).openAppend(path);
}

/** Moves a file; replaces an existing one. */
export async function moveFile(from: string, to: string): Promise<void> {
  await linkFile(from, to);
  await remove(from);
}

/** Makes `path` a copy of the file `target`: a page's file system has no links. `onCopied` gets the bytes so far. */
export async function linkFile(target: string, path: string, onCopied?: (bytes: number) => void): Promise<void> {
  const { folder, name } = split(path);
  const file = await openFile(target);
  try {
    await (await disk()).writeInto(folder, [[name, filePieces(file, onCopied)]]);
  } finally {
    await file.close();
  }
}

export async function createHasher(algorithm: "sha256" | "sha1"): Promise<Hasher> {
  return (await import("./browser-download.ts")).createHasher(algorithm);
}

/** SHA-256 of all parts together, in hexadecimal; computed by the browser where the page is secure. */
export async function sha256(parts: readonly Uint8Array<ArrayBuffer>[]): Promise<string> {
  if (isSecureContext) {
    const bytes = parts.length === 1 ? parts[0]! : concat<Uint8Array<ArrayBuffer>>(Uint8Array, parts);
    const hash = await crypto.subtle.digest("SHA-256", bytes);
    return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  const hash = await createHasher("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** Always undefined: a page has no environment variables. */
export function environment(_name: string): string | undefined {
  return undefined;
}

export function homeDirectory(): string {
  return "";
}

export function systemCacheDirectory(): string {
  return "cache";
}

/** A file of at most `limit` bytes; throws ConfigError for a larger one, without reading all of it. */
async function openBlob(path: string, limit = Infinity): Promise<Blob> {
  let blob: Blob;
  if (isPackagePath(path)) blob = await fetchAsset(path);
  else if (isUrl(path)) {
    const { ask, readWhole } = await http();
    blob = await ask(path, {}, (answer) => readWhole(answer, path, limit));
  } else blob = await openStored(path);
  checkSize({ name: path, size: blob.size }, limit);
  return blob;
}

async function openStored(path: string): Promise<File> {
  const { folder, name } = split(path);
  return (await (await openDirectory(folder)).getFileHandle(name)).getFile();
}

/** Files that were built with the program, by their addresses: every model that is loaded needs them. */
const built = new Map<string, Promise<Blob>>();

async function fetchAsset(path: string): Promise<Blob> {
  checkPage();
  const url = assetUrl(path);
  if (url === undefined) throw new Error(`${path}: the package has no such file`);
  const file = built.get(url.href) ?? fetchFile(url);
  if (/\.(wasm|bin)$/.test(url.href)) built.set(url.href, file);
  file.catch(() => built.delete(url.href));
  return file;
}

async function fetchFile(url: URL): Promise<Blob> {
  const { ask, readWhole } = await http();
  const read = async (answer: Answer) => {
    // Servers of single-page applications answer with the page if a file does not exist.
    if (answer.response.headers.get("content-type")?.startsWith("text/html"))
      throw new DownloadError("request-refused", "the file cannot be read", { found: "an HTML page" });
    return readWhole(answer, url.href);
  };
  return ask(url.href, {}, read).catch(async (cause) => {
    throw noPackageFile(url.href, cause);
  });
}

async function names(directory: FileSystemDirectoryHandle): Promise<string[]> {
  const entries: string[] = [];
  // Chromium writes to a temporary .crswap file, which remains if the tab is killed.
  for await (const name of directory.keys()) if (!name.endsWith(".crswap")) entries.push(name);
  return entries.sort();
}

function isUrl(path: string): boolean {
  return /^[a-z][a-z0-9+.-]*:/i.test(path);
}

/** Whether there can be a hardware GPU: a page knows only by asking for an adapter. */
export function canHaveGPU(): boolean {
  return true;
}

/** The version of WebGPU: the browser's, which updates drivers' workarounds with itself. */
export const gpuVersion = () => navigator.userAgent;

/** The GPU object. Throws DeviceError, with the reason, without WebGPU; ConfigError for one of several adapters. */
export async function requestGPU(which?: string): Promise<GPU> {
  if (which !== undefined)
    throw new ConfigError("unknown-value", "a page cannot choose a GPU", { expected: "webgpu", found: which });
  const gpu = globalThis.navigator?.gpu;
  if (gpu) return gpu;
  checkPage();
  throw new DeviceError("no-webgpu", isSecureContext ? "no WebGPU" : "WebGPU needs a page that is served by HTTPS", {
    hint: "use the CPU, which needs no driver, or enable WebGPU in the browser",
  });
}

export type { ListedAdapter };

/** None: a page is given the adapter that its browser chooses. */
export async function listAdapters(): Promise<ListedAdapter[]> {
  return [];
}

/** Bytes that this page may allocate; undefined: not known. */
export const availableMemory = (): number | undefined => pageMemory(navigator);

export function parallelism(): number {
  return globalThis.navigator?.hardwareConcurrency || 1;
}

/** A browser's GPU process does not take the page's time. */
export const restUntil = <T>(promise: Promise<T>): Promise<T> => promise;

/** Whether this is a page's main thread, which long tasks would block. */
export function isPageThread(): boolean {
  return typeof document !== "undefined";
}

/** Does nothing: a browser enables relaxed SIMD if it supports it. */
export function allowRelaxedSimd(): void {}

export function nextTurn(): Promise<void> {
  // setTimeout would wait for 4 ms.
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

export function listenToHost(onMessage: (message: unknown) => void): (message: unknown) => void {
  self.postMessage(FIRST_MESSAGE);
  self.onmessage = ({ data }) => onMessage(data);
  return (message) => self.postMessage(message);
}

export async function inflateRaw(packed: Uint8Array<ArrayBuffer>, most: number): Promise<Uint8Array> {
  const inflated = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const bytes = new Uint8Array(most);
  let done = 0;
  // Safari's streams have no iterator.
  const reader = inflated.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    bytes.set(next.value, done);
    done += next.value.length;
  }
  return bytes.subarray(0, done);
}
