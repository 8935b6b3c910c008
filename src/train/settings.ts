/**
 * The settings of a run, each a line: its default, what it may be, and which methods have it. Flags, fields of the page,
 * keys of a sweep, the library's arguments and their checks follow from it; `setting-words.ts` has their words. Which
 * settings a task lacks is in its file.
 */
import { DATA_SETTINGS, type DataSettings, type OpenSetting } from "../data/settings.ts";
import { METHODS, MODES, type Mode } from "../methods/index.ts";
import type { Setting as MethodSetting } from "../methods/method.ts";
import { hasSetting, type MethodOptions, TRAINING } from "../methods/training.ts";
import { MAX_ACCUMULATE } from "../model/trainable.ts";
import { HEAD_INITS, type HeadInit } from "../names.ts";
import { OBJECTIVES, type Objective, POOLINGS, type Pooling } from "../tasks/index.ts";
import { WEIGHT_DTYPES, type WeightDtype } from "../tensor.ts";
import { CLASS_WEIGHTS, type ClassWeights } from "./class-weights.ts";
import { SCHEDULES, type ScheduleName } from "./schedule.ts";

const KEEPS = ["best", "last"] as const;
type Keep = (typeof KEEPS)[number];

const RECOMPUTES = ["auto", "on", "off"] as const;
/** Whether activations are recomputed in the backward pass; `auto`: if the plan does not fit into memory otherwise. */
export type Recompute = (typeof RECOMPUTES)[number];

/** The settings of training; each has a default. */
export interface TrainOptions extends MethodOptions {
  /** Which tensors are trained: the name of a method. Default: "lora". */
  mode: Mode;
  /**
   * What a message is classified by: the mean of its tokens, its last token, or the last position with padding.
   * Default: "mean", or what the base model's folder says, of token classifiers and language models "last-token".
   */
  pooling: Pooling;
  /** Whether the classification head has a bias. Default: true, of models without biases, such as Llama, false. */
  headBias: boolean;
  /** How the classification head is initialized. Default: "zeros". */
  headInit: HeadInit;
  /** Whether the loss is weighted by class where the classes are unequal. Default: "auto", where there is one class a message. */
  classWeights: ClassWeights;
  /** Data type of the frozen matrices; `auto`: the widest that fits into memory. Default: "f32". */
  dtype: WeightDtype | "auto";
  /** Whether activations are recomputed in the backward pass, which takes less memory. Default: "auto", if need be. */
  recompute: Recompute;
  /** Passes over the training set. Default: 3, of few rows as many as make 150 steps. */
  epochs: number;
  /** Messages, or blocks of text, per batch. Default: 8, of fewer rows all. */
  batchSize: number;
  /** Batches per step (gradient accumulation). Default: 1. */
  accumulate: number;
  /** Peak learning rate. Default: of LoRA 0.001, from 50 million parameters on 0.0002; other methods have others. */
  lr: number;
  /** The learning rate after the warm-up: it falls to 0, or is constant. Default: "linear". */
  schedule: ScheduleName;
  /** Warm-up steps; below 1, a fraction of all steps. Default: 0.05. */
  warmup: number;
  /** AdamW's decoupled weight decay. Default: 0.1. */
  weightDecay: number;
  /** Maximum global gradient norm; 0: no clipping. Default: 0. */
  clip: number;
  /**
   * Steps between evaluations on the validation set; 0: twice an epoch. Default: 0, or ten evaluations where few rows have
   * more epochs.
   */
  evalEvery: number;
  /** Ends the run after so many evaluations in a row without a lower validation loss; 0: never. Default: 0. */
  patience: number;
  /**
   * What is saved: the parameters of the evaluation with the lowest validation loss, or those after the last step.
   * Default: "best".
   */
  keep: Keep;
  /** Seed of the batch order, the initial values and dropout. Default: 1. */
  seed: number;
  /** Whether probabilities are calibrated: the validation set chooses a temperature. Default: false. */
  calibrate: boolean;
  /**
   * How the validation set chooses the probability from which `positive`, or each of several labels, is predicted: "f1",
   * "precision=0.95" or "recall=0.95". Default: "none", the most probable class, and labels from 0.5 on.
   */
  threshold: string;
  /** The class of two that a threshold is for, and areas under curves. Default: null, the rarer in the training set. */
  positive: string | null;
}

export interface Setting<T> extends MethodSetting<T> {
  /** The modes in which it has an effect; default: all. */
  modes?: readonly Mode[];
  /** An adapter to continue from has it. */
  ofAdapter?: boolean;
  /** Only what is trained step by step has it. */
  ofSteps?: true;
  /** It changes only memory and time, and no bit of the result. */
  sameBits?: true;
  /** Any text, or null. */
  kind?: "text";
}

type Settings<Options> = { readonly [K in keyof Options]: Setting<Options[K]> };

const METHOD_SETTINGS: Settings<MethodOptions> = Object.assign(
  {},
  ...MODES.flatMap((mode) => Object.entries(TRAINING[mode].settings)).map(([name, setting]) => ({
    [name]: {
      ...setting,
      ofAdapter: !setting.perRun,
      modes: MODES.filter((mode) => hasSetting(mode, name as keyof MethodOptions)),
    },
  })),
);

const ONE_OR_MORE = { min: 1, whole: true } as const;

export const SETTINGS: Settings<TrainOptions> = {
  mode: { default: "lora", choices: Object.keys(METHODS) as Mode[], ofAdapter: true },
  ...METHOD_SETTINGS,
  epochs: { default: 3, number: ONE_OR_MORE, ofSteps: true },
  lr: { default: TRAINING.lora.rates[0], number: { min: 0, above: true }, ofSteps: true },
  batchSize: { default: 8, number: ONE_OR_MORE, ofSteps: true },
  accumulate: { default: 1, number: { min: 1, max: MAX_ACCUMULATE, whole: true }, ofSteps: true },
  dtype: {
    default: "f32",
    choices: [...WEIGHT_DTYPES, "auto"],
    modes: MODES.filter((mode) => !METHODS[mode].freezesNothing),
  },
  recompute: { default: "auto", choices: RECOMPUTES, sameBits: true, ofSteps: true },
  schedule: { default: "linear", choices: SCHEDULES, ofSteps: true },
  warmup: { default: 0.05, number: { min: 0 }, ofSteps: true },
  weightDecay: { default: 0.1, number: { min: 0 }, ofSteps: true },
  classWeights: { default: "auto", choices: CLASS_WEIGHTS, ofSteps: true },
  clip: { default: 0, number: { min: 0 }, ofSteps: true },
  pooling: { default: "mean", choices: POOLINGS, ofAdapter: true, published: ["last"] },
  headBias: { default: true, ofAdapter: true, ofSteps: true },
  evalEvery: { default: 0, number: { min: 0, whole: true }, ofSteps: true },
  patience: { default: 0, number: { min: 0, whole: true }, ofSteps: true },
  keep: { default: "best", choices: KEEPS, ofSteps: true },
  calibrate: { default: false },
  threshold: { default: "none" },
  positive: { default: null, kind: "text" },
  seed: { default: 1, number: { min: 0, max: 2 ** 32 - 1, whole: true } },
  // Zeros are better than the others, which are there to compare with: src/bench/README.md.
  headInit: { default: "zeros", choices: HEAD_INITS, ofAdapter: true, published: true, ofSteps: true },
};

export const SETTING_NAMES = Object.keys(SETTINGS) as (keyof TrainOptions)[];

/** Those that are a run's own: an adapter has its type of weights, and others follow from the rows. */
const OF_A_RUN = ["dtype", "epochs", "warmup", "evalEvery", "patience", "classWeights"];
const KEPT = SETTING_NAMES.filter((name) => !SETTINGS[name].ofAdapter && !OF_A_RUN.includes(name));

/** The settings with which an adapter learns on, of those that it was trained with: not the defaults. */
export const settingsToKeep = (given: RunSettings, defaults: RunSettings = {}): Partial<TrainOptions> =>
  Object.fromEntries(KEPT.flatMap((name) => (given[name] === defaults[name] ? [] : [[name, given[name]]])));

/** The settings of a run as a whole. */
interface WholeSettings {
  model: string;
  objective: Objective;
  /** The directory of the adapter that training starts from. */
  adapter: string;
}

/** Missing settings are taken from a preset, then from the defaults. */
export interface RunSettings extends Partial<TrainOptions & DataSettings & WholeSettings> {}

export const ALL_SETTINGS: {
  readonly [K in keyof RunSettings]-?: OpenSetting<RunSettings[K]> & { modes?: readonly Mode[] };
} = {
  ...DATA_SETTINGS,
  model: { kind: "text" },
  objective: { choices: OBJECTIVES },
  ...SETTINGS,
  adapter: { kind: "text" },
};

/** The names of a run's settings, in the order of --help. */
export const RUN_SETTINGS = Object.keys(ALL_SETTINGS) as readonly (keyof RunSettings)[];

/** The words of a setting that are not there for the published experiment alone. */
export function offeredChoices(name: keyof RunSettings): readonly string[] | undefined {
  const { choices, published } = ALL_SETTINGS[name] as OpenSetting<string>;
  return published && published !== true ? choices?.filter((word) => !published.includes(word)) : choices;
}

/** Whether people are offered a setting: the others are there for the published experiment. */
export const isOffered = (name: keyof RunSettings): boolean => ALL_SETTINGS[name].published !== true;
