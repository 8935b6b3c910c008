/** --to peft: an adapter directory that PEFT loads with the base model. */
import { absolutePath, exists, joinPath } from "#platform";
import { architectureName } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import { readPieces, SHARDS_INDEX, WEIGHTS } from "../io/common.ts";
import type { BaseModel } from "../io/hf.ts";
import { baseDtype } from "../io/peft/adapter-meta.ts";
import { type Adapter, type AdapterMeta, EXACT, type FinalNorm, META, peftForm } from "../io/peft/peft.ts";
import { hasOwnPooling, type PeftForm } from "../io/peft/peft-form.ts";
import { adapterFiles, biasObstacle, peftFiles, peftObstacle } from "../io/peft/peft-write.ts";
import { readShards } from "../io/safetensors/shards.ts";
import { METHODS } from "../methods/index.ts";
import { isGguf } from "../platform/paths.ts";
import type { FileContent } from "../platform/reader.ts";
import type { PlanForm } from "./form.ts";
import { alone, isMergeable, nameMethod } from "./mergeable.ts";
import { atPooling, baseLabel, needsOlder, OLDER, peftCode, peftInstall, useCode } from "./peft-code.ts";
import { tokenizerFiles, vocabularyFiles } from "./tokenizer.ts";

/** The base model's file, where it is one. */
/** The folder of a base model. */
const BASE = "base";
const GGUF_BASE = "model.gguf";

export const plan: PlanForm = async ({ adapter, baseModel, base, finalNorm }, { withBase }) => {
  const { tensors } = adapter;
  const { directory } = baseModel;
  // An export with its base model is for another machine: the owner's folders stay at home.
  const meta = withBase ? { ...adapter.meta, base_model: baseLabel(base) } : adapter.meta;
  const copy = isGguf(directory) ? `${BASE}/${GGUF_BASE}` : BASE;
  const model = withBase ? copy : base.place === "hub" ? base.name : absolutePath(directory);
  const files = new Map<string, FileContent>(peftFiles(requirePeftForm(meta), meta, tensors, finalNorm));
  // PEFT's files do not tell the pooling: without it Lowrank, too, would read the last token.
  if (hasOwnPooling(meta))
    for (const [name, content] of await ownFiles({ ...adapter, meta }, finalNorm)) files.set(name, content);
  const { vocabulary } = baseModel;
  const { end } = vocabulary;
  const notes: string[] = [];
  if (baseDtype(meta) === "f16")
    notes.push("it was trained with the base model in f16; with another type, logits differ by rounding");
  if (isGguf(directory)) for (const [name, content] of await tokenizerFiles(meta, baseModel)) files.set(name, content);
  if (withBase) for (const [name, content] of await baseFiles(baseModel)) files.set(`${BASE}/${name}`, content);
  if (needsOlder(meta)) notes.push(OLDER);
  if (!withBase && base.place !== "hub") notes.push(`its code reads the base model in ${model}; --with-base copies it`);
  return {
    files,
    notes,
    ...(hasOwnPooling(meta) && { warning: atPooling(meta) }),
    library: "peft",
    isAdapter: true,
    title: `${architectureName(meta.model)} with ${METHODS[meta.mode].title}`,
    usages: [
      {
        title: "In Python, with PEFT",
        language: "python",
        text: `In this directory, after ${peftInstall(meta, vocabulary)}`,
        code: [...peftCode(meta, end, model, "."), ...useCode(meta, vocabulary)].join("\n"),
      },
    ],
  };
};

/**
 * What only Lowrank reads, in addition to PEFT's files: names of classes, pooling, thresholds, the head as it was
 * trained.
 */
async function ownFiles({ meta, tensors }: Adapter, finalNorm: FinalNorm | undefined) {
  const adapter: Adapter = { meta, tensors: new Map(tensors) };
  // A bias that is dropped is to stay so.
  if (biasObstacle({ meta, tensors }, finalNorm) !== undefined)
    adapter.tensors.set("head.bias", { shape: [meta.labels.length], data: new Float32Array(meta.labels.length) });
  const { files, peft } = await adapterFiles(adapter, { finalNorm });
  return peft ? [...files].filter(([name]) => name === META || name === EXACT) : [];
}

/** The adapter in PEFT's files. Throws ConfigError if it has no form there. */
function requirePeftForm(meta: AdapterMeta): PeftForm {
  const form = peftForm(meta);
  const obstacle = form && peftObstacle(form);
  if (form && obstacle === undefined) return form;
  throw new ConfigError("not-expressible-in-format", "PEFT cannot express this model", {
    found: obstacle ?? `${nameMethod(meta)}, which PEFT does not have`,
    hint: isMergeable(meta) ? "use --to merged" : alone(meta),
  });
}

/** The files of the base model, as they are. */
async function baseFiles(baseModel: BaseModel): Promise<Map<string, FileContent>> {
  if (isGguf(baseModel.directory)) return new Map([[GGUF_BASE, readPieces(baseModel.directory)]]);
  const path = (name: string) => joinPath(baseModel.directory, name);
  const files = await vocabularyFiles(baseModel);
  const weights = (await exists(path(WEIGHTS)))
    ? [WEIGHTS]
    : [SHARDS_INDEX, ...(await readShards(path(SHARDS_INDEX))).keys()];
  for (const name of ["config.json", "tokenizer_config.json", "special_tokens_map.json", ...weights])
    if (await exists(path(name))) files.set(name, readPieces(path(name)));
  return files;
}
