/** The licence of a base model, as far as it is known: a trained model is under it too. */
import { exists, joinPath, listDirectory, readBytes } from "#platform";
import type { BaseModel } from "../io/hf.ts";
import { readModelFile } from "../io/model-file.ts";
import { isGguf, isRemote } from "../platform/paths.ts";
import type { BaseName } from "../run/base-name.ts";

/** The hub's names of the licences under which the owners of these models publish them. */
const KNOWN: readonly (readonly [model: RegExp, licence: string])[] = [
  [/^gpt2-micro$/, "cc-by-4.0"],
  [/^(openai-community\/)?gpt2(-medium|-large|-xl)?$/, "mit"],
  [/^smollm2-cut$|^distilbert\/distilgpt2$|^HuggingFaceTB\/SmolLM2-/, "apache-2.0"],
];

/** The hub's name of a licence, from the files of the base model, or known by the model's name. */
export async function baseLicence({ directory }: BaseModel, { name, place }: BaseName): Promise<string | undefined> {
  const said = isGguf(directory) ? await ggufLicence(directory) : await cardLicence(directory);
  if (said !== undefined && /^[\w.-]{1,40}$/.test(said)) return said.toLowerCase();
  return place === "folder" ? undefined : KNOWN.find(([model]) => model.test(name))?.[1];
}

async function ggufLicence(path: string): Promise<string | undefined> {
  const { metadata, tensors } = await (await import("../io/gguf-model.ts")).openGguf(path);
  await tensors.close();
  return metadata.get("general.license")?.toString();
}

/** What the front matter of the model's card says. */
async function cardLicence(directory: string): Promise<string | undefined> {
  // A server would be asked for what it probably has not.
  if (isRemote(directory)) return undefined;
  const card = await readModelFile(directory, "README.md").catch(() => undefined);
  const [, front = ""] = /^---\r?\n(.*?)\r?\n---/s.exec(new TextDecoder().decode(card)) ?? [];
  return /^license:\s*["']?([^\s"']+)/m.exec(front)?.[1];
}

export const LICENCE_FILE = /^(LICEN[CS]E|COPYING|NOTICE|USE_POLICY)(\.(txt|md))?$/i;
/** Bytes of a licence: the longest are some ten thousand. */
const LARGEST = 1 << 20;

/** The licences among the files of the base model, which whoever passes it on must add. */
export async function licenceFiles({ directory }: BaseModel): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  if (isGguf(directory) || isRemote(directory) || !(await exists(directory))) return files;
  for (const name of await listDirectory(directory).catch(() => []))
    if (LICENCE_FILE.test(name)) files.set(name, await readBytes(joinPath(directory, name), LARGEST));
  return files;
}
