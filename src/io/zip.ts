/** Zip files as they are made, and what is inflated of them, by fflate: imported where it is needed. */
import { Inflate, Zip, ZipPassThrough } from "fflate";
import { contentPieces, type FileContent, type FileReader, filePieces } from "../platform/reader.ts";

/**
 * Puts files into a zip file as they are: weights hardly compress. What was read waits in Blobs, which browsers keep on
 * the disk.
 */
export async function zip(files: Iterable<readonly [path: string, content: FileContent]>): Promise<Blob> {
  const parts: Blob[] = [];
  const archive = new Zip((error, piece) => {
    if (error) throw error;
    parts.push(new Blob([piece as Uint8Array<ArrayBuffer>]));
  });
  for (const [path, content] of files) {
    const file = new ZipPassThrough(path);
    archive.add(file);
    for await (const piece of contentPieces(content)) file.push(piece);
    file.push(new Uint8Array(), true);
  }
  archive.end();
  return new Blob(parts, { type: "application/zip" });
}

/** Bytes that are inflated at a time: they become at most a thousand times as many. */
const PIECE = 16 << 10;

/** The bytes of a deflated file. Throws an Error unless there are `size` of them, and are no more made. */
export async function inflate(packed: FileReader, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  let done = 0;
  const stream = new Inflate((piece) => {
    bytes.set(piece, done);
    done += piece.length;
  });
  for await (const piece of filePieces(packed))
    for (let at = 0; at < piece.length; at += PIECE) stream.push(piece.subarray(at, at + PIECE));
  stream.push(new Uint8Array(), true);
  if (done < size) throw new RangeError(`only ${done} bytes`);
  return bytes;
}
