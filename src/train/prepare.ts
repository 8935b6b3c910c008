/** What is known of a run before anything is allocated: its settings, its steps and its plans, and what is wrong with them. */
import type { Backend } from "../backend/backend.ts";
import type { BlockBatch } from "../data/blocks.ts";
import type { DatasetBatch } from "../data/dataset.ts";
import { type Examples, Loader, maxBatchTokens } from "../data/loader.ts";
import type { TrainingData } from "../data/texts.ts";
import { Engine } from "../engine/engine.ts";
import { prefixBytes } from "../engine/frozen-prefix.ts";
import { ConfigError, DataError } from "../errors.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import type { Adapter } from "../io/peft.ts";
import type { Capacity } from "../model/batch.ts";
import type { ModelPlan } from "../model/gpt2.ts";
import { type ModelSpec, trainableCount } from "../model/trainable.ts";
import type { AdamWConfig } from "../ops/adamw.ts";
import { loraConfig, resolveOptions, type TrainOptions, withAdapter } from "./options.ts";
import type { PrefixPlan } from "./records.ts";
import { warmupSteps } from "./schedule.ts";

/** What a run is made of. */
export interface RunArguments extends Partial<TrainOptions> {
  device: Backend;
  model: GPT2Checkpoint;
  /** What is learned: to label messages (`loadDataset`), or to go on with texts (`loadTexts`). */
  data: TrainingData;
  /** An adapter of this model to go on from, in place of a fresh one: it decides rank, targets, head and pooling. */
  adapter?: Adapter;
  /**
   * Bytes of the host's memory for what frozen lower blocks make of the examples, so that they run once an example; where
   * they would take more, the whole model runs every time, to the same bits. Default: a quarter of what is free, at most 1 GB.
   */
  prefixBudget?: number;
}

export interface PreparedRun {
  options: TrainOptions;
  spec: ModelSpec;
  capacity: Capacity;
  optimizer: AdamWConfig;
  loader: Loader<DatasetBatch | BlockBatch>;
  stepCounts: StepCounts;
  /** The plan of a step: of the whole model, or of the suffix where the frozen prefix runs first. */
  plan: ModelPlan;
  prefix: PrefixPlan | null;
  /** Number of values that learn. */
  trainable: number;
}

/** Throws ConfigError or DataError where settings, model, data and adapter do not go together. */
export function prepareRun(args: RunArguments): PreparedRun {
  const { device, model, data, adapter, prefixBudget, ...given } = args;
  const { objective } = data;
  const options = resolveOptions(adapter ? withAdapter(given, adapter.meta, objective) : given, objective);
  if (adapter) checkLabels(adapter, data);
  const spec = specOf(model, data, options, adapter);
  checkLengths(data, model);
  const optimizer: AdamWConfig = {
    betas: [0.9, 0.999],
    eps: 1e-8,
    weight_decay: options.weightDecay,
    clip: options.clip,
  };
  const { batchSize, batching, seed } = options;
  const examples: Examples<DatasetBatch | BlockBatch> = data.train;
  const loader = new Loader(examples, { batchSize, batching, seed });
  const stepCounts = countSteps(loader, options);
  const longest = [data.train, data.val, data.test].map((set) => maxBatchTokens(set, 1));
  const capacity = {
    tokens: Math.max(maxBatchTokens(data.train, batchSize), ...longest),
    sequences: Math.max(batchSize, EVALUATION_SEQUENCES),
  };
  const bytes = prefixBytes(spec, data, prefixBudget);
  const plan = Engine.plan(device, { spec, capacity, optimizer, ...(bytes > 0 ? { part: "suffix" } : {}) });
  const prefix =
    bytes > 0 ? { plan: Engine.plan(device, { spec, capacity, optimizer: null, part: "prefix" }), bytes } : null;
  return { options, spec, capacity, optimizer, loader, stepCounts, plan, prefix, trainable: trainableCount(spec) };
}

/** What the model of a run looks like, from its settings and its data. */
export function specOf(
  { config }: Pick<GPT2Checkpoint, "config">,
  data: TrainingData,
  options: TrainOptions,
  adapter?: Adapter,
): ModelSpec {
  return {
    config,
    task: {
      objective: data.objective,
      num_labels: data.labels.length,
      pooling: options.pooling,
      head_bias: options.headBias,
    },
    mode: options.mode,
    lora: options.mode === "lora" ? (adapter?.meta.lora ?? loraConfig(options)) : null,
    train_head: true,
    dtype: options.dtype,
  };
}

/** Sequences that an evaluation batch may hold where they are short; its tokens are those of a training batch. */
const EVALUATION_SEQUENCES = 32;

/** The rows of the adapter's head must be the classes of the data. PEFT's adapters do not tell names. */
function checkLabels({ meta: { labels } }: Adapter, data: TrainingData): void {
  const nameless = labels.every((label, i) => label === `LABEL_${i}`) && labels.length === data.labels.length;
  if (!nameless && labels.join("\n") !== data.labels.join("\n"))
    throw new ConfigError("the adapter knows other classes than the data has", {
      expected: labels.join(", "),
      found: data.labels.join(", "),
    });
}

function checkLengths(data: TrainingData, model: GPT2Checkpoint): void {
  const { n_positions } = model.config;
  for (const [name, set] of Object.entries({ train: data.train, val: data.val, test: data.test })) {
    const longest = maxBatchTokens(set, 1);
    if (longest > n_positions)
      throw new DataError(`an example of the ${name} set is longer than the model's context`, {
        expected: `at most ${n_positions} tokens`,
        found: `${longest}`,
        hint: `load the data with maxLength ${n_positions}`,
      });
  }
}

/** How many steps a run has. */
export interface StepCounts {
  stepsPerEpoch: number;
  total: number;
  /** Steps of the warm-up. */
  warmup: number;
}

function countSteps({ batchesPerEpoch }: Loader<unknown>, { accumulate, epochs, warmup }: TrainOptions): StepCounts {
  const stepsPerEpoch = Math.floor(batchesPerEpoch / accumulate);
  if (stepsPerEpoch === 0)
    throw new ConfigError("accumulate gives no steps", {
      expected: `at most ${batchesPerEpoch}, the batches of an epoch`,
      found: String(accumulate),
    });
  const total = stepsPerEpoch * epochs;
  return { stepsPerEpoch, total, warmup: warmupSteps(warmup, total) };
}
