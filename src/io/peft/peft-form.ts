/** `PeftForm`: how the adapters of PEFT's modes look in its files. Built by peft-lora.ts and peft-virtual.ts. */

import { checkKinds } from "../../core/checks.ts";
import { isEncoder, isLlama, type ModelConfig } from "../../core/config.ts";
import { type LoraAdapter, loraName, type Site } from "../../core/names.ts";
import { numel, type Shape } from "../../core/tensor.ts";
import { METHODS } from "../../methods/index.ts";
import { isMean, isOfMessages, type Objective, TASKS } from "../../tasks/index.ts";
import type { AdapterMeta } from "./adapter-meta.ts";

export interface NamedTensor {
  shape: Shape;
  data: Float32Array;
}

/** Another order of a tensor's rows in files than here: both ways. */
export interface RowOrder {
  ours(theirs: NamedTensor): NamedTensor;
  theirs(ours: NamedTensor): NamedTensor;
}

/** Tensors by their names: `lora.h.0.attn.q.A`, `head.weight`, `h.0.ln_1.weight`. */
export type Tensors = Map<string, NamedTensor>;

/** An adapter's A [r, in] and B [out, r]. */
export function readFactors(tensors: Tensors, site: Site): { A: Float32Array; B: Float32Array } {
  const [A, B] = (["A", "B"] as const).map((part) => tensors.get(loraName(site, part))!);
  return { A: (site.target === "wte" ? transposed(A!) : A!).data, B: B!.data };
}

/** A matrix [rows, columns] as [columns, rows]. */
export function transposed({ shape, data }: NamedTensor): NamedTensor {
  const [rows, columns] = shape as [number, number];
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j]!;
  return { shape: [columns, rows], data: out };
}

/** The final layer norm's weight and bias, both [C]. */
export interface FinalNorm {
  weight: Float32Array;
  bias: Float32Array;
}

export interface PeftBase {
  config: ModelConfig;
  /** Its directory, for errors. */
  directory?: string;
  /** The `problem_type` of its config.json. */
  problemType?: unknown;
}

/** One of transformers' modules and the adapters of ours that it contains, in the order of their blocks. */
export interface Module {
  /** As `moduleName` and `moduleKind` have them. */
  name: string;
  kind: string;
  /** Whether every block has such a module. */
  isInBlock: boolean;
  parts: AdapterPart[];
  /** Its magnitudes, by ours; null without DoRA. */
  magnitude: ImportEntry | null;
  r: number;
  scale: number;
  in: number;
  out: number;
  /** Of its outputs in PEFT's file; absent: ours. */
  order?: RowOrder | undefined;
}

export interface AdapterPart extends LoraAdapter {
  /** The rows [row, row + out) of the module's output that the part writes. */
  row: number;
  out: number;
}

/** An adapter in PEFT's files. A head of its own is the same for all modes, but for what its names begin with. */
export interface PeftForm {
  /** adapter_config.json. */
  config: Record<string, unknown>;
  /** The keys of `config` that affect the results. */
  decisive: readonly string[];
  /** Names and shapes of the tensors in adapter_model.safetensors, without the head. */
  shapes: Map<string, Shape>;
  /** The prefix of the names of its own head's tensors. */
  wrapper: string;
  /** The modules with LoRA's matrices; null: it has none. */
  modules: readonly Module[] | null;
  /** Our names of the other tensors, by theirs. */
  whole: ReadonlyMap<string, ImportEntry>;
  /**
   * Our tensors from those of `shapes`, bit for bit. Throws FormatError, naming `where`, for tensors that another
   * program trained further.
   */
  from: (peft: Tensors, where: string) => Tensors;
}

/** The base model that an adapter's JSON names under `key`; "" if it names none. */
export function readBaseModel(json: unknown, key: string, where: string): string {
  const name = (json as Record<string, unknown> | null)?.[key] ?? "";
  checkKinds({ [key]: name }, { [key]: "text" }, where, { code: "invalid-adapter-config" });
  return name as string;
}

/** Whether texts are classified otherwise than by transformers' class, whose encoders have a layer before the head. */
export const hasOwnPooling = ({ task, model }: Pick<AdapterMeta, "task" | "model">): boolean =>
  isMean(task) || hasPooler(model, task.objective);

/** Whether transformers' class has a layer before the head. */
export const hasPooler = (model: ModelConfig, objective: Objective) => isEncoder(model) && isOfMessages(objective);

/** PEFT's names for a head of its own, which it saves whole: `headEntries` has the one of a model. */
export const HEADS = ["classifier", "score"];

/** The settings that every method has; with the modules that are `saved` in addition to the head. */
export function commonConfig(
  { mode, base_model, task, model }: Pick<AdapterMeta, "mode" | "base_model" | "task" | "model">,
  saved: readonly string[] = [],
): PeftForm["config"] {
  const head = headModule(task.objective, model)?.name;
  // Of RoBERTa's head only the last layer is there.
  const heads = head?.includes(".") ? [head] : HEADS;
  const modules = [...(head ? heads : []), ...saved];
  return {
    base_model_name_or_path: base_model,
    inference_mode: true,
    modules_to_save: modules.length > 0 ? modules : null,
    peft_type: METHODS[mode].peft!.type,
    // PEFT's class of a type pools otherwise: with none, its automatic classes refuse to choose. Prompts need theirs.
    task_type: hasOwnPooling({ task, model }) && mode === "lora" ? null : TASKS[task.objective].peft,
  };
}

/** A tensor of PEFT's file, by our names. */
export interface ImportEntry {
  /** Ours, which it is or belongs to. */
  name: string;
  /** In PEFT's file. Undefined for a head of no classes, whose shape is wrong. */
  shape?: Shape;
  /** Whether it is transposed there. */
  isTurned?: boolean;
  /** Where it is a part of ours: its first column. */
  first?: number;
  /** Of its rows; absent: ours. */
  order?: RowOrder | undefined;
}

/** Our tensors, of these shapes, from PEFT's by their keys. */
export function fromEntries(
  entries: ReadonlyMap<string, ImportEntry>,
  peft: Tensors,
  shapes: ReadonlyMap<string, Shape>,
): Tensors {
  const out: Tensors = new Map();
  for (const [key, { name, isTurned, first, order }] of entries) {
    const stored = peft.get(key)!;
    const rows = order ? order.ours(stored) : stored;
    const part = isTurned ? transposed(rows) : rows;
    if (first === undefined) out.set(name, part);
    else {
      const shape = shapes.get(name)!;
      const whole = out.get(name) ?? { shape, data: new Float32Array(numel(shape)) };
      eachRow(whole, part, first, (ours, theirs) => ours.set(theirs));
      out.set(name, whole);
    }
  }
  return out;
}

/** Calls `copy` with each row of `part` and its place in `whole`, where its columns begin at `first`. */
export function eachRow(
  whole: NamedTensor,
  part: NamedTensor,
  first: number,
  copy: (ours: Float32Array, theirs: Float32Array) => void,
): void {
  const [columns, width] = [whole.shape.at(-1)!, part.shape.at(-1)!];
  for (let row = 0; row * width < part.data.length; row++) {
    const at = row * columns + first;
    copy(whole.data.subarray(at, at + width), part.data.subarray(row * width, (row + 1) * width));
  }
}

/** transformers' module that is a task's own head; none of a language model. */
export function headModule(objective: Objective, model: ModelConfig): { name: string; hasBias: boolean } | undefined {
  const { module } = TASKS[objective];
  if (!module || !isEncoder(model))
    return module && { ...module, name: (isLlama(model) && module.llama) || module.name };
  const isInside = model.model_type !== "bert" && hasPooler(model, objective);
  return { name: isInside ? "classifier.out_proj" : "classifier", hasBias: true };
}

/** A task's own head by the names of its tensors in transformers, the weight first; none of a language model. */
export function headEntries(
  objective: Objective,
  classes: number,
  model: ModelConfig,
): [key: string, entry: ImportEntry][] {
  const module = headModule(objective, model);
  const parts = !module ? [] : module.hasBias ? ["weight", "bias"] : ["weight"];
  return parts.map((part, i) => [
    `${module!.name}.${part}`,
    { name: `head.${part}`, ...(classes > 0 && { shape: i > 0 ? [classes] : [classes, model.n_embd] }) },
  ]);
}
