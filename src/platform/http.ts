/** HTTP requests, repeated, timed and limited in size. Lowrank sends no others. */
import { DownloadError, type ErrorDetails } from "../core/errors.ts";

export interface FetchOptions {
  /** Ends the download, and rejects with its reason. */
  signal?: AbortSignal;
  /** Milliseconds before the first retry; doubled for each further one. Default 500. */
  retryDelay?: number;
  /** Timeout in milliseconds for the response headers, and then for every 8 KiB of the body. Default 15,000. */
  patience?: number;
}

/** Most attempts without progress. */
const TRIES = 5;
/** Fewer bytes than this, in one timeout or by one attempt, do not count as progress. */
const LEAST_BYTES = 8 << 10;
const PATIENCE = 15_000;
/** The longest Retry-After that is respected, in seconds. */
const LONGEST_WAIT = 60;
/** Bytes of a body that are collected before they are handed to the browser, which keeps large blobs on disk. */
const BLOCK = 16 << 20;

/** A failed attempt: no response, or one that ended too early. Another may succeed. */
export class Broken extends DownloadError {
  /** The seconds that the server requested before the next attempt. */
  readonly seconds: number;

  constructor(code: DownloadError["code"], summary: string, details: ErrorDetails, seconds = 0) {
    super(code, summary, details);
    this.seconds = seconds;
  }
}

/** A response, and its body, which may be left early. Reading it throws Broken if it breaks off or is too slow. */
export interface Answer {
  response: Response;
  pieces: AsyncIterable<Uint8Array<ArrayBuffer>>;
}

/** Sends a request and gives the answer to `use`, both as often as `repeat` does. Throws as `request` does. */
export function ask<T>(
  url: string,
  init: RequestInit,
  use: (answer: Answer) => Promise<T>,
  options: FetchOptions = {},
): Promise<T> {
  return repeat(() => request(url, init, use, options), options);
}

/**
 * Repeats `work` while it throws Broken, at most TRIES times. An attempt that raises `progress` by LEAST_BYTES does not
 * count. Waits before each: exponential backoff, at least as long as the server requested.
 */
export async function repeat<T>(
  work: () => Promise<T>,
  { signal, retryDelay = 500 }: FetchOptions,
  progress: () => Promise<number> = async () => 0,
): Promise<T> {
  let most = await progress();
  for (let failures = 0; ; ) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      const bytes = await progress();
      failures = bytes >= most + LEAST_BYTES ? 0 : failures + 1;
      most = Math.max(most, bytes);
      if (failures === TRIES) throw error;
      await wait(Math.max(retryDelay * 2 ** Math.max(0, failures - 1), error.seconds * 1000), signal);
    }
  }
}

/**
 * Sends a request once and gives the answer, whether it succeeded or not, to `use`. Throws Broken if there is none, or
 * its status is 429 or 5xx, DownloadError if the server cannot be reached at all, the signal's reason if it was
 * aborted, and what `use` throws.
 */
export async function request<T>(
  url: string,
  init: RequestInit,
  use: (answer: Answer) => Promise<T>,
  { signal, patience = PATIENCE }: FetchOptions,
): Promise<T> {
  signal?.throwIfAborted();
  const where = url.replace(/\?.*/, "");
  const stop = new AbortController();
  const abort = () => stop.abort();
  signal?.addEventListener("abort", abort);
  try {
    const fetched = fetch(url, { ...init, signal: stop.signal }).catch((cause) => unreachable(where, cause));
    const response = await within(fetched, patience, () => slow(where, 0, patience));
    const { status, headers } = response;
    if (status === 429 || status >= 500) {
      const answered = `status ${status}${status === 429 ? ": too many requests" : ""}`;
      const details = { where, found: answered, hint: "try again later" };
      throw new Broken(
        "server-unavailable",
        "the server cannot answer now",
        details,
        parseRetryAfter(headers.get("retry-after")),
      );
    }
    return await use({ response, pieces: readBody(response, where, patience) });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", abort);
    // Closes the connection of a body that was not read, also after a redirect that cannot be followed.
    stop.abort();
  }
}

/** The pieces of a body; the time that the caller takes does not count. */
export async function* readBody(response: Response, where: string, patience = PATIENCE): Answer["pieces"] {
  const reader = response.body?.getReader();
  let [left, bytes] = [patience, 0];
  try {
    while (reader) {
      const asked = performance.now();
      const read = reader.read().catch((cause) => {
        throw new Broken("connection-interrupted", "the connection was interrupted", {
          where,
          found: failureReason(cause),
          cause,
        });
      });
      const { done, value } = await within(read, left, () => slow(where, bytes, patience));
      if (done) return;
      left -= performance.now() - asked;
      bytes += value.length;
      if (bytes >= LEAST_BYTES) [left, bytes] = [patience, 0];
      else if (left <= 0) throw slow(where, bytes, patience);
      yield value;
    }
  } finally {
    reader?.cancel().catch(() => {});
  }
}

/**
 * A whole body. Throws DownloadError if it has more than `limit` bytes, or more or fewer than `length`, if that is
 * known.
 */
export async function collect(
  pieces: Answer["pieces"],
  where: string,
  { limit = Infinity, length }: { limit?: number; length?: number | undefined } = {},
): Promise<Blob> {
  const wrong = (found: string) =>
    new DownloadError("wrong-content-length", "the server sent another number of bytes than it said", {
      where,
      expected: `${length} bytes`,
      found,
      hint: "try again; the connection may have been cut",
    });
  const blocks: Blob[] = [];
  let held: Uint8Array<ArrayBuffer>[] = [];
  let [size, inBlocks] = [0, 0];
  for await (const piece of pieces) {
    size += piece.length;
    if (size > (length ?? Infinity)) throw wrong("more");
    if (Math.max(size, length ?? 0) > limit)
      throw new DownloadError("exceeds-limit", "the answer is too large", {
        where,
        expected: `at most ${limit} bytes`,
        found: length === undefined ? "more" : `${length} bytes`,
      });
    held.push(piece);
    if (size - inBlocks < BLOCK) continue;
    blocks.push(new Blob(held));
    [held, inBlocks] = [[], size];
  }
  if (size < (length ?? 0)) throw wrong(`${size} bytes`);
  return new Blob([...blocks, ...held]);
}

/**
 * The length that a response says its body has. Undefined if it may be compressed: then the length is not that of its
 * contents, and another origin does not tell.
 */
export function bodyLength(response: Response): number | undefined {
  const { type, headers } = response;
  const length = headers.get("content-length");
  return length === null || type === "cors" || headers.has("content-encoding") ? undefined : Number(length);
}

/**
 * A whole file of at most `limit` bytes. Throws DownloadError if the response is an error, has less or more than it
 * said, or is too slow.
 */
export function readWhole({ response, pieces }: Answer, name: string, limit = Infinity): Promise<Blob> {
  if (response.status !== 200) throw refused(name, response);
  return collect(pieces, name, { limit, length: bodyLength(response) });
}

function slow(where: string, bytes: number, patience: number): Broken {
  return new Broken("server-too-slow", "the server is too slow, or does not answer", {
    where,
    expected: `${LEAST_BYTES} bytes in ${patience / 1000} s`,
    found: `${bytes} bytes`,
  });
}

/** Throws why there was no response: Broken if another attempt may have one. */
function unreachable(where: string, cause: unknown): never {
  const isOffline = globalThis.navigator?.onLine === false;
  const isFile = /^file:/i.test(where);
  const Kind = isOffline || isFile || isFinal(cause) ? DownloadError : Broken;
  throw new Kind("server-unreachable", `${/^\w+:\/\/([^/]+)/.exec(where)?.[1] ?? "the server"} cannot be reached`, {
    where,
    found: isOffline ? "the browser is offline" : failureReason(cause),
    hint: isFile
      ? "give a file on this machine by its path, in a page as a File or Blob"
      : "check the address and the network connection; in a page, the server must allow other origins (CORS)",
    cause,
  });
}

export function refused(name: string, response: Response, part?: string): DownloadError {
  const { status, statusText } = response;
  const isWhole = part !== undefined && status === 200;
  return new DownloadError(
    isWhole ? "ranges-ignored" : "request-refused",
    isWhole ? "the server ignores ranges that it supported before" : "the file cannot be read",
    {
      where: name,
      expected: part ?? "status 200",
      found: isWhole ? "the whole file" : `${status} ${statusText}`.trim(),
      ...(status === 401 || status === 403 ? { hint: "the server wants you to sign in" } : {}),
    },
  );
}

/** The result of `work`. Throws what `late` gives if it takes longer than `ms` milliseconds. */
async function within<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const end = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms);
  });
  try {
    return await Promise.race([work, end]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits; the signal ends it, and its reason is thrown. */
async function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
  signal?.throwIfAborted();
}

/** A Retry-After header (seconds or a date), in seconds from 0 to LONGEST_WAIT. */
export function parseRetryAfter(retryAfter: string | null, now = Date.now()): number {
  if (retryAfter === null) return 0;
  const seconds = /^\s*\d+\s*$/.test(retryAfter) ? Number(retryAfter) : (Date.parse(retryAfter) - now) / 1000;
  return seconds > 0 ? Math.min(seconds, LONGEST_WAIT) : 0;
}

/**
 * Errors that are not retried: unknown host, no network, connection refused or not made in 10 s, a redirect in a loop
 * or to an address that is not of the web.
 */
function isFinal(error: unknown): boolean {
  const codes = [
    ...["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH", "ERR_INVALID_URL"],
    ...["UND_ERR_CONNECT_TIMEOUT", "ETIMEDOUT", "EADDRNOTAVAIL"],
  ];
  return codes.includes(systemCode(error)) || /redirect count exceeded|URL scheme must be/.test(failureReason(error));
}

/** The code of the innermost cause that has one. */
function systemCode(error: unknown): string {
  const { code = "", cause } = error as { code?: string; cause?: unknown };
  return (cause ? systemCode(cause) : "") || code;
}

/** The message with that of its cause, which explains fetch's "fetch failed" and "terminated". */
function failureReason(error: unknown): string {
  const { message, cause } = error as { message: string; cause?: Error };
  return cause?.message && !message.includes(cause.message) ? `${message} (${cause.message})` : message;
}
