/** Requests to servers that may be far, slow, broken or hostile: tried again, timed out, and read within a limit. */
import { DownloadError } from "../errors.ts";
import { LIMITS } from "./limits.ts";

export interface FetchOptions {
  signal?: AbortSignal;
  /** Milliseconds before the first new try; each further one waits twice as long. Default 500. */
  retryDelay?: number;
  /** Milliseconds that a server has to answer, and then for at least 8 KiB at a time. Default 30,000. */
  patience?: number;
}

/** Tries that bring nothing, before it is given up. */
export const TRIES = 5;
/** Bytes below which what came in a time, or by a try, counts as nothing. */
export const LEAST_BYTES = 8 << 10;
const PATIENCE = 30_000;
/** The longest that a server may ask to wait, in seconds. */
const LONGEST_WAIT = 60;

/** A try that brought no answer, or one that ended too early. */
export class Broken extends Error {}

/** An answer, of which only the head is there. Its pieces are read to the end or left in between, or else it is cancelled. */
export interface Answer {
  response: Response;
  /** The body as it comes. Throws Broken where the connection breaks, falls silent or trickles, and what the signal says. */
  pieces: AsyncIterable<Uint8Array<ArrayBuffer>>;
  cancel(): Promise<void>;
}

/**
 * Sends a request, again where there is no answer, or one that says to come later (429, 5xx). Returns any other answer, good
 * or bad. Throws DownloadError where the server cannot be reached.
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
      if (failures === TRIES || isFinal(cause))
        throw new DownloadError(`${/^\w+:\/\/([^/?]+)/.exec(String(url))?.[1] ?? "the server"} cannot be reached`, {
          where: String(url).replace(/\?.*/, ""),
          found: reasonOf(cause),
          hint: "is this machine connected to the network?",
          cause,
        });
    }
    await wait(failures, options, asked);
  }
}

/** `fetch` as libraries know it, patient, and with an answer of at most `LIMITS.answer` bytes, which is read whole. */
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
        throw new DownloadError("the answer broke off again and again", {
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
      throw new DownloadError("the server's answer is too large", {
        where: url.replace(/\?.*/, ""),
        expected: `at most ${LIMITS.answer} bytes`,
        found: "more",
      });
    parts.push(piece);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** One request. Its head must come within `patience`, and of its body LEAST_BYTES in each such time. */
async function send(
  url: string | URL,
  init: RequestInit,
  { signal, patience = PATIENCE }: FetchOptions,
): Promise<Answer> {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const abort = () => stop.abort(signal!.reason);
  signal?.addEventListener("abort", abort);
  let came = 0;
  const timer = setInterval(() => {
    if (came < LEAST_BYTES) stop.abort(new Broken(`${came} bytes in ${patience / 1000} s`));
    came = 0;
  }, patience);
  const end = () => {
    clearInterval(timer);
    signal?.removeEventListener("abort", abort);
  };
  /** What a failure is: the reason for which it was stopped, or else a connection that broke. */
  const failure = (cause: unknown) =>
    stop.signal.aborted ? stop.signal.reason : new Broken(reasonOf(cause), { cause });
  const response = await fetch(url, { ...init, signal: stop.signal }).catch((cause) => {
    end();
    const why = failure(cause);
    // A redirect that cannot be followed leaves its connection open in Node, with its body unread.
    stop.abort();
    throw why;
  });
  came = LEAST_BYTES;
  async function* pieces() {
    const reader = response.body?.getReader();
    try {
      for (;;) {
        const { done, value } = (await reader?.read()) ?? { done: true };
        if (done) return;
        came += value.length;
        yield value;
      }
    } catch (cause) {
      throw failure(cause);
    } finally {
      end();
      await reader?.cancel().catch(() => {});
    }
  }
  const cancel = async () => {
    end();
    await response.body?.cancel().catch(() => {});
  };
  return { response, pieces: pieces(), cancel };
}

/** Waits before a new try: longer each time, and as long as the server asked for. The signal ends it. */
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

/** What Retry-After asks for, in seconds from 0 to LONGEST_WAIT: it is a number of them, or a date. */
export function secondsOf(retryAfter: string | null, now = Date.now()): number {
  if (retryAfter === null) return 0;
  const seconds = /^\s*\d+\s*$/.test(retryAfter) ? Number(retryAfter) : (Date.parse(retryAfter) - now) / 1000;
  return seconds > 0 ? Math.min(seconds, LONGEST_WAIT) : 0;
}

/** Faults that a new try in a moment does not mend: no such host, no network, nobody listens, round in circles. */
function isFinal(error: unknown): boolean {
  const codes = ["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH", "ERR_INVALID_URL"];
  return codes.includes(codeOf(error)) || /redirect count exceeded/.test(reasonOf(error));
}

/** The code of the innermost cause that has one. */
function codeOf(error: unknown): string {
  const { code = "", cause } = error as { code?: string; cause?: unknown };
  return (cause ? codeOf(cause) : "") || code;
}

/** What is behind fetch's "fetch failed" and "terminated". */
function reasonOf(error: unknown): string {
  const { message, cause } = error as { message: string; cause?: Error };
  return cause?.message && !message.includes(cause.message) ? `${message} (${cause.message})` : message;
}
