/** Zips adapters and run directories, and unpacks adapters into the page's private file system. */

import { unzipSync, zipSync } from "fflate";
import { joinPath, listDirectory, openFile, readBytes } from "#platform";
import { FormatError } from "../../errors.ts";
import { finishReplacing, writeDirectoryAtomic } from "../../platform/replacing.ts";

/** The paths of the files in a directory and its subdirectories. */
async function pathsIn(directory: string, inside = ""): Promise<string[]> {
  const paths: string[] = [];
  for (const name of await listDirectory(joinPath(directory, inside))) {
    const path = joinPath(inside, name);
    // Every file of a run has an extension, and no folder has one.
    paths.push(...(name.includes(".") ? [path] : await pathsIn(directory, path)));
  }
  return paths;
}

/** The files of a directory and its subdirectories, by relative path. */
export async function filesOf(directory: string): Promise<Map<string, Uint8Array>> {
  await finishReplacing(directory);
  const files = new Map<string, Uint8Array>();
  for (const path of await pathsIn(directory)) files.set(path, await readBytes(joinPath(directory, path)));
  return files;
}

/** The bytes of all files of a directory. */
export async function bytesIn(directory: string): Promise<number> {
  await finishReplacing(directory);
  let bytes = 0;
  for (const path of await pathsIn(directory)) {
    const file = await openFile(joinPath(directory, path));
    bytes += file.size;
    await file.close();
  }
  return bytes;
}

/** Zips the files of a directory, and a README if there is one, in a folder with the given name. */
export async function zipDirectory(directory: string, folder: string, readme: string | null): Promise<Blob> {
  const files = await filesOf(directory);
  if (readme !== null) files.set("README.md", new TextEncoder().encode(readme));
  // Weights hardly compress.
  const zip = zipSync(
    Object.fromEntries(
      [...files].map(([path, bytes]) => [
        `${folder}/${path}`,
        [bytes, { level: path.endsWith(".safetensors") ? 0 : 6 }],
      ]),
    ),
  );
  return new Blob([zip as Uint8Array<ArrayBuffer>], { type: "application/zip" });
}

const ADAPTER_FILES = [
  "lowrank.json",
  "lowrank.safetensors",
  "weights.safetensors",
  "adapter_config.json",
  "adapter_model.safetensors",
];

/** Writes the adapter from selected files, or from a zip file among them, into a directory. Throws FormatError if there is none. */
export async function unpackAdapter(selected: readonly File[], directory: string): Promise<void> {
  const found = new Map<string, Uint8Array>();
  const add = (path: string, bytes: Uint8Array) => {
    const name = path.split("/").at(-1)!;
    if (ADAPTER_FILES.includes(name)) found.set(name, bytes);
  };
  for (const file of selected) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (file.name.endsWith(".zip"))
      for (const [path, content] of Object.entries(unzip(bytes, file.name))) add(path, content);
    else add(file.name, bytes);
  }
  if (!found.has("lowrank.json") && !found.has("adapter_config.json"))
    throw new FormatError("These files contain no adapter", {
      where: selected.map(({ name }) => name).join(", "),
      expected: "a zip file from this page, or PEFT's adapter_config.json and adapter_model.safetensors",
    });
  await writeDirectoryAtomic(directory, found, { own: ADAPTER_FILES });
}

function unzip(bytes: Uint8Array, where: string): Record<string, Uint8Array> {
  try {
    return unzipSync(bytes);
  } catch (cause) {
    throw new FormatError("This zip file cannot be read", { where, found: (cause as Error).message, cause });
  }
}
