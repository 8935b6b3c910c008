/** The files of a run that the browser could not store: in memory, at their paths, until the page is closed. */
import { joinPath } from "#platform";
import { registerFile } from "../../platform/files.ts";
import type { FileContent } from "../../platform/reader.ts";

export async function serveFromMemory(directory: string, files: ReadonlyMap<string, FileContent>): Promise<void> {
  for (const [name, content] of files) {
    const pieces: (string | Uint8Array)[] = [];
    if (typeof content === "string" || content instanceof Uint8Array) pieces.push(content);
    else for await (const piece of content) pieces.push(piece);
    registerFile(joinPath(directory, name), new Blob(pieces as BlobPart[]));
  }
}
