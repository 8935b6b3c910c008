/** --to gguf: a model in one file for llama.cpp, with what was trained merged in. */
import { architectureName } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import { architectureMetadata, checkArchitecture } from "../io/gguf/gguf-metadata.ts";
import { ggufArchitecture, ggufTensors } from "../io/gguf/gguf-tensors.ts";
import { vocabularyMetadata } from "../io/gguf/gguf-vocabulary.ts";
import { ggufBytes, streamGguf, text, u32 } from "../io/gguf/gguf-write.ts";
import type { BaseModel } from "../io/hf.ts";
import { readModelJson } from "../io/model-file.ts";
import { readsChats } from "../io/peft/adapter-meta.ts";
import { mergedTensors } from "../io/peft/merge.ts";
import type { AdapterMeta } from "../io/peft/peft.ts";
import { METHODS } from "../methods/index.ts";
import type { BaseName } from "../record/base-name.ts";
import { hasHead, readsTokens } from "../tasks/index.ts";
import { type PlanForm, sized } from "./form.ts";
import { baseLicence } from "./licence.ts";
import { checkMergeable } from "./mergeable.ts";
import { promptOf, type Usage } from "./usage.ts";

const FILE = "model.gguf";

export const plan: PlanForm = async ({ adapter, baseModel, finalNorm, base }, { dtype = "f16" }) => {
  const { meta } = adapter;
  checkRunnable(meta);
  checkMergeable(meta);
  const { config, directory } = baseModel;
  const json = await readModelJson(directory, "config.json");
  // Longer than what is used here, where config.json says so.
  const { max_position_embeddings } = json;
  const context = typeof max_position_embeddings === "number" ? max_position_embeddings : config.n_positions;
  const vocabulary = await vocabularyMetadata(baseModel);
  const name = `${shortName(base)} fine-tuned with ${METHODS[meta.mode].title}`;
  const metadata = new Map([
    ...(await generalMetadata(name, baseModel, base)),
    ...architectureMetadata(config, context, dtype),
    ...vocabulary.metadata,
  ]);
  const { tensors, notes } = ggufTensors(config, await mergedTensors(baseModel, adapter, finalNorm), dtype);
  return {
    files: new Map([[FILE, sized(ggufBytes(metadata, tensors), () => streamGguf(metadata, tensors))]]),
    notes: [...vocabulary.notes, ...notes],
    title: `A fine-tuned ${architectureName(meta.model)} for llama.cpp`,
    library: "gguf",
    usages: llamaUsages(meta),
  };
};

/** Throws ConfigError for a classifier, and for a model that llama.cpp computes otherwise. */
function checkRunnable({ task, model }: AdapterMeta): void {
  if (hasHead(task))
    throw new ConfigError("not-expressible-in-format", "llama.cpp cannot classify with this model", {
      expected: "a language model (--objective lm)",
      found: task.objective,
      hint: `use --to merged${readsTokens(task) ? "" : ", --to onnx"} or --to peft`,
    });
  checkArchitecture(model);
}

/** The first keys of a file's metadata. */
async function generalMetadata(name: string, baseModel: BaseModel, base: BaseName): Promise<Map<string, Uint8Array>> {
  const licence = await baseLicence(baseModel, base);
  const url = base.place === "hub" ? [["repo_url", text(`https://huggingface.co/${base.name}`)] as const] : [];
  return new Map([
    ["general.architecture", text(ggufArchitecture(baseModel.config))],
    ["general.type", text("model")],
    ["general.name", text(name)],
    ...(licence === undefined ? [] : [["general.license", text(licence)] as const]),
    ["general.base_model.count", u32(1)],
    ...[["name", text(shortName(base))] as const, ...url].map(
      ([key, value]) => [`general.base_model.0.${key}`, value] as const,
    ),
  ]);
}

/** A base model's name without the folders above it. */
const shortName = ({ name }: BaseName) => name.replace(/^.*[\\/]/, "").replace(/\.gguf$/i, "");

/** The code that runs the file. */
function llamaUsages(meta: AdapterMeta): Usage[] {
  const chat = readsChats(meta);
  const prompt = promptOf(meta);
  return [
    {
      title: "With llama.cpp, and what is built on it (Ollama, LM Studio)",
      language: "sh",
      text: "In this directory:",
      code: `${chat ? "llama-cli -st" : "llama-completion"} -m ${FILE} -p "${prompt}" -n 60`,
    },
    {
      title: "In Node",
      language: "js",
      text: "npm install node-llama-cpp, and put this into a file that ends in .mjs in this directory.",
      code: [
        `import { getLlama, ${chat ? "LlamaChatSession" : "LlamaCompletion"} } from "node-llama-cpp";`,
        "const llama = await getLlama();",
        `const model = await llama.loadModel({ modelPath: "${FILE}" });`,
        "const context = await model.createContext();",
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
