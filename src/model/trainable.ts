/** A model's tensors, and which of them each mode trains. */

import { BLOCKS, type BlockDtype, isBlockDtype } from "../core/blocks.ts";
import { architectureName, innerWidth, isEncoder, type ModelConfig } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import { BLOCK_LAYERS, baseTensors, headTensors, lmHeadTensors, type ModelTensor, type Place } from "../core/names.ts";
import { setting } from "../core/setting.ts";
import { numel, type WeightDtype } from "../core/tensor.ts";
import { METHODS, type MethodConfig, MODES, type Mode } from "../methods/index.ts";
import type { LoraConfig } from "../methods/lora.ts";
import { countOutputs, hasHead, readsTokens, TASKS, type TaskConfig } from "../tasks/index.ts";

/** Everything that determines which tensors a model has and which of them are trained. */
export interface ModelSpec extends MethodConfig {
  config: ModelConfig;
  task: TaskConfig;
  mode: Mode;
  /** Set in mode lora, null in the others. */
  lora: LoraConfig | null;
  /** Whether the classification head is trained. */
  train_head: boolean;
  /** Type of the base model's frozen matrices; default f32. */
  dtype?: WeightDtype;
}

/** Maximum number of batches per step: their results stay on the device until the host reads them. */
export const MAX_ACCUMULATE = 16;

/** A tensor of the model, before there is a plan. */
interface Description extends ModelTensor {
  isTrained: boolean;
  rate: number;
  dtype: WeightDtype;
}

/** Whether a method has something to train in a model: BitFit needs biases. */
function hasMode(config: ModelConfig, mode: Mode): boolean {
  const { tensors, trains } = METHODS[mode];
  if (!trains || tensors) return true;
  return baseTensors(config).some((tensor) => trains(tensor, config, {}));
}

/** The methods that have something to train in a model, whatever it learns or for a task. */
export const possibleModes = (config: ModelConfig, task?: Parameters<typeof hasHead>[0]): Mode[] =>
  MODES.filter((mode) => hasMode(config, mode) && (!task || hasHead(task) || !METHODS[mode].classifiersOnly));

/** Every tensor of the model, and whether it is trained. */
export function parameterList(spec: ModelSpec): Description[] {
  const { config, task, mode, lora, train_head, dtype = "f32" } = spec;
  if (dtype !== "f32" && METHODS[mode].freezesNothing)
    throw new ConfigError("unsupported-dtype", `nothing is frozen in mode ${mode}`, {
      expected: `f32: trained parameters are never rounded to ${dtype}`,
      found: dtype,
      hint: "use f32, or a mode that freezes the base model, such as lora",
    });
  if (isBlockDtype(dtype)) checkWidths(config, dtype);
  if ((lora !== null) !== METHODS[mode].keys.includes("lora"))
    throw new ConfigError("options-conflict", "adapters and mode do not fit", {
      expected: "LoRA settings in mode lora, none in the others",
      found: `mode ${mode} ${lora ? "with" : "without"} LoRA settings`,
    });
  const { classifiersOnly: hint, trains, isFitted } = METHODS[mode];
  if (hint !== undefined && (!hasHead(task) || (isFitted && readsTokens(task))))
    throw new ConfigError("unsupported-mode", `${TASKS[task.objective].title} has no mode ${mode}`, {
      expected: "any other mode",
      hint,
    });
  if (!hasHead(task) && isEncoder(config))
    throw new ConfigError("unsupported-mode", "an encoder writes no texts", {
      expected: "a decoder: a GPT-2, Llama-type model or GPT-NeoX",
      found: architectureName(config),
      hint: "use it to classify, to score or to tag texts",
    });
  if (task.pooling === "cls" && !isEncoder(config))
    throw new ConfigError("unsupported-mode", `${setting("pooling", "cls")} is for encoders`, {
      found: architectureName(config),
    });
  if (!hasMode(config, mode))
    throw new ConfigError("unsupported-mode", `the model has nothing that mode ${mode} trains`, {
      expected: "a model with biases: GPT-2, or Qwen2",
      found: config.model_type ?? "gpt2",
      hint: "use LoRA, or gpt2-micro",
    });
  const list = [
    ...baseTensors(config),
    ...(hasHead(task) ? headTensors(config, task.num_labels, task.head_bias) : lmHeadTensors(config)),
    ...(METHODS[mode].tensors?.(config, spec, countOutputs(task, config)) ?? []),
  ];
  return list.map((tensor) => {
    const { shape, origin, layer } = tensor;
    const isTrained = origin === "base" ? (trains?.(tensor, config, spec) ?? false) : origin === "method" || train_head;
    // There are few positions: they are not quantised.
    const isRounded =
      !isTrained && shape.length === 2 && origin === "base" && !(isBlockDtype(dtype) && layer === "wpe");
    return { ...tensor, rate: tensor.rate ?? 1, isTrained, dtype: isRounded ? dtype : "f32" };
  });
}

/** Throws ConfigError if a row of a matrix is not a whole number of blocks. */
export function checkWidths(config: ModelConfig, dtype: BlockDtype): void {
  for (const [name, width] of [
    ["n_embd", config.n_embd],
    ["n_inner", innerWidth(config)],
  ] as const)
    if (width % BLOCKS[dtype] !== 0)
      throw new ConfigError("unsupported-dtype", `the model's rows cannot be kept in ${dtype}`, {
        expected: `${name}, a multiple of ${BLOCKS[dtype]}: the weights that share a scale`,
        found: String(width),
        hint: "use f16",
      });
}

export function trainableCount(spec: ModelSpec): number {
  return parameterList(spec).reduce((sum, { shape, isTrained }) => sum + (isTrained ? numel(shape) : 0), 0);
}

/** The first stage of block l; that of block n_layer is ln_f. */
const blockStage = (l: number) => 1 + l * BLOCK_LAYERS.length;

const headStage = ({ config }: ModelSpec) => blockStage(config.n_layer) + 1;

/** The stage of a tensor in forward order: 0 for the embedding, then those of the blocks, ln_f, the head. */
function forwardStage({ block, layer }: Place, spec: ModelSpec): number {
  switch (layer) {
    case "wte":
    case "wpe":
      return 0;
    case "ln_f":
      return headStage(spec) - 1;
    case "lm_head":
    case "head":
      return headStage(spec);
    default:
      return blockStage(block!) + BLOCK_LAYERS.indexOf(layer);
  }
}

/** The lowest stage with a trained parameter. */
function lowestStage(spec: ModelSpec): number {
  const trained = parameterList(spec).filter(({ isTrained }) => isTrained);
  return Math.min(...trained.map((tensor) => forwardStage(tensor, spec)));
}

/**
 * Number of frozen blocks below the lowest trained parameter: n_layer if only a head of its own is trained. 0
 * with that of the vocabulary: it is the embedding.
 */
export function frozenBlocks(spec: ModelSpec): number {
  if (!hasHead(spec.task)) return 0;
  const { n_layer } = spec.config;
  const lowest = lowestStage(spec);
  if (lowest >= headStage(spec)) return n_layer;
  return Math.max(0, Math.min(n_layer - 1, Math.floor((lowest - 1) / BLOCK_LAYERS.length)));
}

/** The lower or the upper part of a model whose frozenBlocks() are not 0, or all of it. */
export interface ModelPart {
  /** Its blocks: `first` .. `end` - 1. An upper part without blocks begins at n_layer, with the head. */
  first: number;
  end: number;
  /** The name of the tensor that the lower part writes and the upper one reads; null in a whole model. */
  features: string | null;
  has: (place: Place) => boolean;
}

/** The lower part is everything below the lowest trained block, or below the head; the upper part is the rest. */
export function modelPart(spec: ModelSpec, part?: "lower" | "upper"): ModelPart {
  const { n_layer } = spec.config;
  if (!part) return { first: 0, end: n_layer, features: null, has: () => true };
  const frozen = frozenBlocks(spec);
  const border = frozen === n_layer ? headStage(spec) : blockStage(frozen);
  return {
    first: part === "upper" ? frozen : 0,
    end: part === "lower" ? frozen : n_layer,
    features: frozen === n_layer ? (readsTokens(spec.task) ? "final_norm" : "pooled") : `block.${frozen - 1}`,
    has: (place) => forwardStage(place, spec) < border === (part === "lower"),
  };
}
