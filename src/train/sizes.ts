/**
 * What a run takes in memory, before anything is allocated, and what it would take in another size. A run whose
 * settings leave it open (`auto`) takes the first size that fits; one that does not fit is told the nearest that does.
 */

import { textContext } from "../core/config.ts";
import type { ErrorCode } from "../core/error-codes.ts";
import { DataError, DeviceError, LowrankError } from "../core/errors.ts";
import { joinWords } from "../core/format.ts";
import { setting } from "../core/setting.ts";
import { COMMON_DTYPES, type WeightDtype } from "../core/tensor.ts";
import { maxBatchTokens } from "../data/loader.ts";
import type { TrainingData } from "../data/training-data.ts";
import { Engine } from "../engine/engine.ts";
import { featureBytes } from "../engine/features.ts";
import type { BaseModel } from "../io/hf.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { METHODS } from "../methods/index.ts";
import { methodConfig } from "../methods/training.ts";
import { AdamW } from "../model/adamw.ts";
import type { Capacity } from "../model/batch.ts";
import { type Dropout, makeDropout } from "../model/dropout.ts";
import { makeValueLoss, type ValueLoss } from "../model/head.ts";
import type { ModelPlan } from "../model/model.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { checkMemory } from "../plan/check-memory.ts";
import { fits, formatBytes } from "../plan/memory.ts";
import type { Preparable } from "./job.ts";
import { DEFAULTS } from "./options.ts";
import { peakMemory, runMemory } from "./plan-event.ts";
import type { FeaturePlan } from "./records.ts";
import { SETTINGS, type TrainOptions } from "./settings.ts";

/** Settings that a run can change to take less memory, without changing the method. */
export interface Size {
  dtype: WeightDtype;
  recompute: boolean;
  batchSize: number;
}

export interface Planned {
  size: Size;
  /** Those of the run, with the type of the weights and the batch size of its size. */
  options: TrainOptions;
  spec: ModelSpec;
  capacity: Capacity;
  optimizer: AdamW;
  /** The dropout of its adapters' inputs, if any. */
  dropout: Dropout | undefined;
  /** The loss, unless it is cross-entropy. */
  valueLoss: ValueLoss | undefined;
  /** The plan of a step: of the whole model, or of the upper part if features are computed. */
  plan: ModelPlan;
  features: FeaturePlan | null;
}

/** Maximum sequences of an evaluation batch, within the token capacity of a training batch. */
const EVALUATION_SEQUENCES = 32;

/** The plans of a run of a size. Throws ConfigError or DataError if settings, model and data do not match. */
export function planRun(args: Preparable, given: TrainOptions, size: Size): Planned {
  const { dtype, recompute, batchSize } = size;
  const { device, model, data, adapter, featureBudget } = args;
  const options = { ...given, dtype, batchSize };
  const spec = runSpec(model, data, options, adapter);
  checkLengths(data, textContext(model.config, spec));
  const { weightDecay: weight_decay, clip } = options;
  const optimizer = new AdamW({ betas: [0.9, 0.999], eps: 1e-8, weight_decay, clip });
  const longest = [data.train, data.val, data.test].map((set) => maxBatchTokens(set, 1));
  const capacity = {
    tokens: Math.max(maxBatchTokens(data.train, batchSize), ...longest),
    sequences: Math.max(batchSize, EVALUATION_SEQUENCES),
  };
  const bytes = featureBytes(spec, data, featureBudget);
  const part = bytes > 0 ? { part: "upper" as const } : {};
  const dropout = makeDropout(spec, options.seed);
  const valueLoss = makeValueLoss(spec.task);
  const plan = Engine.plan(device, { spec, capacity, optimizer, dropout, valueLoss, recompute, ...part });
  const features =
    bytes > 0 ? { plan: Engine.plan(device, { spec, capacity, optimizer: null, part: "lower" }), bytes } : null;
  return { size, options, spec, capacity, optimizer, dropout, valueLoss, plan, features };
}

const fitsOn = ({ device }: Preparable, planned: Planned) => fits(runMemory(planned), device.limits);

/** The types of weights that a mode can have, from the widest to the narrowest. */
const possibleDtypes = ({ mode }: TrainOptions) =>
  SETTINGS.dtype.modes!.includes(mode) ? COMMON_DTYPES : (["f32"] as const);

/** The sizes that settings leave open, in order of preference: recomputation, being exact, before a narrower type. */
function openSizes(options: TrainOptions): Size[] {
  const { dtype, recompute, batchSize } = options;
  const dtypes = dtype === "auto" ? possibleDtypes(options) : [dtype];
  const ways = recompute === "auto" ? [false, true] : [recompute === "on"];
  return dtypes.flatMap((dtype) => ways.map((recompute) => ({ dtype, recompute, batchSize })));
}

/** Null if the model has no such size: its rows may not be a whole number of blocks, or a batch may have too many. */
function ifPossible(plan: () => Planned): Planned | null {
  try {
    return plan();
  } catch (error) {
    if (error instanceof LowrankError) return null;
    throw error;
  }
}

/** The plans in the first size that fits, of those that the settings leave open; in the smallest if none does. */
export function planFitting(args: Preparable, options: TrainOptions): Planned {
  const [first, ...others] = openSizes(options);
  let planned = planRun(args, options, first!);
  for (const size of others) {
    if (fitsOn(args, planned)) break;
    planned = ifPossible(() => planRun(args, options, size)) ?? planned;
  }
  return planned;
}

/** A change of settings after which a run fits, and its bytes. */
interface Change {
  set: Partial<Pick<TrainOptions, "dtype" | "recompute" | "batchSize">>;
  bytes: number;
}

/**
 * The nearest change after which a run takes less memory and fits: the same batch with recomputation, then with
 * narrower weights, then a smaller batch. Null: nothing fits.
 */
export function nearestChange(args: Preparable, options: TrainOptions): Change | null {
  const present = ifPossible(() => planFitting(args, options));
  const most = present ? peakMemory(present) : Infinity;
  const ways = options.recompute === "on" ? [true] : [false, true];
  const dtypes = possibleDtypes(options).filter(
    (_, i, all: readonly WeightDtype[]) => i >= all.indexOf(present?.size.dtype ?? "f32"),
  );
  for (let batchSize = options.batchSize; batchSize >= 1; batchSize >>= 1)
    for (const dtype of dtypes)
      for (const recompute of ways) {
        const planned = ifPossible(() => planRun(args, options, { dtype, recompute, batchSize }));
        const bytes = planned ? peakMemory(planned) : Infinity;
        if (!planned || bytes >= most || !fitsOn(args, planned)) continue;
        const set: Change["set"] = {
          ...(dtype === dtypes[0] ? {} : { dtype }),
          ...(batchSize === options.batchSize ? {} : { batchSize }),
        };
        const chosen = ifPossible(() => planFitting(args, { ...options, ...set }));
        if (chosen?.size.recompute !== recompute) set.recompute = recompute ? "on" : "off";
        return { set, bytes };
      }
  return null;
}

/** Throws DeviceError, with the nearest settings that fit, if the plans of a run do not fit its device. */
export function checkFits(args: Preparable, planned: Planned, options: TrainOptions): void {
  try {
    checkMemory(runMemory(planned), args.device.limits);
  } catch (error) {
    throw withAdvice(error, args, options);
  }
}

/** Whether an error says that less memory would do: a smaller batch, shorter rows, or weights of a narrower type. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof LowrankError && TOO_LARGE.includes(error.code);
}
const TOO_LARGE: readonly ErrorCode[] = ["out-of-memory", "buffer-too-large", "batch-too-large"];

/** An error of too little memory with the settings that fit as its hint; any other error unchanged. */
export function withAdvice(error: unknown, args: Preparable, options: TrainOptions): unknown {
  if (!(error instanceof DeviceError) || !isTooLarge(error)) return error;
  return new DeviceError(error.code, error.message.split("\n")[0]!, {
    ...error.details,
    hint: adviceOn(args, options),
  });
}

/** Changes with which a run fits. */
export function adviceOn(args: Preparable, options: TrainOptions): string {
  const nearest = nearestChange(args, options);
  if (nearest) {
    const settings = joinWords(Object.entries(nearest.set).map(([name, value]) => setting(name, value)));
    const shorter = nearest.set.batchSize ? `, or a smaller ${setting("maxLength")}` : "";
    return `use ${settings}, which takes ${formatBytes(nearest.bytes)}${shorter}`;
  }
  // Its weights, gradients and moments are in f32.
  const mode = METHODS[options.mode].freezesNothing ? `, or ${setting("mode", DEFAULTS.mode)}` : "";
  return `nothing fits: use a smaller ${setting("maxLength")} or a smaller model${mode}`;
}

/** The memory of a run in one size. */
export interface MeasuredSize extends Size {
  bytes: number;
  fits: boolean;
  /** Whether the settings give this size. */
  isPresent: boolean;
}

/**
 * What a run takes in every type of weights, without and with recomputation: a row for each, a column for each batch
 * size. Null where the model has no such size.
 */
export function measureSizes(
  args: Preparable,
  options: TrainOptions,
  batchSizes: readonly number[],
): (MeasuredSize | null)[][] {
  const present = ifPossible(() => planFitting(args, options))?.size;
  const measure = (size: Size): MeasuredSize | null => {
    const planned = ifPossible(() => planRun(args, options, size));
    const isPresent = JSON.stringify(size) === JSON.stringify(present);
    return planned && { ...size, bytes: peakMemory(planned), fits: fitsOn(args, planned), isPresent };
  };
  const dtypes: readonly WeightDtype[] = possibleDtypes(options);
  const presentType = present && !dtypes.includes(present.dtype) ? [present.dtype] : [];
  return [...dtypes, ...presentType].flatMap((dtype) =>
    [false, true].map((recompute) => batchSizes.map((batchSize) => measure({ dtype, recompute, batchSize }))),
  );
}

export function runSpec(
  { config }: Pick<BaseModel, "config">,
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
    train_head: true,
    lora: null,
    ...methodConfig(options),
    ...(adapter?.meta.lora ? { lora: adapter.meta.lora } : {}),
    // Before `auto` is settled: the parameters are the same in every type.
    dtype: options.dtype === "auto" ? "f32" : options.dtype,
  };
}

function checkLengths(data: TrainingData, context: number): void {
  for (const [name, set] of Object.entries({ train: data.train, val: data.val, test: data.test })) {
    const longest = maxBatchTokens(set, 1);
    if (longest > context)
      throw new DataError("exceeds-context", `an example of the ${name} set is longer than the model's context`, {
        expected: `at most ${context} tokens`,
        found: `${longest}`,
        hint: `load the data with maxLength ${context} or less`,
      });
  }
}
