/** Text files as bytes of UTF-8. */
import { FormatError } from "../../core/errors.ts";
import { LIMITS } from "../../io/limits.ts";
import { checkSize, type FileReader } from "../../platform/reader.ts";
import { checkUtf8, encodingHint, utf8Bytes } from "../table/encoding.ts";

const LINE_FEED = 10;

/** The bytes of a file without a byte order mark. Throws FormatError if they are no text. */
export async function readText(file: FileReader, encoding?: string): Promise<Uint8Array> {
  checkSize(file, LIMITS.text);
  await checkUtf8(file, encoding);
  const bytes = await utf8Bytes(file, encoding);
  refuseInvalid(bytes, file.name);
  if (bytes.includes(0))
    throw new FormatError("not-text", "The file is not text", {
      where: file.name,
      found: `a zero byte at ${bytes.indexOf(0)}`,
    });
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

/** Throws FormatError, with the line, if the bytes are not UTF-8. */
function refuseInvalid(bytes: Uint8Array, file: string): void {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let start = 0;
  for (let line = 1; start < bytes.length; line++) {
    const end = bytes.indexOf(LINE_FEED, start) + 1 || bytes.length;
    try {
      decoder.decode(bytes.subarray(start, end));
    } catch (cause) {
      throw new FormatError("invalid-text-encoding", "The text is not UTF-8", {
        where: `${file}:${line}`,
        hint: encodingHint(),
        cause,
      });
    }
    start = end;
  }
}
