/** Zip files, by fflate. */
import { type UnzipFileFilter, unzipSync, Zip, ZipPassThrough } from "fflate";
import { FormatError } from "../errors.ts";

type Piece = Uint8Array<ArrayBuffer>;

/**
 * Puts files into a zip file as they are: weights hardly compress. What was read waits in Blobs, which browsers keep on
 * the disk.
 */
export async function zip(
  files: Iterable<readonly [path: string, content: Iterable<Piece> | AsyncIterable<Piece>]>,
): Promise<Blob> {
  const parts: Blob[] = [];
  const archive = new Zip((error, piece) => {
    if (error) throw error;
    parts.push(new Blob([piece as Piece]));
  });
  for (const [path, content] of files) {
    const file = new ZipPassThrough(path);
    archive.add(file);
    for await (const piece of content) file.push(piece);
    file.push(new Uint8Array(), true);
  }
  archive.end();
  return new Blob(parts, { type: "application/zip" });
}

interface ZipEntry {
  /** Its size, as the zip file says: `open` gives no more. */
  readonly size: number;
  /** Throws FormatError if it is damaged. */
  open(): Promise<Blob>;
}

/** The files in a zip file, by their paths. Throws FormatError. */
export async function openZip(archive: Blob, where: string): Promise<Map<string, ZipEntry>> {
  const bytes = new Uint8Array(await archive.arrayBuffer());
  const read = (filter: UnzipFileFilter) => {
    try {
      return unzipSync(bytes, { filter });
    } catch (cause) {
      const { message: found } = cause as Error;
      throw new FormatError("damaged-archive", "This zip file cannot be read", { where, found, cause });
    }
  };
  const entries = new Map<string, ZipEntry>();
  read(({ name, originalSize: size }) => {
    const open = async () => new Blob([read((file) => file.name === name)[name] as Piece]);
    entries.set(name, { size, open });
    return false;
  });
  return entries;
}
