/** Downloads that resume, and are verified before the file gets its final name. */
import { createHasher, exists, moveFile, openAppend, openFile, remove } from "#platform";
import { DownloadError, LowrankError } from "../../core/errors.ts";
import { type Answer, Broken, bodyLength, type FetchOptions, repeat, request } from "../../platform/http.ts";
import type { DownloadEvent, DownloadOptions } from "./download-options.ts";

/** A file to download, with its expected size and digest. */
interface Wanted {
  url: string;
  headers?: Record<string, string>;
  /** For messages and events. */
  name: string;
  file: string;
  size: number;
  digest: Digest;
  /** The error for an HTTP status, where the caller knows more about it. */
  refused?: (status: number) => DownloadError | undefined;
}

/** A file's sha256, or its sha1 as a Git blob (of a header and the contents). */
export interface Digest {
  kind: "sha256" | "git-sha1";
  hex: string;
}

const HASH_BYTES = 4 << 20;
/** Most progress events per file. */
const PROGRESS_STEPS = 200;

/**
 * Downloads a file to `path`.incomplete, which a later call resumes, verifies it and renames it to `path`. Throws
 * DownloadError; a file of the wrong size or digest is deleted.
 */
export async function download(path: string, wanted: Wanted, options: DownloadOptions = {}): Promise<void> {
  const part = `${path}.incomplete`;
  const report = reporter(wanted, options);
  report("initiate", 0);
  await fetchWhole(part, wanted, report, options);
  try {
    await check(part, wanted);
    await writing(path, () => moveFile(part, path), options.signal);
  } catch (error) {
    // Another process has downloaded it at the same time: both have written the same bytes into the same places.
    if (error instanceof DownloadError || !(await exists(path))) throw error;
  }
  report("done", wanted.size);
}

type Report = (status: DownloadEvent["status"], loaded: number) => void;

/** Emits the events of a download; progress at most PROGRESS_STEPS times. */
function reporter({ name, file, size: total }: Wanted, { onProgress }: DownloadOptions): Report {
  let last = 0;
  return (status, loaded) => {
    if (status === "progress" && loaded !== total && Math.abs(loaded - last) < total / PROGRESS_STEPS) return;
    last = loaded;
    onProgress?.({ status, name, file, loaded, total });
  };
}

/** Fetches until the file is complete, or no attempt makes progress. */
async function fetchWhole(part: string, wanted: Wanted, report: Report, options: DownloadOptions): Promise<void> {
  const { size } = wanted;
  if (size > 0 && (await fileSize(part)) === size) return;
  try {
    await repeat(
      () => fetchRest(part, wanted, report, options),
      options,
      () => fileSize(part),
    );
  } catch (cause) {
    if (!(cause instanceof Broken)) throw cause;
    const bytes = await fileSize(part);
    if (bytes === 0) throw cause;
    const hint = `run the same command again: it resumes the download after ${bytes} of ${size} bytes`;
    throw new DownloadError(cause.code, cause.message.split("\n")[0]!, { ...cause.details, hint, cause });
  }
}

async function fetchRest(part: string, wanted: Wanted, report: Report, options: DownloadOptions): Promise<void> {
  const { url, size } = wanted;
  let start = await fileSize(part);
  if (start > size) {
    await remove(part);
    start = 0;
  }
  // A compressed response would make the byte ranges wrong.
  const headers: Record<string, string> = { ...wanted.headers, "accept-encoding": "identity" };
  if (start > 0) headers.range = `bytes=${start}-`;
  const receiveRest = async (answer: Answer) => {
    const { ok, status, headers: received } = answer.response;
    const resumes = status === 206 && Number(/^bytes (\d+)-/.exec(received.get("content-range") ?? "")?.[1]) === start;
    if (!resumes && start > 0 && (ok || status === 416)) await remove(part);
    if (status === 416 || (status === 206 && !resumes))
      throw new Broken("resume-refused", "the server did not resume the file", {
        where: url,
        expected: `bytes from ${start}`,
        found: `status ${status}`,
      });
    if (!ok) throw wanted.refused?.(status) ?? refusal(status, url);
    const length = bodyLength(answer.response);
    const total = length === undefined ? size : (resumes ? start : 0) + length;
    if (total !== size) return refuse(part, wanted, `${size} bytes`, `${total} bytes`);
    const loaded = await receive(answer, part, resumes ? start : 0, wanted, report, options);
    if (loaded > size) return refuse(part, wanted, `${size} bytes`, "more");
    if (loaded < size)
      throw new Broken("connection-interrupted", "the connection ended early", {
        where: url,
        expected: `${size} bytes`,
        found: `${loaded} bytes`,
      });
  };
  await request(url, { headers }, receiveRest, options);
}

/**
 * Appends the response, which begins at `start`, to the file up to `size` bytes. Returns the bytes received, which may
 * be more than `size`.
 */
async function receive(
  { pieces }: Answer,
  part: string,
  start: number,
  { size }: Wanted,
  report: Report,
  { signal }: FetchOptions,
): Promise<number> {
  const writer = await writing(part, () => openAppend(part), signal);
  let loaded = start;
  try {
    report("download", loaded);
    for await (const piece of pieces) {
      // Another process may have appended this part meanwhile.
      const rest = piece.subarray(Math.max(0, writer.size - loaded));
      loaded += piece.length;
      if (loaded > size) break;
      await writing(part, () => writer.write(rest), signal);
      report("progress", loaded);
    }
    return loaded;
  } finally {
    await writer.close();
  }
}

/** Deletes the file and throws DownloadError unless its digest is the expected one. */
async function check(path: string, wanted: Wanted): Promise<void> {
  const { kind, hex } = wanted.digest;
  const actual = await hash(path, kind);
  if (actual !== hex) await refuse(path, wanted, `${kind} ${hex}`, `${kind} ${actual}`);
}

async function refuse(path: string, { url }: Wanted, expected: string, found: string): Promise<never> {
  await remove(path);
  throw new DownloadError("hash-mismatch", "the downloaded file is damaged or has changed on the server", {
    where: url,
    expected,
    found,
    hint: "try again: the damaged file was deleted",
  });
}

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

function refusal(status: number, url: string): DownloadError {
  const meaning: Record<number, string> = {
    401: "access needs a token",
    403: "no access",
    404: "no such file",
    429: "too many requests: try again later",
  };
  const answered = meaning[status] ?? (status >= 500 ? "server error: try again later" : "an unexpected response");
  return new DownloadError("request-refused", "the server refused the file", {
    where: url,
    found: `${status}: ${answered}`,
  });
}

/** Runs `work`, which writes to the disk. Throws DownloadError if that fails, the signal's reason if aborted. */
export async function writing<T>(path: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof LowrankError || signal?.aborted) throw cause;
    throw new DownloadError("write-failed", "the download cannot be written to the disk", {
      where: path,
      found: (cause as Error).message,
      hint: "free some space, or set LOWRANK_CACHE or HF_HOME to another directory",
      cause,
    });
  }
}

export async function fileSize(path: string): Promise<number> {
  if (!(await exists(path))) return 0;
  const file = await openFile(path);
  await file.close();
  return file.size;
}
