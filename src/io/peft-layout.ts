/**
 * Adapter tensors in our names to and from PEFT's. q, k and v have adapters of their own here and one fused `c_attn`
 * there: A' = [A_q; A_k; A_v] and B' block-diagonal, with the rank and alpha that keep the same product.
 * Modules that differ in rank or scale are told by patterns.
 */
import { type GPT2Config, type LoraConfig, loraScale, type Target, type TaskConfig } from "../config.ts";
import { FormatError } from "../errors.ts";
import { baseShapes, loraDims, loraSites, parseSite } from "../names.ts";
import type { Shape } from "../tensor.ts";
import type { EncodableTensor } from "./safetensors.ts";

export interface NamedTensor {
  shape: Shape;
  data: Float32Array;
}

/** Tensors by the names of `names.ts`: `lora.h.0.attn.q.A`, `head.weight`, `h.0.ln_1.weight`. */
export type Tensors = Map<string, NamedTensor>;

/** What decides how an adapter looks in PEFT. */
export interface LoraModel {
  base_model: string;
  model: GPT2Config;
  lora: LoraConfig;
  task: TaskConfig;
}

/** The final layer norm's weight and bias, both [C]. */
export interface FinalNorm {
  weight: Float32Array;
  bias: Float32Array;
}

/** What every name of a tensor in PEFT's file begins with. */
export const PREFIX = "base_model.model.";
/** A classifier's head in PEFT's file. */
export const SCORE = `${PREFIX}score.weight`;

/** The module of PEFT's that holds a target's adapter, in block N under `transformer.h.N.`. */
export const KINDS: Record<Target, string> = {
  q: "attn.c_attn",
  k: "attn.c_attn",
  v: "attn.c_attn",
  c_attn: "attn.c_attn",
  o: "attn.c_proj",
  fc: "mlp.c_fc",
  proj: "mlp.c_proj",
  head: "lm_head",
};

/** A module of PEFT's and the adapters of ours that it holds, in the order of their blocks. */
interface Module {
  /** `transformer.h.3.attn.c_attn`, `lm_head`. */
  name: string;
  kind: string;
  parts: Part[];
  r: number;
  scale: number;
  in: number;
  out: number;
}

interface Part {
  site: string;
  r: number;
  scale: number;
  /** The rows [row, row + out) of the module's output that the part writes. */
  row: number;
  out: number;
}

/** The modules that hold adapters. A classifier's head has none in PEFT: it is saved whole, as score.weight. */
function modulesOf({ model, lora, task }: LoraModel): Module[] {
  const modules = new Map<string, Module>();
  for (const { site, r, scale } of loraSites(model, lora)) {
    const { target, layer } = parseSite(site, model)!;
    if (target === "head" && task.objective === "classification") continue;
    const kind = KINDS[target];
    const name = target === "head" ? kind : `transformer.h.${layer}.${kind}`;
    const dims = loraDims(target, model, model.vocab_size);
    const third = ["q", "k", "v"].indexOf(target);
    const whole = third < 0 ? dims : { in: dims.in, out: 3 * dims.out };
    const module = modules.get(name) ?? { name, kind, parts: [], r: 0, scale, ...whole };
    modules.set(name, module);
    module.parts.push({ site, r, scale, row: Math.max(0, third) * dims.out, out: dims.out });
    module.r += r;
  }
  return [...modules.values()];
}

/** PEFT's alpha for a scale: the shortest number that leads back to it. */
function alphaOf(scale: number, r: number, rslora: boolean): number {
  const divisor = rslora ? Math.sqrt(r) : r;
  const short = Number((scale * divisor).toPrecision(12));
  return short / divisor === scale ? short : scale * divisor;
}

/**
 * PEFT's adapter_config.json. PEFT scales by alpha / r, or alpha / sqrt(r) with use_rslora: lora_alpha is written so
 * that the product is ours.
 */
export function peftConfig(adapter: LoraModel): Record<string, unknown> {
  const { base_model, lora, task } = adapter;
  const modules = modulesOf(adapter);
  const layers = lora.layers_to_transform;
  const rslora = lora.scaling === "alpha/sqrt(r)";
  const alpha = alphaOf(loraScale(lora), lora.r, rslora);
  const classifies = task.objective === "classification";
  const { biases, saved } = savedModules(adapter, modules);
  const modulesToSave = [...(classifies ? ["classifier", "score"] : []), ...saved];
  return {
    alpha_pattern: patternOf(modules, ({ scale, r }) => alphaOf(scale, r, rslora), alpha),
    base_model_name_or_path: base_model,
    bias: biases.length > 0 ? "lora_only" : "none",
    fan_in_fan_out: true,
    inference_mode: true,
    ...(layers ? { layers_to_transform: layers } : {}),
    init_lora_weights: lora.init === "gaussian" ? "gaussian" : true,
    lora_alpha: alpha,
    lora_dropout: 0,
    modules_to_save: modulesToSave.length > 0 ? modulesToSave : null,
    peft_type: "LORA",
    r: lora.r,
    rank_pattern: patternOf(modules, ({ r }) => r, lora.r),
    target_modules: targetModules(adapter, modules),
    task_type: classifies ? "SEQ_CLS" : "CAUSAL_LM",
    use_rslora: rslora,
  };
}

/** Suffixes where every block has the same modules, or every one in layers_to_transform, else full names. */
function targetModules({ model, lora }: LoraModel, modules: Module[]): string[] {
  const kinds = [...new Set(modules.map(({ kind }) => kind))];
  if (lora.layers_to_transform) return kinds;
  const everywhere = kinds.every(
    (kind) => kind === KINDS.head || modules.filter((module) => module.kind === kind).length === model.n_layer,
  );
  return everywhere ? kinds : modules.map(({ name }) => name);
}

/** The modules whose value is not the usual one: by suffix where all of a kind agree, else one by one. */
function patternOf(modules: Module[], value: (module: Module) => number, usual: number): Record<string, number> {
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
 * The base model's tensors that learned too: as the biases of the adapted modules (PEFT's bias="lora_only") where all of
 * those learned, and the others as modules_to_save.
 */
function savedModules({ lora }: LoraModel, modules: Module[]): { biases: string[]; saved: string[] } {
  const also = lora.also ?? [];
  const all = modules.filter(({ kind }) => kind !== KINDS.head).map(({ name }) => `${baseName(name)}.bias`);
  const biases = all.every((name) => also.includes(name)) ? all : [];
  const others = also.filter((name) => !biases.includes(name));
  return { biases, saved: [...new Set(others.map((name) => `transformer.${name.replace(/\.(weight|bias)$/, "")}`))] };
}

const baseName = (module: string) => module.replace(/^transformer\./, "");

/** Names in PEFT's file of the base model's tensors that learned too, by their own. */
function alsoKeys(adapter: LoraModel): Map<string, string> {
  const { biases } = savedModules(adapter, modulesOf(adapter));
  const key = (name: string) => (biases.includes(name) ? name.replace(/bias$/, "base_layer.bias") : name);
  return new Map((adapter.lora.also ?? []).map((name) => [name, `${PREFIX}transformer.${key(name)}`]));
}

/** Why PEFT cannot hold these adapters, or undefined where it can. */
export function peftObstacle(adapter: LoraModel): string | undefined {
  const modules = modulesOf(adapter);
  if (modules.length === 0) return "PEFT needs an adapter in the blocks, and only the head has one";
  const uneven = modules.find(({ parts, scale }) => parts.some((part) => part.scale !== scale));
  if (uneven) return `the adapters of ${uneven.name} have several scales, and PEFT has one for all of them`;
  return undefined;
}

/**
 * Why the bias of a head cannot be told to PEFT and transformers, whose heads have none, or undefined where it can:
 * `finalNorm` allows to fold it into the head's weight.
 */
export function biasObstacle(tensors: Tensors, finalNorm?: FinalNorm): string | undefined {
  const bias = tensors.get("head.bias")?.data;
  if (bias === undefined || bias.every((value) => value === 0)) return undefined;
  if (finalNorm === undefined)
    return "PEFT and transformers keep no bias of the head: train without one (--no-head-bias)";
  if (constantDirection(finalNorm) === undefined)
    return "PEFT and transformers keep no bias of the head, and the final layer norm does not allow to fold it into the weight";
  return undefined;
}

/** Why a classifier's head cannot be one matrix of floats, or undefined where it can. */
export function headObstacle(adapter: LoraModel, tensors: Tensors, finalNorm?: FinalNorm): string | undefined {
  if (adapter.task.objective !== "classification") return undefined;
  const fits = foldHead(adapter, tensors, finalNorm).data.every(Number.isFinite);
  return fits ? undefined : "the head and its adapter overflow float32";
}

/** The tensors of PEFT's adapter_model.safetensors. */
export function toPeft(adapter: LoraModel, tensors: Tensors, finalNorm?: FinalNorm): EncodableTensor[] {
  const out: EncodableTensor[] = [];
  for (const module of modulesOf(adapter)) {
    const { A, B } = fuse(module, tensors);
    out.push(
      { name: `${PREFIX}${module.name}.lora_A.weight`, dtype: "F32", ...A },
      { name: `${PREFIX}${module.name}.lora_B.weight`, dtype: "F32", ...B },
    );
  }
  for (const [name, key] of alsoKeys(adapter)) out.push({ name: key, dtype: "F32", ...tensors.get(name)! });
  if (adapter.task.objective === "classification")
    out.push({ name: SCORE, dtype: "F32", ...foldHead(adapter, tensors, finalNorm) });
  return out;
}

/** Names and shapes of the tensors of PEFT's adapter_model.safetensors. */
export function peftShapes(adapter: LoraModel): Map<string, Shape> {
  const { model, task } = adapter;
  const shapes = new Map<string, Shape>();
  for (const module of modulesOf(adapter)) {
    shapes.set(`${PREFIX}${module.name}.lora_A.weight`, [module.r, module.in]);
    shapes.set(`${PREFIX}${module.name}.lora_B.weight`, [module.out, module.r]);
  }
  const base = baseShapes(model);
  for (const [name, key] of alsoKeys(adapter)) shapes.set(key, base.get(name)!);
  if (task.objective === "classification") shapes.set(SCORE, [task.num_labels, model.n_embd]);
  return shapes;
}

/**
 * PEFT's tensors, of `peftShapes`, back into ours, bit for bit: all but the head of a classifier. Throws FormatError, naming
 * `where`, for those that another program has trained.
 */
export function fromPeft(adapter: LoraModel, peft: Tensors, where: string): Tensors {
  const out: Tensors = new Map();
  for (const module of modulesOf(adapter)) {
    const [A, B] = ["A", "B"].map((part) => peft.get(`${PREFIX}${module.name}.lora_${part}.weight`)!);
    split(module, A!, B!, out, where);
  }
  for (const [name, key] of alsoKeys(adapter)) out.set(name, peft.get(key)!);
  return out;
}

/** A' = the parts' A one under the other, [r, in]; B' block-diagonal, [out, r]. */
function fuse({ parts, r, in: width, out }: Module, tensors: Tensors): { A: NamedTensor; B: NamedTensor } {
  const A = new Float32Array(r * width);
  const B = new Float32Array(out * r);
  let at = 0;
  for (const part of parts) {
    A.set(tensors.get(`lora.${part.site}.A`)!.data, at * width);
    const from = tensors.get(`lora.${part.site}.B`)!.data;
    for (let row = 0; row < part.out; row++)
      B.set(from.subarray(row * part.r, (row + 1) * part.r), (part.row + row) * r + at);
    at += part.r;
  }
  return { A: { shape: [r, width], data: A }, B: { shape: [out, r], data: B } };
}

/** The inverse of `fuse`; throws FormatError where anything beside the diagonal blocks is not zero. */
function split(module: Module, A: NamedTensor, B: NamedTensor, into: Tensors, where: string): void {
  const { name, parts, r, in: width, out } = module;
  let at = 0;
  for (const { site, r: rank, row, out: rows } of parts) {
    const data = new Float32Array(rows * rank);
    for (let i = 0; i < out; i++)
      for (let k = 0; k < rank; k++) {
        const value = B.data[i * r + at + k]!;
        if (i >= row && i < row + rows) data[(i - row) * rank + k] = value;
        else if (value !== 0)
          throw new FormatError(`${PREFIX}${name}.lora_B.weight is not block-diagonal`, {
            where,
            expected: `0 at row ${i}, column ${at + k}: q, k and v have adapters of their own`,
            found: String(value),
            hint: "was the adapter trained further in PEFT? It cannot be split into q, k and v again",
          });
      }
    into.set(`lora.${site}.A`, { shape: [rank, width], data: A.data.slice(at * width, (at + rank) * width) });
    into.set(`lora.${site}.B`, { shape: [rows, rank], data });
    at += rank;
  }
}

/**
 * score.weight [num_labels, C], the head of PEFT and transformers: W + scale B A, and the bias folded in along the
 * direction in which every output of the final layer norm is 1. Sums in double precision.
 */
export function foldHead(
  { model, lora, task }: Pick<LoraModel, "model" | "task"> & { lora: LoraConfig | null },
  tensors: Tensors,
  finalNorm?: FinalNorm,
): NamedTensor {
  const C = model.n_embd;
  const data = Float64Array.from(tensors.get("head.weight")!.data);
  const site = lora && loraSites(model, lora).find((one) => one.site === "head");
  if (site) {
    const { r, scale } = site;
    const A = tensors.get("lora.head.A")!.data;
    const B = tensors.get("lora.head.B")!.data;
    for (let label = 0; label < task.num_labels; label++)
      for (let k = 0; k < r; k++) {
        const factor = scale * B[label * r + k]!;
        for (let c = 0; c < C; c++) data[label * C + c]! += factor * A[k * C + c]!;
      }
  }
  const bias = tensors.get("head.bias")?.data;
  const direction = finalNorm === undefined ? undefined : constantDirection(finalNorm);
  if (bias !== undefined && direction !== undefined)
    for (let label = 0; label < task.num_labels; label++)
      for (let c = 0; c < C; c++) data[label * C + c]! += bias[label]! * direction[c]!;
  return { shape: [task.num_labels, C], data: Float32Array.from(data) };
}

/** A fold may lose at most this factor in precision: 1e4 leaves about three digits of the bias in float32. */
const MAX_AMPLIFICATION = 1e4;

/**
 * u [C] with u . x = 1 for every output x = g n + b of the final layer norm. The normalised n sums to 0, hence
 * sum x_i / g_i = sum b_i / g_i for every x. Undefined where that sum is too near to 0 to divide by.
 */
export function constantDirection({ weight, bias }: FinalNorm): Float64Array | undefined {
  let sum = 0;
  for (let i = 0; i < weight.length; i++) sum += bias[i]! / weight[i]!;
  const u = Float64Array.from(weight, (g) => 1 / g / sum);
  // The terms of u . x that cancel are about u_i g_i each, for n of standard deviation 1.
  const amplification = Math.sqrt(weight.length) / Math.abs(sum);
  return u.every(Number.isFinite) && amplification < MAX_AMPLIFICATION ? u : undefined;
}
