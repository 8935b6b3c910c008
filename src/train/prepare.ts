/** Prepares a run before anything is allocated: checks its settings, counts its steps and makes its plans. */
import type { Backend } from "../backend/backend.ts";
import { textContext } from "../config.ts";
import type { BlockBatch } from "../data/blocks.ts";
import type { DatasetBatch } from "../data/dataset.ts";
import { type Examples, Loader, maxBatchTokens } from "../data/loader.ts";
import type { TrainingData } from "../data/texts.ts";
import { Engine } from "../engine/engine.ts";
import { prefixBytes } from "../engine/frozen-prefix.ts";
import { ConfigError, DataError } from "../errors.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import type { Adapter } from "../io/peft.ts";
import { shortName } from "../io/vocabulary.ts";
import { type Capacity, roomFor } from "../model/batch.ts";
import type { ModelPlan } from "../model/gpt2.ts";
import { type ModelSpec, trainableCount } from "../model/trainable.ts";
import type { AdamWConfig } from "../ops/adamw.ts";
import { fits } from "../plan/memory.ts";
import { flopsOf } from "../plan/work.ts";
import { classWeightsOf } from "./class-weights.ts";
import { loraConfig, methodSizes, resolveOptions, type TrainOptions, withAdapter } from "./options.ts";
import type { PrefixPlan } from "./records.ts";
import { warmupSteps } from "./schedule.ts";

export interface RunArguments extends Partial<TrainOptions> {
  device: Backend;
  model: GPT2Checkpoint;
  /** The training data. It determines the objective: classification (`loadDataset`) or language modeling (`loadTexts`). */
  data: TrainingData;
  /** An adapter of this model to continue from. It determines the mode and its sizes, head and pooling. */
  adapter?: Adapter;
  /**
   * Bytes of host memory for the outputs of the frozen lower blocks, which then run only once per example. If the outputs do
   * not fit, the whole model runs at every step, with the same bits. Default: a quarter of the free memory, at most 1 GB.
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
  /** The plan of a step: of the whole model, or of the suffix if the frozen prefix runs first. */
  plan: ModelPlan;
  prefix: PrefixPlan | null;
  /** Number of trainable parameters. */
  trainable: number;
  /** Operations in the matrix products of a batch of rows of mean length, forward and backward: a multiply-add is two. */
  flops: number;
  /** The weight of each class in the loss; undefined: 1. */
  classWeights: Float32Array | undefined;
}

/** Throws ConfigError or DataError if settings, model, data and adapter do not match. */
export function prepareRun(args: RunArguments): PreparedRun {
  const { device, model, data, adapter, prefixBudget, ...given } = args;
  const { objective } = data;
  checkVocabulary(data, model);
  const options = resolveOptions(adapter ? withAdapter(given, adapter.meta, objective) : given, objective);
  if (adapter) checkLabels(adapter, data);
  const spec = specOf(model, data, options, adapter);
  checkLengths(data, textContext(model.config, spec));
  if (options.patience > 0 && data.val.size === 0)
    throw new ConfigError("patience needs a validation set", {
      expected: "at least one row in the validation set, or patience 0",
      found: "an empty validation set",
    });
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
  const planWith = (recompute: boolean) =>
    Engine.plan(device, { spec, capacity, optimizer, recompute, ...(bytes > 0 ? { part: "suffix" } : {}) });
  let plan = planWith(options.recompute === "on");
  if (options.recompute === "auto" && !fits(plan.memory, device.limits)) plan = planWith(true);
  const prefix =
    bytes > 0 ? { plan: Engine.plan(device, { spec, capacity, optimizer: null, part: "prefix" }), bytes } : null;
  const trainable = trainableCount(spec);
  const classWeights = classWeightsOf(data, options.classWeights);
  const { tokens, rows } = data.train.stats();
  const mean = { tokens: Math.round((batchSize * tokens) / rows), sequences: batchSize };
  const flops = flopsOf(plan.segments, roomFor(spec, mean));
  return { options, spec, capacity, optimizer, loader, stepCounts, plan, prefix, trainable, flops, classWeights };
}

/** The model specification of a run, from its settings and data. */
export function specOf(
  { config }: Pick<GPT2Checkpoint, "config">,
  data: Pick<TrainingData, "objective" | "labels">,
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
    ...methodSizes(options),
    ...(options.lrRatio === 1 ? {} : { lr_ratio: options.lrRatio }),
    dtype: options.dtype,
  };
}

/** Maximum sequences of an evaluation batch, within the token capacity of a training batch. */
const EVALUATION_SEQUENCES = 32;

/** The rows of the adapter's head must be the classes of the data. PEFT's adapters have no class names. */
function checkLabels({ meta: { labels } }: Adapter, data: TrainingData): void {
  const nameless = labels.every((label, i) => label === `LABEL_${i}`) && labels.length === data.labels.length;
  if (!nameless && labels.join("\n") !== data.labels.join("\n"))
    throw new ConfigError("the classes of the adapter and the data differ", {
      expected: labels.join(", "),
      found: data.labels.join(", "),
    });
}

/** Throws ConfigError if the data has ids of another vocabulary than the model's. */
export function checkVocabulary({ vocabulary }: TrainingData, { vocabulary: { fingerprint } }: GPT2Checkpoint): void {
  if (vocabulary !== fingerprint)
    throw new ConfigError("the data was tokenized for another vocabulary than the model's", {
      expected: shortName(fingerprint),
      found: shortName(vocabulary),
      hint: "load the data for this model: loadDataset(source, { model }), or loadTexts",
    });
}

function checkLengths(data: TrainingData, context: number): void {
  for (const [name, set] of Object.entries({ train: data.train, val: data.val, test: data.test })) {
    const longest = maxBatchTokens(set, 1);
    if (longest > context)
      throw new DataError(`an example of the ${name} set is longer than the model's context`, {
        expected: `at most ${context} tokens`,
        found: `${longest}`,
        hint: `load the data with maxLength ${context} or less`,
      });
  }
}

/** The step counts of a run. */
export interface StepCounts {
  stepsPerEpoch: number;
  total: number;
  /** Steps of the warm-up. */
  warmup: number;
}

function countSteps({ batchesPerEpoch }: Loader<unknown>, { accumulate, epochs, warmup }: TrainOptions): StepCounts {
  const stepsPerEpoch = Math.floor(batchesPerEpoch / accumulate);
  if (stepsPerEpoch === 0)
    throw new ConfigError("accumulate exceeds the number of batches per epoch", {
      expected: `at most ${batchesPerEpoch}`,
      found: String(accumulate),
    });
  const total = stepsPerEpoch * epochs;
  return { stepsPerEpoch, total, warmup: warmupSteps(warmup, total) };
}
