/** Downloads: gone on with where they broke off, and checked before the file gets its name. */
import { createHasher, exists, moveFile, openAppend, openFile, remove } from "#platform";
import { DownloadError, LowrankError } from "../errors.ts";

/** What a download is at, in the words of transformers.js. */
export interface DownloadEvent {
  status: "initiate" | "download" | "progress" | "done";
  /** What is being fetched: a model or a data set. */
  name: string;
  file: string;
  /** Bytes that are there. */
  loaded: number;
  /** Bytes of the whole file, where the server told. */
  total?: number;
}

export interface FetchOptions {
  signal?: AbortSignal;
  /** Milliseconds before the first new try; each further one waits twice as long. Default 500. */
  retryDelay?: number;
}

export interface DownloadOptions extends FetchOptions {
  onProgress?: (event: DownloadEvent) => void;
}

/** A file to fetch, and what it must be. */
export interface Wanted {
  url: string;
  headers?: Record<string, string>;
  /** For messages and events. */
  name: string;
  file: string;
  size?: number;
  digest?: Digest;
}

/** A file's sha256, or the sha1 by which Git knows it (of a header and the contents). */
export interface Digest {
  kind: "sha256" | "git-sha1";
  hex: string;
}

/** Tries that bring nothing, before it is given up. */
const TRIES = 5;
/** The longest that a server may ask to wait, in seconds. */
const LONGEST_WAIT = 60;
/** Bytes that are hashed at a time. */
const HASH_BYTES = 4 << 20;
/** Events of a file's progress, at most. */
const PROGRESS_STEPS = 200;

/**
 * Fetches a file to `path`: into `path`.incomplete, which a later call goes on with, then checked, then renamed. Throws
 * DownloadError; what is not as wanted is deleted.
 */
export async function download(path: string, wanted: Wanted, options: DownloadOptions = {}): Promise<void> {
  const part = `${path}.incomplete`;
  const report = reporter(wanted, options);
  report("initiate", 0, wanted.size);
  const loaded = await fetchWhole(part, wanted, report, options);
  await check(part, loaded, wanted);
  await writing(path, () => moveFile(part, path));
  report("done", loaded, loaded);
}

type Report = (status: DownloadEvent["status"], loaded: number, total: number | undefined) => void;

/** Tells of a download, of its progress now and then. */
function reporter({ name, file }: Wanted, { onProgress }: DownloadOptions): Report {
  let last = 0;
  return (status, loaded, total) => {
    if (status === "progress" && loaded !== total && Math.abs(loaded - last) < (total ?? 0) / PROGRESS_STEPS) return;
    last = loaded;
    onProgress?.({ status, name, file, loaded, ...(total === undefined ? {} : { total }) });
  };
}

/** Fetches until the file is whole; returns its size. Only tries that bring nothing count as failures. */
async function fetchWhole(part: string, wanted: Wanted, report: Report, options: DownloadOptions): Promise<number> {
  let most = await sizeOf(part);
  if (most > 0 && most === wanted.size) return most;
  for (let failures = 0; ; ) {
    try {
      return await fetchRest(part, wanted, report, options);
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      const has = await sizeOf(part);
      failures = has > most ? 0 : failures + 1;
      most = Math.max(most, has);
      if (failures === TRIES)
        throw new DownloadError("the download broke off again and again", {
          where: wanted.url,
          found: `${has} bytes${wanted.size === undefined ? "" : ` of ${wanted.size}`}, then: ${error.message}`,
          hint: "what came is kept: the same command goes on from there",
          cause: error.cause,
        });
      await wait(failures, options);
    }
  }
}

/** An answer that ended too early; what came of it is in the file. */
class Broken extends Error {}

async function fetchRest(part: string, wanted: Wanted, report: Report, options: DownloadOptions): Promise<number> {
  let start = await sizeOf(part);
  if (wanted.size !== undefined && start > wanted.size) {
    await remove(part);
    start = 0;
  }
  // Were it compressed on the way, sizes and ranges would not be the file's.
  const headers: Record<string, string> = { ...wanted.headers, "accept-encoding": "identity" };
  if (start > 0) headers.range = `bytes=${start}-`;
  const response = await fetchAgain(wanted.url, { headers }, options);
  const { body, status } = response;
  const goesOn =
    status === 206 && Number(/^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1]) === start;
  if (!goesOn && start > 0 && (response.ok || status === 416)) await remove(part);
  if (status === 416 || (status === 206 && !goesOn)) {
    await body?.cancel();
    throw new Broken(`answer ${status} where the file should go on from byte ${start}`);
  }
  if (!response.ok || !body) {
    await body?.cancel();
    throw refusal(response.status, wanted.url);
  }
  // Of another origin a page sees the length, which is that of what was compressed, and not whether it was.
  const mayBeCompressed = response.headers.has("content-encoding") || response.type === "cors";
  const length = mayBeCompressed ? null : response.headers.get("content-length");
  const total = length === null ? wanted.size : (goesOn ? start : 0) + Number(length);
  if (wanted.size !== undefined && total !== wanted.size) {
    await body.cancel();
    return refuse(part, wanted, `${wanted.size} bytes`, `${total} bytes`);
  }
  const loaded = await receive(body, part, (status, now) => report(status, now, total));
  if (total !== undefined && loaded < total) throw new Broken(`the connection ended after ${loaded} of ${total} bytes`);
  return loaded;
}

/** Appends what comes to the file; returns the file's size then. */
async function receive(
  body: ReadableStream<Uint8Array>,
  part: string,
  report: (status: "download" | "progress", loaded: number) => void,
): Promise<number> {
  const writer = await writing(part, () => openAppend(part));
  const reader = body.getReader();
  let loaded = writer.size;
  try {
    report("download", loaded);
    for (;;) {
      const { done, value } = await reader.read().catch((cause) => {
        throw isAbort(cause) ? cause : new Broken(reasonOf(cause), { cause });
      });
      if (done) return loaded;
      await writing(part, () => writer.write(value));
      loaded += value.length;
      report("progress", loaded);
    }
  } finally {
    await reader.cancel().catch(() => {});
    await writer.close();
  }
}

/** Throws DownloadError, and deletes the file, unless it is what was wanted. */
async function check(path: string, loaded: number, wanted: Wanted): Promise<void> {
  const { size, digest } = wanted;
  if (size !== undefined && loaded !== size) await refuse(path, wanted, `${size} bytes`, `${loaded} bytes`);
  if (digest === undefined) return;
  const found = await hash(path, digest.kind);
  if (found !== digest.hex) await refuse(path, wanted, `${digest.kind} ${digest.hex}`, `${digest.kind} ${found}`);
}

async function refuse(path: string, { url }: Wanted, expected: string, found: string): Promise<never> {
  await remove(path);
  throw new DownloadError("the download is damaged, or is another file than it was", {
    where: url,
    expected,
    found,
    hint: "it was deleted: try again",
  });
}

/** The digest of a file, read piece by piece. */
export async function hash(path: string, kind: Digest["kind"]): Promise<string> {
  const file = await openFile(path);
  try {
    const hasher = await createHasher(kind === "sha256" ? "sha256" : "sha1");
    if (kind === "git-sha1") hasher.update(new TextEncoder().encode(`blob ${file.size}\0`));
    for (let at = 0; at < file.size; at += HASH_BYTES)
      hasher.update(await file.read(at, Math.min(HASH_BYTES, file.size - at)));
    return hasher.digest();
  } finally {
    await file.close();
  }
}

/**
 * `fetch`, tried again where there is no answer, or one that says to come later (429, 5xx). Returns any other answer, good
 * or bad. Throws DownloadError where the server cannot be reached.
 */
export async function fetchAgain(
  url: string | URL,
  init: RequestInit = {},
  options: FetchOptions = {},
): Promise<Response> {
  for (let failures = 1; ; failures++) {
    try {
      const response = await fetch(url, { ...init, ...(options.signal ? { signal: options.signal } : {}) });
      if (failures === TRIES || (response.status !== 429 && response.status < 500)) return response;
      await response.body?.cancel();
      await wait(failures, options, Number(response.headers.get("retry-after") ?? 0));
    } catch (cause) {
      if (isAbort(cause)) throw cause;
      if (failures === TRIES || isOffline(cause))
        throw new DownloadError(`${new URL(url).host} cannot be reached`, {
          where: String(url).replace(/\?.*/, ""),
          found: reasonOf(cause),
          hint: "is this machine connected to the network?",
          cause,
        });
      await wait(failures, options);
    }
  }
}

/** The error for an answer that is no file. */
function refusal(status: number, url: string): DownloadError {
  const meaning: Record<number, string> = {
    401: "no access without a token",
    403: "no access",
    404: "there is no such file",
    429: "too many requests: try again later",
  };
  const found = meaning[status] ?? (status >= 500 ? "the server has a fault: try again later" : "an unexpected answer");
  return new DownloadError("the server does not give the file", { where: url, found: `${status}: ${found}` });
}

/** Waits before a new try, as long as the server asked for or else longer each time. */
async function wait(failures: number, { retryDelay = 500, signal }: FetchOptions, asked = 0): Promise<void> {
  const delay = asked > 0 ? Math.min(asked, LONGEST_WAIT) * 1000 : retryDelay * 2 ** Math.max(0, failures - 1);
  await new Promise((done) => setTimeout(done, delay));
  signal?.throwIfAborted();
}

/** Runs what writes to the disk; throws DownloadError where that cannot be written to. */
export async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof LowrankError || isAbort(cause)) throw cause;
    throw new DownloadError("the download cannot be written to the disk", {
      where: path,
      found: (cause as Error).message,
      hint: "make room, or name another folder by LOWRANK_CACHE or HF_HOME",
      cause,
    });
  }
}

async function sizeOf(path: string): Promise<number> {
  if (!(await exists(path))) return 0;
  const file = await openFile(path);
  await file.close();
  return file.size;
}

function isAbort(error: unknown): boolean {
  return (error as Error | undefined)?.name === "AbortError";
}

/** Faults that a new try in a moment does not mend: no such host, no network, nobody listens. */
function isOffline(error: unknown): boolean {
  return ["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH"].includes(codeOf(error));
}

function codeOf(error: unknown): string {
  const { code, cause } = error as { code?: string; cause?: { code?: string } };
  return cause?.code ?? code ?? "";
}

/** What is behind fetch's "fetch failed" and "terminated". */
function reasonOf(error: unknown): string {
  const { message, cause } = error as { message: string; cause?: Error };
  return cause?.message ? `${message} (${cause.message})` : message;
}
