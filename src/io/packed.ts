/** Adapters in one file: a zip file of their directory. While one is read, its files are those of a folder in memory. */
import { joinPath, readBytes } from "#platform";
import { FormatError } from "../errors.ts";
import { forgetFile, registeredNames, registerFile } from "../platform/files.ts";
import { LIMITS } from "./limits.ts";
import { META, PEFT_CONFIG } from "./peft.ts";
import type { AdapterFiles } from "./peft-write.ts";
import { openZip, zip } from "./zip.ts";

/** A zip file of an adapter's files, which is opened by its path or address as their directory is. */
export function packAdapter(files: AdapterFiles["files"]): Promise<Blob> {
  const bytes = (content: string | Uint8Array) =>
    typeof content === "string" ? new TextEncoder().encode(content) : (content as Uint8Array<ArrayBuffer>);
  return zip([...files].map(([name, content]) => [name, [bytes(content)]]));
}

/**
 * Runs `work` on the directory of the adapter in a zip file: of a run, of an adapter alone, or of a folder that has one.
 * Throws FormatError if the file is damaged or too large.
 */
export async function unpacked<T>(path: string, work: (directory: string) => Promise<T>): Promise<T> {
  const entries = await openZip(new Blob([await readBytes(path, LIMITS.archive)]), path);
  const bytes = [...entries.values()].reduce((sum, { size }) => sum + size, 0);
  if (bytes > LIMITS.archive)
    throw new FormatError("exceeds-limit", "the files of the zip file are too large", {
      where: path,
      expected: `at most ${LIMITS.archive} bytes`,
      found: `${bytes} bytes`,
    });
  const root = adapterRoot(entries.keys());
  const files = new Map<string, Blob>();
  for (const [name, { open }] of entries)
    if (name.startsWith(root) && !name.endsWith("/")) files.set(name.slice(root.length), await open());
  return inMemory(path, files, work);
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

/** Runs `work` on a folder of these files, whose name in errors is that of the path or the address. */
async function inMemory<T>(
  path: string,
  files: ReadonlyMap<string, Blob>,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  // Without the scheme it is no address: what the folder lacks is not asked of the server.
  const name = joinPath(path.replace(/^https?:\/\/|\?.*/gi, ""));
  let directory = name;
  // The same file may be opened twice at the same time, and can be a registered file itself.
  for (let i = 2; registeredNames(directory)?.some(Boolean); i++) directory = `${name}~${i}`;
  const paths = [...files.keys()].map((file) => joinPath(directory, file));
  for (const [i, file] of [...files.values()].entries()) registerFile(paths[i]!, file);
  try {
    return await work(directory);
  } finally {
    for (const one of paths) forgetFile(one);
  }
}
