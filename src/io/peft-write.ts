/** Writes directories of trained tensors. Separate from the reader, so that a page that only classifies does not load it. */
import type { LoraConfig } from "../config.ts";
import { loraSites } from "../names.ts";
import { expectShape, sizeOf } from "../tensor.ts";
import { adapterShapes, checkMeta, encodeMeta } from "./adapter-meta.ts";
import { type Adapter, asLora, checkShapes, EXACT, isOurs, META, PEFT_CONFIG, PEFT_TENSORS, WEIGHTS } from "./peft.ts";
import {
  type FinalNorm,
  type LoraModel,
  type Module,
  modulesOf,
  modulesToSaveKeys,
  type NamedTensor,
  PREFIX,
  peftConfig,
  SCORE,
  type Tensors,
} from "./peft-layout.ts";
import { type EncodableTensor, encodeSafetensors } from "./safetensors.ts";

/** The files of an adapter directory, and whether PEFT can load it. */
export interface AdapterFiles {
  files: Map<string, string | Uint8Array>;
  peft: boolean;
  /** Why PEFT cannot load it; all tensors are then in our own file. */
  reason?: string;
}

/**
 * An adapter as the files of its directory. With `finalNorm`, the base model's last layer norm, a bias of the head can be
 * folded into PEFT's score.weight. Throws FormatError or ShapeError if the tensors do not match `meta`.
 */
export function adapterFiles({ meta, tensors }: Adapter, { finalNorm }: { finalNorm?: FinalNorm } = {}): AdapterFiles {
  const where = "the adapter";
  checkMeta(meta, where);
  const shapes = adapterShapes(meta);
  checkShapes(new Map([...tensors].map(([name, { shape }]) => [name, shape])), shapes, where);
  for (const [name, shape] of shapes)
    expectShape(`the data of ${name}`, [tensors.get(name)!.data.length], [sizeOf(shape)]);
  const files: AdapterFiles["files"] = new Map();
  let result: Omit<AdapterFiles, "files"> = { peft: false, reason: `mode ${meta.mode} has no adapter` };
  const lora = asLora(meta);
  if (lora === undefined) files.set(WEIGHTS, encode(tensors));
  else {
    const reason = peftObstacle(lora) ?? biasObstacle(tensors, finalNorm) ?? headObstacle(lora, tensors, finalNorm);
    result = reason === undefined ? { peft: true } : { peft: false, reason };
    if (result.peft) for (const [name, content] of peftFiles(lora, tensors, finalNorm)) files.set(name, content);
    const own = result.peft ? new Map([...tensors].filter(([name]) => isOurs(name, lora))) : tensors;
    if (own.size > 0) files.set(EXACT, encode(own));
  }
  files.set(META, encodeMeta(meta));
  return { files, ...result };
}

/** PEFT's two files. A bias of the head is folded if `finalNorm` allows it, and otherwise dropped. */
export function peftFiles(lora: LoraModel, tensors: Tensors, finalNorm: FinalNorm | undefined): AdapterFiles["files"] {
  return new Map<string, string | Uint8Array>([
    [PEFT_CONFIG, `${JSON.stringify(sortKeys(peftConfig(lora)), null, 2)}\n`],
    [PEFT_TENSORS, encodeSafetensors(toPeft(lora, tensors, finalNorm), { format: "pt" })],
  ]);
}

function encode(tensors: Tensors): Uint8Array {
  return encodeSafetensors([...tensors].map(([name, { shape, data }]) => ({ name, shape, dtype: "F32", data })));
}

function sortKeys(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Why PEFT cannot represent these adapters; undefined if it can. */
export function peftObstacle(adapter: LoraModel): string | undefined {
  const modules = modulesOf(adapter);
  if (modules.length === 0) return "only the head has an adapter, and PEFT needs one in the blocks";
  const uneven = modules.find(({ parts, scale }) => parts.some((part) => part.scale !== scale));
  if (uneven) return `the adapters of ${uneven.name} have different scales, and PEFT has only one per module`;
  return undefined;
}

/**
 * Why the bias of a head cannot be exported to PEFT and transformers, whose heads have none; undefined if it can be folded
 * into the head's weight, by `finalNorm`.
 */
export function biasObstacle(tensors: Tensors, finalNorm?: FinalNorm): string | undefined {
  const bias = tensors.get("head.bias")?.data;
  if (bias === undefined || bias.every((value) => value === 0)) return undefined;
  if (finalNorm === undefined)
    return "PEFT and transformers do not support a bias of the head: train without one (--no-head-bias)";
  if (constantDirection(finalNorm) === undefined)
    return "PEFT and transformers do not support a bias of the head, and with this final layer norm it cannot be folded into the weight";
  return undefined;
}

/** Why a classifier's head cannot be folded into one matrix; undefined if it can. */
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
  for (const [name, key] of modulesToSaveKeys(adapter)) out.push({ name: key, dtype: "F32", ...tensors.get(name)! });
  if (adapter.task.objective === "classification")
    out.push({ name: SCORE, dtype: "F32", ...foldHead(adapter, tensors, finalNorm) });
  return out;
}

/** A' [r, in]: the parts' A stacked; B' [out, r]: block-diagonal. */
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
