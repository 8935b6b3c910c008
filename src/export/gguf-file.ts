/** What the exports for llama.cpp share: the file of a model, what is said of it, and the code that runs it. */

import { ConfigError } from "../errors.ts";
import { architectureMetadata, checkArchitecture } from "../io/gguf/gguf-metadata.ts";
import { ggufArchitecture, ggufTensors } from "../io/gguf/gguf-tensors.ts";
import { vocabularyMetadata } from "../io/gguf/gguf-vocabulary.ts";
import { type EncodedMetadata, type GgufOutput, ggufBytes, streamGguf, text, u32 } from "../io/gguf/gguf-write.ts";
import type { BaseModel } from "../io/hf.ts";
import { readModelJson } from "../io/model-file.ts";
import { readsChats } from "../io/peft/adapter-meta.ts";
import { mergedTensors } from "../io/peft/merge.ts";
import type { Adapter, AdapterMeta } from "../io/peft/peft.ts";
import type { FileContent } from "../platform/reader.ts";
import { literal, shellWord } from "../quote.ts";
import type { BaseName } from "../run/base-name.ts";
import { hasHead, readsTokens } from "../tasks/index.ts";
import type { CommonDtype } from "../tensor.ts";
import { sized } from "./form.ts";
import { baseLicence } from "./licence.ts";
import { promptOf, type Usage } from "./usage.ts";

/** Throws ConfigError for a classifier, and for a model that llama.cpp computes otherwise. */
export function checkRunnable({ task, model }: AdapterMeta): void {
  if (hasHead(task))
    throw new ConfigError("not-expressible-in-format", "llama.cpp cannot classify with this model", {
      expected: "a language model (--objective lm)",
      found: task.objective,
      hint: `use --to merged${readsTokens(task) ? "" : ", --to onnx"} or --to peft`,
    });
  checkArchitecture(model);
}

/** The first keys of a file's metadata. */
export async function generalMetadata(
  type: "model" | "adapter",
  name: string,
  baseModel: BaseModel,
  base: BaseName,
): Promise<Map<string, Uint8Array>> {
  const licence = await baseLicence(baseModel, base);
  const url = base.place === "hub" ? [["repo_url", text(`https://huggingface.co/${base.name}`)] as const] : [];
  return new Map([
    ["general.architecture", text(ggufArchitecture(baseModel.config))],
    ["general.type", text(type)],
    ["general.name", text(name)],
    ...(licence === undefined ? [] : [["general.license", text(licence)] as const]),
    ["general.base_model.count", u32(1)],
    ...[["name", text(shortName(base))] as const, ...url].map(
      ([key, value]) => [`general.base_model.0.${key}`, value] as const,
    ),
  ]);
}

/** A base model's name without the folders above it. */
export const shortName = ({ name }: BaseName) => name.replace(/^.*[\\/]/, "").replace(/\.gguf$/i, "");

export const ggufFile = (metadata: EncodedMetadata, tensors: readonly GgufOutput[]): FileContent =>
  sized(ggufBytes(metadata, tensors), () => streamGguf(metadata, tensors));

/** A model's file, with what was trained merged in. */
export async function modelFile(
  adapter: Adapter,
  baseModel: BaseModel,
  general: ReadonlyMap<string, Uint8Array>,
  dtype: CommonDtype,
): Promise<{ content: FileContent; notes: string[] }> {
  const { config, directory } = baseModel;
  const json = await readModelJson(directory, "config.json");
  // Longer than what is used here, where config.json says so.
  const { max_position_embeddings } = json;
  const context = typeof max_position_embeddings === "number" ? max_position_embeddings : config.n_positions;
  const vocabulary = await vocabularyMetadata(baseModel);
  const metadata = new Map([...general, ...architectureMetadata(config, context, dtype), ...vocabulary.metadata]);
  const merged = await mergedTensors(baseModel, adapter, undefined);
  const { tensors, notes } = ggufTensors(config, merged, dtype);
  return { content: ggufFile(metadata, tensors), notes: [...vocabulary.notes, ...notes] };
}

/** The code that runs a model's file, with an adapter's where there is one. */
export function llamaUsages(meta: AdapterMeta, model: string, adapter?: string): Usage[] {
  const chat = readsChats(meta);
  const prompt = promptOf(meta);
  const lora = adapter === undefined ? "" : `{ lora: ${literal(adapter)} }`;
  const flag = adapter === undefined ? "" : ` --lora ${shellWord(adapter)}`;
  return [
    {
      title: "With llama.cpp, and what is built on it (Ollama, LM Studio)",
      language: "sh",
      text: "In this directory:",
      code: `${chat ? "llama-cli -st" : "llama-completion"} -m ${shellWord(model)}${flag} -p "${prompt}" -n 60`,
    },
    {
      title: "In Node",
      language: "js",
      text: "npm install node-llama-cpp, and put this into a file that ends in .mjs in this directory.",
      code: [
        `import { getLlama, ${chat ? "LlamaChatSession" : "LlamaCompletion"} } from "node-llama-cpp";`,
        "const llama = await getLlama();",
        `const model = await llama.loadModel({ modelPath: ${literal(model)} });`,
        `const context = await model.createContext(${lora});`,
        ...(chat
          ? [
              "const session = new LlamaChatSession({ contextSequence: context.getSequence() });",
              `console.log(await session.prompt("${prompt}", { maxTokens: 60 }));`,
            ]
          : [
              "const completion = new LlamaCompletion({ contextSequence: context.getSequence() });",
              `console.log(await completion.generateCompletion("${prompt}", { maxTokens: 60 }));`,
            ]),
        "await llama.dispose();",
      ].join("\n"),
    },
  ];
}
