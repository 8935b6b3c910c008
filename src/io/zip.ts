/** Zip files of less than 4 GB. What is compressed is unpacked by the platform, whose gzip has the same content. */
import { ConfigError, FormatError } from "../errors.ts";

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END_BYTES = 22;
const LARGEST = 2 ** 32 - 1;

type Piece = Uint8Array<ArrayBuffer>;

/** The two 16-bit halves of a number, which a zip file has from low to high. */
const halves = (value: number) => [value & 0xffff, value >>> 16];

/** Puts files into a zip file as they are: weights hardly compress. What was read waits in Blobs, which browsers keep on the disk. */
export async function zip(
  files: Iterable<readonly [path: string, content: Iterable<Piece> | AsyncIterable<Piece>]>,
): Promise<Blob> {
  const now = new Date();
  const date = ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate();
  const time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
  const body: BlobPart[] = [];
  const list: BlobPart[] = [];
  let at = 0;
  for (const [path, content] of files) {
    const name = new TextEncoder().encode(path);
    const pieces: Blob[] = [];
    let crc = -1;
    for await (const piece of content) {
      crc = updateCrc(crc, piece);
      pieces.push(new Blob([piece]));
    }
    const data = new Blob(pieces);
    // Version 2.0; the name is UTF-8; stored.
    const size = halves(data.size);
    const about = [20, 0x800, 0, time, date, ...halves(~crc), ...size, ...size, name.length, 0];
    list.push(Uint16Array.of(...halves(CENTRAL), 20, ...about, 0, 0, 0, 0, 0, ...halves(at)), name);
    const entry = new Blob([Uint16Array.of(...halves(LOCAL), ...about), name, data]);
    body.push(entry);
    at += entry.size;
    if (at > LARGEST)
      throw new ConfigError("exceeds-limit", "the files are too large for a zip file", {
        where: path,
        expected: "less than 4 GB in all",
      });
  }
  const listed = new Blob(list);
  const count = list.length / 2;
  const end = Uint16Array.of(...halves(END), 0, 0, count, count, ...halves(listed.size), ...halves(at), 0);
  return new Blob([...body, listed, end], { type: "application/zip" });
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = (byte >>> 1) ^ (0xedb88320 & -(byte & 1));
  return byte;
});

function updateCrc(crc: number, bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return crc;
}

/** A file in a zip file. */
export interface ZipEntry {
  /** Its size, as the zip file says: `open` gives no more. */
  readonly size: number;
  /** Throws FormatError if it is damaged. */
  open(): Promise<Blob>;
}

/** The files in a zip file, by their paths. Throws FormatError. */
export function openZip(archive: Blob, where: string): Promise<Map<string, ZipEntry>> {
  return undamaged(where, async () => {
    // A comment may follow the last record.
    const tail = await view(archive, -END_BYTES - 0xffff);
    let end = tail.byteLength - END_BYTES;
    while (end >= 0 && tail.getUint32(end, true) !== END) end--;
    check(end >= 0, "no list of its files");
    const start = tail.getUint32(end + 16, true);
    const list = await view(archive, start, start + tail.getUint32(end + 12, true));
    const entries = new Map<string, ZipEntry>();
    let at = 0;
    for (let left = tail.getUint16(end + 10, true); left > 0; left--) {
      check(list.getUint32(at, true) === CENTRAL, "no list of its files");
      const isEncrypted = (list.getUint16(at + 8, true) & 1) !== 0;
      const method = list.getUint16(at + 10, true);
      const [crc, packed, size] = [16, 20, 24].map((field) => list.getUint32(at + field, true)) as [
        number,
        number,
        number,
      ];
      const [name, extra, comment] = [28, 30, 32].map((field) => list.getUint16(at + field, true)) as [
        number,
        number,
        number,
      ];
      const offset = list.getUint32(at + 42, true);
      const open = async () => {
        const local = await view(archive, offset, offset + 30);
        const from = offset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
        const data = archive.slice(from, from + packed);
        check(data.size === packed && local.getUint32(0, true) === LOCAL, "a file that is cut off");
        if (method === 0 && packed === size && !isEncrypted) return data;
        check(method === 8 && !isEncrypted, "a file that is encrypted or compressed in another way");
        return inflate(data, crc, size);
      };
      const path = new TextDecoder().decode(new Uint8Array(list.buffer, at + 46, name));
      entries.set(path, { size, open: () => undamaged(where, open) });
      at += 46 + name + extra + comment;
    }
    return entries;
  });
}

async function view(archive: Blob, start: number, end?: number): Promise<DataView<ArrayBuffer>> {
  return new DataView(await archive.slice(start, end).arrayBuffer());
}

function check(isRight: boolean, found: string): void {
  if (!isRight) throw new Error(found);
}

async function undamaged<T>(where: string, read: () => Promise<T>): Promise<T> {
  return read().catch((cause: Error) => {
    throw new FormatError("damaged-archive", "This zip file cannot be read", { where, found: cause.message, cause });
  });
}

/** gzip's header, without a name. */
const GZIP = Uint8Array.of(31, 139, 8, 0, 0, 0, 0, 0, 0, 255);

/** Unpacks at most `size` bytes. gzip ends with the checksum and the size, which the platform compares. */
function inflate(data: Blob, crc: number, size: number): Promise<Blob> {
  let left = size;
  const bounded = new TransformStream<Piece, Piece>({
    transform(piece, unpacked) {
      left -= piece.length;
      check(left >= 0, "a file with more bytes than the zip file says");
      unpacked.enqueue(piece);
    },
  });
  const gzip = new Blob([GZIP, data, Uint32Array.of(crc, size)]);
  const unpacked = gzip.stream().pipeThrough(new DecompressionStream("gzip") as TransformStream<Piece, Piece>);
  return new Response(unpacked.pipeThrough(bounded)).blob();
}
