/** Reads zip files. Their directory is read once, and checked before a file in it is read. */
import { FormatError, LowrankError } from "../core/errors.ts";
import { segments } from "../platform/paths.ts";
import { bytesReader, checkSize, type FileReader, sizedReader } from "../platform/reader.ts";
import { LIMITS } from "./limits.ts";
import { inflate } from "./zip.ts";

/** How a file, its entry in the directory, and the end of that begin, and their bytes without names and comments. */
const [FILE, ENTRY, END] = [0x04034b50, 0x02014b50, 0x06054b50];
const [FILE_BYTES, ENTRY_BYTES, END_BYTES] = [30, 46, 22];
const damaged = (where: string, found: string, cause?: unknown) =>
  new FormatError("damaged-archive", "This zip file cannot be read", { where, found, cause });

/** Bytes of the zip file. Throws FormatError if it does not have them. */
async function readPart(archive: FileReader, start: number, length: number): Promise<DataView> {
  if (start + length > archive.size) throw damaged(archive.name, `${archive.size} bytes: a part is missing`);
  const { buffer, byteOffset } = await archive.read(start, length);
  return new DataView(buffer, byteOffset, length);
}

/** The directory, and how many files it says it has. */
async function readDirectory(archive: FileReader): Promise<[directory: DataView, count: number]> {
  // A comment of at most 65,535 bytes is behind the end.
  const from = Math.max(0, archive.size - END_BYTES - 0xffff);
  const tail = await readPart(archive, from, archive.size - from);
  let end = tail.byteLength - END_BYTES;
  while (end >= 0 && tail.getUint32(end, true) !== END) end--;
  if (end < 0) throw damaged(archive.name, "no directory");
  const [length, start] = [tail.getUint32(end + 12, true), tail.getUint32(end + 16, true)];
  checkSize({ name: `the directory of ${archive.name}`, size: length }, LIMITS.json);
  return [await readPart(archive, start, length), tail.getUint16(end + 10, true)];
}

/**
 * Adds the files in an open zip file to `files`, by their paths; what is read of one is unpacked then. Throws
 * FormatError if the directory is damaged, or has a path twice or one that leaves the folder, ConfigError if its files
 * have too many bytes. A file that is not what the directory says throws FormatError when it is read.
 */
export async function openZip(archive: FileReader, files = new Map<string, FileReader>()) {
  const { name: where } = archive;
  const [view, count] = await readDirectory(archive);
  let [at, bytes] = [0, 0];
  for (let i = 0; i < count; i++) {
    const isEntry = at + ENTRY_BYTES <= view.byteLength && view.getUint32(at, true) === ENTRY;
    const number = (by: number) => (isEntry ? view.getUint16(at + by, true) : 0);
    const [flags, method, nameBytes] = [number(8), number(10), number(28)];
    const next = at + ENTRY_BYTES + nameBytes + number(30) + number(32);
    if (!isEntry || next > view.byteLength) throw damaged(where, `${i} of ${count} files in its directory`);
    const name = (flags & 0x800 ? UTF8 : LATIN1).decode(
      new Uint8Array(view.buffer, view.byteOffset + at + ENTRY_BYTES, nameBytes),
    );
    const [stored, size, first] = [20, 24, 42].map((by) => view.getUint32(at + by, true)) as [number, number, number];
    at = next;
    const parts = name.split(/[/\\]/);
    if (parts.includes("..") || /^([/\\]|[a-z]:)|\0/i.test(name))
      throw damaged(where, `${name}, a path that leaves it`);
    // A folder.
    if (parts.at(-1) === "") continue;
    const path = segments(parts.join("/")).join("/");
    if (files.has(path)) throw damaged(where, `${path} twice`);
    bytes += size;
    checkSize({ name: `the files of ${where}`, size: bytes }, LIMITS.archive);
    const kind = flags & 1 ? "encrypted" : { 0: "stored", 8: "deflated" }[method];
    files.set(path, entryReader(archive, `${where}/${path}`, size, [stored, first, kind ?? "of another kind"]));
  }
  return files;
}

const [UTF8, LATIN1] = [new TextDecoder(), new TextDecoder("latin1")];

/** A file of so many bytes, and what its entry says of where and how they are stored. */
function entryReader(archive: FileReader, name: string, size: number, entry: [number, number, string]): FileReader {
  const [stored, first, kind] = entry;
  const open = async (): Promise<Pick<FileReader, "read">> => {
    const local = await readPart(archive, first, FILE_BYTES);
    const from = first + FILE_BYTES + local.getUint16(26, true) + local.getUint16(28, true);
    const isThere = local.getUint32(0, true) === FILE && from + stored <= archive.size;
    const part = sizedReader(name, stored, (at, length) => archive.read(from + at, length));
    if (isThere && kind === "stored" && stored === size) return part;
    if (!isThere || kind !== "deflated") throw damaged(name, `not ${size} bytes at byte ${first}, ${kind}`);
    return inflate(part, size).then(
      (bytes) => bytesReader(name, bytes),
      (cause) => {
        if (cause instanceof LowrankError) throw cause;
        throw damaged(name, `not the ${size} bytes of its entry: ${cause.message}`, cause);
      },
    );
  };
  let opened: ReturnType<typeof open> | undefined;
  return sizedReader(name, size, async (at, length) => {
    opened ??= open();
    const { read } = await opened;
    // Most files are read from their beginning to their end, and not again: what was inflated need not stay.
    if (at + length === size) opened = undefined;
    return read(at, length);
  });
}
