/** Writes of a page; node-disk.ts is its counterpart. Imported on demand: a page that classifies writes little. */
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
