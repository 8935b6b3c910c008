/**
 * LoRA adapters in PEFT's files. Ours have separate adapters for q, k and v, PEFT's of a GPT-2 one fused `c_attn`: A' =
 * [A_q; A_k; A_v] and a block-diagonal B', with rank and alpha such that the product is the same. Modules that differ
 * in rank or scale are written as patterns. DoRA's magnitudes belong to a module here and there.
 */
import { isSplit, type ModelConfig, traits } from "../../core/config.ts";
import { FormatError } from "../../core/errors.ts";
import {
  ADAPTED,
  baseShapes,
  columnsIn,
  firstColumn,
  isInBlocks,
  loraDims,
  loraName,
  magnitudeName,
  matrixOutputs,
  type Site,
  scaledColumns,
  tensorName,
} from "../../core/names.ts";
import type { Shape } from "../../core/tensor.ts";
import { type LoraConfig, loraAdapters, loraScale } from "../../methods/lora.ts";
import { hasHead } from "../../tasks/index.ts";
import { type InFiles, layoutOf, modulesIn, rowOrder, tensorsInFiles } from "../layouts.ts";
import type { AdapterMeta } from "./adapter-meta.ts";
import {
  commonConfig,
  fromEntries,
  type ImportEntry,
  type Module,
  type NamedTensor,
  type PeftForm,
  type Tensors,
  transposed,
} from "./peft-form.ts";

/** The settings that determine an adapter's form in PEFT. */
interface LoraModel extends Pick<AdapterMeta, "base_model" | "mode" | "model" | "task"> {
  lora: LoraConfig;
}

/** Every tensor name in PEFT's file begins with its wrapper of the model. */
export const WRAPPER = "base_model.model.";

/**
 * PEFT's module for what an adapter adapts: `transformer.h.3.attn.c_attn`, `model.layers.3.self_attn.q_proj`,
 * `lm_head`.
 */
export function moduleName({ target, block }: Site, config: ModelConfig): string {
  const { prefix, table, head } = layoutOf(config);
  if (block === null) return target === "head" ? head : `${prefix}.${table}`;
  const { layer } = ADAPTED[target];
  const modules = modulesIn(layer, block, config);
  const index = modules.length > 1 ? columnsIn(layer, config).findIndex((one) => one.target === target) : 0;
  return `${prefix}.${modules[index]}`;
}

/** The tensors of a base model in transformers, by ours. */
export function baseInFiles(config: ModelConfig): Pick<InFiles, "name" | "parts" | "isTurned">[] {
  const { prefix } = layoutOf(config);
  return tensorsInFiles(config).map(({ name, layer, parts, isTurned }) => {
    const named = parts.map((part) => ({ ...part, key: layer === "lm_head" ? part.key : `${prefix}.${part.key}` }));
    return { name, parts: named, isTurned };
  });
}

/** A part of a base model's tensor, by our names. */
function baseEntry({ name, parts, isTurned }: ReturnType<typeof baseInFiles>[number], i = 0): ImportEntry {
  const { shape, first, order } = parts[i]!;
  return { name, shape, order, ...(isTurned && { isTurned }), ...(parts.length > 1 && { first }) };
}

/** The ends of a module's names in all blocks: `attn.c_attn`, `q_proj`. */
const moduleKind = (name: string) => name.replace(/^transformer\.h\.\d+\.|^\w+\.layers\.\d+\.\w+\./, "");

/** The name of a module's A or B in PEFT's file. */
export const factorName = ({ name }: { name: string }, part: "A" | "B") =>
  `${WRAPPER}${name}.lora_${/\.(wte|embed_tokens|embed_in)$/.test(name) ? `embedding_${part}` : `${part}.weight`}`;

/** The name of a module's magnitudes in PEFT's file. */
const magnitudeKey = (module: string) => `${WRAPPER}${module}.lora_magnitude_vector`;

/** Settings that affect the results. */
const DECISIVE = [
  ...["r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"],
  ...["target_modules", "layers_to_transform", "bias"],
];

export function loraForm(adapter: LoraModel): PeftForm {
  const modules = loraModules(adapter);
  const { lora, model } = adapter;
  const sites = modules.flatMap(({ parts }) => parts);
  const trained = trainedInBase(model, lora.modulesToSave ?? [], sites);
  const whole = new Map([
    ...modules.flatMap(({ name, magnitude }) => (magnitude ? [[magnitudeKey(name), magnitude] as const] : [])),
    ...trained.entries.map(([name, entry]) => [WRAPPER + name, entry] as const),
  ]);
  const shapes = wholeShapes(model, modules);
  return {
    config: loraPeftConfig(adapter, modules, trained),
    decisive: lora.use_dora ? [...DECISIVE, "use_dora"] : DECISIVE,
    shapes: new Map<string, Shape>([
      ...modules.flatMap((module): [string, Shape][] => [
        [factorName(module, "A"), [module.r, module.in]],
        [factorName(module, "B"), [module.out, module.r]],
      ]),
      ...[...whole].map(([key, { shape }]): [string, Shape] => [key, shape!]),
    ]),
    wrapper: WRAPPER,
    modules,
    whole,
    from(peft, where) {
      const out: Tensors = new Map();
      for (const module of modules) {
        const [A, B] = [peft.get(factorName(module, "A"))!, peft.get(factorName(module, "B"))!];
        split(module, A, module.order?.ours(B) ?? B, out, where);
      }
      return new Map([...out, ...fromEntries(whole, peft, shapes)]);
    },
  };
}

/** The shapes of ours that are several in PEFT's files: magnitudes, and tensors of the base model. */
function wholeShapes(model: ModelConfig, modules: readonly Module[]): Map<string, Shape> {
  const shapes = baseShapes(model);
  for (const { magnitude, out } of modules)
    if (magnitude) shapes.set(magnitude.name, [(shapes.get(magnitude.name)?.[0] ?? 0) + out]);
  return shapes;
}

/** transformers' modules with adapters. A head of its own is not one: it is saved whole. */
function loraModules({ model, lora, task }: LoraModel): Module[] {
  const modules = new Map<string, Module>();
  const adapters = loraAdapters(model, lora).filter(({ target }) => target !== "head" || !hasHead(task));
  for (const adapter of adapters) {
    const { target, block, r, scale } = adapter;
    const name = moduleName(adapter, model);
    // A Llama-type model has q, k and v in modules of their own.
    const isWhole = isSplit(model) || !isInBlocks(target);
    const { in: input, out } = loraDims(target, model, model.vocab_size);
    const module: Module = modules.get(name) ?? {
      name,
      r: 0,
      scale,
      in: input,
      out: isWhole ? out : matrixOutputs(target, model),
      order: rowOrder(ADAPTED[target].layer, model),
      kind: moduleKind(name),
      isInBlock: block !== null,
      parts: [],
      magnitude: null,
    };
    modules.set(name, module);
    if (lora.use_dora) module.magnitude = magnitudeEntry(adapter, adapters, model, module);
    module.parts.push({ ...adapter, row: isWhole ? 0 : firstColumn(target, model), out });
    module.r += r;
  }
  return [...modules.values()];
}

/**
 * The base model's tensors that were trained in addition to the adapters of these sites, by their names in
 * transformers. The biases of adapted modules become PEFT's bias="lora_only" if all of them were trained; the others
 * are the modules `saved`.
 */
function trainedInBase(
  model: ModelConfig,
  modulesToSave: readonly string[],
  sites: readonly Site[],
): { entries: [name: string, entry: ImportEntry][]; saved: string[]; hasBiases: boolean } {
  const known = baseShapes(model);
  const biases = sites
    .filter(({ target }) => isInBlocks(target))
    .map(({ target, block }) => tensorName({ block, layer: ADAPTED[target].layer }, "bias"))
    .filter((name) => known.has(name));
  const hasBiases = biases.length > 0 && biases.every((name) => modulesToSave.includes(name));
  const isBias = (name: string) => hasBiases && biases.includes(name);
  const all = new Map(baseInFiles(model).map((one) => [one.name, one]));
  const trained = modulesToSave.map((name) => all.get(name)!);
  const entries = trained.flatMap((one) =>
    one.parts.map(({ key }, i): [string, ImportEntry] => {
      return [isBias(one.name) ? key.replace(/bias$/, "base_layer.bias") : key, baseEntry(one, i)];
    }),
  );
  const keys = trained.filter(({ name }) => !isBias(name)).flatMap(({ parts }) => parts.map(({ key }) => key));
  return { entries, saved: [...new Set(keys.map((key) => key.replace(/\.(weight|bias)$/, "")))], hasBiases };
}

/**
 * The magnitudes of a module with so many outputs, by ours: those of the adapted modules of a matrix are one tensor.
 */
function magnitudeEntry(
  { target, block }: Site,
  adapted: readonly Site[],
  config: ModelConfig,
  module: Pick<Module, "out" | "order">,
): ImportEntry {
  const place = { block, layer: ADAPTED[target].layer };
  const column = isSplit(config) ? firstColumn(target, config) : 0;
  let first = 0;
  for (const one of scaledColumns(place, adapted, config))
    first += Math.max(0, Math.min(one.width, column - one.first));
  return { name: magnitudeName(place), shape: [module.out], order: module.order, first };
}

/** PEFT's alpha for a scale: the shortest number that gives exactly this scale. */
function peftAlpha(scale: number, r: number, rslora: boolean): number {
  const divisor = rslora ? Math.sqrt(r) : r;
  const short = Number((scale * divisor).toPrecision(12));
  return short / divisor === scale ? short : scale * divisor;
}

/**
 * PEFT's adapter_config.json. PEFT scales by alpha / r, or alpha / sqrt(r) with use_rslora; lora_alpha is chosen so
 * that the scale is ours.
 */
function loraPeftConfig(
  adapter: LoraModel,
  modules: Module[],
  trained: ReturnType<typeof trainedInBase>,
): PeftForm["config"] {
  const { lora } = adapter;
  const layers = lora.layers_to_transform;
  const rslora = lora.scaling === "alpha/sqrt(r)";
  const alpha = peftAlpha(loraScale(lora), lora.r, rslora);
  return {
    ...commonConfig(adapter, trained.saved),
    alpha_pattern: modulePattern(modules, ({ scale, r }) => peftAlpha(scale, r, rslora), alpha),
    bias: trained.hasBiases ? "lora_only" : "none",
    // GPT-2's matrices are [in, out].
    fan_in_fan_out: traits(adapter.model).family === "gpt2",
    ...(layers && { layers_to_transform: layers }),
    init_lora_weights: lora.init === "gaussian" ? "gaussian" : true,
    lora_alpha: alpha,
    lora_dropout: lora.lora_dropout ?? 0,
    r: lora.r,
    rank_pattern: modulePattern(modules, ({ r }) => r, lora.r),
    target_modules: targetModules(adapter, modules),
    ...(lora.use_dora && { use_dora: true }),
    use_rslora: rslora,
  };
}

/** Suffixes if every block (of layers_to_transform) has the same modules, otherwise full names. */
function targetModules({ model, lora }: LoraModel, modules: Module[]): string[] {
  const kinds = [...new Set(modules.map(({ kind }) => kind))];
  if (lora.layers_to_transform) return kinds;
  const everywhere = kinds.every((kind) => {
    const ofKind = modules.filter((module) => module.kind === kind);
    return !ofKind[0]!.isInBlock || ofKind.length === model.n_layer;
  });
  return everywhere ? kinds : modules.map(({ name }) => name);
}

/** The modules whose value is not `usual`: by suffix if all modules of a kind agree, otherwise one by one. */
function modulePattern(modules: Module[], value: (module: Module) => number, usual: number): Record<string, number> {
  const pattern: Record<string, number> = {};
  for (const kind of new Set(modules.map((module) => module.kind))) {
    const ofKind = modules.filter((module) => module.kind === kind);
    const values = new Set(ofKind.map(value));
    for (const module of ofKind)
      if (value(module) !== usual) pattern[values.size === 1 ? kind : module.name] = value(module);
  }
  return pattern;
}

/** The inverse of `fuse` of peft-write.ts. Throws FormatError for a nonzero element outside the diagonal blocks. */
function split(module: Module, A: NamedTensor, B: NamedTensor, into: Tensors, where: string): void {
  const { parts, r, in: width, out } = module;
  let at = 0;
  for (const part of parts) {
    const { r: rank, row, out: rows } = part;
    const data = new Float32Array(rows * rank);
    for (let i = 0; i < out; i++)
      for (let k = 0; k < rank; k++) {
        const value = B.data[i * r + at + k]!;
        if (i >= row && i < row + rows) data[(i - row) * rank + k] = value;
        else if (value !== 0)
          throw new FormatError("damaged-adapter", `${factorName(module, "B")} is not block-diagonal`, {
            where,
            expected: `0 at row ${i}, column ${at + k}: q, k and v have separate adapters`,
            found: String(value),
            hint: "restore the original file: an adapter that PEFT trained further cannot be split into q, k and v",
          });
      }
    const slice = { shape: [rank, width], data: A.data.slice(at * width, (at + rank) * width) };
    into.set(loraName(part, "A"), part.target === "wte" ? transposed(slice) : slice);
    into.set(loraName(part, "B"), { shape: [rows, rank], data });
    at += rank;
  }
}
