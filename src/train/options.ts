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
import { checkNumber, type NumberRange } from "../number-range.ts";
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

/** What there is to know of a setting: its flag, its check and its field in the page follow from it. */
export interface Setting<T> {
  /** What trains gpt2-micro well on short messages: as fine-tuning with PEFT is usually set up. */
  default: T;
  /** A line of --help. */
  help: string;
  /** What stands for the value in --help: `<n>`. */
  value?: string;
  /** The words that it can be. */
  choices?: readonly (T & string)[];
  /** The numbers that it can be. */
  number?: NumberRange;
  /** Modes in which it counts; all where left out. */
  modes?: readonly Mode[];
}

const ONE_OR_MORE = { min: 1, whole: true } as const;
const LORA: readonly Mode[] = ["lora"];

export const SETTINGS: { readonly [K in keyof TrainOptions]: Setting<TrainOptions[K]> } = {
  mode: { default: "lora", help: "which parameters are trained", choices: MODES },
  rank: { default: 8, help: "LoRA rank", value: "<r>", number: ONE_OR_MORE, modes: LORA },
  alpha: { default: 16, help: "LoRA alpha", value: "<a>", number: { min: 0, above: true }, modes: LORA },
  scaling: { default: "alpha/r", help: "factor of the adapters", choices: SCALINGS, modes: LORA },
  init: { default: "kaiming", help: "initial values of A; those of B are 0", choices: INITS, modes: LORA },
  targets: {
    default: TARGETS,
    help: `matrices with an adapter, of ${TARGETS.join(",")}; c_attn: one for q,k,v`,
    value: "<list>",
    modes: LORA,
  },
  layers: { default: null, help: "blocks with adapters, such as 0,5-8", value: "<list>", modes: LORA },
  pooling: { default: "last-token", help: "the position at which a message is classified", choices: POOLINGS },
  headBias: { default: true, help: "train the head without a bias, as PEFT and transformers have it" },
  dtype: {
    default: "f32",
    help: "type of the frozen weights: f16 halves their memory; in mode all none is frozen",
    choices: WEIGHT_DTYPES,
    modes: MODES.filter((mode) => mode !== "all"),
  },
  epochs: { default: 3, help: "passes over the training set", value: "<n>", number: ONE_OR_MORE },
  batchSize: { default: 8, help: "messages a batch", value: "<n>", number: ONE_OR_MORE },
  batching: {
    default: "random",
    help: "which messages share a batch: any, or those of similar length",
    choices: BATCHINGS,
  },
  accumulate: {
    default: 1,
    help: "batches a step (gradient accumulation)",
    value: "<n>",
    number: { min: 1, max: MAX_ACCUMULATE, whole: true },
  },
  lr: { default: 1e-3, help: "peak learning rate", value: "<rate>", number: { min: 0, above: true } },
  schedule: { default: "linear", help: "learning rate after the warm-up", choices: SCHEDULES },
  warmup: {
    default: 0.05,
    help: "warm-up in steps, or as a share of the run below 1",
    value: "<n>",
    number: { min: 0 },
  },
  weightDecay: { default: 0.1, help: "AdamW's decoupled weight decay", value: "<x>", number: { min: 0 } },
  clip: { default: 0, help: "largest global gradient norm; 0: no clipping", value: "<x>", number: { min: 0 } },
  evalEvery: {
    default: 0,
    help: "steps between evaluations; 0: twice an epoch",
    value: "<n>",
    number: { min: 0, whole: true },
  },
  seed: {
    default: 1,
    help: "seed of the split, the order and the initial values",
    value: "<n>",
    number: { min: 0, max: 2 ** 32 - 1, whole: true },
  },
};

/** The names of the settings, in the order of --help. */
export const SETTING_NAMES = Object.keys(SETTINGS) as (keyof TrainOptions)[];

/** What is not given; of a language model `targets` and `headBias` are others. */
export const DEFAULTS = Object.fromEntries(
  SETTING_NAMES.map((name) => [name, SETTINGS[name].default]),
) as unknown as TrainOptions;

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
  for (const name of SETTING_NAMES) checkSetting(name, options[name]);
  if (options.mode === "lora") validateLora(loraConfig(options));
  return options;
}

function checkSetting(name: keyof TrainOptions, value: unknown): void {
  const { choices, number, modes } = SETTINGS[name] as Setting<unknown>;
  if (choices) oneOf(name, value, choices as readonly string[]);
  // The settings of LoRA are checked together, and only in its mode.
  if (number && !modes) checkNumber(name, value, number);
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
    const requested = given[key as keyof TrainOptions];
    if (requested !== undefined && JSON.stringify(requested) !== JSON.stringify(value))
      throw new ConfigError(`${key} is decided by the adapter that training begins with`, {
        expected: String(value),
        found: String(requested),
        hint: "leave it out",
      });
  }
  return { ...given, ...decided };
}
