/** Downloads: gone on with where they broke off, and checked before the file gets its name. */
import { createHasher, exists, moveFile, openAppend, openFile, remove, withLock } from "#platform";
import type { Kind } from "../arguments.ts";
import { DownloadError, LowrankError } from "../errors.ts";
import { type Answer, Broken, type FetchOptions, fetchAgain, LEAST_BYTES, TRIES, wait } from "./fetch.ts";

/** What a download is at, in the words of transformers.js. */
export interface DownloadEvent {
  status: "initiate" | "download" | "progress" | "done";
  /** What is being fetched: a model or a data set. */
  name: string;
  file: string;
  /** Bytes that are there. */
  loaded: number;
  /** Bytes of the whole file. */
  total: number;
}

export interface DownloadOptions extends FetchOptions {
  onProgress?: (event: DownloadEvent) => void;
}

export const DOWNLOAD_OPTIONS = {
  signal: "signal?",
  retryDelay: "number?",
  patience: "number?",
  onProgress: "function?",
} as const satisfies Record<keyof DownloadOptions, Kind>;

/** A file to fetch, and what it must be. */
export interface Wanted {
  url: string;
  headers?: Record<string, string>;
  /** For messages and events. */
  name: string;
  file: string;
  size: number;
  digest: Digest;
}

/** A file's sha256, or the sha1 by which Git knows it (of a header and the contents). */
export interface Digest {
  kind: "sha256" | "git-sha1";
  hex: string;
}

/** Milliseconds after which a download that still goes on, however slowly, is given up: what came is kept. */
const LONGEST = 24 * 3600_000;
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
  report("initiate", 0);
  await fetchWhole(part, wanted, report, options);
  await check(part, wanted);
  await writing(path, () => moveFile(part, path), options.signal);
  report("done", wanted.size);
}

type Report = (status: DownloadEvent["status"], loaded: number) => void;

/** Tells of a download, of its progress now and then. */
function reporter({ name, file, size: total }: Wanted, { onProgress }: DownloadOptions): Report {
  let last = 0;
  return (status, loaded) => {
    if (status === "progress" && loaded !== total && Math.abs(loaded - last) < total / PROGRESS_STEPS) return;
    last = loaded;
    onProgress?.({ status, name, file, loaded, total });
  };
}

/** Fetches until the file is as large as it should be. Only tries that bring nothing count as failures. */
async function fetchWhole(part: string, wanted: Wanted, report: Report, options: DownloadOptions): Promise<void> {
  const { url, size } = wanted;
  const until = performance.now() + LONGEST;
  let most = await sizeOf(part);
  if (most > 0 && most === size) return;
  for (let failures = 0; ; ) {
    try {
      return await fetchRest(part, wanted, until, report, options);
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      const has = await sizeOf(part);
      failures = has >= most + LEAST_BYTES ? 0 : failures + 1;
      most = Math.max(most, has);
      if (failures === TRIES || performance.now() > until)
        throw new DownloadError("the download broke off again and again", {
          where: url,
          found: `${has} bytes of ${size}, then: ${error.message}`,
          hint: "what came is kept: the same command goes on from there",
          cause: error.cause,
        });
      await wait(failures, options);
    }
  }
}

async function fetchRest(
  part: string,
  wanted: Wanted,
  until: number,
  report: Report,
  options: DownloadOptions,
): Promise<void> {
  const { url, size } = wanted;
  let start = await sizeOf(part);
  if (start > size) {
    await remove(part);
    start = 0;
  }
  // Were it compressed on the way, ranges would not be the file's.
  const headers: Record<string, string> = { ...wanted.headers, "accept-encoding": "identity" };
  if (start > 0) headers.range = `bytes=${start}-`;
  const answer = await fetchAgain(url, { headers }, options);
  const { ok, status, headers: told, type } = answer.response;
  const goesOn = status === 206 && Number(/^bytes (\d+)-/.exec(told.get("content-range") ?? "")?.[1]) === start;
  if (!goesOn && start > 0 && (ok || status === 416)) await remove(part);
  if (status === 416 || (status === 206 && !goesOn)) {
    await answer.cancel();
    throw new Broken(`answer ${status} where the file should go on from byte ${start}`);
  }
  if (!ok) {
    await answer.cancel();
    throw refusal(status, url);
  }
  // Of another origin a page sees the length, which is that of what was compressed, and not whether it was.
  const mayBeCompressed = told.has("content-encoding") || type === "cors";
  const length = mayBeCompressed ? null : told.get("content-length");
  const total = length === null ? size : (goesOn ? start : 0) + Number(length);
  if (total !== size) {
    await answer.cancel();
    return refuse(part, wanted, `${size} bytes`, `${total} bytes`);
  }
  const loaded = await receive(answer, part, { size, until }, report, options);
  if (loaded > size) return refuse(part, wanted, `${size} bytes`, "more");
  if (loaded < size) throw new Broken(`the connection ended after ${loaded} of ${size} bytes`);
}

/** Appends what comes to the file, while that is not larger than `size`; returns its size, with what was too much. */
async function receive(
  { pieces }: Answer,
  part: string,
  { size, until }: { size: number; until: number },
  report: Report,
  { signal }: FetchOptions,
): Promise<number> {
  const writer = await writing(part, () => openAppend(part), signal);
  let loaded = writer.size;
  try {
    report("download", loaded);
    for await (const piece of pieces) {
      loaded += piece.length;
      if (loaded > size) break;
      if (performance.now() > until) throw new Broken("too slow to be waited for");
      await writing(part, () => writer.write(piece), signal);
      report("progress", loaded);
    }
    return loaded;
  } finally {
    await writer.close();
  }
}

/** Throws DownloadError, and deletes the file, unless it is what was wanted. */
async function check(path: string, wanted: Wanted): Promise<void> {
  const { kind, hex } = wanted.digest;
  const found = await hash(path, kind);
  if (found !== hex) await refuse(path, wanted, `${kind} ${hex}`, `${kind} ${found}`);
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

/** Runs what writes to the disk; throws DownloadError where that cannot be written to, and what the signal says. */
export async function writing<T>(path: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof LowrankError || signal?.aborted) throw cause;
    throw new DownloadError("the download cannot be written to the disk", {
      where: path,
      found: (cause as Error).message,
      hint: "make room, or name another folder by LOWRANK_CACHE or HF_HOME",
      cause,
    });
  }
}

/** Runs `work` while no other process runs any under the same path; the signal ends the wait for one that does. */
export async function inTurn<T>(path: string, work: () => Promise<T>, { signal }: FetchOptions): Promise<T> {
  signal?.throwIfAborted();
  let mine = false;
  let stopWaiting = () => {};
  const stopped = new Promise<never>((_, reject) => {
    stopWaiting = () => mine || reject(signal!.reason);
  });
  signal?.addEventListener("abort", stopWaiting);
  const whole = withLock(path, () => {
    signal?.throwIfAborted();
    mine = true;
    return work();
  });
  return Promise.race([whole, stopped]).finally(() => signal?.removeEventListener("abort", stopWaiting));
}

/** The size of a file, 0 where there is none. */
export async function sizeOf(path: string): Promise<number> {
  if (!(await exists(path))) return 0;
  const file = await openFile(path);
  await file.close();
  return file.size;
}
