/**
 * Adapter tensors in our names to and from PEFT's. q, k and v have adapters of their own here and one fused `c_attn`
 * there: A' = [A_q; A_k; A_v] and B' block-diagonal, with the rank and alpha that keep the same product.
 */
import { type GPT2Config, type LoraConfig, loraScale, type Target, type TaskConfig } from "../config.ts";
import { FormatError } from "../errors.ts";
import { loraDims, loraSite } from "../names.ts";
import { expectShape, type Shape } from "../tensor.ts";
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

const PREFIX = "base_model.model.";
const SCORE = `${PREFIX}score.weight`;
const FUSED = "attn.c_attn";

/** A module of PEFT's, in every block, and our targets that it holds, in the order of their blocks. */
interface Module {
  name: string;
  targets: Target[];
}

function modulesOf(targets: readonly Target[]): Module[] {
  const modules: Module[] = [
    { name: FUSED, targets: ["q", "k", "v"] },
    { name: "attn.c_proj", targets: ["o"] },
    { name: "mlp.c_fc", targets: ["fc"] },
    { name: "mlp.c_proj", targets: ["proj"] },
  ];
  return modules
    .map(({ name, targets: held }) => ({ name, targets: held.filter((target) => targets.includes(target)) }))
    .filter((module) => module.targets.length > 0);
}

/** A tied language-model head can carry an adapter in PEFT; a classifier's is saved whole, as score.weight. */
function adaptsLmHead({ lora, task }: LoraModel): boolean {
  return task.objective === "lm" && lora.target_modules.includes("head");
}

/**
 * PEFT's adapter_config.json. PEFT scales by alpha / r, or alpha / sqrt(r) with use_rslora: lora_alpha is written so
 * that the product is ours.
 */
export function peftConfig(adapter: LoraModel): Record<string, unknown> {
  const { base_model, lora, task } = adapter;
  const modules = modulesOf(lora.target_modules);
  const rslora = lora.scaling === "alpha/sqrt(r)";
  const alpha = lora.scaling === "alpha" ? lora.lora_alpha * lora.r : lora.lora_alpha;
  const blocks = modules.find(({ name }) => name === FUSED)?.targets.length ?? 1;
  const classifies = task.objective === "classification";
  return {
    alpha_pattern: blocks > 1 ? { [FUSED]: alpha * (rslora ? Math.sqrt(blocks) : blocks) } : {},
    base_model_name_or_path: base_model,
    bias: "none",
    fan_in_fan_out: true,
    inference_mode: true,
    init_lora_weights: lora.init === "gaussian" ? "gaussian" : true,
    lora_alpha: alpha,
    lora_dropout: 0,
    modules_to_save: classifies ? ["classifier", "score"] : null,
    peft_type: "LORA",
    r: lora.r,
    rank_pattern: blocks > 1 ? { [FUSED]: blocks * lora.r } : {},
    target_modules: [...modules.map(({ name }) => name), ...(adaptsLmHead(adapter) ? ["lm_head"] : [])],
    task_type: classifies ? "SEQ_CLS" : "CAUSAL_LM",
    use_rslora: rslora,
  };
}

/**
 * Why PEFT cannot hold this adapter so that it scores the same, or undefined where it can. PEFT keeps no bias of the
 * head; `finalNorm` allows to fold it into the head's weight.
 */
export function peftObstacle(adapter: LoraModel, tensors: Tensors, finalNorm?: FinalNorm): string | undefined {
  if (modulesOf(adapter.lora.target_modules).length === 0 && !adaptsLmHead(adapter))
    return "PEFT needs an adapter in the blocks, and only the head has one";
  const bias = tensors.get("head.bias")?.data;
  if (bias === undefined || bias.every((value) => value === 0)) return undefined;
  if (finalNorm === undefined) return "PEFT keeps no bias of the head: train without one (head_bias: false)";
  if (constantDirection(finalNorm) === undefined)
    return "PEFT keeps no bias of the head, and the final layer norm does not allow to fold it into the weight";
  return undefined;
}

/** The tensors of PEFT's adapter_model.safetensors. */
export function toPeft(adapter: LoraModel, tensors: Tensors, finalNorm?: FinalNorm): EncodableTensor[] {
  const { model, lora, task } = adapter;
  const out: EncodableTensor[] = [];
  const pair = (module: string, A: NamedTensor, B: NamedTensor) =>
    out.push(
      { name: `${PREFIX}${module}.lora_A.weight`, dtype: "F32", ...A },
      { name: `${PREFIX}${module}.lora_B.weight`, dtype: "F32", ...B },
    );
  const get = (target: Target, layer: number, part: "A" | "B") =>
    tensors.get(`lora.${loraSite(target, layer)}.${part}`)!;
  for (let layer = 0; layer < model.n_layer; layer++)
    for (const { name, targets } of modulesOf(lora.target_modules)) {
      const As = targets.map((target) => get(target, layer, "A"));
      const Bs = targets.map((target) => get(target, layer, "B"));
      const module = `transformer.h.${layer}.${name}`;
      if (name === FUSED) pair(module, fuseA(As, lora.r, model.n_embd), fuseB(Bs, targets, lora.r, model.n_embd));
      else pair(module, As[0]!, Bs[0]!);
    }
  if (adaptsLmHead(adapter)) pair("lm_head", get("head", 0, "A"), get("head", 0, "B"));
  if (task.objective === "classification")
    out.push({ name: SCORE, dtype: "F32", ...foldHead(adapter, tensors, finalNorm) });
  return out;
}

/** Reads PEFT's tensors back into ours, bit for bit: all but the head of a classifier. Errors name `where`. */
export function fromPeft(adapter: LoraModel, peft: Tensors, where: string): Tensors {
  const { model, lora, task } = adapter;
  const { r } = lora;
  const C = model.n_embd;
  const left = new Map(peft);
  const take = (name: string, shape: Shape): NamedTensor => {
    const tensor = left.get(name);
    if (tensor === undefined) throw new FormatError(`${name} is missing`, { where });
    left.delete(name);
    expectShape(name, tensor.shape, shape);
    return tensor;
  };
  const out: Tensors = new Map();
  const put = (target: Target, layer: number, A: NamedTensor, B: NamedTensor) => {
    out.set(`lora.${loraSite(target, layer)}.A`, A);
    out.set(`lora.${loraSite(target, layer)}.B`, B);
  };
  for (let layer = 0; layer < model.n_layer; layer++)
    for (const { name, targets } of modulesOf(lora.target_modules)) {
      const module = `${PREFIX}transformer.h.${layer}.${name}`;
      const width = targets.length * r;
      const dims = name === FUSED ? { in: C, out: 3 * C } : loraDims(targets[0]!, model, 0);
      const A = take(`${module}.lora_A.weight`, [width, dims.in]);
      const B = take(`${module}.lora_B.weight`, [dims.out, width]);
      if (name !== FUSED) put(targets[0]!, layer, A, B);
      else {
        const parts = splitB(B.data, targets, r, C, `${module}.lora_B.weight`, where);
        for (const [block, target] of targets.entries())
          put(target, layer, { shape: [r, C], data: A.data.slice(block * r * C, (block + 1) * r * C) }, parts[block]!);
      }
    }
  if (adaptsLmHead(adapter))
    put(
      "head",
      0,
      take(`${PREFIX}lm_head.lora_A.weight`, [r, C]),
      take(`${PREFIX}lm_head.lora_B.weight`, [model.vocab_size, r]),
    );
  if (task.objective === "classification") take(SCORE, [task.num_labels, C]);
  if (left.size > 0)
    throw new FormatError("the adapter file has tensors that its configuration does not name", {
      where,
      found: [...left.keys()].join(", "),
    });
  return out;
}

/** [A_q; A_k; A_v]: [blocks r, C]. */
function fuseA(As: NamedTensor[], r: number, C: number): NamedTensor {
  const data = new Float32Array(As.length * r * C);
  for (const [block, A] of As.entries()) data.set(A.data, block * r * C);
  return { shape: [As.length * r, C], data };
}

/** Row of c_attn's output at which a target's third begins. */
function thirdOf(target: Target, C: number): number {
  return ["q", "k", "v"].indexOf(target) * C;
}

/** Block-diagonal [3C, blocks r]: rows by the thirds of c_attn, columns by the blocks that there are. */
function fuseB(Bs: NamedTensor[], targets: Target[], r: number, C: number): NamedTensor {
  const width = Bs.length * r;
  const data = new Float32Array(3 * C * width);
  for (const [block, target] of targets.entries())
    for (let row = 0; row < C; row++)
      data.set(Bs[block]!.data.subarray(row * r, (row + 1) * r), (thirdOf(target, C) + row) * width + block * r);
  return { shape: [3 * C, width], data };
}

/** The diagonal blocks, each [C, r]; throws FormatError where anything beside them is not zero. */
function splitB(
  data: Float32Array,
  targets: Target[],
  r: number,
  C: number,
  name: string,
  where: string,
): NamedTensor[] {
  const width = targets.length * r;
  const parts = targets.map(() => ({ shape: [C, r], data: new Float32Array(C * r) }));
  for (let row = 0; row < 3 * C; row++) {
    const block = targets.findIndex((target) => Math.floor(row / C) * C === thirdOf(target, C));
    for (let column = 0; column < width; column++) {
      const value = data[row * width + column]!;
      if (block >= 0 && Math.floor(column / r) === block) parts[block]!.data[(row % C) * r + (column % r)] = value;
      else if (value !== 0)
        throw new FormatError(`${name} is not block-diagonal`, {
          where,
          expected: `0 at row ${row}, column ${column}: q, k and v have adapters of their own`,
          found: String(value),
          hint: "was the adapter trained further in PEFT? It cannot be split into q, k and v again",
        });
    }
  }
  return parts;
}

/**
 * score.weight [num_labels, C], PEFT's head: W + scale B A, and the bias folded in along the direction in which every
 * output of the final layer norm is 1. Sums in double precision.
 */
function foldHead({ model, lora, task }: LoraModel, tensors: Tensors, finalNorm?: FinalNorm): NamedTensor {
  const C = model.n_embd;
  const data = Float64Array.from(tensors.get("head.weight")!.data);
  const A = tensors.get("lora.head.A")?.data;
  const B = tensors.get("lora.head.B")?.data;
  const scale = loraScale(lora);
  if (A !== undefined && B !== undefined)
    for (let label = 0; label < task.num_labels; label++)
      for (let k = 0; k < lora.r; k++) {
        const factor = scale * B[label * lora.r + k]!;
        for (let c = 0; c < C; c++) data[label * C + c]! += factor * A[k * C + c]!;
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
