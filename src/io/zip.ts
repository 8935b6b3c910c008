/** Zip files as they are made, by fflate, and what is inflated of them, by the platform. */

import { Zip, ZipPassThrough } from "fflate";
import { inflateRaw } from "#platform";
import { contentPieces, type FileContent, type FileReader } from "../platform/reader.ts";

/**
 * Puts files into a zip file as they are, all `within` a "folder/" of it: weights hardly compress. What was read waits
 * in Blobs, which browsers keep on the disk.
 */
export async function zip(files: Iterable<readonly [string, FileContent]>, within = ""): Promise<Blob> {
  const parts: Blob[] = [];
  const archive = new Zip((error, piece) => {
    if (error) throw error;
    parts.push(new Blob([piece as Uint8Array<ArrayBuffer>]));
  });
  for (const [path, content] of files) {
    // The same contents are the same bytes, whenever they are written.
    const file = Object.assign(new ZipPassThrough(within + path), { mtime: new Date(1980, 0) });
    archive.add(file);
    for await (const piece of contentPieces(content)) file.push(piece);
    file.push(new Uint8Array(), true);
  }
  archive.end();
  return new Blob(parts, { type: "application/zip" });
}

/** The bytes of a deflated file. Throws an Error unless there are `size` of them, and are no more made. */
export async function inflate(packed: FileReader, size: number): Promise<Uint8Array> {
  const bytes = await inflateRaw(await packed.read(0, packed.size), size);
  if (bytes.length < size) throw new RangeError(`only ${bytes.length} bytes`);
  return bytes;
}
