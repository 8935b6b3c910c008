/** The encoding of a file: its text as UTF-8, which is what data.wasm reads. */
import { ConfigError, FormatError } from "../errors.ts";
import type { FileReader } from "../platform/reader.ts";

/** What a person can do about a file that is not UTF-8. */
export const ENCODING_HINT = "save the file as UTF-8, or read it with --encoding windows-1252 or another one";

const MARKS: readonly [encoding: string, bytes: readonly number[]][] = [
  ["utf-16le", [0xff, 0xfe]],
  ["utf-16be", [0xfe, 0xff]],
  ["utf-8", [0xef, 0xbb, 0xbf]],
];

/** The characters of Windows-1252 from 0x80 to 0x9f; the others are those of Unicode. */
const WINDOWS_1252 = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";

/** Throws ConfigError for an encoding that TextDecoder does not know. */
export function checkEncoding(encoding: string): void {
  decoderOf(encoding);
}

function decoderOf(encoding: string): TextDecoder {
  try {
    return new TextDecoder(encoding, { fatal: true });
  } catch {
    throw new ConfigError("the encoding is unknown", {
      expected: "utf-8, windows-1252, or another name of the Encoding Standard, such as windows-1251 or shift_jis",
      found: encoding,
    });
  }
}

/**
 * The bytes of a file as UTF-8, in pieces of at most `pieceBytes`. A byte order mark takes precedence over `encoding`. UTF-8 itself
 * is passed on as it is, with its mark. Throws FormatError for bytes that are invalid in another encoding.
 */
export async function* utf8Pieces(file: FileReader, pieceBytes: number, encoding = "utf-8") {
  const head = await file.read(0, Math.min(3, file.size));
  const [marked = encoding] = MARKS.find(([, mark]) => mark.every((byte, i) => head[i] === byte)) ?? [];
  const decoder = decoderOf(marked);
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

function decoded(
  decoder: TextDecoder,
  bytes: Uint8Array,
  { file, offset, end }: { file: FileReader; offset: number; end: number },
): string {
  // Node 20.18.3 and 22.13 to 24 decode Windows-1252 as Latin-1 (nodejs/node#56542).
  if (decoder.encoding === "windows-1252")
    return UTF16.decode(Uint16Array.from(bytes, (byte) => WINDOWS_1252.charCodeAt(byte - 0x80) || byte));
  try {
    return decoder.decode(bytes, { stream: end < file.size });
  } catch (cause) {
    throw new FormatError(`The text is not valid ${decoder.encoding.toUpperCase()}`, {
      where: `${file.name}, bytes ${offset} to ${end}`,
      hint: end < file.size ? ENCODING_HINT : "the file may have been cut off",
      cause,
    });
  }
}
const UTF16 = new TextDecoder("utf-16le", { ignoreBOM: true });

/** A whole file as UTF-8. */
export async function utf8Bytes(file: FileReader, encoding?: string): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of utf8Pieces(file, Math.max(1, file.size), encoding)) pieces.push(piece);
  if (pieces.length === 1) return pieces[0]!;
  return new Uint8Array(await new Blob(pieces as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}
