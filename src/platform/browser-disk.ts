/**
 * What a page writes, and hashes of what it has read: node-disk.ts is its counterpart. Imported on demand: a page that
 * classifies does neither.
 */
import { concat } from "../concat.ts";
import { openDirectory } from "./opfs.ts";
import { segments } from "./paths.ts";
import type { FileContent } from "./reader.ts";

/** Writes files ("name" or "folder/name") into a folder, one after the other. */
export async function writeInto(
  folder: string[],
  files: Iterable<readonly [name: string, content: FileContent]>,
): Promise<void> {
  const directory = await openDirectory(folder, true);
  for (const [name, content] of files) await write(directory, name, content);
}

async function write(parent: FileSystemDirectoryHandle, path: string, content: FileContent) {
  const folders = segments(path);
  const name = folders.pop()!;
  let directory = parent;
  for (const folder of folders) directory = await directory.getDirectoryHandle(folder, { create: true });
  const stream = await (await directory.getFileHandle(name, { create: true })).createWritable();
  try {
    for await (const piece of typeof content === "string" || content instanceof Uint8Array ? [content] : content)
      await stream.write(piece as string | Uint8Array<ArrayBuffer>);
    await stream.close();
  } catch (error) {
    await stream.abort();
    throw error;
  }
}

/** SHA-256 of all parts together, in hexadecimal; computed by the browser where the page is secure. */
export async function sha256(parts: readonly Uint8Array<ArrayBuffer>[]): Promise<string> {
  if (isSecureContext) {
    const bytes = parts.length === 1 ? parts[0]! : concat<Uint8Array<ArrayBuffer>>(Uint8Array, parts);
    const hash = await crypto.subtle.digest("SHA-256", bytes);
    return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  const hash = (await import("./browser-download.ts")).createHasher("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}
