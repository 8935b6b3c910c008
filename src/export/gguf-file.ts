/** What the exports for llama.cpp share: the file of a model, what is said of it, and the code that runs it. */

import type { WeightDtype } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { architectureMetadata, checkArchitecture } from "../io/gguf-metadata.ts";
import { ggufArchitecture, ggufTensors } from "../io/gguf-tensors.ts";
import { copyMetadata, vocabularyMetadata } from "../io/gguf-vocabulary.ts";
import { streamGguf, text, u32 } from "../io/gguf-write.ts";
import type { BaseModel } from "../io/hf.ts";
import { mergedTensors } from "../io/merge.ts";
import { readModelFile, readModelJson } from "../io/model-file.ts";
import type { Adapter, AdapterMeta } from "../io/peft.ts";
import { isGguf } from "../platform/paths.ts";
import type { FileContent } from "../platform/reader.ts";
import type { BaseName } from "../run/base-name.ts";
import type { Exported } from "./form.ts";

/** Throws ConfigError for a classifier, and for a model that llama.cpp computes otherwise. */
export function checkRunnable({ task, model }: AdapterMeta): void {
  if (task.objective !== "lm")
    throw new ConfigError("not-expressible-in-format", "llama.cpp cannot classify with this model", {
      expected: "a language model (--objective lm)",
      found: `${task.objective}: of what llama.cpp runs, only BERT and Qwen3 have a head for classes`,
      hint: "use --to merged or --to peft",
    });
  checkArchitecture(model);
}

/** The first keys of a file's metadata. */
export async function generalMetadata(
  type: "model" | "adapter",
  name: string,
  { directory, config }: BaseModel,
  base: BaseName,
): Promise<Map<string, Uint8Array>> {
  const license = await findLicense(directory);
  const url = base.place === "hub" ? [["repo_url", text(`https://huggingface.co/${base.name}`)] as const] : [];
  return new Map([
    ["general.architecture", text(ggufArchitecture(config))],
    ["general.type", text(type)],
    ["general.name", text(name)],
    ...(license ? [["general.license", license] as const] : []),
    ["general.base_model.count", u32(1)],
    ...[["name", text(shortName(base))] as const, ...url].map(
      ([key, value]) => [`general.base_model.0.${key}`, value] as const,
    ),
  ]);
}

/** A base model's name without the folders above it. */
export const shortName = ({ name }: BaseName) => name.replace(/^.*[\\/]/, "").replace(/\.gguf$/i, "");

/** The base model's licence, as its file or its model card names it. */
async function findLicense(directory: string): Promise<Uint8Array | undefined> {
  const key = "general.license";
  if (isGguf(directory)) return (await copyMetadata(directory, (one) => one === key)).get(key);
  for (const name of ["README.md", "MODEL_CARD.md"]) {
    const card = new TextDecoder().decode(await readModelFile(directory, name));
    const [, found] = /^---\n(?:(?!---\n).*\n)*?license: *([\w.-]+) *\n/.exec(card) ?? [];
    if (found !== undefined) return text(found);
  }
  return undefined;
}

/** A model's file, with what was trained merged in. */
export async function modelFile(
  adapter: Adapter,
  checkpoint: BaseModel,
  general: ReadonlyMap<string, Uint8Array>,
  dtype: WeightDtype,
): Promise<{ content: FileContent; notes: string[] }> {
  const { config, directory } = checkpoint;
  const json = await readModelJson(directory, "config.json");
  // Longer than what is used here, where config.json says so.
  const { max_position_embeddings: context = config.n_positions } = json as { max_position_embeddings?: number };
  const vocabulary = await vocabularyMetadata(checkpoint);
  const metadata = new Map([...general, ...architectureMetadata(config, context, dtype), ...vocabulary.metadata]);
  const merged = await mergedTensors(checkpoint, adapter, undefined);
  const { tensors, notes } = ggufTensors(config, merged, dtype);
  return { content: streamGguf(metadata, tensors), notes: [...vocabulary.notes, ...notes] };
}

/** The code that runs a model's file, with an adapter's where there is one, and what to know of it. */
export function llamaCode(
  model: string,
  adapter?: string,
): Pick<Exported, "install" | "language" | "code" | "remarks" | "library"> {
  const lora = adapter === undefined ? "" : `{ lora: ${JSON.stringify(adapter)} }`;
  const flag = adapter === undefined ? "" : ` --lora ${adapter}`;
  return {
    library: "gguf",
    install: "npm install node-llama-cpp",
    language: "js",
    code: [
      'import { getLlama, LlamaCompletion } from "node-llama-cpp"; // in a file that ends in .mjs',
      "const llama = await getLlama();",
      `const model = await llama.loadModel({ modelPath: ${JSON.stringify(model)} });`,
      `const context = await model.createContext(${lora});`,
      "const completion = new LlamaCompletion({ contextSequence: context.getSequence() });",
      'console.log(await completion.generateCompletion("Once upon a time", { maxTokens: 60 }));',
      "await llama.dispose();",
    ],
    remarks: [
      "llama.cpp's own programs, and what is built on it (Ollama, LM Studio), read the same:",
      `\`llama-completion -m ${model}${flag} -p "Once upon a time" -n 60\`.`,
    ],
  };
}
