/** --to gguf-adapter: a LoRA adapter that llama.cpp applies to the base model. */
import { absolutePath } from "#platform";
import { architectureName } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { readPieces } from "../io/common.ts";
import { ggufAdapter } from "../io/gguf/gguf-adapter.ts";
import { baseDtype } from "../io/peft/adapter-meta.ts";
import type { AdapterMeta } from "../io/peft/peft.ts";
import type { LoraModel } from "../io/peft/peft-lora.ts";
import * as names from "../io/peft/peft-names.ts";
import { METHODS } from "../methods/index.ts";
import { loraAdapters } from "../methods/lora.ts";
import { ADAPTED } from "../names.ts";
import { isGguf } from "../platform/paths.ts";
import type { FileContent } from "../platform/reader.ts";
import type { PlanForm, Source } from "./form.ts";
import { checkRunnable, generalMetadata, ggufFile, llamaUsages, modelFile, shortName } from "./gguf-file.ts";
import { checkMergeable, nameMethod } from "./mergeable.ts";
import { BASE } from "./replaceable.ts";

const FILE = "adapter.gguf";
const BASE_MODEL = `${BASE}/model.gguf`;

export const plan: PlanForm = async (source, { withBase, dtype }) => {
  const { adapter, baseModel, base } = source;
  const { meta, tensors } = adapter;
  checkRunnable(meta);
  requireLora(meta);
  const name = `${METHODS[meta.mode].title} on ${shortName(base)}`;
  const own = ggufAdapter(meta, tensors, names);
  const metadata = new Map([...(await generalMetadata("adapter", name, baseModel, base)), ...own.metadata]);
  const files = new Map<string, FileContent>([[FILE, ggufFile(metadata, own.tensors)]]);
  const notes: string[] = [];
  const trained = baseDtype(meta);
  if (trained !== "f32")
    notes.push(
      `the adapter was trained with the base model in ${trained}; with another type, logits differ by rounding`,
    );
  if (withBase) {
    const { content, notes: more } = await baseFile(source, dtype);
    files.set(BASE_MODEL, content);
    notes.push(...more);
  } else if (!isGguf(baseModel.directory))
    notes.push("llama.cpp reads the base model from a GGUF file; --with-base writes it next to the adapter");
  const where = withBase || !isGguf(baseModel.directory) ? BASE_MODEL : absolutePath(baseModel.directory);
  return {
    files,
    notes,
    library: "gguf",
    title: `${architectureName(meta.model)} with ${METHODS[meta.mode].title}, for llama.cpp`,
    usages: llamaUsages(meta, where, FILE),
    isAdapter: true,
  };
};

/** The base model's file: as it is, or made of its tensors. */
async function baseFile(
  { adapter: { meta }, baseModel, base }: Source,
  dtype: Parameters<typeof modelFile>[3] | undefined,
): ReturnType<typeof modelFile> {
  const { directory } = baseModel;
  if (isGguf(directory) && dtype === undefined) return { content: readPieces(directory), notes: [] };
  const nothing = { meta: { ...meta, lora: null }, tensors: new Map() };
  const general = await generalMetadata("model", shortName(base), baseModel, base);
  return modelFile(nothing, baseModel, general, dtype ?? "f16");
}

/** Throws ConfigError for what is no product of LoRA that is added to a matrix. */
function requireLora(meta: AdapterMeta): asserts meta is AdapterMeta & LoraModel {
  checkMergeable(meta);
  const { lora, model } = meta;
  const adapters = lora ? loraAdapters(model, lora) : [];
  const isTied = model.tie_word_embeddings !== false;
  const shared = adapters.find(({ target }) => target === "wte" || (target === "head" && isTied));
  const found =
    lora === null
      ? nameMethod(meta)
      : lora.use_dora
        ? "DoRA, whose magnitudes scale the matrices"
        : lora.modulesToSave?.length
          ? `trained in addition to the adapters: ${lora.modulesToSave.join(", ")}`
          : shared &&
            `an adapter of the ${ADAPTED[shared.target].word}: the token table is also the head, and llama.cpp would change both`;
  if (found === undefined) return;
  throw new ConfigError("not-expressible-in-format", "llama.cpp's adapters cannot express this model", {
    expected: "LoRA on matrices of the blocks, or on a head of its own",
    found,
    hint: "use --to gguf: the model with what was trained merged in",
  });
}
