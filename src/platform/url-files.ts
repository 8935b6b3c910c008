/** Files on a server, read by ranges where supported, and bodies of responses. Imported on demand: few pages use it. */
import { ConfigError, DownloadError } from "../core/errors.ts";
import { type Answer, ask, bodyLength, collect, readBody, readWhole, refused } from "./http.ts";
import { blobReader, type FileReader, filePieces, sizedReader } from "./reader.ts";

/** The most bytes of a file on a server without ranges, or of a response: all of it is in memory. */
const WHOLE_BYTES = 4 * 2 ** 30;
/** The same where nothing says how many there are: it may have no end. */
const UNSAID_BYTES = 256 << 20;

/** Whether a server has a file. Throws DownloadError if it does not answer. */
export function existsUrl(url: string): Promise<boolean> {
  return ask(url, { method: "HEAD" }, async ({ response }) => response.ok);
}

type Pieces = Answer["pieces"];

/** Bytes that are asked for when a file is opened: an adapter is complete with this answer. */
const FIRST_BYTES = 1 << 20;
/** The rest of a file of at most so many bytes comes with one more answer. */
const SMALL_BYTES = 32 << 20;
/** A larger file is read in chunks, of which the last ones used are kept: a model's tensors are small and many. */
const CHUNK_BYTES = 8 << 20;
const CHUNKS = 8;

/**
 * Opens a file on a server: by ranges if it supports them, otherwise its body, of at most `limit` bytes, is read once;
 * `look` sees its first pieces. Throws DownloadError if there is no such file, if it changes while it is open, or if
 * the server sends less or more than it said.
 */
export async function openUrl(url: string, name = url, limit = WHOLE_BYTES, look = (pieces: Pieces) => pieces) {
  return ask(url, { headers: { range: `bytes=0-${FIRST_BYTES - 1}` } }, async ({ response, pieces: sent }) => {
    const { status, headers, type } = response;
    const pieces = look(sent);
    // Another origin may hide the ETag.
    const version = headers.get("etag") ?? headers.get("last-modified") ?? undefined;
    const whole = (blob: Blob): FileReader => ({ ...blobReader(name, blob), version });
    const range = contentRange(response);
    const most = Math.min(limit, type === "cors" || bodyLength(response) ? WHOLE_BYTES : UNSAID_BYTES);
    if (status === 200) return whole(await readWhole({ response, pieces }, name, most));
    if (status === 416 && /^bytes \*\/0$/.test(range ?? "")) return whole(new Blob());
    if (status !== 206) throw refused(name, response);
    const [, last, total] = /^bytes 0-(\d+)\/(\d{1,15})$/.exec(range ?? "") ?? [];
    if (range !== HIDDEN && last === undefined) throw unknownSize(name, range);
    const length = last === undefined ? undefined : Number(last) + 1;
    const first = await collect(pieces, name, { limit: most, length });
    // A part that is shorter than what was asked for is all there is.
    const hidden = async () => (first.size < FIRST_BYTES ? first.size : ((await fetchLength(url)) ?? Number.NaN));
    const size = Number(range === HIDDEN ? await hidden() : total);
    if (!(size >= first.size)) throw unknownSize(name, range);
    if (size === first.size) return whole(first);
    return rangeReader(url, { name, size, version }, headers.get("etag"), new Uint8Array(await first.arrayBuffer()));
  });
}

function unknownSize(where: string, range: string | null): DownloadError {
  return new DownloadError("unknown-file-size", "the server does not tell a file's size", {
    where,
    expected: "a header Content-Range or Content-Length",
    found: range ?? "neither",
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

type Bytes = Uint8Array<ArrayBuffer>;

/** A file of which the first bytes are there. */
function rangeReader(
  url: string,
  described: Pick<FileReader, "name" | "size" | "version">,
  etag: string | null,
  first: Bytes,
): FileReader {
  const { name, size } = described;
  const fetchBytes = (from: number, to: number) => fetchRange(url, described, etag, from, to);
  const chunkBytes = size <= SMALL_BYTES ? size : CHUNK_BYTES;
  const chunks = new Map<number, Promise<Bytes>>();
  const chunk = (from: number): Promise<Bytes> => {
    const bytes = chunks.get(from) ?? fetchBytes(from, Math.min(from + chunkBytes, size));
    // The last that was used is the last to go.
    chunks.delete(from);
    chunks.set(from, bytes);
    if (chunks.size > CHUNKS) chunks.delete(chunks.keys().next().value!);
    bytes.catch(() => chunks.delete(from));
    return bytes;
  };
  let held: FileReader | undefined;
  const reader: FileReader = {
    ...described,
    async hold() {
      const blocks: Blob[] = [];
      for await (const piece of filePieces(reader)) blocks.push(new Blob([piece]));
      held = blobReader(name, new Blob(blocks));
    },
    ...sizedReader(name, size, async (offset, length) => {
      if (held) return held.read(offset, length);
      const end = offset + length;
      if (length > chunkBytes) return fetchBytes(offset, end);
      const out = new Uint8Array(length);
      for (let at = offset; at < end; ) {
        const inFirst = at < first.length;
        const from = inFirst ? 0 : at - ((at - first.length) % chunkBytes);
        const bytes = (inFirst ? first : await chunk(from)).subarray(at - from, end - from);
        out.set(bytes, at - offset);
        at += bytes.length;
      }
      return out;
    }),
  };
  return reader;
}

/** The bytes [from, to) of a file. Throws DownloadError if it is not the one that was opened. */
function fetchRange(
  url: string,
  { name, size }: Pick<FileReader, "name" | "size">,
  etag: string | null,
  from: number,
  to: number,
): Promise<Bytes> {
  const length = to - from;
  const part = `bytes ${from}-${to - 1}`;
  return ask(url, { headers: { range: part.replace(" ", "=") } }, async ({ response, pieces }) => {
    if (response.status !== 206) throw refused(name, response, part);
    const expected = `${part}/${size}`;
    const range = contentRange(response);
    const tag = response.headers.get("etag");
    if ((range !== expected && range !== HIDDEN) || tag !== etag)
      throw new DownloadError(
        "file-changed-on-server",
        "the file on the server has changed, or the server sends another part of it",
        {
          where: name,
          expected: `${expected}, ETag ${etag}`,
          found: `${range ?? "no Content-Range"}, ETag ${tag}`,
        },
      );
    return new Uint8Array(await (await collect(pieces, name, { length })).arrayBuffer());
  });
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
