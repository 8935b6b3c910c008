/**
 * The platform layer for Node. `browser.ts` has the same exports.
 */
import { createHash } from "node:crypto";
import { accessSync, constants } from "node:fs";
import { lstat, open, readdir, stat } from "node:fs/promises";
import { availableParallelism, freemem, homedir } from "node:os";
import { dirname, join, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { setFlagsFromString } from "node:v8";
import { parentPort } from "node:worker_threads";
import { inflateRaw as inflateAll } from "node:zlib";
import { ConfigError } from "../core/errors.ts";
import { checkFile, FIRST_MESSAGE } from "./build.ts";
import { openSource, registeredFile, registeredNames, registeredPaths } from "./files.ts";
import { makeFolder } from "./node-disk.ts";
import { ifPermitted } from "./node-gpu.ts";
import { packagePath, packageRoot } from "./node-package.ts";
import { isRemote, joinUrl } from "./paths.ts";
import { checkSize, type FileReader, type FileWriter, handleReader } from "./reader.ts";

export const platformName = `Node ${process.version}`;

/** Without O_NONBLOCK, opening a pipe without a writer would block forever. */
const { O_CREAT, O_RDONLY, O_WRONLY, O_NONBLOCK = 0 } = constants;

/**
 * Opens a registered file, a URL or a file. Throws ConfigError or DownloadError if it cannot be found or read, or if a
 * server's answer that is not read by ranges has more than `limit` bytes.
 */
export async function openFile(path: string, limit?: number): Promise<FileReader> {
  const source = registeredFile(path) ?? (isRemote(path) ? new URL(path) : undefined);
  if (source !== undefined) return openSource(path, source, limit);
  const handle = await open(path, O_RDONLY | O_NONBLOCK).catch((error) => unreadable(path, error));
  return handleReader(path, handle, () => handle.close());
}

/** Reads a whole file. Throws ConfigError if it does not exist, cannot be read or has more than `limit` bytes. */
export async function readBytes(path: string, limit = Infinity): Promise<Uint8Array<ArrayBuffer>> {
  const file = await openFile(path, limit);
  try {
    checkSize(file, limit);
    return await file.read(0, file.size);
  } finally {
    await file.close();
  }
}

function unreadable(path: string, error: NodeJS.ErrnoException): never {
  const reason = { ENOENT: "no such file", EISDIR: "a directory", EACCES: "no permission to read it" }[
    error.code ?? ""
  ];
  if (error.code === "ENOENT" && isOfPackage(path))
    throw new ConfigError("missing-package-file", "a file of the package was not found", {
      where: path,
      hint: "an installer or a bundler left it out: install lowrank again, and copy its folders dist and data unchanged",
      cause: error,
    });
  throw new ConfigError("cannot-read-file", `cannot read ${path}`, {
    expected: "a file",
    found: reason ?? error.message,
    cause: error,
  });
}

/** Whether a path is that of a file which the package has. */
const isOfPackage = (path: string) =>
  ["data/models", "dist"].some((folder) => path.startsWith(join(packageRoot(), folder) + sep));

/** Reads a file that was built with the program, by its path inside `dist/`. Throws FormatError for another build's. */
export async function readAsset(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return checkFile(name, await readBytes(packagePath(`dist/${name}`)));
}

/** Whether what has this path comes from a server. */
export function isServed(path: string): boolean {
  return isRemote(path) && registeredPaths(path).length === 0;
}

export async function exists(path: string): Promise<boolean> {
  if (registeredPaths(path).length > 0) return true;
  if (isRemote(path)) return (await import("./url-files.ts")).existsUrl(path);
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Whether a file or directory of this path can be created: the nearest existing folder above it is writable. */
export async function canCreate(path: string): Promise<boolean> {
  const isLink = await lstat(path).then(
    (stats) => stats.isSymbolicLink(),
    () => false,
  );
  if (isLink && !(await exists(path))) return false;
  const folder = dirname(resolve(path));
  const stats = await stat(folder).catch(() => undefined);
  if (stats === undefined) return folder !== dirname(folder) && canCreate(folder);
  return stats.isDirectory() && isWritable(folder);
}

/** Deno may not ask who the user is, an error without a code, which `access` throws where nothing catches it. */
function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === undefined;
  }
}

/** Whether the disk has a file of this path, not a folder. */
export async function isFile(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.isFile() ?? false;
}

export async function isSameFile(a: string, b: string): Promise<boolean> {
  const [first, other] = await Promise.all([a, b].map((path) => stat(path, { bigint: true }).catch(() => undefined)));
  return first !== undefined && first.dev === other?.dev && first.ino === other.ino;
}

export async function listDirectory(path: string): Promise<string[]> {
  const names = registeredNames(path);
  if (names !== undefined) return names;
  if (isRemote(path)) throw new Error(`${path}: a URL has no list of files`);
  return (await readdir(path)).sort();
}

export type { ListedAdapter } from "./listed-adapter.ts";
export {
  isLinkOrMount,
  linkFile,
  moveFile,
  otherFiles,
  remove,
  removeEmpty,
  restoreDirectory,
  writeDirectory,
  writeFileAtomic,
  writeFiles,
} from "./node-disk.ts";
export { canHaveGPU, gpuVersion, listAdapters, requestGPU } from "./node-gpu.ts";
export { packagePath };

/** Joins the parts of a path or URL. */
export function joinPath(...parts: string[]): string {
  return isRemote(parts[0] ?? "") ? joinUrl(...parts) : join(...parts);
}

export function absolutePath(path: string): string {
  return isRemote(path) || registeredPaths(path).length > 0 ? path : resolve(path);
}

/** Where something is that was given by its path or its address: a path, or an address on a server. */
export const modelAddress = (path: string): string => (/^file:/i.test(path) ? fileURLToPath(path) : path);

/** Opens a file for appending; creates it and its folder if needed. */
export async function openAppend(path: string): Promise<FileWriter> {
  await makeFolder(dirname(path));
  const handle = await open(path, O_WRONLY | O_CREAT);
  const { size } = await handle.stat();
  let at = size;
  return {
    size,
    // In its own place, also where another process appends the same bytes.
    async write(bytes) {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at);
        done += bytesWritten;
        at += bytesWritten;
      }
    },
    close: () => handle.close(),
  };
}

/** An incremental hash; `digest` returns it in hexadecimal. */
export async function createHasher(
  algorithm: "sha256" | "sha1",
): Promise<{ update(bytes: Uint8Array): void; digest(): string }> {
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest("hex") };
}

/** SHA-256 of all parts together, in hexadecimal. */
export async function sha256(parts: readonly Uint8Array<ArrayBuffer>[]): Promise<string> {
  const hash = await createHasher("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** An environment variable; undefined if it is not set or empty, or must not be read. */
export function environment(name: string): string | undefined {
  return ifPermitted(() => process.env[name]) || undefined;
}

/** The user's directory; the package's where the runtime must not tell the user's. */
export function homeDirectory(): string {
  return ifPermitted(homedir) ?? packageRoot();
}

export function systemCacheDirectory(): string {
  if (process.platform === "win32") return environment("LOCALAPPDATA") ?? join(homeDirectory(), "AppData", "Local");
  if (process.platform === "darwin") return join(homeDirectory(), "Library", "Caches");
  return environment("XDG_CACHE_HOME") ?? join(homeDirectory(), ".cache");
}

/** Bytes that this process may still allocate; undefined: not known. */
export function availableMemory(): number | undefined {
  return ifPermitted(() => process.availableMemory?.() ?? freemem());
}

/** Hardware threads of this machine. */
export function parallelism(): number {
  return availableParallelism();
}

/**
 * Enables relaxed SIMD in Node 20, whose V8 11.3 supports it only behind a flag. The flag takes effect at once, in
 * every thread, and only affects which modules are valid. With it Node 20 computes the same bits as Node 22 and
 * Chromium.
 */
export function allowRelaxedSimd(): void {
  setFlagsFromString("--experimental-wasm-relaxed-simd");
}

/** Yields to the event loop, so that pending messages and timers are handled. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Promises that `restUntil` waits for. */
let pending = 0;
let isResting = false;
const asleep = new Int32Array(new SharedArrayBuffer(4));

/**
 * Waits for a promise of Dawn. While there is one, Dawn asks with `setImmediate`, over and over, whether its driver is
 * done, which keeps a core busy that a software driver needs to compute. Here every turn of the event loop sleeps for a
 * millisecond.
 */
export function restUntil<T>(promise: Promise<T>): Promise<T> {
  pending++;
  if (!isResting) setImmediate(rest);
  isResting = true;
  return promise.finally(() => pending--);
}

function rest(): void {
  isResting = pending > 0;
  if (!isResting) return;
  Atomics.wait(asleep, 0, 0, 1);
  setImmediate(rest);
}

/** Always false: there is no page. */
export function isPageThread(): boolean {
  return false;
}

/** In a worker: receives the host's messages; returns the function that posts answers. */
export function listenToHost(onMessage: (message: unknown) => void): (message: unknown) => void {
  parentPort?.postMessage(FIRST_MESSAGE);
  parentPort?.on("message", onMessage);
  return (message) => parentPort?.postMessage(message);
}

/** Inflates bytes. Throws an Error if they are invalid, or become more than `most`. */
export async function inflateRaw(packed: Uint8Array, most: number): Promise<Uint8Array> {
  return new Uint8Array(await promisify(inflateAll)(packed, { maxOutputLength: Math.max(1, most) }));
}
