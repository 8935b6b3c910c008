/** The encoding of a file: its text as UTF-8, which is what data.wasm reads. */

import { ConfigError, FormatError } from "../../core/errors.ts";
import { setting } from "../../core/setting.ts";
import { LIMITS } from "../../io/limits.ts";
import type { FileReader } from "../../platform/reader.ts";

/** What a person can do about a file that is not UTF-8. */
export const encodingHint = (encoding = "windows-1252") =>
  `read the file with ${setting("encoding", encoding)} or another one, or save it as UTF-8`;

const MARKS: readonly [encoding: string, bytes: readonly number[]][] = [
  ["utf-16le", [0xff, 0xfe]],
  ["utf-16be", [0xfe, 0xff]],
  ["utf-8", [0xef, 0xbb, 0xbf]],
];

/** Bytes at the start of a file that are checked for UTF-16. */
const HEAD_BYTES = 4096;

/** The characters of Windows-1252 from 0x80 to 0x9f; the others are those of Unicode. */
const WINDOWS_1252 = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";

/** Throws ConfigError for an encoding that TextDecoder does not know. */
export function checkEncoding(encoding: string): void {
  openDecoder(encoding);
}

function openDecoder(encoding: string): TextDecoder {
  try {
    return new TextDecoder(encoding, { fatal: true });
  } catch {
    throw new ConfigError("unknown-encoding", "the encoding is unknown", {
      expected: "utf-8, windows-1252, or another name of the Encoding Standard, such as windows-1251 or shift_jis",
      found: encoding,
    });
  }
}

/**
 * The bytes of a file as UTF-8, in pieces of at most `pieceBytes`. A byte order mark takes precedence over `encoding`.
 * UTF-8 itself is passed on as it is, with its mark. Throws FormatError for bytes that are invalid in another encoding.
 */
export async function* utf8Pieces(file: FileReader, pieceBytes: number, encoding = "utf-8") {
  const decoder = openDecoder(await fileEncoding(file, encoding));
  const encoder = new TextEncoder();
  for (let offset = 0; offset < file.size; offset += pieceBytes) {
    const end = Math.min(offset + pieceBytes, file.size);
    const bytes = await file.read(offset, end - offset);
    if (decoder.encoding === "utf-8") {
      yield bytes;
      continue;
    }
    const text = encoder.encode(decoded(decoder, bytes, { file, offset, end }));
    for (let at = 0; at < text.length; at += pieceBytes) yield text.subarray(at, at + pieceBytes);
  }
}

const readHead = (file: FileReader) => file.read(0, Math.min(HEAD_BYTES, file.size));

/** The encoding of a file: a byte order mark takes precedence. */
export const fileEncoding = async (file: FileReader, encoding = "utf-8") => marked(await readHead(file)) ?? encoding;

function marked(head: Uint8Array): string | undefined {
  return MARKS.find(([, mark]) => mark.every((byte, i) => head[i] === byte))?.[0];
}

function decoded(
  decoder: TextDecoder,
  bytes: Uint8Array,
  { file, offset, end }: { file: FileReader; offset: number; end: number },
): string {
  // Node 20.18.3 and 22.13 to 24 decode Windows-1252 as Latin-1 (nodejs/node#56542).
  if (decoder.encoding === "windows-1252") return windows1252(bytes);
  try {
    return decoder.decode(bytes, { stream: end < file.size });
  } catch (cause) {
    throw new FormatError("invalid-text-encoding", `The text is not valid ${decoder.encoding.toUpperCase()}`, {
      where: `${file.name}, bytes ${offset} to ${end}`,
      hint: end < file.size ? encodingHint() : "the file may have been cut off",
      isGuess: true,
      cause,
    });
  }
}

const UNITS = /* @__PURE__ */ Uint16Array.from({ length: 256 }, (_, i) => WINDOWS_1252.charCodeAt(i - 0x80) || i);

function windows1252(bytes: Uint8Array): string {
  const units = new Uint16Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) units[i] = UNITS[bytes[i]!]!;
  return UTF16.decode(units);
}
const UTF16 = new TextDecoder("utf-16le", { ignoreBOM: true });

export async function utf8Bytes(file: FileReader, encoding?: string): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of utf8Pieces(file, Math.max(1, file.size), encoding)) pieces.push(piece);
  if (pieces.length === 1) return pieces[0]!;
  return new Uint8Array(await new Blob(pieces as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}

/** How files of documents, archives and pictures begin. */
const FOREIGN = /^(%PDF|PK[^ -~]{2}|\xd0\xcf.\xe0|\{\\rtf|\x89PNG|\xff\xd8\xff|GIF8)/;

const CHECKED_BYTES = 1 << 18;

/**
 * Throws FormatError for a document or a picture, and, with the likely encoding in its details, for a file that is read
 * as UTF-8 and is something else: UTF-16 without a mark, or text with more invalid than valid characters outside of
 * ASCII. The few of a damaged file are faults of their rows.
 */
export async function checkUtf8(file: FileReader, encoding = "utf-8"): Promise<void> {
  const head = await readHead(file);
  if (FOREIGN.test(String.fromCharCode(...head.subarray(0, 5)))) refuseForeign(file, head);
  if (openDecoder(marked(head) ?? encoding).encoding !== "utf-8") return;
  const wide = likelyUtf16(head);
  if (wide !== undefined) refuse(file, 1, wide);
  let [line, faults, sound] = [1, 0, 0];
  let first: number | undefined;
  // The first of some lines that has a zero byte.
  let zeros: number | undefined;
  for await (const bytes of wholeLines(file)) {
    if (bytes.includes(0)) zeros ??= line;
    if (!isUtf8(bytes)) {
      const text = LOSSY.decode(bytes);
      faults += count(text, /\ufffd/g);
      sound += count(text, /[^\0-\x7f\ufffd]/gu);
      first ??= line + count(text.slice(0, text.indexOf("\ufffd")), /\n/g);
    }
    for (let at = bytes.indexOf(LINE_FEED); at !== -1; at = bytes.indexOf(LINE_FEED, at + 1)) line++;
  }
  if (faults <= sound) return;
  if (zeros !== undefined)
    throw new FormatError("not-text", "The file is not text", {
      where: `${file.name}:${zeros}`,
      found: "bytes of zero",
    });
  refuse(file, first!, "windows-1252");
}

function refuse(file: FileReader, line: number, encoding: string): never {
  throw new FormatError("not-utf8", `This file is not UTF-8, but likely ${encoding}`, {
    where: `${file.name}:${line}`,
    hint: encodingHint(encoding),
    encoding,
  });
}

/** UTF-16, detected by the zero bytes of ASCII characters. */
function likelyUtf16(head: Uint8Array): string | undefined {
  const zeros = [0, 1].map((side) => head.filter((byte, i) => byte === 0 && i % 2 === side).length) as [number, number];
  const [fewer, more] = [Math.min(...zeros), Math.max(...zeros)];
  if (more < Math.max(4, head.length / 8) || fewer > more / 8) return undefined;
  return zeros[1] > zeros[0] ? "utf-16le" : "utf-16be";
}

/** The bytes of a file, some lines at a time, up to a line too long for a row; long lines in whole characters. */
async function* wholeLines(file: FileReader) {
  for (let offset = 0, line = 0; offset < file.size && offset - line <= LIMITS.line; ) {
    const bytes = await file.read(offset, Math.min(CHECKED_BYTES, file.size - offset));
    const lines = bytes.lastIndexOf(LINE_FEED) + 1;
    const isLast = offset + bytes.length === file.size;
    const end = isLast ? bytes.length : lines || bytes.findLastIndex((byte) => (byte & 0xc0) !== 0x80);
    // Without a first byte all are continuations.
    const piece = end > 0 ? bytes.subarray(0, end) : bytes;
    yield piece;
    if (lines > 0) line = offset + lines;
    offset += piece.length;
  }
}
const LINE_FEED = 10;

function isUtf8(bytes: Uint8Array): boolean {
  try {
    STRICT.decode(bytes);
    return true;
  } catch {
    return false;
  }
}
const STRICT = new TextDecoder("utf-8", { fatal: true });
const LOSSY = new TextDecoder("utf-8");

const count = (text: string, signs: RegExp) => text.match(signs)?.length ?? 0;

const AS_CSV = "open it in a spreadsheet program and save it as .xlsx without a password, or as CSV in UTF-8";
const AS_TEXT = "copy its text into a file that ends in .txt, or a table with a row for each text into a spreadsheet";

/** What a file is by its first bytes, and what to do. */
const KINDS: readonly [start: RegExp, what: string, hint: string][] = [
  [/^%PDF/, "a PDF file", AS_TEXT],
  [/^\xd0\xcf.\xe0/, "an Office file of before 2007, or one with a password", AS_CSV],
  [/^PK.*xl\//s, "an Excel file", "give it a name that ends in .xlsx"],
  [/^PK.*word\//s, "a Word file", AS_TEXT],
  [/^PK.*opendocument\.spreadsheet/s, "a file of LibreOffice Calc", AS_CSV],
  [/^PK.*opendocument\.text/s, "a file of LibreOffice Writer", AS_TEXT],
  [/^PK/, "a zip file", "unpack it, and give a file of it"],
  [/^\{\\rtf/, "a file of formatted text (RTF)", AS_TEXT],
];

/** Refuses a file by its first bytes. */
export function refuseForeign(file: FileReader, head: Uint8Array): never {
  const bytes = new TextDecoder("latin1").decode(head);
  const [, what, hint] = KINDS.find(([start]) => start.test(bytes)) ?? [null, "a picture", "give a file of text"];
  throw new FormatError("not-text", `This is ${what}, not a text or a table`, { where: file.name, hint });
}
