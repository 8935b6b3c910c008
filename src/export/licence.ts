/** The licence of a base model, as far as it is known: a trained model is under it too. */
import type { BaseModel } from "../io/hf.ts";
import { readModelFile } from "../io/model-file.ts";
import { isGguf, isRemote } from "../platform/paths.ts";
import type { BaseName } from "../record/base-name.ts";

/** The hub's names of the licences under which the owners of these models publish them. */
const KNOWN: readonly (readonly [model: RegExp, licence: string])[] = [
  [/^gpt2-micro$/, "cc-by-4.0"],
  [/^(openai-community\/)?gpt2(-medium|-large|-xl)?$|^e5-small-cut$|^intfloat\/(multilingual-)?e5-/, "mit"],
  [/^distilbert\/distilgpt2$|^HuggingFaceTB\/SmolLM2-/, "apache-2.0"],
];

/** The hub's name of a licence, as the card in the base model's folder says, or known by the model's name. */
export async function baseLicence({ directory }: BaseModel, { name, place }: BaseName): Promise<string | undefined> {
  // A server would be asked for what it probably has not.
  const isFolder = !isGguf(directory) && !isRemote(directory);
  const card = isFolder ? await readModelFile(directory, "README.md").catch(() => undefined) : undefined;
  const [, front = ""] = /^---\r?\n(.*?)\r?\n---/s.exec(new TextDecoder().decode(card)) ?? [];
  const [, said] = /^license:\s*["']?([\w.-]{1,40})["']?\s*$/m.exec(front) ?? [];
  if (said !== undefined) return said.toLowerCase();
  return place === "folder" ? undefined : KNOWN.find(([model]) => model.test(name))?.[1];
}
