/** Small random models and batches, for the tests of plans and of the engine. */

import type { ModelConfig } from "../../src/core/config.ts";
import type { Target } from "../../src/core/names.ts";
import { Rng } from "../../src/core/rng.ts";
import { numel } from "../../src/core/tensor.ts";
import type { Weights } from "../../src/engine/weights.ts";
import type { Mode } from "../../src/methods/index.ts";
import { AdamW } from "../../src/model/adamw.ts";
import type { Batch } from "../../src/model/batch.ts";
import type { ModelSpec } from "../../src/model/trainable.ts";
import { IGNORE_INDEX } from "../../src/ops/crossentropy.ts";
import { hasValues, type Objective, type Pooling, type TaskConfig } from "../../src/tasks/index.ts";

/** No size is a power of two or a multiple of another by chance: a shape that is mistaken for another shows. */
export const SMALL: ModelConfig = {
  vocab_size: 131,
  n_positions: 24,
  n_layer: 2,
  n_head: 3,
  n_embd: 12,
  layer_norm_epsilon: 1e-5,
};

/** A relative of GPT-2: every option of the configuration that changes the plan. */
export const RELATIVE: Partial<ModelConfig> = {
  n_inner: 20,
  activation_function: "gelu",
  scale_attn_by_inverse_layer_idx: true,
  tie_word_embeddings: false,
};

/** A Llama-type model, in which three heads share one of keys and values. */
export const LLAMA = {
  model_type: "llama",
  n_kv_head: 1,
  n_inner: 20,
  rope: { theta: 1e4 },
} as const satisfies Partial<ModelConfig>;

/** A GPT-NeoX, of whose heads of 8 a half is rotated. */
export const NEOX = {
  model_type: "gpt_neox",
  n_embd: 24,
  n_inner: 20,
  activation_function: "gelu",
  tie_word_embeddings: false,
  rope: { theta: 1e4, dims: 4 },
} as const satisfies Partial<ModelConfig>;

/** AdamW's settings; the rate comes with each step. */
export const ADAMW = { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.1, clip: 1 } as const;
export const OPTIMIZER = new AdamW(ADAMW);

/** The tasks of most adapters; as in PEFT, the head has no bias. */
export const TASKS: Record<Objective, TaskConfig> = {
  classification: { objective: "classification", num_labels: 2, pooling: "last-token", head_bias: false },
  regression: { objective: "regression", num_labels: 1, pooling: "last-token", head_bias: false },
  "multi-label": { objective: "multi-label", num_labels: 3, pooling: "last-token", head_bias: false },
  tokens: { objective: "tokens", num_labels: 4, pooling: "last-token", head_bias: true },
  lm: { objective: "lm", num_labels: 0, pooling: "last-token", head_bias: false },
};

export const ALL_TARGETS: Target[] = ["q", "k", "v", "o", "fc", "proj", "head"];

interface SpecOptions {
  objective?: Objective;
  pooling?: Pooling;
  targets?: Target[];
  layers?: number[];
  train_head?: boolean;
  r?: number;
  dropout?: number;
  dora?: boolean;
  config?: Partial<ModelConfig> | undefined;
}

/** Those that DoRA can have. */
export const IN_BLOCKS: Target[] = ALL_TARGETS.filter((target) => target !== "head");

export function smallSpec(
  mode: Mode,
  {
    objective = "classification",
    pooling = "last-token",
    dora = false,
    targets = dora ? IN_BLOCKS : ALL_TARGETS,
    layers,
    train_head = true,
    r = 3,
    dropout,
    config = {},
  }: SpecOptions = {},
): ModelSpec {
  return {
    config: { ...SMALL, ...config },
    task: {
      objective,
      num_labels: { classification: 5, regression: 1, "multi-label": 5, tokens: 5, lm: 0 }[objective],
      pooling,
      head_bias: objective !== "lm",
    },
    mode,
    lora:
      mode === "lora"
        ? {
            r,
            lora_alpha: 2 * r,
            scaling: "alpha/r",
            init: "gaussian",
            target_modules: [...targets],
            ...(layers ? { layers_to_transform: layers } : {}),
            ...(dropout ? { lora_dropout: dropout } : {}),
            ...(dora ? { use_dora: true } : {}),
          }
        : null,
    train_head,
    ...(mode === "adapter" ? { bottleneck: 3 } : {}),
    ...(mode === "prompt" || mode === "prefix" ? { num_virtual_tokens: 2 } : {}),
  };
}

/** Every parameter from the seed; with adapters whose B is not 0, so that every gradient is alive. */
export function fillRandom(engine: Weights, seed: number): void {
  const rng = new Rng(seed);
  for (const { name, shape } of engine.plan.parameters.all.values()) {
    const isNorm = /(^|\.)ln_\w+\.weight$/.test(name);
    engine.writeParameter(
      name,
      Float32Array.from({ length: numel(shape) }, () => rng.normal() * 0.2 + (isNorm ? 1 : 0)),
    );
  }
}

/** Sequences of these lengths. Every third target of a language model does not count. */
export function randomBatch({ config, task }: ModelSpec, lengths: readonly number[], seed: number): Batch {
  const rng = new Rng(seed);
  const starts = [0];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  const tokens = starts.at(-1)!;
  const isLanguageModel = task.objective === "lm";
  const batch: Batch = {
    ids: Uint32Array.from({ length: tokens }, () => rng.below(config.vocab_size)),
    starts: Uint32Array.from(starts),
    rows: Uint32Array.from(lengths, (length, b) => starts[b]! + length - 1),
    targets: isLanguageModel
      ? Int32Array.from({ length: tokens }, (_, n) => (n % 3 === 1 ? IGNORE_INDEX : rng.below(config.vocab_size)))
      : Int32Array.from(lengths, () => rng.below(task.num_labels)),
  };
  if (!hasValues(task)) return batch;
  const value = () => (task.objective === "regression" ? 3 * rng.normal() : rng.below(2));
  return { ...batch, values: Float32Array.from({ length: lengths.length * task.num_labels }, value) };
}
