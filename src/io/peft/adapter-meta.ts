/** lowrank.json: the settings of an adapter that PEFT's adapter_config.json cannot express. */

import { checkKinds, checkVersion, describeRange, isObject, isWithin, parseChoice } from "../../core/checks.ts";
import { isSplit, type ModelConfig, textContext } from "../../core/config.ts";
import { ConfigError, FormatError } from "../../core/errors.ts";
import { baseShapes, lmHeadShapes, type ModelTensor, sitesByName } from "../../core/names.ts";
import { pairSettings } from "../../core/pair.ts";
import { hasDtype, type Shape, WEIGHT_DTYPES, type WeightDtype } from "../../core/tensor.ts";
import { METHODS, type MethodConfig, MODES, type Mode } from "../../methods/index.ts";
import { type LoraConfig, loraScale, RANKS, validateLora } from "../../methods/lora.ts";
import { type ModelSpec, parameterList } from "../../model/trainable.ts";
import { hasHead, OBJECTIVES, POOLINGS, TASKS, type TaskConfig } from "../../tasks/index.ts";
import { parseConfig } from "../model-config.ts";

/** Description of a directory of trained tensors. */
export interface AdapterMeta extends Omit<MethodConfig, "lr_ratio"> {
  /** Name or directory of the base model. */
  base_model: string;
  /** `fingerprint` of the base model, which an adapter requires; adapters written by PEFT have none. */
  base_fingerprint?: string;
  /** The base model's dimensions, which an adapter requires. */
  model: ModelConfig;
  mode: Mode;
  /** In mode "lora" only; null in the others. */
  lora: LoraConfig | null;
  task: TaskConfig;
  /** Names of the classes, in the order of the head's rows; empty for a language model. */
  labels: string[];
  /** Further settings that inference needs (padding, longest row, ...), and those of its training, stored as JSON. */
  settings: Record<string, unknown>;
}

/** The contents of lowrank.json. */
interface SavedMeta extends AdapterMeta {
  /** Of the tensors that were saved with it: `digestTensors`. */
  sha256: string;
}

/** The element type in which the run stored the frozen matrices of the base model. */
export function baseDtype({ settings: { dtype = "f32" } }: AdapterMeta): WeightDtype {
  return parseChoice("dtype of the base model", dtype, WEIGHT_DTYPES);
}

/**
 * The element type of the frozen matrices for an adapter: `requested` if given, otherwise that of its training, or f32
 * where the device does not have that. Mode "all" has no frozen matrices and defaults to f32.
 */
export function dtypeOn(
  meta: AdapterMeta,
  requested: WeightDtype | undefined,
  { info }: { info: { kind: "webgpu" | "wasm" } },
): WeightDtype {
  if (requested !== undefined) return parseChoice("dtype", requested, WEIGHT_DTYPES);
  const trained = baseDtype(meta);
  return METHODS[meta.mode].freezesNothing || !hasDtype(info.kind, trained) ? "f32" : trained;
}

const VERSION = 1;

type Size = keyof AdapterMeta & Exclude<keyof MethodConfig, "lora">;

/** The sizes that a description has in some modes. */
const SIZES = /* @__PURE__ */ [...new Set(MODES.flatMap((mode) => METHODS[mode].keys))].filter(
  (key): key is Size => key !== "lora",
);

export function pickSizes(config: MethodConfig): Pick<AdapterMeta, Size> {
  return Object.fromEntries(SIZES.flatMap((size) => (config[size] === undefined ? [] : [[size, config[size]]])));
}

export function encodeMeta(meta: SavedMeta): string {
  return `${JSON.stringify({ format: "lowrank-adapter", version: VERSION, ...meta }, null, 2)}\n`;
}

/** Checks a parsed lowrank.json. Throws FormatError or ConfigError, naming `where`. */
export function parseMeta(json: unknown, where: string): SavedMeta {
  const values = isObject(json) ? json : {};
  if (values.format !== "lowrank-adapter")
    throw new FormatError("invalid-adapter-config", "the file does not describe an adapter", {
      where,
      expected: '"format": "lowrank-adapter"',
    });
  checkVersion("the adapter", values.version, VERSION, where);
  const { format: _, version: __, ...rest } = values;
  const keys = ["base_model", "labels", "lora", "mode", "model", "settings", "sha256", "task"];
  const missing = keys.filter((key) => rest[key] === undefined);
  const optional: string[] = ["base_fingerprint", ...SIZES];
  const extra = Object.keys(rest).filter((key) => !keys.includes(key) && !optional.includes(key));
  if (missing.length > 0 || extra.length > 0)
    throw new FormatError("invalid-adapter-config", "the adapter's description has missing or unexpected keys", {
      where,
      expected: keys.join(", "),
      found: [...missing.map((key) => `no ${key}`), ...extra].join(", "),
    });
  const meta = rest as unknown as SavedMeta;
  meta.model = parseConfig(rest.model, where);
  checkMeta(meta, where);
  return meta;
}

/** Whether it was trained on the answers of chats. */
export const readsChats = ({ settings }: Pick<AdapterMeta, "settings">): boolean => settings.chat === true;

/** The settings that inference needs, and those with which it learns on. */
const SETTINGS = {
  maxLength: "size?",
  padTo: "count?",
  pairs: "object?",
  chat: "boolean?",
  temperature: "positive?",
  threshold: "probability?",
  thresholds: "probabilities?",
  vocabulary: "text?",
  training: "object?",
} as const;

/** Throws ConfigError or FormatError unless the values of `meta` are valid and consistent. */
export function checkMeta(meta: AdapterMeta, where: string): void {
  const kinds = { base_model: "text", labels: "texts", settings: "object", task: "object" } as const;
  checkKinds(meta, { ...kinds, base_fingerprint: "text?", sha256: "text?" }, where);
  checkKinds(meta.settings, SETTINGS, where);
  checkKinds(pairSettings(meta) ?? { columns: [] }, { columns: "texts" }, where);
  checkKinds(meta.task, { num_labels: "count", head_bias: "boolean" }, where);
  parseChoice("mode", meta.mode, MODES, where);
  baseDtype(meta);
  const { objective, num_labels, pooling } = meta.task;
  parseChoice("objective", objective, OBJECTIVES, where);
  parseChoice("pooling", pooling, POOLINGS, where);
  const refuse = (summary: string, found: unknown) => {
    throw new ConfigError("invalid-adapter-config", summary, { where, found: JSON.stringify(found) });
  };
  const { keys, classifiersOnly } = METHODS[meta.mode];
  if (keys.includes("lora") !== (meta.lora !== null))
    refuse(`mode ${meta.mode} ${meta.lora ? "has no" : "needs a"} LoRA configuration`, meta.lora);
  if (meta.lora !== null) {
    checkKinds(meta, { lora: "object" }, where);
    const optional = { sites: "objects?", modulesToSave: "texts?", use_dora: "boolean?" } as const;
    checkKinds(meta.lora, { target_modules: "texts", ...optional }, where);
    validateLora(meta.lora, where);
    if (!Number.isFinite(Math.fround(loraScale(meta.lora))))
      refuse("the scale overflows float32", meta.lora.lora_alpha);
    checkSites(meta.lora, meta.model, where);
  }
  for (const size of SIZES) {
    if (keys.includes(size)) checkKinds(meta, { [size]: "size" }, where);
    else if (meta[size] !== undefined) refuse(`mode ${meta.mode} has no ${size}`, meta[size]);
  }
  textContext(meta.model, meta, where);
  const { threshold, positive, thresholds } = meta.settings as {
    threshold?: number;
    positive?: number;
    thresholds?: [];
  };
  if (threshold !== undefined && !(num_labels === 2 && (positive === 0 || positive === 1)))
    refuse("a threshold is for one of two classes", positive);
  if (thresholds !== undefined && thresholds.length !== num_labels)
    refuse(`thresholds must be ${num_labels}`, thresholds);
  if (meta.labels.length !== num_labels) refuse(`labels must name ${num_labels} classes`, meta.labels);
  const { least, most } = TASKS[objective].outputs;
  if (num_labels < least || num_labels > (most ?? Infinity))
    refuse(`num_labels must be ${least}${most === undefined ? " or more" : ""}`, num_labels);
  if (!hasHead(meta.task) && classifiersOnly !== undefined)
    refuse(`mode ${meta.mode} is invalid for a language model: ${classifiersOnly}`, meta.mode);
}

/** Checks that the sites and saved modules of an adapter imported from PEFT exist in the model. */
function checkSites(
  { sites = [], modulesToSave = [], layers_to_transform, use_dora }: LoraConfig,
  model: ModelConfig,
  where: string,
): void {
  const refuse = (summary: string, expected: string, found: unknown) => {
    throw new FormatError("invalid-adapter-config", summary, { where, expected, found: JSON.stringify(found) });
  };
  if (new Set(sites.map(({ site }) => site)).size < sites.length)
    refuse("a matrix has two adapters", "every site once", sites);
  const last = layers_to_transform?.at(-1) ?? 0;
  if (last >= model.n_layer) refuse("the model has no such layer", `blocks from 0 to ${model.n_layer - 1}`, last);
  const known = sitesByName(model);
  for (const { site, r, scale } of sites) {
    const target = known.get(site)?.target;
    if (target === undefined)
      refuse("the model has no matrix for an adapter", `h.0.attn.q to h.${model.n_layer - 1}.mlp.proj`, site);
    if (!isWithin(r, RANKS)) refuse(`the rank of ${site} is invalid`, describeRange(RANKS), r);
    if (!Number.isFinite(scale) || !Number.isFinite(Math.fround(scale)))
      refuse(`the scale of ${site} is invalid`, "a finite float32", scale);
    if (use_dora && !isSplit(model) && (target === "q" || target === "k" || target === "v"))
      refuse(`DoRA with a rank of its own for ${site}`, "one adapter for q, k and v: c_attn", site);
  }
  const shapes = new Map([...baseShapes(model), ...lmHeadShapes(model)]);
  for (const name of modulesToSave)
    if (!shapes.has(name)) refuse("the model has no such tensor", "a tensor of the base model", name);
}

/** A base model with such an adapter. */
export function adaptedSpec(
  { task, mode, lora, ...meta }: AdapterMeta,
  rest: Pick<ModelSpec, "config" | "train_head" | "dtype">,
): ModelSpec {
  return { ...rest, task, mode, lora, ...pickSizes(meta) };
}

/** The tensors in such a directory: the trained ones and the classification head. */
export function adapterTensors(meta: AdapterMeta): ModelTensor[] {
  return parameterList(adaptedSpec(meta, { config: meta.model, train_head: true })).filter(
    ({ isTrained }) => isTrained,
  );
}

export function adapterShapes(meta: AdapterMeta): Map<string, Shape> {
  return new Map(adapterTensors(meta).map(({ name, shape }) => [name, shape]));
}
