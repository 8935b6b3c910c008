/**
 * The platform layer for pages. `node.ts` has the same exports.
 *
 * A path is one of: the path of a file that the user selected (`files.ts`); a path in the package (`assets.ts`) or a URL,
 * which are fetched and read-only; otherwise a path in the origin private file system.
 */
import { ConfigError } from "../errors.ts";
import { assetUrl, isPackagePath, packageFiles, packagePath } from "./assets.ts";
import { forgetFile, pickedFile, pickedPaths } from "./files.ts";
import { checkSize, type FileContent, type FileReader, type FileWriter } from "./reader.ts";
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
} from "./replacing.ts";

export const platformName = "browser";

/** Timeout in milliseconds for a request whether a file exists. */
const LONGEST_ANSWER = 60_000;

export async function openFile(path: string): Promise<FileReader> {
  // The browser stores the blob, on disk if it is large; slices are read on request.
  const blob = await openBlob(path);
  return {
    name: path,
    size: blob.size,
    async read(offset, length) {
      if (offset + length > blob.size)
        throw new Error(`${path}: file ended ${offset + length - blob.size} bytes early`);
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    },
    close: async () => {},
  };
}

export async function readBytes(path: string, limit = Infinity): Promise<Uint8Array<ArrayBuffer>> {
  const blob = await openBlob(path, limit);
  return new Uint8Array(await blob.arrayBuffer());
}

/** Reads a file that was built with the program, by its path inside `dist/`. */
export async function readAsset(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return readBytes(packagePath(`dist/${name}`));
}

export { packagePath };

export async function exists(path: string): Promise<boolean> {
  if (isPackagePath(path)) return packageFiles().some((file) => isWithin(file, path));
  if (isUrl(path)) return (await fetch(path, { method: "HEAD", signal: AbortSignal.timeout(LONGEST_ANSWER) })).ok;
  if (pickedPaths().some((file) => isWithin(file, path))) return true;
  const { folder, name } = split(path);
  if (name === "") return true;
  try {
    const directory = await openDirectory(folder);
    return (await names(directory)).includes(name);
  } catch {
    return false;
  }
}

/** Whether a file or directory of this path can be created: always, in the page's own storage. */
export async function canCreate(_path: string): Promise<boolean> {
  return true;
}

/** Whether two paths lead to the same file: a page's file system has no links. */
export async function isSameFile(a: string, b: string): Promise<boolean> {
  return joinPath(a) === joinPath(b);
}

export async function listDirectory(path: string): Promise<string[]> {
  if (isUrl(path)) throw new Error(`${path}: a URL has no list of files`);
  const prefix = `${joinPath(path)}/`;
  const inside = pickedPaths().filter((file) => file.startsWith(prefix));
  if (inside.length > 0) return [...new Set(inside.map((file) => file.slice(prefix.length).split("/")[0]!))].sort();
  return names(await openDirectory(segments(path)));
}

export async function makeDirectory(path: string): Promise<void> {
  await openDirectory(segments(path), true);
}

export async function remove(path: string): Promise<void> {
  for (const file of pickedPaths()) if (isWithin(file, path)) forgetFile(file);
  const { folder, name } = split(path);
  if (await exists(path)) await (await openDirectory(folder)).removeEntry(name, { recursive: true });
}

/** Joins the parts of a path or URL. Removes "." and empty parts, and resolves "..". */
export function joinPath(...parts: string[]): string {
  const joined = parts.filter((part) => part !== "").join("/");
  const origin = joined.match(/^[a-z][a-z0-9+.-]*:\/\/[^/]*\/?|^\//i)?.[0] ?? "";
  return origin + segments(joined.slice(origin.length)).join("/");
}

/** A page has no working directory: every path is absolute. */
export function absolutePath(path: string): string {
  return joinPath(path);
}

/**
 * Writes a file atomically: the browser keeps the old content until the new one is complete. For a moment another tab can read
 * neither.
 */
export async function writeFileAtomic(path: string, content: string | Uint8Array, check?: Check): Promise<void> {
  await check?.();
  const { folder, name } = split(path);
  await writeInto(await openDirectory(folder, true), name, content);
}

/**
 * Writes a directory of files ("name" or "folder/name") atomically. In an existing directory only the files `own` are replaced
 * or deleted. A page's file system cannot rename: the new files are staged in a folder inside the directory, and copied to
 * their places when all are complete. Throws LowrankError if another file has the name of a new one, and what `check` throws.
 */
export async function writeDirectoryAtomic(
  path: string,
  files: ReadonlyMap<string, FileContent>,
  { own = [], check }: Replacing = {},
): Promise<void> {
  await check?.();
  await finishReplacing(path);
  const directory = await openDirectory(segments(path), true);
  const taken: string[] = [];
  for (const name of files.keys()) if (!own.includes(name) && (await exists(joinPath(path, name)))) taken.push(name);
  refuseInTheWay(path, taken);
  try {
    const staging = await directory.getDirectoryHandle(STAGING, { create: true });
    for (const [name, content] of files) await writeInto(staging, name, content);
    await check?.();
    const gone = own.filter((name) => !files.has(name));
    await writeInto(staging, JOURNAL, encodeJournal({ files: [...files.keys()], gone }));
  } catch (error) {
    await dropStaging(directory).catch(() => {});
    throw error;
  }
  await finishReplacing(path);
}

/** Whether a replacement of this directory's files is in progress or was interrupted; "committed" if the new ones are valid. */
export async function isReplacing(path: string): Promise<"committed" | boolean> {
  if (isUrl(path)) return false;
  const directory = await openDirectory(segments(path)).catch(() => null);
  const staging = await directory?.getDirectoryHandle(STAGING).catch(() => null);
  return staging ? (await readJournal(path)) === undefined || "committed" : false;
}

/**
 * Completes a replacement that is committed, and rolls back any other. Returns whether one was completed. May be repeated; the
 * caller holds the lock of the directory.
 */
export async function finishReplacing(path: string): Promise<boolean> {
  const directory = await openDirectory(segments(path)).catch(() => null);
  if (directory === null) return false;
  const journal = await readJournal(path);
  if (journal === undefined) {
    await dropStaging(directory);
    return false;
  }
  for (const name of journal.files) await writeInto(directory, name, await openBlob(joinPath(path, STAGING, name)));
  for (const name of journal.gone) await remove(joinPath(path, name));
  for (const folder of foldersOf(journal.gone).reverse()) await removeEmpty(joinPath(path, folder));
  await dropStaging(directory);
  return true;
}

async function readJournal(path: string): Promise<Journal | undefined> {
  const journal = joinPath(path, STAGING, JOURNAL);
  if (isUrl(path) || !(await exists(journal))) return undefined;
  return parseJournal(await (await openBlob(journal)).text());
}

/** Deletes the journal first: the staged files are invalid without it. */
async function dropStaging(directory: FileSystemDirectoryHandle): Promise<void> {
  const staging = await directory.getDirectoryHandle(STAGING).catch(() => null);
  if (staging === null) return;
  await staging.removeEntry(JOURNAL).catch(() => {});
  await directory.removeEntry(STAGING, { recursive: true });
}

/** Removes a folder if it is empty. */
export async function removeEmpty(path: string): Promise<void> {
  const { folder, name } = split(path);
  if (await exists(path)) await (await openDirectory(folder)).removeEntry(name).catch(() => {});
}

async function writeInto(parent: FileSystemDirectoryHandle, path: string, content: FileContent | Blob) {
  const folders = segments(path);
  const name = folders.pop()!;
  let directory = parent;
  for (const folder of folders) directory = await directory.getDirectoryHandle(folder, { create: true });
  const stream = await (await directory.getFileHandle(name, { create: true })).createWritable();
  try {
    for await (const piece of typeof content === "string" || content instanceof Uint8Array || content instanceof Blob
      ? [content]
      : content)
      await stream.write(piece as string | Uint8Array<ArrayBuffer> | Blob);
    await stream.close();
  } catch (error) {
    await stream.abort();
    throw error;
  }
}

/** Opens a file for appending, cut to `length` if given; creates it and its folder if needed. */
export async function openAppend(path: string, length?: number): Promise<FileWriter> {
  const { folder, name } = split(path);
  const handle = await (await openDirectory(folder, true)).getFileHandle(name, { create: true });
  const size = length ?? (await handle.getFile()).size;
  const stream = await handle.createWritable({ keepExistingData: true });
  await stream.truncate(size);
  await stream.seek(size);
  return {
    size,
    write: (bytes) => stream.write(bytes as Uint8Array<ArrayBuffer>),
    close: () => stream.close(),
  };
}

/** Moves a file; replaces an existing one. */
export async function moveFile(from: string, to: string): Promise<void> {
  await linkFile(from, to);
  await remove(from);
}

/** Makes `path` another name of the file `target`: a copy, as a page's file system has no links. */
export async function linkFile(target: string, path: string): Promise<void> {
  const { folder, name } = split(path);
  await writeInto(await openDirectory(folder, true), name, await openBlob(target));
}

/** Does nothing: a browser releases the locks of a closed page. */
export async function dropDeadLock(_path: string): Promise<void> {}

/**
 * Runs `work` under the lock of `path`, shared by all pages of this origin. Waits if the lock is taken, or calls `refuse`. The
 * `check` that `work` receives does nothing: a page never loses its lock.
 */
export async function withLock<T>(path: string, work: (check: Check) => Promise<T>, refuse?: () => never): Promise<T> {
  const check = async () => {};
  return navigator.locks.request(path, { ifAvailable: refuse !== undefined }, (lock) =>
    lock ? work(check) : refuse!(),
  );
}

/** An incremental hash; `digest` returns it in hexadecimal. */
export async function createHasher(
  algorithm: "sha256" | "sha1",
): Promise<{ update(bytes: Uint8Array): void; digest(): string }> {
  const { bytesToHex, sha1, sha256 } = await import("./hashes.ts");
  const hash = { sha256, sha1 }[algorithm].create();
  return { update: (bytes) => void hash.update(bytes), digest: () => bytesToHex(hash.digest()) };
}

/** Always undefined: a page has no environment variables. */
export function environment(_name: string): string | undefined {
  return undefined;
}

export function homeDirectory(): string {
  return "";
}

/** The folder for temporary files. */
export function temporaryDirectory(): string {
  return "temporary";
}

/** The folder for caches. */
export function systemCacheDirectory(): string {
  return "cache";
}

/** Opens a file of at most `limit` bytes; throws ConfigError for a larger one, without reading all of it. */
async function openBlob(path: string, limit = Infinity): Promise<Blob> {
  const file = pickedFile(path);
  const blob = file ?? (isUrl(path) ? await fetchBlob(path, limit) : await openStored(path));
  checkSize({ name: path, size: blob.size }, limit);
  return blob;
}

async function openStored(path: string): Promise<Blob> {
  const { folder, name } = split(path);
  return (await (await openDirectory(folder)).getFileHandle(name)).getFile();
}

async function fetchBlob(path: string, limit: number): Promise<Blob> {
  const url = isPackagePath(path) ? assetUrl(path) : path;
  if (url === undefined) throw new Error(`${path}: the package has no such file`);
  const response = await fetch(url);
  // Servers of single-page applications answer with the page if a file does not exist.
  const isPage = response.headers.get("content-type")?.startsWith("text/html");
  if (isPackagePath(path) && (!response.ok || isPage))
    throw new ConfigError("a file of the package was not found", {
      where: url,
      found: isPage ? "an HTML page" : `${response.status} ${response.statusText}`,
      hint: "copy the package's folders unchanged; Vite before 8 needs optimizeDeps: { exclude: ['lowrank'] }",
    });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${response.statusText}`);
  if (limit === Infinity) return response.blob();
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const reader = response.body!.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(pieces);
    pieces.push(value);
    size += value.length;
    if (size <= limit) continue;
    await reader.cancel();
    return new Blob(pieces);
  }
}

async function openDirectory(folder: string[], create = false): Promise<FileSystemDirectoryHandle> {
  let directory = await navigator.storage.getDirectory();
  for (const name of folder) directory = await directory.getDirectoryHandle(name, { create });
  return directory;
}

async function names(directory: FileSystemDirectoryHandle): Promise<string[]> {
  const found: string[] = [];
  // Chromium writes to a temporary .crswap file, which remains if the tab is killed.
  for await (const name of directory.keys()) if (!name.endsWith(".crswap") && name !== STAGING) found.push(name);
  return found.sort();
}

/** Whether a file has this path, or is in the folder of this path. */
function isWithin(file: string, path: string): boolean {
  return file === path || file.startsWith(`${joinPath(path)}/`);
}

function isUrl(path: string): boolean {
  return /^[a-z][a-z0-9+.-]*:/i.test(path);
}

function segments(path: string): string[] {
  const out: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === ".." && out.length > 0) out.pop();
    else out.push(part);
  }
  return out;
}

function split(path: string): { folder: string[]; name: string } {
  const all = segments(path);
  return { folder: all.slice(0, -1), name: all.at(-1) ?? "" };
}

/** The GPU object, or null if this browser does not support WebGPU. */
export async function requestGPU(): Promise<GPU | null> {
  return navigator.gpu ?? null;
}

/** Bytes that this page may still allocate: unknown in browsers. */
export function availableMemory(): number | undefined {
  return undefined;
}

/** Hardware threads of this machine. */
export function parallelism(): number {
  return navigator.hardwareConcurrency || 1;
}

/** Whether this is a page's main thread, which long tasks would block. */
export function isPageThread(): boolean {
  return typeof document !== "undefined";
}

/** Does nothing: a browser enables relaxed SIMD if it supports it. */
export function allowRelaxedSimd(): void {}

/** Yields to the event loop, so that pending messages and timers are handled. */
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

/** In a worker: receives the host's messages; returns the function that posts answers. */
export function listenToHost(onMessage: (message: unknown) => void): (message: unknown) => void {
  self.onmessage = ({ data }) => onMessage(data);
  return (message) => self.postMessage(message);
}
