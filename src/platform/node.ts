/**
 * What differs between Node and a page, Node's side. `browser.ts` has the same exports.
 */
import { createHash, randomBytes } from "node:crypto";
import { constants, existsSync, rmSync } from "node:fs";
import {
  access,
  copyFile,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { availableParallelism, freemem, homedir, hostname, tmpdir } from "node:os";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { parentPort, Worker } from "node:worker_threads";
import { lock } from "proper-lockfile";
import signalExit from "signal-exit";
import { ConfigError, LowrankError } from "../errors.ts";
import { withoutLines } from "./native-output.ts";
import { checkSize, type FileContent, type FileReader, type FileWriter } from "./reader.ts";
import type { WorkerHandle } from "./worker.ts";

export const platformName = `Node ${process.version}`;

/** Opening a pipe that nobody writes to waits for ever, unless it is told not to. */
const { O_RDONLY, O_NONBLOCK = 0 } = constants;

/** Opens a file; throws ConfigError where there is none, or none that can be read. */
export async function openFile(path: string): Promise<FileReader> {
  const handle = await open(path, O_RDONLY | O_NONBLOCK).catch((error) => unreadable(path, error));
  const stats = await handle.stat();
  if (!stats.isFile()) {
    await handle.close();
    const found = stats.isDirectory() ? "a directory" : "a pipe or a device, which has no size";
    throw new ConfigError(`cannot read ${path}`, { expected: "a file", found });
  }
  const { size } = stats;
  return {
    name: path,
    size,
    async read(offset, length) {
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 1 << 30), offset + done);
        if (bytesRead === 0) throw new Error(`${path}: file ended ${length - done} bytes early`);
        done += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}

/** A whole file of at most `limit` bytes; throws ConfigError where there is none, none that can be read, or a larger one. */
export async function readBytes(path: string, limit = Infinity): Promise<Uint8Array<ArrayBuffer>> {
  const file = await openFile(path);
  try {
    checkSize(file, limit);
    return await file.read(0, file.size);
  } finally {
    await file.close();
  }
}

function unreadable(path: string, error: NodeJS.ErrnoException): never {
  const found = { ENOENT: "no such file", EISDIR: "a directory", EACCES: "no permission to read it" }[error.code ?? ""];
  throw new ConfigError(`cannot read ${path}`, { expected: "a file", found: found ?? error.message, cause: error });
}

/** A file that was built with the program, by its path inside `dist/` (read-only, always there). */
export async function readAsset(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return readBytes(packagePath(`dist/${name}`));
}

/** The path of a file or folder that is shipped with the package, from its root: "data/models/gpt2-micro". */
export function packagePath(name: string): string {
  return join(packageRoot, name);
}

/** The nearest folder above this file with a package.json, so that it is found from dist/ and from build/test/ alike. */
const packageRoot = findPackageRoot(dirname(fileURLToPath(import.meta.url)));

function findPackageRoot(folder: string): string {
  const parent = dirname(folder);
  if (existsSync(join(folder, "package.json")) || parent === folder) return folder;
  return findPackageRoot(parent);
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Whether a file or directory of this path can be created: the nearest folder above that is there can be written to. */
export async function canCreate(path: string): Promise<boolean> {
  const folder = dirname(resolve(path));
  const stats = await stat(folder).catch(() => undefined);
  if (stats === undefined) return folder !== dirname(folder) && canCreate(folder);
  return (
    stats.isDirectory() &&
    access(folder, constants.W_OK).then(
      () => true,
      () => false,
    )
  );
}

export async function listDirectory(path: string): Promise<string[]> {
  return (await readdir(path)).sort();
}

export async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
}

export async function remove(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

export { join as joinPath, resolve as absolutePath };

/** Writes a whole file or nothing: to a temporary name beside it, then renamed. Throws LowrankError where the disk refuses. */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
  await atomically(path, async (temporary) => {
    await writeFile(temporary, content);
    await rename(temporary, path);
  });
}

/**
 * Writes a directory of files (by name, "folder/name" for one in a folder) or nothing. Of a directory that is there already
 * the entries `replaced` are gone then, and all others stay; without `replaced` there must be none, or an empty one. Throws
 * LowrankError where the disk refuses.
 */
export async function writeDirectoryAtomic(
  path: string,
  files: ReadonlyMap<string, FileContent>,
  replaced?: readonly string[],
): Promise<void> {
  await atomically(path, async (temporary) => {
    await mkdir(temporary);
    for (const [name, content] of files) {
      await mkdir(dirname(join(temporary, name)), { recursive: true });
      await writeFile(join(temporary, name), content);
    }
    if (replaced && (await exists(path))) await replaceDirectory(path, temporary, replaced);
    else await rename(temporary, path);
  });
}

/** A directory cannot be renamed over one that is not empty: the old one steps aside, and back if that fails. */
async function replaceDirectory(path: string, by: string, replaced: readonly string[]): Promise<void> {
  const others = (await readdir(path)).filter((name) => !replaced.includes(name));
  const old = temporaryName(path);
  await rename(path, old);
  try {
    await rename(by, path);
  } catch (error) {
    await rename(old, path);
    throw error;
  }
  for (const name of others) await rename(join(old, name), join(path, name));
  await remove(old);
}

/** Runs what writes under a temporary name and renames that to `path`; nothing is left of it where it fails. */
async function atomically(path: string, work: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await mkdir(dirname(temporary), { recursive: true });
    await work(temporary);
  } catch (cause) {
    await remove(temporary).catch(() => {});
    const { code = "", message } = cause as NodeJS.ErrnoException;
    if (!/^E[A-Z]+$/.test(code)) throw cause;
    const found = { ENOTEMPTY: "other files, which are there already", ENOSPC: "no space left" }[code];
    throw new LowrankError("the disk cannot be written to", { where: path, found: found ?? message, cause });
  }
}

/** Opens a file to write behind what is in it; makes it, and its folder, where there is none. */
export async function openAppend(path: string): Promise<FileWriter> {
  await mkdir(dirname(path), { recursive: true });
  const handle = await open(path, "a");
  const { size } = await handle.stat();
  return {
    size,
    async write(bytes) {
      let done = 0;
      while (done < bytes.length) done += (await handle.write(bytes, done)).bytesWritten;
    },
    close: () => handle.close(),
  };
}

/** Moves a file; one that was there before is gone then. */
export async function moveFile(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await rename(from, to);
}

/** Makes `path` another name of the file `target`: a relative link, or a copy where links are not allowed (Windows). */
export async function linkFile(target: string, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  await symlink(relative(dirname(path), target), path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EPERM") throw error;
    return copyFile(target, path);
  });
}

/**
 * proper-lockfile hears signals, to remove its locks. Then the system does not end the process by itself: not while it computes
 * and hears nothing. So it hears them only while there are locks.
 */
signalExit.unload();
let locks = 0;

/** Milliseconds after which a lock that is not renewed is that of a process that was killed. */
const STALE_LOCK = 10_000;

/**
 * Runs `work` while no other process runs any under the same path. Waits for one that does; with `refuse`, which throws, no
 * longer than the lock of a killed process is kept. One that was killed on this machine holds no one up.
 */
export async function withLock<T>(path: string, work: () => Promise<T>, refuse?: () => never): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const note = `${path}.owner`;
  const numbering = await processNumbering();
  await dropDeadLock(path, note, numbering);
  const retries = { forever: true, minTimeout: 100, maxTimeout: 1000 };
  const patience = refuse ? { maxRetryTime: STALE_LOCK + 2 * retries.maxTimeout } : {};
  // A lock that is lost (its folder was moved, the machine slept) is no reason to lose the work.
  const onCompromised = () => {};
  const options = { realpath: false, stale: STALE_LOCK, retries: { ...retries, ...patience }, onCompromised };
  const release = await lock(path, options).catch((error) => {
    if (error.code === "ELOCKED") refuse?.();
    throw error;
  });
  locks++;
  const forget = signalExit(() => rmSync(note, { force: true }));
  try {
    // Without the note a lock is left for those ten seconds after a kill.
    await writeFile(note, `${numbering}\n${process.pid}\n`).catch(() => {});
    return await work();
  } finally {
    await rm(note, { force: true }).catch(() => {});
    await release().catch(() => {});
    forget();
    if (--locks === 0) signalExit.unload();
  }
}

/** Where a process number is one process: on this machine, and on Linux since this boot and in this namespace (a container's). */
async function processNumbering(): Promise<string> {
  const linux = ["/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"] as const;
  const words = process.platform === "linux" ? [await readFile(linux[0], "utf8"), await readlink(linux[1])] : [];
  return [hostname(), ...words].map((word) => word.trim()).join(" ");
}

/** Removes a lock whose owner can be seen to be dead. */
async function dropDeadLock(path: string, note: string, numbering: string): Promise<void> {
  const [where, pid] = (await readFile(note, "utf8").catch(() => "")).split("\n");
  if (where !== numbering || isAlive(Number(pid))) return;
  // Of several processes that see it, the one that takes the note away removes the lock.
  const taken = temporaryName(note);
  const isMine = await rename(note, taken).then(
    () => true,
    () => false,
  );
  if (isMine) for (const left of [`${path}.lock`, taken]) await rm(left, { recursive: true, force: true });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Another user's process is there, too.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** A hash of bytes that come in pieces; `digest` ends it, in hexadecimal digits. */
export async function createHasher(
  algorithm: "sha256" | "sha1",
): Promise<{ update(bytes: Uint8Array): void; digest(): string }> {
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest("hex") };
}

/** A setting of the environment; undefined where it is not set, or empty. */
export function environment(name: string): string | undefined {
  return process.env[name] || undefined;
}

export function homeDirectory(): string {
  return homedir();
}

/** Where this system's programs keep what is not to last. */
export function temporaryDirectory(): string {
  return tmpdir();
}

/** Where this system's programs keep what can be fetched again. */
export function systemCacheDirectory(): string {
  if (process.platform === "win32") return environment("LOCALAPPDATA") ?? join(homedir(), "AppData", "Local");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches");
  return environment("XDG_CACHE_HOME") ?? join(homedir(), ".cache");
}

function temporaryName(path: string): string {
  const whole = resolve(path);
  return join(dirname(whole), `.${basename(whole)}.${randomBytes(4).toString("hex")}.tmp`);
}

/** Dawn's entry: collected while its device is in use, it takes the process down. */
let dawn: Promise<GPU | null> | undefined;

/** WebGPU's entry, or null where this runtime has none. */
export function requestGPU(): Promise<GPU | null> {
  dawn ??= openDawn();
  return dawn;
}

async function openDawn(): Promise<GPU | null> {
  try {
    const { create } = await import("webgpu");
    const gpu = create([]);
    // Dawn asks the drivers once, here, and prints a warning for every limit of theirs that is above its own.
    await withoutLines(/^Warning: max\w+ artificially reduced from/, () => {
      // Whoever asks next gets the fault.
      gpu.requestAdapter().catch(() => {});
    });
    return gpu;
  } catch {
    return null; // no binary for this platform, or its libraries are missing
  }
}

/** Bytes that this process may still allocate. */
export function availableMemory(): number | undefined {
  return process.availableMemory?.() ?? freemem();
}

/** Threads that run at the same time on this machine. */
export function parallelism(): number {
  return availableParallelism();
}

/**
 * Lets the runtime compile relaxed SIMD where it has it but does not offer it. Node 20 ships V8 11.3, the last version before
 * the one that has it without a flag. The flag takes effect at once, in every thread, and changes nothing but which
 * modules are valid; with it Node 20 computes the same bits as Node 22 and Chromium.
 */
export function allowRelaxedSimd(): void {
  setFlagsFromString("--experimental-wasm-relaxed-simd");
}

/** Waits until what else has happened has been heard: messages, timers. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** There is no page. */
export function isPageThread(): boolean {
  return false;
}

/** Starts a worker from a file inside `dist/`. */
export function startWorker(
  name: string,
  onMessage: (message: unknown) => void,
  onError: (error: Error) => void,
): WorkerHandle {
  const worker = new Worker(packagePath(`dist/${name}`));
  worker.on("message", onMessage);
  worker.on("error", onError);
  return {
    post: (message) => worker.postMessage(message),
    hold: (busy) => (busy ? worker.ref() : worker.unref()),
    terminate: () => void worker.terminate(),
  };
}

/** In a worker: hears what the host posts; returns how to answer. */
export function listenToHost(onMessage: (message: unknown) => void): (message: unknown) => void {
  parentPort?.on("message", onMessage);
  return (message) => parentPort?.postMessage(message);
}
