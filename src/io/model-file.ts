/** The small files of a model: its config.json and those of its tokenizer. */
import { exists, joinPath, readBytes } from "#platform";
import { isGguf } from "../platform/paths.ts";
import { makeGgufFiles } from "./gguf/gguf-files.ts";
import { parseJson } from "./limits.ts";

/** A file of a model's directory, or made of a GGUF file's metadata; undefined if there is none of that name. */
export async function readModelFile(directory: string, name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (!isGguf(directory)) {
    const path = joinPath(directory, name);
    return (await exists(path)) ? readBytes(path) : undefined;
  }
  const made = (await makeGgufFiles(directory, name)).get(name);
  return made === undefined ? undefined : new TextEncoder().encode(JSON.stringify(made, null, 2));
}

/** A JSON object among them; empty if there is none. */
export async function readModelJson(directory: string, name: string): Promise<Record<string, unknown>> {
  const bytes = await readModelFile(directory, name);
  return bytes === undefined ? {} : (parseJson(bytes, joinPath(directory, name)) as Record<string, unknown>);
}
