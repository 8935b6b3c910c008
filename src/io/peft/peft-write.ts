/** Writes directories of trained tensors. Separate from the reader: a page that only classifies does not load it. */
import { traits } from "../../core/config.ts";
import { expectShape, numel } from "../../core/tensor.ts";
import { METHODS } from "../../methods/index.ts";
import { loraAdapters } from "../../methods/lora.ts";
import type { BaseModel } from "../hf.ts";
import { type EncodableTensor, encodeSafetensors } from "../safetensors/safetensors-write.ts";
import { type AdapterMeta, adapterShapes, checkMeta, encodeMeta } from "./adapter-meta.ts";
import {
  type Adapter,
  COUNTS,
  checkShapes,
  digestTensors,
  EXACT,
  META,
  ownTensors,
  PEFT_CONFIG,
  PEFT_TENSORS,
  peftForm,
  WEIGHTS,
} from "./peft.ts";
import {
  eachRow,
  type FinalNorm,
  headEntries,
  headModule,
  type ImportEntry,
  type Module,
  type NamedTensor,
  type PeftForm,
  readFactors,
  type Tensors,
  transposed,
} from "./peft-form.ts";
import { factorName } from "./peft-lora.ts";

/** The files of an adapter directory, and whether PEFT can load it. */
export interface AdapterFiles {
  files: Map<string, string | Uint8Array>;
  peft: boolean;
  /** Why PEFT cannot load it; all tensors are then in our own file. */
  reason?: string;
}

/**
 * An adapter as the files of its directory. With `finalNorm`, the base model's last layer norm, a bias of the head can
 * be folded into PEFT's score.weight. Throws FormatError or ShapeError if the tensors do not match `meta`.
 */
export async function adapterFiles(
  { meta, tensors, counts }: Adapter,
  { finalNorm }: { finalNorm?: FinalNorm | undefined } = {},
): Promise<AdapterFiles> {
  const where = "the adapter";
  checkMeta(meta, where);
  const shapes = adapterShapes(meta);
  checkShapes(new Map([...tensors].map(([name, { shape }]) => [name, shape])), shapes, where);
  for (const [name, shape] of shapes)
    expectShape(`the data of ${name}`, [tensors.get(name)!.data.length], [numel(shape)]);
  const files: AdapterFiles["files"] = new Map();
  const form = peftForm(meta);
  let reason: string | undefined = `${METHODS[meta.mode].title} is not one of its methods`;
  if (form === undefined) files.set(WEIGHTS, encodeSafetensors(encodable(tensors)));
  else {
    reason = peftObstacle(form) ?? biasObstacle({ meta, tensors }, finalNorm) ?? headObstacle(meta, tensors, finalNorm);
    const peft = reason === undefined ? peftFiles(form, meta, tensors, finalNorm) : [];
    for (const [name, content] of peft) files.set(name, content);
    const own =
      reason === undefined ? new Map(ownTensors(meta).map(({ name }) => [name, tensors.get(name)!])) : tensors;
    if (own.size > 0) files.set(EXACT, encodeSafetensors(encodable(own)));
  }
  if (counts) files.set(COUNTS, counts);
  files.set(META, encodeMeta({ ...meta, sha256: await digestTensors({ meta, tensors, ...(counts && { counts }) }) }));
  return { files, peft: reason === undefined, ...(reason === undefined ? {} : { reason }) };
}

/** The last layer norm, by which a head's bias can be folded into its weight; undefined: an RMS norm has no bias. */
export async function readFinalNorm({ tensors }: Adapter, baseModel: BaseModel): Promise<FinalNorm | undefined> {
  if (traits(baseModel.config).biases !== "all") return undefined;
  const read = async (name: string) => tensors.get(name)?.data ?? (await baseModel.read(name));
  return { weight: await read("ln_f.weight"), bias: await read("ln_f.bias") };
}

/** PEFT's two files. A bias of the head is folded if `finalNorm` allows it, and otherwise dropped. */
export function peftFiles(
  form: PeftForm,
  meta: AdapterMeta,
  tensors: Tensors,
  finalNorm: FinalNorm | undefined,
): AdapterFiles["files"] {
  const peft = toPeft(form, tensors);
  for (const [name, tensor] of headTensors(meta, tensors, finalNorm)) peft.set(form.wrapper + name, tensor);
  return new Map<string, string | Uint8Array>([
    [PEFT_CONFIG, `${JSON.stringify(sortKeys(form.config), null, 2)}\n`],
    [PEFT_TENSORS, encodeSafetensors(encodable(peft), { format: "pt" })],
  ]);
}

function toPeft({ modules, whole }: PeftForm, tensors: Tensors): Tensors {
  const out: Tensors = new Map();
  for (const module of modules ?? []) {
    const { A, B } = fuse(module, tensors);
    out.set(factorName(module, "A"), A).set(factorName(module, "B"), module.order?.theirs(B) ?? B);
  }
  for (const [key, entry] of whole) out.set(key, toEntry(entry, tensors));
  return out;
}

/** A' [r, in]: the parts' A stacked; B' [out, r]: block-diagonal. */
function fuse({ parts, r, in: width, out }: Module, tensors: Tensors): { A: NamedTensor; B: NamedTensor } {
  const A = new Float32Array(r * width);
  const B = new Float32Array(out * r);
  let at = 0;
  for (const part of parts) {
    const { A: ownA, B: ownB } = readFactors(tensors, part);
    A.set(ownA, at * width);
    for (let row = 0; row < part.out; row++)
      B.set(ownB.subarray(row * part.r, (row + 1) * part.r), (part.row + row) * r + at);
    at += part.r;
  }
  return { A: { shape: [r, width], data: A }, B: { shape: [out, r], data: B } };
}

/** The tensor of PEFT's file from ours. */
function toEntry({ name, shape, isTurned, first, order }: ImportEntry, tensors: Tensors): NamedTensor {
  const whole = tensors.get(name)!;
  let part = whole;
  if (first !== undefined) {
    const turned = isTurned ? [...shape!].reverse() : shape!;
    part = { shape: turned, data: new Float32Array(numel(turned)) };
    eachRow(whole, part, first, (ours, theirs) => theirs.set(ours));
  }
  const rows = isTurned ? transposed(part) : part;
  return order ? order.theirs(rows) : rows;
}

/** Why PEFT cannot represent an adapter; undefined if it can. */
export function peftObstacle({ modules }: PeftForm): string | undefined {
  if (!modules) return undefined;
  if (modules.length === 0) return "only the head has an adapter, and PEFT needs one in the blocks";
  const uneven = modules.find(({ parts, scale }) => parts.some((part) => part.scale !== scale));
  if (uneven) return `the adapters of ${uneven.name} have different scales, and PEFT has only one per module`;
  return undefined;
}

function encodable(tensors: Tensors): EncodableTensor[] {
  return [...tensors].map(([name, { shape, data }]) => ({ name, shape, dtype: "F32", data }));
}

function sortKeys(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Why the bias of a head cannot be exported to PEFT and transformers, where that of the task has none; undefined if it
 * can be folded into the head's weight, by `finalNorm`.
 */
export function biasObstacle(
  { meta: { task, model }, tensors }: Pick<Adapter, "meta" | "tensors">,
  finalNorm?: FinalNorm,
): string | undefined {
  const bias = tensors.get("head.bias")?.data;
  if (headModule(task.objective, model)?.hasBias || bias === undefined || bias.every((value) => value === 0))
    return undefined;
  if (finalNorm === undefined || constantDirection(finalNorm) === undefined)
    return "PEFT and transformers do not support a bias of the head, which this final norm cannot hold: train without one";
  return undefined;
}

/** Why a classifier's head cannot be folded into one matrix; undefined if it can. */
function headObstacle(meta: AdapterMeta, tensors: Tensors, finalNorm?: FinalNorm): string | undefined {
  const fits = headTensors(meta, tensors, finalNorm).every(([, { data }]) => data.every(Number.isFinite));
  return fits ? undefined : "the head and its adapter overflow float32";
}

/** A head of its own by the names of its tensors in transformers: a bias is folded in where its module has none. */
export function headTensors(
  meta: AdapterMeta,
  tensors: Tensors,
  finalNorm: FinalNorm | undefined,
): [name: string, tensor: NamedTensor][] {
  const { objective, num_labels } = meta.task;
  const [weight, bias] = headEntries(objective, num_labels, meta.model);
  if (!weight) return [];
  const matrix = foldHead(meta, tensors, bias ? undefined : finalNorm);
  const zeros = { shape: [num_labels], data: new Float32Array(num_labels) };
  return [
    [weight[0], matrix],
    ...(bias ? [[bias[0], tensors.get("head.bias") ?? zeros] as [string, NamedTensor]] : []),
  ];
}

/**
 * The weight [num_labels, C] of a head in PEFT and transformers: W + scale B A, and the bias folded in along the
 * direction in which every output of the final layer norm is 1. Sums in double precision.
 */
function foldHead(
  { model, lora, task }: Pick<AdapterMeta, "model" | "lora" | "task">,
  tensors: Tensors,
  finalNorm?: FinalNorm,
): NamedTensor {
  const C = model.n_embd;
  const data = Float64Array.from(tensors.get("head.weight")!.data);
  const adapter = lora && loraAdapters(model, lora).find(({ target }) => target === "head");
  if (adapter) {
    const { r, scale } = adapter;
    const { A, B } = readFactors(tensors, adapter);
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

/** Largest loss of precision by folding: a factor of 1e4 leaves about three digits of the bias in float32. */
const MAX_AMPLIFICATION = 1e4;

/**
 * u [C] with u . x = 1 for every output x = g n + b of the final layer norm. The normalised n sums to 0, hence
 * sum x_i / g_i = sum b_i / g_i for every x. Undefined if that sum is too close to 0 to divide by.
 */
export function constantDirection({ weight, bias }: FinalNorm): Float64Array | undefined {
  let sum = 0;
  for (let i = 0; i < weight.length; i++) sum += bias[i]! / weight[i]!;
  const u = Float64Array.from(weight, (g) => 1 / g / sum);
  // The terms of u . x that cancel are about u_i g_i each, for n of standard deviation 1.
  const amplification = Math.sqrt(weight.length) / Math.abs(sum);
  return u.every(Number.isFinite) && amplification < MAX_AMPLIFICATION ? u : undefined;
}
