/** The training settings: defaults, presets and checks. */

import { checkArguments, checkNumber, parseChoice, refuseUnknown } from "../checks.ts";
import {
  HEAD_INITS,
  type HeadInit,
  isInBlocks,
  type LlamaType,
  MAX_ACCUMULATE,
  type ModelConfig,
  POOLINGS,
  type Pooling,
  TARGETS,
  validateLora,
  WEIGHT_DTYPES,
  type WeightDtype,
} from "../config.ts";
import { BATCHINGS, type Batching } from "../data/loader.ts";
import { ConfigError } from "../errors.ts";
import type { AdapterMeta } from "../io/peft.ts";
import {
  adapterOptions,
  hasSetting,
  METHODS,
  type MethodOptions,
  MODES,
  type Mode,
  methodConfig,
  TRAINING,
} from "../methods/index.ts";
import type { Setting as MethodSetting, Rates } from "../methods/method.ts";
import { countBase } from "../names.ts";
import type { Objective } from "../tasks/index.ts";
import { parseThreshold } from "../tasks/threshold.ts";
import { CLASS_WEIGHTS, type ClassWeights } from "./class-weights.ts";
import { SCHEDULES, type ScheduleName } from "./schedule.ts";

const KEEPS = ["best", "last"] as const;
type Keep = (typeof KEEPS)[number];

const RECOMPUTES = ["auto", "on", "off"] as const;
/** Whether activations are recomputed in the backward pass; `auto`: if the plan does not fit into memory otherwise. */
export type Recompute = (typeof RECOMPUTES)[number];

/** The settings of training; each has a default. */
export interface TrainOptions extends MethodOptions {
  /** Which tensors are trained. */
  mode: Mode;
  /** What a message is classified by: the mean of its tokens, its last token, or the last position with padding. */
  pooling: Pooling;
  /** Whether the classification head has a bias. */
  headBias: boolean;
  /** How the classification head is initialized. */
  headInit: HeadInit;
  /** Whether the loss is weighted by class where the classes are unequal. */
  classWeights: ClassWeights;
  /** Data type of the frozen matrices; `auto`: the widest that fits into memory. */
  dtype: WeightDtype | "auto";
  recompute: Recompute;
  epochs: number;
  /** Messages, or blocks of text, per batch. */
  batchSize: number;
  /** Which messages share a batch: any, or those of similar length. */
  batching: Batching;
  /** Batches per step (gradient accumulation). */
  accumulate: number;
  /** Peak learning rate. */
  lr: number;
  schedule: ScheduleName;
  /** Warm-up steps; below 1, a fraction of all steps. */
  warmup: number;
  weightDecay: number;
  /** Maximum global gradient norm; 0: no clipping. */
  clip: number;
  /** Steps between evaluations on the validation set; 0: twice an epoch. */
  evalEvery: number;
  /** Ends the run after so many evaluations in a row without a lower validation loss; 0: never. */
  patience: number;
  /** What is saved: the parameters of the evaluation with the lowest validation loss, or those after the last step. */
  keep: Keep;
  seed: number;
  /** Whether probabilities are calibrated: the validation set chooses a temperature. */
  calibrate: boolean;
  /** How the validation set chooses the threshold of one of two classes, or of each label: see `parseThreshold`. */
  threshold: string;
  /** The class of two that a threshold is for, and areas under curves; null: the rarer in the training set. */
  positive: string | null;
}

/** A setting of a run. */
export interface Setting<T> extends MethodSetting<T> {
  /** The modes in which it has an effect; default: all. */
  modes?: readonly Mode[];
  /** It changes only memory and time, and no bit of the result. */
  sameBits?: true;
}

type Settings<Options> = { readonly [K in keyof Options]: Setting<Options[K]> };

/** The settings of the methods, in their order. */
const METHOD_SETTINGS: Settings<MethodOptions> = Object.assign(
  {},
  ...MODES.flatMap((mode) => Object.entries(TRAINING[mode].settings)).map(([name, setting]) => ({
    [name]: { ...setting, modes: MODES.filter((mode) => hasSetting(mode, name as keyof MethodOptions)) },
  })),
);

const ONE_OR_MORE = { min: 1, whole: true } as const;

export const SETTINGS: Settings<TrainOptions> = {
  mode: { default: "lora", choices: MODES },
  ...METHOD_SETTINGS,
  pooling: { default: "mean", choices: POOLINGS },
  headBias: { default: true },
  headInit: { default: "zeros", choices: HEAD_INITS },
  classWeights: { default: "auto", choices: CLASS_WEIGHTS },
  dtype: {
    default: "f32",
    choices: [...WEIGHT_DTYPES, "auto"],
    modes: MODES.filter((mode) => !METHODS[mode].freezesNothing),
  },
  recompute: { default: "auto", choices: RECOMPUTES, sameBits: true },
  epochs: { default: 3, number: ONE_OR_MORE },
  batchSize: { default: 8, number: ONE_OR_MORE },
  batching: { default: "random", choices: BATCHINGS },
  accumulate: { default: 1, number: { min: 1, max: MAX_ACCUMULATE, whole: true } },
  lr: { default: TRAINING.lora.rates[0], number: { min: 0, above: true } },
  schedule: { default: "linear", choices: SCHEDULES },
  warmup: { default: 0.05, number: { min: 0 } },
  weightDecay: { default: 0.1, number: { min: 0 } },
  clip: { default: 0, number: { min: 0 } },
  evalEvery: { default: 0, number: { min: 0, whole: true } },
  patience: { default: 0, number: { min: 0, whole: true } },
  keep: { default: "best", choices: KEEPS },
  seed: { default: 1, number: { min: 0, max: 2 ** 32 - 1, whole: true } },
  calibrate: { default: false },
  threshold: { default: "none" },
  positive: { default: null },
};

/** What the defaults depend on. What is not known yet counts as the small model and many rows. */
export interface Known {
  /** Rows of the training set. */
  rows?: number;
  /** Parameters of the base model. */
  parameters?: number;
  /** Its architecture, unless it is a GPT-2. */
  model_type?: LlamaType;
  /** Its blocks. */
  n_layer?: number;
}

/** What is known of a base model. */
export const knownBase = (config: ModelConfig): Known => ({
  ...{ parameters: countBase(config), n_layer: config.n_layer },
  ...(config.model_type ? { model_type: config.model_type } : {}),
});

/** The parameters from which a model counts as large: rates were measured with 7 million, and published from 80 on. */
export const LARGE = 50e6;

/** The learning rate for a model of so many parameters. */
export const pickRate = ([small, large]: Rates, { parameters = 0 }: Known) => (parameters < LARGE ? small : large);

/** The default learning rate of a mode. */
export const defaultRate = (mode: Mode, known: Known) => pickRate(TRAINING[mode].rates, known);

/** A rate to try after one that was too high: the mode's default, or a quarter of a rate that is no higher. */
export function smallerRate(lr: number, mode: Mode, known: Known): number {
  const usual = defaultRate(mode, known);
  return lr > usual ? usual : Number((lr / 4).toPrecision(2));
}

/** The names of the settings, in the order of --help. */
export const SETTING_NAMES = Object.keys(SETTINGS) as (keyof TrainOptions)[];

/** The defaults for a classifier; `objectiveDefaults` has those of other objectives. */
export const DEFAULTS = Object.fromEntries(
  SETTING_NAMES.map((name) => [name, SETTINGS[name].default]),
) as unknown as TrainOptions;

/** A language model's head is the token table. It has no bias, and by default no adapter, which would have V rows. */
const LM_DEFAULTS: TrainOptions = {
  ...DEFAULTS,
  targets: TARGETS.filter((target) => target !== "head"),
  pooling: "last-token",
  headBias: false,
  classWeights: "none",
};

/** Only one class a message can be weighted. */
const SCORE_DEFAULTS: TrainOptions = { ...DEFAULTS, classWeights: "none" };

/** The defaults for an objective. */
export function objectiveDefaults(objective: Objective): TrainOptions {
  if (objective === "classification") return DEFAULTS;
  return objective === "lm" ? LM_DEFAULTS : SCORE_DEFAULTS;
}

/** The published program's settings. Its data is padded to the longest message: see the data set's option `padding`. */
export const PAPER: Partial<TrainOptions> = {
  scaling: "alpha",
  init: "paper",
  headInit: "uniform",
  pooling: "last",
  classWeights: "none",
  epochs: 20,
  lr: 5e-5,
  schedule: "constant",
  warmup: 0,
  keep: "last",
};

/** The fewest steps after which a model has learned something, whatever the number of rows. */
const FEWEST_STEPS = 150;

/** The evaluations of a run that has more epochs for it. */
const EVALUATIONS = 10;

/**
 * The blocks that get adapters. Of a small Llama, read as a mean over tokens, these are the upper third: below them is
 * what tells texts apart, and what is frozen runs once (measured with smollm2-cut: data/models/smollm2-cut).
 */
function defaultLayers(
  { model_type, parameters = LARGE, n_layer = 0 }: Known,
  { targets, pooling }: Pick<TrainOptions, "targets" | "pooling">,
): number[] | null {
  const isSmall = model_type !== undefined && parameters < LARGE;
  if (!isSmall || pooling !== "mean" || !targets.some(isInBlocks)) return null;
  const first = Math.floor((2 * n_layer) / 3);
  return Array.from({ length: n_layer - first }, (_, i) => first + i);
}

/**
 * The defaults for so many training rows, this model and what is given: few rows have more epochs, and very few a
 * smaller batch. Given epochs keep their evaluations.
 */
export function defaultsFor(
  known: Known,
  given: Partial<TrainOptions>,
  defaults: TrainOptions,
): Partial<TrainOptions> & Pick<TrainOptions, "epochs" | "evalEvery"> {
  const { rows = Number.POSITIVE_INFINITY, model_type } = known;
  const { mode = defaults.mode, batchSize, accumulate, epochs } = given;
  const size = Math.min(defaults.batchSize, rows);
  const stepsPerEpoch = Math.floor(rows / ((batchSize ?? size) * (accumulate ?? defaults.accumulate))) || 1;
  const enough = Math.ceil(FEWEST_STEPS / stepsPerEpoch);
  const isShort = epochs === undefined && enough > defaults.epochs;
  const ofMethod = TRAINING[mode].defaults?.(given);
  return {
    ...{ lr: defaultRate(mode, known), ...ofMethod },
    ...(hasSetting(mode, "layers") ? { layers: defaultLayers(known, { ...defaults, ...ofMethod, ...given }) } : {}),
    batchSize: size,
    epochs: isShort ? enough : defaults.epochs,
    evalEvery: isShort ? Math.ceil((enough * stepsPerEpoch) / EVALUATIONS) : defaults.evalEvery,
    // transformers' heads have none, and behind an RMS norm it could not be folded into the weight for them.
    headBias: defaults.headBias && model_type === undefined,
  };
}

/** Fills in the objective's defaults. Throws ConfigError for unknown options and invalid values. */
export function resolveOptions(
  given: Partial<TrainOptions>,
  objective: Objective = "classification",
  known: Known = {},
): TrainOptions {
  refuseOfOthers(given, objective);
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [key] of set) if (!Object.hasOwn(DEFAULTS, key)) refuseUnknown(key, Object.keys(DEFAULTS));
  const defaults = objectiveDefaults(objective);
  const mode = parseChoice("mode", given.mode ?? defaults.mode, MODES);
  const wanted = Object.fromEntries(set);
  const options: TrainOptions = { ...defaults, ...defaultsFor(known, { ...wanted, mode }, defaults), ...wanted };
  refuseIdle(options, defaults);
  checkOptions(options);
  return options;
}

/** Throws ConfigError for invalid values, each by itself. */
export function checkOptions(options: TrainOptions): void {
  parseChoice("mode", options.mode, MODES);
  checkArguments(options, {
    ...{ targets: "texts", layers: "numbers or null", headBias: "boolean", dora: "boolean", calibrate: "boolean" },
  });
  parseThreshold(options.threshold);
  for (const name of SETTING_NAMES) checkSetting(name, options[name]);
  const { lora } = methodConfig(options);
  if (lora) validateLora(lora);
}

function checkSetting(name: keyof TrainOptions, value: unknown): void {
  const { choices, number } = SETTINGS[name] as Setting<unknown>;
  if (choices) parseChoice(name, value, choices as readonly string[]);
  // `validateLora` checks these.
  if (number && name !== "rank" && name !== "alpha") checkNumber(name, value, number);
}

/** Whether a setting has an effect in a mode. */
const counts = (name: keyof TrainOptions, mode: Mode) => SETTINGS[name].modes?.includes(mode) ?? true;

/** The settings without those that have no effect in their mode. */
export function ofMode<T extends Partial<TrainOptions>>(settings: T, mode: Mode): T {
  const idle = SETTING_NAMES.filter((name) => !counts(name, mode));
  return Object.fromEntries(
    Object.entries(settings).filter(([name]) => !idle.includes(name as keyof TrainOptions)),
  ) as T;
}

/** Throws ConfigError for a setting of another mode. A default value does not count as one. */
function refuseIdle(options: TrainOptions, defaults: TrainOptions): void {
  const { mode } = options;
  const idle = SETTING_NAMES.find(
    // `parameterList` says why there is no f16 in mode all.
    (name) =>
      name !== "dtype" && !counts(name, mode) && JSON.stringify(options[name]) !== JSON.stringify(defaults[name]),
  );
  if (idle === undefined) return;
  const own = SETTING_NAMES.filter((name) => name !== "dtype" && SETTINGS[name].modes && counts(name, mode));
  throw new ConfigError("option-without-effect", `${idle} has no effect in mode ${mode}`, {
    expected: `settings of ${METHODS[mode].title}: ${own.join(", ") || "it has none of its own"}`,
    found: `${idle} ${String(options[idle])}, a setting of mode ${SETTINGS[idle].modes!.join(", ")}`,
    hint: `omit ${idle}, or choose another mode`,
  });
}

/** What has no effect but for some objectives: a setting, whether it is given, and why it has none. */
const NEEDS: readonly {
  of: (given: Partial<TrainOptions>) => boolean;
  name: string;
  why: Partial<Record<Objective, string>>;
}[] = [
  {
    of: ({ pooling = LM_DEFAULTS.pooling }) => pooling !== LM_DEFAULTS.pooling,
    name: "pooling",
    why: { lm: "no pooling: every token is predicted" },
  },
  {
    of: ({ headBias }) => headBias === true,
    name: "headBias",
    why: { lm: "no headBias: a language model's head is its token table" },
  },
  {
    of: ({ headInit = "zeros" }) => headInit !== "zeros",
    name: "headInit",
    why: { lm: "no headInit: a language model's head is its token table" },
  },
  {
    of: ({ targets }) => targets?.includes("wte") === true,
    name: "an adapter of wte",
    why: { lm: "other targets: the token table is also the head" },
  },
  {
    of: ({ classWeights }) => classWeights === "auto",
    name: "classWeights",
    why: {
      lm: "no classWeights: texts have no classes",
      regression: "no classWeights: scores are no classes",
      "multi-label": "no classWeights: messages have several labels",
    },
  },
  {
    of: ({ calibrate }) => calibrate === true,
    name: "calibrate",
    why: {
      lm: "no calibrate: texts have no classes",
      regression: "no calibrate: a score has no probability",
      "multi-label": "no calibrate: a temperature is for one class a message",
    },
  },
  {
    of: ({ threshold = "none" }) => threshold !== "none",
    name: "threshold",
    why: { lm: "no threshold: texts have no classes", regression: "no threshold: a score has no probability" },
  },
];

/** What each objective trains, in words. */
const TRAINED: Record<Objective, string> = {
  classification: "a classifier",
  regression: "a regression",
  "multi-label": "a classifier with several labels a message",
  tokens: "a token classifier",
  lm: "a language model",
};

/** Throws ConfigError for options that are invalid for the objective. */
function refuseOfOthers(given: Partial<TrainOptions>, objective: Objective): void {
  for (const { of, name, why } of NEEDS) {
    const expected = why[objective];
    if (expected !== undefined && of(given))
      throw new ConfigError("options-conflict", `${name} is invalid for ${TRAINED[objective]}`, { expected });
  }
}

/**
 * Settings with those that the adapter to continue from determines, and, unless another is given, with its dropout.
 * Throws ConfigError if one that it determines is given with another value, or if it has another objective.
 */
export function withAdapter<T extends Partial<TrainOptions>>(given: T, meta: AdapterMeta, objective: Objective): T {
  const { mode, task } = meta;
  if (task.objective !== objective)
    throw new ConfigError("wrong-task", `not an adapter of ${TRAINED[objective]}`, {
      expected: `an adapter of ${TRAINED[objective]}`,
      found: `${METHODS[mode].title}, ${TRAINED[task.objective]}`,
      hint: `train with --objective ${task.objective}`,
    });
  const { dropout, ...own } = adapterOptions(meta);
  const decided: Partial<TrainOptions> = {
    ...own,
    pooling: task.pooling,
    headBias: task.head_bias,
  };
  for (const [key, value] of Object.entries(decided)) {
    const requested = given[key as keyof TrainOptions];
    if (requested !== undefined && JSON.stringify(requested) !== JSON.stringify(value))
      throw new ConfigError("settings-of-adapter", `${key} differs from the adapter to continue from`, {
        expected: String(value),
        found: String(requested),
        hint: `omit ${key}: the adapter determines it`,
      });
  }
  return { ...given, ...decided, ...(dropout === undefined ? {} : { dropout: given.dropout ?? dropout }) };
}
