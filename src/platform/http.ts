/** Files on a server, read by ranges where it supports them, and the bodies of responses. Imported on demand: few pages use it. */
import { ConfigError, DownloadError, LowrankError } from "../errors.ts";
import { blobReader, type FileReader } from "./reader.ts";

/** The least that a server must send, in so many milliseconds; it has as long for the head of its answer. */
const PACE: Pace = { bytes: 8 << 10, ms: 30_000 };
/** Attempts of a request that breaks, or that the server is too busy for; the pause before the second in milliseconds. */
const TRIES = 3;
const PAUSE = 300;
/** Bytes of a body that are collected before they are handed to the browser, which keeps large blobs on disk. */
const BLOCK = 16 << 20;

/** Whether a server has a file. Throws DownloadError if it does not answer. */
export function existsUrl(url: string): Promise<boolean> {
  return ask(url, { method: "HEAD" }, async ({ ok }) => ok);
}

/**
 * Opens a file on a server: by ranges if it supports them, otherwise its body is read once. Throws DownloadError if there is no such
 * file, if it changes while it is open, or if the server sends less or more than it said.
 */
export async function openUrl(url: string, name = url): Promise<FileReader> {
  return ask(url, { headers: { range: "bytes=0-0" } }, async (response) => {
    const range = response.headers.get("content-range");
    if (response.status === 200) return blobReader(name, await storeBody(response, name));
    await response.body?.cancel();
    if (response.status === 416 && /^bytes \*\/0$/.test(range ?? "")) return blobReader(name, new Blob());
    if (response.status !== 206) throw refused(name, response);
    // Another origin may hide the header.
    const total = /\/(\d+)$/.exec(range ?? "")?.[1] ?? (await lengthOf(url));
    const size = Number(total);
    if (total === null || !Number.isSafeInteger(size))
      throw new DownloadError("the server does not say how large the file is", {
        where: name,
        expected: "a header Content-Range or Content-Length",
        found: range ?? "neither",
      });
    return rangeReader(url, name, size, response.headers.get("etag"));
  });
}

/** The first `limit` bytes of a file on a server, and a few more if it has more. Throws as `openUrl` does. */
export function fetchUrl(url: string, limit: number): Promise<Blob> {
  return ask(url, {}, (response) => storeBody(response, url, limit));
}

function lengthOf(url: string): Promise<string | null> {
  return ask(url, { method: "HEAD" }, async ({ headers }) => headers.get("content-length"));
}

function rangeReader(url: string, name: string, size: number, etag: string | null): FileReader {
  return {
    name,
    size,
    async read(offset, length) {
      if (offset + length > size) throw new Error(`${name}: file ended ${offset + length - size} bytes early`);
      if (length === 0) return new Uint8Array(0);
      const last = offset + length - 1;
      return ask(url, { headers: { range: `bytes=${offset}-${last}` } }, async (response) => {
        if (response.status !== 206) {
          await response.body?.cancel();
          throw refused(name, response, `bytes ${offset} to ${last}`);
        }
        const expected = `bytes ${offset}-${last}/${size}`;
        const found = response.headers.get("content-range") ?? expected;
        const tag = response.headers.get("etag");
        if (found !== expected || tag !== etag)
          throw new DownloadError("the file on the server has changed, or the server sends another part of it", {
            where: name,
            expected: `${expected}, ETag ${etag}`,
            found: `${found}, ETag ${tag}`,
            hint: "open it again",
          });
        const bytes = new Uint8Array(length);
        let at = 0;
        for await (const piece of piecesOf(response, name, length)) {
          bytes.set(piece, at);
          at += piece.length;
        }
        return bytes;
      });
    },
    close: async () => {},
  };
}

/**
 * The body of a response, read once and kept once, at most `limit` bytes of it. Throws ConfigError if it has been read already,
 * DownloadError if the response is an error, has less or more than it said, or is too slow.
 */
export async function storeBody(response: Response, name: string, limit = Infinity): Promise<Blob> {
  if (response.bodyUsed || response.body?.locked)
    throw new ConfigError("the response has been read already", {
      where: name,
      hint: "give a new one, or a clone() made before it was read",
    });
  if (response.status !== 200) throw refused(name, response);
  // The length of a compressed body is not that of its contents, and another origin does not tell that it is compressed.
  const isPlain = response.type !== "cors" && !response.headers.has("content-encoding");
  const said = isPlain ? response.headers.get("content-length") : null;
  const blocks: Blob[] = [];
  let pieces: Uint8Array<ArrayBuffer>[] = [];
  let [held, size] = [0, 0];
  for await (const piece of piecesOf(response, name, said === null ? undefined : Number(said))) {
    pieces.push(piece);
    held += piece.length;
    size += piece.length;
    if (size > limit) break;
    if (held < BLOCK) continue;
    blocks.push(new Blob(pieces));
    [pieces, held] = [[], 0];
  }
  return new Blob([...blocks, ...pieces]);
}

/** The pieces of a body. Throws DownloadError unless they have `length` bytes together, if it is known. */
async function* piecesOf(response: Response, name: string, length?: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const wrong = (found: string) =>
    new DownloadError("the server sent another number of bytes than it said", {
      where: name,
      expected: `${length} bytes`,
      found,
      hint: "try again; the connection may have been cut",
    });
  let size = 0;
  for await (const piece of paced(response.body, PACE, (bytes) => slow(name, bytes))) {
    size += piece.length;
    if (size > (length ?? Infinity)) throw wrong("more");
    yield piece;
  }
  if (size < (length ?? 0)) throw wrong(`${size} bytes`);
}

function slow(name: string, bytes: number): DownloadError {
  return new DownloadError("the server is too slow, or does not answer", {
    where: name,
    expected: `${PACE.bytes} bytes in ${PACE.ms / 1000} s`,
    found: `${bytes} bytes`,
  });
}

function refused(name: string, { status, statusText }: Response, part?: string): DownloadError {
  const isWhole = part !== undefined && status === 200;
  return new DownloadError(isWhole ? "the server ignores ranges that it supported before" : "the file cannot be read", {
    where: name,
    expected: part ?? "status 200",
    found: isWhole ? "the whole file" : `${status} ${statusText}`.trim(),
    ...(status === 401 || status === 403 ? { hint: "the server wants you to sign in" } : {}),
  });
}

/** Sends a request, and again if the connection breaks or the server is too busy. Errors of ours are not repeated. */
async function ask<T>(url: string, init: RequestInit, use: (response: Response) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    const stop = new AbortController();
    try {
      const response = await within(fetch(url, { ...init, signal: stop.signal }), PACE.ms, () => slow(url, 0));
      if (tries < TRIES && (response.status === 429 || response.status >= 500)) {
        await response.body?.cancel();
        throw new Error(`${response.status} ${response.statusText}`);
      }
      return await use(response);
    } catch (cause) {
      stop.abort();
      if (cause instanceof LowrankError) throw cause;
      if (tries === TRIES)
        throw new DownloadError("the server cannot be reached", {
          where: url,
          found: reasonOf(cause),
          hint: "check the address and the network connection; in a page, the server must allow other origins (CORS)",
          cause,
        });
    }
    await new Promise((resolve) => {
      setTimeout(resolve, PAUSE * 2 ** (tries - 1));
    });
  }
}

/** The message with that of its cause, which explains fetch's "fetch failed". */
function reasonOf(error: unknown): string {
  const { message, cause } = error as { message: string; cause?: Error };
  return cause?.message ? `${message} (${cause.message})` : message;
}

/** The result of `work`. Throws what `late` gives if it takes longer than `ms` milliseconds. */
export async function within<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
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

/** How fast a body must come. */
export interface Pace {
  bytes: number;
  ms: number;
}

/**
 * The pieces of a body that keeps its pace; the time that the caller takes does not count. Throws what `slow` gives for the bytes
 * that came, and whatever breaks the body. May be left early.
 */
export async function* paced(
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null,
  pace: Pace,
  slow: (bytes: number) => Error,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = body?.getReader();
  let [left, bytes] = [pace.ms, 0];
  try {
    while (reader) {
      const asked = performance.now();
      const { done, value } = await within(reader.read(), left, () => slow(bytes));
      if (done) return;
      left -= performance.now() - asked;
      bytes += value.length;
      if (bytes >= pace.bytes) [left, bytes] = [pace.ms, 0];
      else if (left <= 0) throw slow(bytes);
      yield value;
    }
  } finally {
    reader?.cancel().catch(() => {});
  }
}
