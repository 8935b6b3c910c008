/** The settings of a run: their defaults, presets and checks. */

import { checkArguments, refuseUnknown } from "../arguments.ts";
import {
  INITS,
  type Init,
  type LoraConfig,
  MAX_ACCUMULATE,
  MODES,
  type Mode,
  type Objective,
  oneOf,
  POOLINGS,
  type Pooling,
  SCALINGS,
  type Scaling,
  TARGETS,
  type Target,
  validateLora,
  WEIGHT_DTYPES,
  type WeightDtype,
} from "../config.ts";
import { BATCHINGS, type Batching } from "../data/loader.ts";
import { ConfigError } from "../errors.ts";
import type { AdapterMeta } from "../io/peft.ts";
import { SCHEDULES, type ScheduleName } from "./schedule.ts";

export interface TrainOptions {
  /** Which tensors learn. */
  mode: Mode;
  rank: number;
  alpha: number;
  scaling: Scaling;
  init: Init;
  targets: readonly Target[];
  /** The blocks that have adapters, counted from 0; null: all. The head's adapter is in none. */
  layers: readonly number[] | null;
  /** Where a message is classified: its last token, or the last row of its padding. */
  pooling: Pooling;
  /** Whether the classification head has a bias. */
  headBias: boolean;
  /** What the frozen matrices are kept in. */
  dtype: WeightDtype;
  epochs: number;
  /** Messages, or blocks of text, a batch. */
  batchSize: number;
  /** Which of them are together in a batch: any, or some of like length. */
  batching: Batching;
  /** Batches a step (gradient accumulation). */
  accumulate: number;
  /** Peak learning rate. */
  lr: number;
  schedule: ScheduleName;
  /** Steps, or a share of the run below 1. */
  warmup: number;
  weightDecay: number;
  /** Largest global gradient norm; 0 turns clipping off. */
  clip: number;
  /** Steps between evaluations on the validation set; 0: twice an epoch. */
  evalEvery: number;
  seed: number;
}

/** What trains gpt2-micro well on short messages: as fine-tuning with PEFT is usually set up. */
export const DEFAULTS: TrainOptions = {
  mode: "lora",
  rank: 8,
  alpha: 16,
  scaling: "alpha/r",
  init: "kaiming",
  targets: TARGETS,
  layers: null,
  pooling: "last-token",
  headBias: true,
  dtype: "f32",
  epochs: 3,
  batchSize: 8,
  batching: "random",
  accumulate: 1,
  lr: 1e-3,
  schedule: "linear",
  warmup: 0.05,
  weightDecay: 0.1,
  clip: 0,
  evalEvery: 0,
  seed: 1,
};

/** A language model's head is its token table: it has no bias, and an adapter of it V rows, so that it has none unasked. */
const LM_DEFAULTS: TrainOptions = {
  ...DEFAULTS,
  targets: TARGETS.filter((target) => target !== "head"),
  headBias: false,
};

/** The published program's settings (data padded to the longest message; see the data set's option `padding`). */
export const PAPER: Partial<TrainOptions> = {
  scaling: "alpha",
  init: "paper",
  pooling: "last",
  epochs: 20,
  lr: 5e-5,
  schedule: "constant",
  warmup: 0,
};

/** Fills in the objective's defaults and checks everything; throws ConfigError with what was expected. */
export function resolveOptions(given: Partial<TrainOptions>, objective: Objective = "classification"): TrainOptions {
  if (objective === "lm") refuseClassifiers(given);
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [key] of set) if (!Object.hasOwn(DEFAULTS, key)) refuseUnknown(key, Object.keys(DEFAULTS));
  const defaults = objective === "lm" ? LM_DEFAULTS : DEFAULTS;
  const options: TrainOptions = { ...defaults, ...Object.fromEntries(set) };
  checkArguments(options, { targets: "texts", layers: "numbers or null", headBias: "boolean" });
  oneOf("mode", options.mode, MODES);
  oneOf("pooling", options.pooling, POOLINGS);
  oneOf("schedule", options.schedule, SCHEDULES);
  oneOf("batching", options.batching, BATCHINGS);
  oneOf("scaling", options.scaling, SCALINGS);
  oneOf("init", options.init, INITS);
  oneOf("dtype", options.dtype, WEIGHT_DTYPES);
  if (options.mode === "lora") validateLora(loraConfig(options));
  const whole = (n: number) => Number.isSafeInteger(n);
  const checks: [keyof TrainOptions, boolean, string][] = [
    ["epochs", whole(options.epochs) && options.epochs >= 1, "a whole number of 1 or more"],
    ["batchSize", whole(options.batchSize) && options.batchSize >= 1, "a whole number of 1 or more"],
    [
      "accumulate",
      whole(options.accumulate) && options.accumulate >= 1 && options.accumulate <= MAX_ACCUMULATE,
      `a whole number from 1 to ${MAX_ACCUMULATE}`,
    ],
    ["lr", Number.isFinite(options.lr) && options.lr > 0, "a number above 0"],
    ["weightDecay", Number.isFinite(options.weightDecay) && options.weightDecay >= 0, "a number of 0 or more"],
    ["clip", Number.isFinite(options.clip) && options.clip >= 0, "a number of 0 or more (0: no clipping)"],
    ["evalEvery", whole(options.evalEvery) && options.evalEvery >= 0, "a whole number of 0 or more"],
    ["seed", whole(options.seed) && options.seed >= 0 && options.seed < 2 ** 32, "a whole number from 0 to 2^32 - 1"],
  ];
  for (const [name, good, expected] of checks)
    if (!good) throw new ConfigError(`${name} makes no sense`, { expected, found: String(options[name]) });
  return options;
}

/** What only a classifier has must not be asked of a language model. */
function refuseClassifiers({ pooling, headBias }: Partial<TrainOptions>): void {
  const refused: [boolean, string, string][] = [
    [pooling === "last", "pooling last", "none: every token is predicted"],
    [headBias === true, "headBias", "none: a language model's head is its token table"],
  ];
  for (const [found, what, expected] of refused)
    if (found) throw new ConfigError(`${what} makes no sense for a language model`, { expected });
}

/** PEFT's view of the adapter settings. */
export function loraConfig({ rank, alpha, scaling, init, targets, layers }: TrainOptions): LoraConfig {
  return {
    r: rank,
    lora_alpha: alpha,
    scaling,
    init,
    target_modules: [...targets],
    ...(layers ? { layers_to_transform: [...layers] } : {}),
  };
}

/**
 * Settings with those that an adapter to go on from decides. Throws ConfigError where one was given with another value, or
 * where the directory holds no adapter with this objective.
 */
export function withAdapter<T extends Partial<TrainOptions>>(
  given: T,
  { mode, lora, task }: AdapterMeta,
  objective: Objective,
): T {
  const names = { classification: "a classifier", lm: "a language model" };
  if (lora === null || task.objective !== objective)
    throw new ConfigError(`this is no adapter of ${names[objective]} to go on from`, {
      expected: `mode lora, of ${names[objective]}`,
      found: `mode ${mode}, of ${names[task.objective]}`,
      ...(task.objective === objective ? {} : { hint: `train with --objective ${task.objective}` }),
    });
  const decided: Partial<TrainOptions> = {
    mode,
    rank: lora.r,
    alpha: lora.lora_alpha,
    scaling: lora.scaling,
    init: lora.init,
    targets: lora.target_modules,
    layers: lora.layers_to_transform ?? null,
    pooling: task.pooling,
    headBias: task.head_bias,
  };
  for (const [key, value] of Object.entries(decided)) {
    const wish = given[key as keyof TrainOptions];
    if (wish !== undefined && JSON.stringify(wish) !== JSON.stringify(value))
      throw new ConfigError(`${key} is decided by the adapter that training begins with`, {
        expected: String(value),
        found: String(wish),
        hint: "leave it out",
      });
  }
  return { ...given, ...decided };
}
