/** HTTP requests with retries, timeouts and a size limit. */
import { isOffline } from "#platform";
import { DownloadError } from "../errors.ts";
import { LIMITS } from "./limits.ts";

export interface FetchOptions {
  signal?: AbortSignal;
  /** Milliseconds before the first retry; doubled for each further one. Default 500. */
  retryDelay?: number;
  /** Timeout in milliseconds for the response headers, and then for every 8 KiB of the body. Default 15,000. */
  patience?: number;
}

/** Most attempts without progress. */
export const TRIES = 5;
/** Fewer bytes than this, in one timeout or by one attempt, do not count as progress. */
export const LEAST_BYTES = 8 << 10;
const PATIENCE = 15_000;
/** The longest Retry-After that is respected, in seconds. */
const LONGEST_WAIT = 60;

/** A failed attempt: no response, or one that ended too early. */
export class Broken extends Error {}

/** A response whose body has not been read. Iterate over `pieces`, which may be left early, or call `cancel`. */
export interface Answer {
  response: Response;
  /** The body. Throws Broken if the connection breaks, stalls or is too slow, and the signal's reason if it was aborted. */
  pieces: AsyncIterable<Uint8Array<ArrayBuffer>>;
  cancel(): Promise<void>;
}

/**
 * Sends a request and retries it if there is no response, or its status is 429 or 5xx. Returns any other response, successful
 * or not. Throws DownloadError if the server cannot be reached.
 */
export async function fetchAgain(
  url: string | URL,
  init: RequestInit = {},
  options: FetchOptions = {},
): Promise<Answer> {
  for (let failures = 1; ; failures++) {
    let asked = 0;
    try {
      const answer = await send(url, init, options);
      const { status, headers } = answer.response;
      if (failures === TRIES || (status !== 429 && status < 500)) return answer;
      await answer.cancel();
      asked = secondsOf(headers.get("retry-after"));
    } catch (cause) {
      if (options.signal?.aborted) throw cause;
      const offline = isOffline();
      if (failures === TRIES || offline || isFinal(cause))
        throw new DownloadError(`${/^\w+:\/\/([^/?]+)/.exec(String(url))?.[1] ?? "the server"} cannot be reached`, {
          where: String(url).replace(/\?.*/, ""),
          found: offline ? "the browser is offline" : reasonOf(cause),
          hint: "check the network connection",
          cause,
        });
    }
    await wait(failures, options, asked);
  }
}

/** Like `fetch`, with retries and timeouts. The whole body, at most `LIMITS.answer` bytes, is read at once. */
export async function fetchAnswer(url: string | URL, init: RequestInit, options: FetchOptions): Promise<Response> {
  for (let failures = 1; ; failures++) {
    const answer = await fetchAgain(url, init, options);
    const { status, statusText, headers } = answer.response;
    try {
      const bytes = await wholeBody(answer, String(url));
      return new Response(bytes.length > 0 ? bytes : null, { status, statusText, headers });
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      if (failures === TRIES)
        throw new DownloadError("the response was interrupted repeatedly", {
          where: String(url).replace(/\?.*/, ""),
          found: error.message,
          hint: "try again later",
          cause: error.cause,
        });
    }
    await wait(failures, options);
  }
}

async function wholeBody({ pieces }: Answer, url: string): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const piece of pieces) {
    size += piece.length;
    if (size > LIMITS.answer)
      throw new DownloadError("the response is too large", {
        where: url.replace(/\?.*/, ""),
        expected: `at most ${LIMITS.answer} bytes`,
        found: "more",
      });
    parts.push(piece);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Sends one request. The headers must arrive within `patience`, and then each LEAST_BYTES of the body. */
async function send(
  url: string | URL,
  init: RequestInit,
  { signal, patience = PATIENCE }: FetchOptions,
): Promise<Answer> {
  const { paced, within } = await import("../platform/http.ts");
  signal?.throwIfAborted();
  const stop = new AbortController();
  const abort = () => stop.abort(signal!.reason);
  signal?.addEventListener("abort", abort);
  const end = () => signal?.removeEventListener("abort", abort);
  const slow = (bytes: number) => new Broken(`only ${bytes} bytes in ${patience / 1000} s`);
  /** The error of a failed request: the signal's reason, or else Broken. */
  const failure = (cause: unknown) => {
    if (signal?.aborted) return signal.reason;
    return cause instanceof Broken ? cause : new Broken(reasonOf(cause), { cause });
  };
  const request = fetch(url, { ...init, signal: stop.signal });
  const response = await within(request, patience, () => slow(0)).catch((cause) => {
    end();
    const why = failure(cause);
    // After a redirect that cannot be followed Node leaves the connection open, with its body unread.
    stop.abort();
    throw why;
  });
  async function* pieces() {
    try {
      yield* paced(response.body, { bytes: LEAST_BYTES, ms: patience }, slow);
    } catch (cause) {
      throw failure(cause);
    } finally {
      end();
    }
  }
  const cancel = async () => {
    end();
    await response.body?.cancel().catch(() => {});
  };
  return { response, pieces: pieces(), cancel };
}

/** Waits before a retry: exponential backoff, at least as long as the server requested. The signal ends the wait. */
export async function wait(
  failures: number,
  { retryDelay = 500, signal }: FetchOptions,
  askedSeconds = 0,
): Promise<void> {
  signal?.throwIfAborted();
  const delay = Math.max(retryDelay * 2 ** Math.max(0, failures - 1), askedSeconds * 1000);
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, delay);
    signal?.addEventListener("abort", done);
  });
  signal?.throwIfAborted();
}

/** A Retry-After header (seconds or a date), in seconds from 0 to LONGEST_WAIT. */
export function secondsOf(retryAfter: string | null, now = Date.now()): number {
  if (retryAfter === null) return 0;
  const seconds = /^\s*\d+\s*$/.test(retryAfter) ? Number(retryAfter) : (Date.parse(retryAfter) - now) / 1000;
  return seconds > 0 ? Math.min(seconds, LONGEST_WAIT) : 0;
}

/** Errors that are not retried: unknown host, no network, connection refused or not made in 10 s, redirect loop. */
function isFinal(error: unknown): boolean {
  const codes = [
    ...["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH", "ERR_INVALID_URL"],
    ...["UND_ERR_CONNECT_TIMEOUT", "ETIMEDOUT", "EADDRNOTAVAIL"],
  ];
  return codes.includes(codeOf(error)) || /redirect count exceeded/.test(reasonOf(error));
}

/** The code of the innermost cause that has one. */
function codeOf(error: unknown): string {
  const { code = "", cause } = error as { code?: string; cause?: unknown };
  return (cause ? codeOf(cause) : "") || code;
}

/** The message with that of its cause, which explains fetch's "fetch failed" and "terminated". */
function reasonOf(error: unknown): string {
  const { message, cause } = error as { message: string; cause?: Error };
  return cause?.message && !message.includes(cause.message) ? `${message} (${cause.message})` : message;
}
