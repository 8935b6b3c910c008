/** Adapters in one file: a zip file of their directory. */
import { FormatError } from "../../errors.ts";
import { blobReader, type FileReader } from "../../platform/reader.ts";
import { LIMITS } from "../limits.ts";
import { openZip, zip } from "../zip.ts";
import { META, PEFT_CONFIG } from "./peft.ts";

/** A zip file of an adapter's files, which is opened by its path or address as their directory is. */
export function packAdapter(files: ReadonlyMap<string, string | Uint8Array>): Promise<Blob> {
  const bytes = (content: string | Uint8Array) =>
    typeof content === "string" ? new TextEncoder().encode(content) : (content as Uint8Array<ArrayBuffer>);
  return zip([...files].map(([name, content]) => [name, [bytes(content)]]));
}

/**
 * The files of the adapter in a zip file from `path`: of a run, of an adapter alone, or of a folder that has one. Throws
 * FormatError if the file is damaged or too large.
 */
export async function unpackAdapter(
  archive: Uint8Array<ArrayBuffer>,
  path: string,
): Promise<ReadonlyMap<string, FileReader>> {
  const entries = await openZip(new Blob([archive]), path);
  const bytes = [...entries.values()].reduce((sum, { size }) => sum + size, 0);
  if (bytes > LIMITS.archive)
    throw new FormatError("exceeds-limit", "the files of the zip file are too large", {
      where: path,
      expected: `at most ${LIMITS.archive} bytes`,
      found: `${bytes} bytes`,
    });
  const root = adapterRoot(entries.keys());
  const files = new Map<string, FileReader>();
  for (const [name, { open }] of entries)
    if (name.startsWith(root) && !name.endsWith("/"))
      files.set(name.slice(root.length), blobReader(`${path}/${name}`, await open()));
  return files;
}

/** The folder of the outermost description of an adapter, ours or PEFT's; the whole file if it has none. */
function adapterRoot(names: Iterable<string>): string {
  const all = [...names].sort((a, b) => a.split("/").length - b.split("/").length);
  for (const file of [META, PEFT_CONFIG]) {
    const found = all.find((name) => `/${name}`.endsWith(`/${file}`));
    if (found !== undefined) return found.slice(0, -file.length);
  }
  return "";
}
