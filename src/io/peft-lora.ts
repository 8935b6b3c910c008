/**
 * LoRA adapters in PEFT's files. Ours have separate adapters for q, k and v, PEFT's one fused
 * `c_attn`: A' = [A_q; A_k; A_v] and a block-diagonal B', with rank and alpha such that the product is the same.
 * Modules that differ in rank or scale are written as patterns. DoRA's magnitudes belong to a module here and there.
 */
import { isInBlocks, type LoraConfig, loraScale, type Target } from "../config.ts";
import { FormatError } from "../errors.ts";
import {
  ADAPTED,
  baseShapes,
  firstColumn,
  type LoraAdapter,
  lmHeadShapes,
  loraAdapters,
  loraDims,
  loraName,
  magnitudeName,
  matrixOutputs,
} from "../names.ts";
import type { Shape } from "../tensor.ts";
import type { AdapterMeta } from "./adapter-meta.ts";
import { commonConfig, type NamedTensor, type PeftForm, readFactors, type Tensors, transposed } from "./peft-form.ts";

/** The settings that determine an adapter's form in PEFT. */
interface LoraModel extends Pick<AdapterMeta, "base_model" | "mode" | "model" | "task"> {
  lora: LoraConfig;
}

/** Every tensor name in PEFT's file begins with its wrapper of the model. */
export const WRAPPER = "base_model.model.";
/** A classifier's head in PEFT's file. */
export const SCORE = `${WRAPPER}score.weight`;

/** PEFT's module for the token table. */
export const TOKEN_TABLE = "transformer.wte";

/** PEFT's module for a target; in block N with the prefix `transformer.h.N.`. */
export const moduleKind = (target: Target): string =>
  target === "head" ? "lm_head" : target === "wte" ? TOKEN_TABLE : ADAPTED[target].layer;

/** Whether a module is one of a block's. */
const isOfBlock = (kind: string) => kind !== moduleKind("head") && kind !== TOKEN_TABLE;

/** One of PEFT's modules and the adapters of ours that it contains, in the order of their blocks. */
interface Module {
  /** `transformer.h.3.attn.c_attn`, `lm_head`. */
  name: string;
  kind: string;
  parts: Part[];
  /** Our name of its magnitudes; null without DoRA. */
  magnitude: string | null;
  r: number;
  scale: number;
  in: number;
  out: number;
}

interface Part extends LoraAdapter {
  /** The rows [row, row + out) of the module's output that the part writes. */
  row: number;
  out: number;
}

/** The name of a module's A or B in PEFT's file. */
export const factorName = ({ name }: { name: string }, part: "A" | "B") =>
  name === TOKEN_TABLE ? `${WRAPPER}${name}.lora_embedding_${part}` : `${WRAPPER}${name}.lora_${part}.weight`;

/** The name of a module's magnitudes in PEFT's file. */
export const magnitudeKey = (module: string) => `${WRAPPER}${module}.lora_magnitude_vector`;

/** Settings that affect the results. */
const DECISIVE = [
  ...["r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"],
  ...["target_modules", "layers_to_transform", "bias"],
];

/** A LoRA adapter in PEFT's files. */
export function loraForm(adapter: LoraModel): PeftForm {
  const modules = loraModules(adapter);
  const saved = [...savedKeys(adapter, modules)];
  const base = new Map([...baseShapes(adapter.model), ...lmHeadShapes(adapter.model)]);
  return {
    config: loraPeftConfig(adapter, modules),
    decisive: adapter.lora.use_dora ? [...DECISIVE, "use_dora"] : DECISIVE,
    shapes: new Map<string, Shape>([
      ...modules.flatMap((module): [string, Shape][] => [
        [factorName(module, "A"), [module.r, module.in]],
        [factorName(module, "B"), [module.out, module.r]],
        ...(module.magnitude ? [[magnitudeKey(module.name), [module.out]] satisfies [string, Shape]] : []),
      ]),
      ...saved.map(([name, key]): [string, Shape] => [key, base.get(name)!]),
    ]),
    score: SCORE,
    obstacle: loraObstacle(modules),
    to(tensors) {
      const out: Tensors = new Map();
      for (const module of modules) {
        const { A, B } = fuse(module, tensors);
        out.set(factorName(module, "A"), A).set(factorName(module, "B"), B);
        if (module.magnitude) out.set(magnitudeKey(module.name), tensors.get(module.magnitude)!);
      }
      for (const [name, key] of saved) out.set(key, tensors.get(name)!);
      return out;
    },
    from(peft, where) {
      const out: Tensors = new Map();
      for (const module of modules) {
        const [A, B] = [peft.get(factorName(module, "A"))!, peft.get(factorName(module, "B"))!];
        split(module, A, B, out, where);
        if (module.magnitude) out.set(module.magnitude, peft.get(magnitudeKey(module.name))!);
      }
      for (const [name, key] of saved) out.set(name, peft.get(key)!);
      return out;
    },
  };
}

/** Why PEFT cannot represent these adapters; undefined if it can. */
function loraObstacle(modules: Module[]): string | undefined {
  if (modules.length === 0) return "only the head has an adapter, and PEFT needs one in the blocks";
  const uneven = modules.find(({ parts, scale }) => parts.some((part) => part.scale !== scale));
  if (uneven) return `the adapters of ${uneven.name} have different scales, and PEFT has only one per module`;
  return undefined;
}

/** PEFT's modules with adapters. A classifier's head is not one: it is saved whole, as score.weight. */
function loraModules({ model, lora, task }: LoraModel): Module[] {
  const modules = new Map<string, Module>();
  for (const adapter of loraAdapters(model, lora)) {
    const { target, block, r, scale } = adapter;
    if (target === "head" && task.objective !== "lm") continue;
    const kind = moduleKind(target);
    const name = block === null ? kind : `transformer.h.${block}.${kind}`;
    const { layer } = ADAPTED[target];
    const { in: input, out } = loraDims(target, model, model.vocab_size);
    const whole = { in: input, out: isInBlocks(target) ? matrixOutputs(target, model) : out };
    const magnitude = lora.use_dora ? magnitudeName({ block, layer }) : null;
    const module = modules.get(name) ?? { name, kind, parts: [], magnitude, r: 0, scale, ...whole };
    modules.set(name, module);
    module.parts.push({ ...adapter, row: firstColumn(target, model), out });
    module.r += r;
  }
  return [...modules.values()];
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
function loraPeftConfig(adapter: LoraModel, modules: Module[]): PeftForm["config"] {
  const { lora } = adapter;
  const layers = lora.layers_to_transform;
  const rslora = lora.scaling === "alpha/sqrt(r)";
  const alpha = peftAlpha(loraScale(lora), lora.r, rslora);
  const { biases, saved } = savedModules(adapter, modules);
  return {
    ...commonConfig(adapter, saved),
    alpha_pattern: modulePattern(modules, ({ scale, r }) => peftAlpha(scale, r, rslora), alpha),
    bias: biases.length > 0 ? "lora_only" : "none",
    fan_in_fan_out: true,
    ...(layers ? { layers_to_transform: layers } : {}),
    init_lora_weights: lora.init === "gaussian" ? "gaussian" : true,
    lora_alpha: alpha,
    lora_dropout: lora.lora_dropout ?? 0,
    r: lora.r,
    rank_pattern: modulePattern(modules, ({ r }) => r, lora.r),
    target_modules: targetModules(adapter, modules),
    ...(lora.use_dora ? { use_dora: true } : {}),
    use_rslora: rslora,
  };
}

/** Suffixes if every block (of layers_to_transform) has the same modules, otherwise full names. */
function targetModules({ model, lora }: LoraModel, modules: Module[]): string[] {
  const kinds = [...new Set(modules.map(({ kind }) => kind))];
  if (lora.layers_to_transform) return kinds;
  const everywhere = kinds.every(
    (kind) => !isOfBlock(kind) || modules.filter((module) => module.kind === kind).length === model.n_layer,
  );
  return everywhere ? kinds : modules.map(({ name }) => name);
}

/** The modules whose value is not `usual`: by suffix if all modules of a kind agree, otherwise one by one. */
function modulePattern(modules: Module[], value: (module: Module) => number, usual: number): Record<string, number> {
  const pattern: Record<string, number> = {};
  for (const kind of new Set(modules.map((module) => module.kind))) {
    const some = modules.filter((module) => module.kind === kind);
    const values = new Set(some.map(value));
    for (const module of some)
      if (value(module) !== usual) pattern[values.size === 1 ? kind : module.name] = value(module);
  }
  return pattern;
}

/**
 * The base model's tensors that were trained as well. The biases of the adapted modules become PEFT's bias="lora_only"
 * if all of them were trained; the others become modules_to_save.
 */
function savedModules({ lora }: LoraModel, modules: Module[]): { biases: string[]; saved: string[] } {
  const modulesToSave = lora.modulesToSave ?? [];
  const all = modules.filter(({ kind }) => isOfBlock(kind)).map(({ name }) => `${baseName(name)}.bias`);
  const biases = all.every((name) => modulesToSave.includes(name)) ? all : [];
  const others = modulesToSave.filter((name) => !biases.includes(name));
  return { biases, saved: [...new Set(others.map((name) => theirName(name).replace(/\.(weight|bias)$/, "")))] };
}

/** The name in transformers of a tensor of the base model. */
export const theirName = (name: string) => (name === "lm_head.weight" ? name : `transformer.${name}`);

const baseName = (module: string) => module.replace(/^transformer\./, "");

/** Maps the base model's tensors that were trained as well to their names in PEFT's file. */
function savedKeys(adapter: LoraModel, modules: Module[]): Map<string, string> {
  const { biases } = savedModules(adapter, modules);
  const key = (name: string) => (biases.includes(name) ? name.replace(/bias$/, "base_layer.bias") : name);
  return new Map((adapter.lora.modulesToSave ?? []).map((name) => [name, WRAPPER + theirName(key(name))]));
}

/** A' [r, in]: the parts' A stacked; B' [out, r]: block-diagonal. */
function fuse({ parts, r, in: width, out }: Module, tensors: Tensors): { A: NamedTensor; B: NamedTensor } {
  const A = new Float32Array(r * width);
  const B = new Float32Array(out * r);
  let at = 0;
  for (const part of parts) {
    const { A: ownA, B: from } = readFactors(tensors, part);
    A.set(ownA, at * width);
    for (let row = 0; row < part.out; row++)
      B.set(from.subarray(row * part.r, (row + 1) * part.r), (part.row + row) * r + at);
    at += part.r;
  }
  return { A: { shape: [r, width], data: A }, B: { shape: [out, r], data: B } };
}

/** The inverse of `fuse`. Throws FormatError for a nonzero element outside the diagonal blocks. */
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
            hint: "restore the original file: an adapter that was trained further with PEFT cannot be split into q, k and v",
          });
      }
    const own = { shape: [rank, width], data: A.data.slice(at * width, (at + rank) * width) };
    into.set(loraName(part, "A"), part.target === "wte" ? transposed(own) : own);
    into.set(loraName(part, "B"), { shape: [rows, rank], data });
    at += rank;
  }
}
