/** --to gguf: a model in one file for llama.cpp, with what was trained merged in. */
import { architectureName } from "../config.ts";
import { METHODS } from "../methods/index.ts";
import type { PlanForm } from "./form.ts";
import { checkRunnable, generalMetadata, llamaUsages, modelFile, shortName } from "./gguf-file.ts";
import { checkMergeable } from "./mergeable.ts";

const FILE = "model.gguf";

export const plan: PlanForm = async ({ adapter, baseModel, base }, { dtype = "f16" }) => {
  const { meta } = adapter;
  checkRunnable(meta);
  checkMergeable(meta);
  const name = `${shortName(base)} fine-tuned with ${METHODS[meta.mode].title}`;
  const general = await generalMetadata("model", name, baseModel, base);
  const { content, notes } = await modelFile(adapter, baseModel, general, dtype);
  return {
    files: new Map([[FILE, content]]),
    notes,
    title: `A fine-tuned ${architectureName(meta.model)} for llama.cpp`,
    library: "gguf",
    usages: llamaUsages(meta, FILE),
  };
};
