/** A small version of a model, whose plan has every shader of what is to run: for the check of a device. */
import { pipelineName } from "../backend/webgpu-shaders.ts";
import type { LoraConfig, ModelConfig } from "../config.ts";
import type { BaseModel } from "../io/hf.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { baseTensors, lmHeadTensors, loraAdapters, siteName, tensorName } from "../names.ts";
import { crossentropyForwardKernel } from "../ops/crossentropy.ts";
import { tensorAt } from "../ops/kernel.ts";
import type { Program } from "../plan/plan.ts";

/** What is to run, and the plan of a small version. */
export interface Whole {
  model: BaseModel;
  /** The model; those of the members of one plan, if it is to be one. */
  specs: readonly [ModelSpec, ...ModelSpec[]];
  programs: readonly Program[];
  /** The token ids in use. The small model has no others: to a pass, a token is an index into them. */
  vocabulary: readonly number[];
  /** The plan of models in their real capacity, as kernels are chosen by it; null if they cannot share one. */
  plan(specs: readonly ModelSpec[]): Program | null;
}

/** The models of the check, in one plan, and their base model. */
export interface Excerpt {
  specs: readonly ModelSpec[];
  checkpoint: BaseModel;
}

/** Some blocks of the model, with the rows of the vocabulary alone, so that the check takes little time and memory. */
export function excerptModel(whole: Whole): Excerpt {
  const { model, specs, vocabulary } = whole;
  const layers = chooseLayers(whole);
  const { config, originals } = excerptConfig(specs[0].config, layers, vocabulary.length);
  const checkpoint: BaseModel = {
    ...model,
    config,
    read(name, start = 0, end) {
      if (name !== "wte.weight" && name !== "lm_head.weight") return model.read(originals.get(name)!, start, end);
      return readRows(model, name, vocabulary.slice(start, end));
    },
  };
  return { specs: specs.map((spec) => excerptSpec(spec, layers, vocabulary.length)), checkpoint };
}

/** The fewest blocks, or nearly, whose plan has every shader of what is to run. */
function chooseLayers({ specs, programs, vocabulary, plan }: Whole): readonly number[] {
  const wanted = listPipelines(programs);
  const countMissing = (layers: readonly number[]) => {
    const small = plan(specs.map((spec) => excerptSpec(spec, layers, vocabulary.length)));
    const has = listPipelines(small ? [small] : []);
    return wanted.filter((one) => !has.includes(one)).length;
  };
  let layers = usualLayers(specs[0]);
  let missing = countMissing(layers);
  while (missing > 0) {
    const others = [...Array(specs[0].config.n_layer).keys()].filter((l) => !layers.includes(l));
    const more = others.map((l) => [...layers, l].sort((a, b) => a - b));
    const better = more.find((some) => countMissing(some) < missing);
    if (!better) break;
    layers = better;
    missing = countMissing(better);
  }
  return layers;
}

/** What a device compiles for programs. */
export const listPipelines = (programs: readonly Program[]): string[] => [
  ...new Set(listDispatches(programs).map((one) => pipelineName(one))),
];

const listDispatches = (programs: readonly Program[]) =>
  programs.flatMap(({ segments }) => segments.flatMap(({ dispatches }) => dispatches));

/**
 * The token ids of the check of a language model: those in use and others, sorted; as many as the largest piece of its
 * logits has and the last one, as products are chosen by that.
 */
export function excerptVocabulary(used: readonly number[], size: number, programs: readonly Program[]): number[] {
  const widths = listDispatches(programs)
    .filter(({ kernel }) => kernel === crossentropyForwardKernel)
    .map((one) => tensorAt(one, "logits").shape[1]!);
  const [most, last] = [Math.max(...widths), widths.at(-1)!];
  const count = Math.min(size, most === last ? most : most + last);
  const ids = new Set(used);
  for (let id = 0; ids.size < count; id++) ids.add(id);
  return [...ids].sort((a, b) => a - b);
}

/** The configuration of some blocks, and the names of its tensors in the model. */
function excerptConfig(config: ModelConfig, layers: readonly number[], vocab_size: number) {
  const small = { ...config, n_layer: layers.length, vocab_size };
  const originals = new Map(
    [...baseTensors(small), ...lmHeadTensors(small)].map(({ name, block, layer, part }) => [
      name,
      tensorName({ block: block === null ? null : layers[block]!, layer }, part),
    ]),
  );
  return { config: small, originals };
}

function excerptSpec(spec: ModelSpec, layers: readonly number[], vocabulary: number): ModelSpec {
  const { config, originals } = excerptConfig(spec.config, layers, vocabulary);
  return { ...spec, config, lora: spec.lora && excerptLora(spec.lora, spec.config, layers, originals) };
}

/** Rows of a table, neighbours at once. */
async function readRows(model: BaseModel, name: string, rows: readonly number[]) {
  const starts = rows.flatMap((row, i) => (i > 0 && row === rows[i - 1]! + 1 ? [] : i));
  const parts = await Promise.all(
    starts.map((at, i) => model.read(name, rows[at]!, rows[(starts[i + 1] ?? rows.length) - 1]! + 1)),
  );
  const width = parts[0]!.length / ((starts[1] ?? rows.length) - starts[0]!);
  const values = new Float32Array(rows.length * width);
  for (const [i, part] of parts.entries()) values.set(part, starts[i]! * width);
  return values;
}

/** The blocks to begin with: one on all tokens, one on the classified rows; with adapters if two blocks have any. */
function usualLayers({ config, lora }: ModelSpec): number[] {
  const { n_layer } = config;
  if (n_layer === 1) return [0];
  const adapted = (lora ? loraAdapters(config, lora) : []).find(({ block }) => block !== null);
  return [Math.min(adapted?.block ?? 0, n_layer - 2), n_layer - 1];
}

/** The adapters of these blocks, and that of the head. `originals`: the names in the model by those in the excerpt. */
function excerptLora(
  lora: LoraConfig,
  config: ModelConfig,
  layers: readonly number[],
  originals: ReadonlyMap<string, string>,
): LoraConfig {
  const { layers_to_transform: _, modulesToSave, ...rest } = lora;
  const sites = loraAdapters(config, lora).flatMap(({ target, block, r, scale }) => {
    const at = block === null ? null : layers.indexOf(block);
    return at === -1 ? [] : [{ site: siteName({ target, block: at }), r, scale }];
  });
  const saved = [...originals].flatMap(([name, original]) => (modulesToSave?.includes(original) ? [name] : []));
  return { ...rest, sites, ...(modulesToSave ? { modulesToSave: saved } : {}) };
}
