/** Files on a server, read by ranges where supported, and bodies of responses. Imported on demand: few pages use it. */
import { ConfigError, DownloadError } from "../errors.ts";
import { ask, collect, readBody, readWhole, refused } from "./http.ts";
import { blobReader, type FileReader, filePieces } from "./reader.ts";

/** The most bytes of a file on a server without ranges, or of a response: all of it is in memory. */
const WHOLE_BYTES = 4 * 2 ** 30;

/** A file on a server, of at most `limit` bytes. Throws as `readWhole` does. */
export function fetchUrl(url: string, limit: number): Promise<Blob> {
  return ask(url, {}, (answer) => readWhole(answer, url, limit));
}

/** Whether a server has a file. Throws DownloadError if it does not answer. */
export function existsUrl(url: string): Promise<boolean> {
  return ask(url, { method: "HEAD" }, async ({ response }) => response.ok);
}

/**
 * Opens a file on a server: by ranges if it supports them, otherwise its body, of at most `limit` bytes, is read once.
 * Throws DownloadError if there is no such file, if it changes while it is open, or if the server sends less or more
 * than it said.
 */
export async function openUrl(url: string, name = url, limit = WHOLE_BYTES): Promise<FileReader> {
  return ask(url, { headers: { range: "bytes=0-0" } }, async (answer) => {
    const { status, headers } = answer.response;
    const range = contentRange(answer.response);
    if (status === 200) return blobReader(name, await readWhole(answer, name, limit));
    if (status === 416 && /^bytes \*\/0$/.test(range ?? "")) return blobReader(name, new Blob());
    if (status !== 206) throw refused(name, answer.response);
    // sirv, which serves Vite's previews, takes the range 0-0 for the whole file.
    const total = range === HIDDEN ? await fetchLength(url) : /^bytes 0-\d+\/(\d+)$/.exec(range ?? "")?.[1];
    const size = Number(total ?? Number.NaN);
    if (!Number.isSafeInteger(size))
      throw new DownloadError("unknown-file-size", "the server does not say how large the file is", {
        where: name,
        expected: "a header Content-Range or Content-Length",
        found: range ?? "neither",
      });
    return rangeReader(url, name, size, headers);
  });
}

/** Stands for a header that another origin may hide. */
const HIDDEN = "a hidden header";

/** The part of a file that a response says it has; null if it does not say. */
function contentRange({ headers, type }: Response): string | null {
  return headers.get("content-range") ?? (type === "cors" ? HIDDEN : null);
}

function fetchLength(url: string): Promise<string | null> {
  return ask(url, { method: "HEAD" }, async ({ response: { ok, headers } }) =>
    ok ? headers.get("content-length") : null,
  );
}

function rangeReader(url: string, name: string, size: number, headers: Headers): FileReader {
  const etag = headers.get("etag");
  // Another origin may hide the ETag.
  const version = etag ?? headers.get("last-modified") ?? undefined;
  let held: FileReader | undefined;
  const reader: FileReader = {
    name,
    size,
    version,
    async hold() {
      const blocks: Blob[] = [];
      for await (const piece of filePieces(reader)) blocks.push(new Blob([piece]));
      held = blobReader(name, new Blob(blocks));
    },
    async read(offset, length) {
      if (held) return held.read(offset, length);
      if (offset + length > size) throw new Error(`${name}: file ended ${offset + length - size} bytes early`);
      if (length === 0) return new Uint8Array(0);
      const last = offset + length - 1;
      return ask(url, { headers: { range: `bytes=${offset}-${last}` } }, async ({ response, pieces }) => {
        if (response.status !== 206) throw refused(name, response, `bytes ${offset} to ${last}`);
        const expected = `bytes ${offset}-${last}/${size}`;
        const found = contentRange(response);
        const tag = response.headers.get("etag");
        if ((found !== expected && found !== HIDDEN) || tag !== etag)
          throw new DownloadError(
            "file-changed-on-server",
            "the file on the server has changed, or the server sends another part of it",
            {
              where: name,
              expected: `${expected}, ETag ${etag}`,
              found: `${found ?? "no Content-Range"}, ETag ${tag}`,
              hint: "open it again",
            },
          );
        return new Uint8Array(await (await collect(pieces, name, { length })).arrayBuffer());
      });
    },
    close: async () => {},
  };
  return reader;
}

/** The body of a response, read once. Throws ConfigError if it has been read already, and as `readWhole` does. */
export async function readResponse(response: Response, name: string): Promise<Blob> {
  if (response.bodyUsed || response.body?.locked)
    throw new ConfigError("response-already-read", "the response has been read already", {
      where: name,
      hint: "give a new one, or a clone() made before it was read",
    });
  return readWhole({ response, pieces: readBody(response, name) }, name, WHOLE_BYTES);
}
