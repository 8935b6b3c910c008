/**
 * The settings of a run, each a line: its default, what it may be, and which methods have it. Flags, fields of the
 * page, keys of a sweep, the library's arguments, their checks and what other programs call them follow from it. A page
 * does not load the texts of flags, which are below. Which settings a task lacks is in its file.
 */

import type { OtherNames } from "../core/checks.ts";
import { HEAD_INITS, type HeadInit } from "../core/names.ts";
import { WEIGHT_DTYPES, type WeightDtype } from "../core/tensor.ts";
import { DATA_FLAGS, DATA_SETTINGS, type DataSettings, type OpenSetting } from "../data/settings.ts";
import { METHODS, MODES, type Mode } from "../methods/index.ts";
import { type Flags, inPage, type Setting as MethodSetting } from "../methods/method.ts";
import { hasSetting, type MethodOptions, settingFlags, TRAINING } from "../methods/training.ts";
import { MAX_ACCUMULATE } from "../model/trainable.ts";
import { OBJECTIVES, type Objective, POOLINGS, type Pooling } from "../tasks/index.ts";
import { CLASS_WEIGHTS, type ClassWeights } from "./class-weights.ts";
import { SCHEDULES, type ScheduleName } from "./schedule.ts";

const KEEPS = ["best", "last"] as const;
export type Keep = (typeof KEEPS)[number];

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
  /**
   * Whether the loss is weighted by class where the classes are unequal. Default: "auto", where there is one class a
   * message.
   */
  classWeights: ClassWeights;
  /** Data type of the frozen matrices; `auto`: the widest that fits into memory. Default: "f32". */
  dtype: WeightDtype | "auto";
  /** Whether activations are recomputed in the backward pass, which takes less memory. Default: "auto", if need be. */
  recompute: Recompute;
  /** Passes over the training set. Default: 3; of few rows as many as make 150 steps, of many labels or pairs up to 450. */
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
   * Steps between evaluations on the validation set; 0: twice an epoch. Default: 0, or ten evaluations where few rows
   * have more epochs.
   */
  evalEvery: number;
  /**
   * Ends the run after so many evaluations in a row without a lower validation loss; 0: never. Default: 0, or those of
   * 120 steps where few rows have more epochs and a validation set chooses among them.
   */
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
   * How the validation set chooses the probability from which `positive`, or each of several labels, is predicted:
   * "f1", "precision=0.95" or "recall=0.95". Default: "none", the most probable class, and labels from 0.5 on.
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
  mode: inPage(
    { default: "lora", choices: Object.keys(METHODS) as Mode[], ofAdapter: true, isMain: true, others: ["peft_type"] },
    "Method: Which parameters are trained; all others stay as they are. LoRA adds two thin matrices to each large one and trains them, full fine-tuning changes everything.",
  ),
  ...METHOD_SETTINGS,
  epochs: inPage(
    { default: 3, number: ONE_OR_MORE, ofSteps: true, isMain: true, others: ["num_train_epochs", "num_epochs"] },
    "Epochs: How often each example is seen. More epochs take longer, and after some the model learns the examples by heart: the validation loss rises.",
  ),
  lr: inPage(
    {
      default: TRAINING.lora.rates[0],
      number: { min: 0, above: true },
      ofSteps: true,
      isMain: true,
      others: ["learning_rate"],
    },
    "Learning rate: The size of a step. Too small, and nothing is learned in time; too large, and the loss jumps or is not a number any more.",
  ),
  batchSize: inPage(
    { default: 8, number: ONE_OR_MORE, ofSteps: true, others: ["per_device_train_batch_size", "train_batch_size"] },
    "Batch size: How many examples a step sees. Larger batches give steadier steps, fewer of them an epoch, and take more memory.",
  ),
  accumulate: inPage(
    {
      default: 1,
      number: { min: 1, max: MAX_ACCUMULATE, whole: true },
      ofSteps: true,
      help: "Batches per step",
      others: ["gradient_accumulation_steps"],
    },
    "Accumulation: How many batches make one step. It acts like a larger batch without its memory.",
  ),
  dtype: inPage(
    {
      default: "f32",
      choices: [...WEIGHT_DTYPES, "auto"],
      modes: MODES.filter((mode) => !METHODS[mode].freezesNothing),
      named: { f32: "float32", f16: "float16", q8: "8 bits", q4: "4 bits (NF4)", int16: "integers", auto: "what fits" },
      others: ["load_in_4bit q4", "load_in_8bit q8", "fp16 f16", "bf16 f16", "torch_dtype"],
    },
    "Frozen weights: How the frozen weights are stored. float16 halves their memory, 8 bits need about a quarter, 4 bits (NF4, as in QLoRA) an eighth and round most; integers of 16 bits are the fastest without a GPU. What is trained stays float32.",
  ),
  recompute: inPage(
    {
      default: "auto",
      choices: RECOMPUTES,
      sameBits: true,
      ofSteps: true,
      named: { auto: "if needed" },
      others: ["gradient_checkpointing on"],
    },
    "Recomputation: Recomputes the activations of each block in the backward pass instead of keeping them. It takes less memory and more time; the result is the same.",
  ),
  schedule: inPage(
    {
      default: "linear",
      choices: SCHEDULES,
      ofSteps: true,
      named: { linear: "linear decay", cosine: "cosine decay" },
      others: ["lr_scheduler_type"],
    },
    "Rate schedule: How the learning rate changes after the warm-up. Linear decay ends at zero, which steadies the last steps.",
  ),
  warmup: inPage(
    {
      default: 0.05,
      number: { min: 0 },
      ofSteps: true,
      help: "Steps; < 1: fraction",
      others: ["warmup_ratio", "warmup_steps"],
    },
    "Warm-up: The learning rate rises from zero during these steps, while the optimizer's averages are still rough. Below 1 it is a share of all steps.",
  ),
  weightDecay: inPage(
    { default: 0.1, number: { min: 0 }, ofSteps: true },
    "Weight decay: Pulls the trained parameters towards zero at each step. It keeps them small and can prevent overfitting.",
  ),
  classWeights: inPage(
    { default: "auto", choices: CLASS_WEIGHTS, ofSteps: true, named: { auto: "if unequal" } },
    "Class weights: Whether rare classes count more in the loss. If unequal: where the largest class has over 1.5 times the rows of the smallest.",
  ),
  clip: inPage(
    { default: 0, number: { min: 0 }, ofSteps: true, help: "Maximum norm; 0: off", others: ["max_grad_norm"] },
    "Gradient clipping: Gradients with a larger norm are scaled down to it. 1 is common where the loss jumps; 0 leaves them as they are.",
  ),
  pooling: inPage(
    {
      default: "mean",
      choices: POOLINGS,
      ofAdapter: true,
      published: ["last"],
      named: { mean: "mean of all tokens", cls: "first token, [CLS]", "last-token": "last token" },
    },
    "Pooling: What of a text is classified. The mean of its tokens learns more from few rows; transformers' classes read the last token.",
  ),
  headBias: inPage(
    { default: true, ofAdapter: true, ofSteps: true },
    "Head bias: Whether the classification head adds a number for each class. PEFT and transformers train heads without.",
  ),
  evalEvery: inPage(
    {
      default: 0,
      number: { min: 0, whole: true },
      ofSteps: true,
      help: "Steps; 0: twice per epoch",
      others: ["eval_steps"],
    },
    "Evaluation interval: The validation set is evaluated, and a checkpoint saved, every this many steps. 0: twice an epoch.",
  ),
  patience: inPage(
    {
      default: 0,
      number: { min: 0, whole: true },
      ofSteps: true,
      help: "Evaluations without improvement; 0: off",
      others: ["early_stopping_patience"],
    },
    "Patience: Ends the run after this many evaluations without a lower validation loss, once one is below that of a model that has learned nothing. 0: never.",
  ),
  keep: inPage(
    { default: "best", choices: KEEPS, ofSteps: true, others: ["load_best_model_at_end best"] },
    "Keep evaluation: What is saved: the parameters with the lowest validation loss, or those after the last step.",
  ),
  calibrate: inPage(
    { default: false },
    "Calibrate: Divides the logits by the number with the lowest validation loss, so that 90 % is right in about 90 % of cases.",
  ),
  threshold: inPage(
    {
      default: "none",
      named: { none: "none", f1: "highest F1", "precision=.95": "precision 95 %", "recall=.95": "recall 95 %" },
    },
    "Threshold: The probability from which the rarer of two classes is predicted, or each of several labels; the validation set chooses it.",
  ),
  positive: { default: null, kind: "text" },
  seed: inPage(
    { default: 1, number: { min: 0, max: 2 ** 32 - 1, whole: true }, others: ["random_state"] },
    "Seed: The start of all random numbers. The same seed gives the same run; another one shows how much is chance.",
  ),
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
  model: { kind: "text", others: ["model_name_or_path"], field: "Base model" },
  objective: { choices: OBJECTIVES, others: ["task_type"], field: "The labels are" },
  ...SETTINGS,
  adapter: { kind: "text", field: "Start from" },
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

export const OTHER_NAMES: OtherNames<keyof RunSettings> = Object.fromEntries(
  RUN_SETTINGS.flatMap((name) =>
    (ALL_SETTINGS[name].others ?? []).map((words) => {
      const [other, value] = words.split(" ") as [string, string?];
      return [other, value === undefined ? [name] : [name, value]] as const;
    }),
  ),
);

/** The flags; of `lr` the command adds the defaults. */
export const flagTexts = (): Flags<Omit<RunSettings, "balance" | "padding" | "headInit">> => ({
  ...DATA_FLAGS,
  ...settingFlags(),
  model:
    "base model, e5-small-cut or gpt2-micro (bundled), gpt2, smollm2-135m, owner/name on the Hugging Face Hub, a directory or a GGUF file; e5-small-cut is multilingual-e5-small with fewer tokens (48 million parameters, 30 MB), gpt2-micro has 7 million (15 MB); also gpt2-medium, ..., distilgpt2, or the address of a GGUF file; language models and sweeps begin with gpt2-micro (default: e5-small-cut, or gpt2-micro)",
  objective:
    'what is learned: a class, a score or several labels for a message, a tag for each word, or texts; scores are numbers; several labels stand in a cell, a|b, or none; tags (entities) are in CoNLL files, with a word and its tag a line, or in JSON lines with tokens and tags, or with a text and its entities; lm learns blocks of --max-length tokens, from plain text files (each one document, split 80/10/10 at line ends) or JSON lines (.jsonl, one {"text"}, {"prompt", "completion"} or {"messages"} a line, also as Alpaca and ShareGPT name them; shuffled and split) (default: classification)',
  adapter:
    "<dir> continue from an adapter: a run's, or PEFT's (SEQ_CLS, TOKEN_CLS with --objective tokens, CAUSAL_LM with --objective lm)",
  mode: "which parameters are trained; probe: a regression on what the frozen model makes of a text, in seconds; classic: no model, but TF-IDF with logistic or ridge regression, in seconds",
  epochs:
    "passes over the training set; of few rows as many as make 150 steps, of many labels or pairs up to 450, unless this is given",
  lr: "peak learning rate",
  dtype:
    "data type of the frozen weights: f16 takes half the memory, q8 a quarter, q4 (NF4) an eighth; int16 half, multiplied in integers, the fastest without a GPU and only there; auto: the widest of the others that fits. Not for --mode all",
  recompute:
    "recompute activations in the backward pass: less memory, the same result, up to a third slower; auto: if memory is too small otherwise",
  batchSize: "messages per batch; of fewer rows all, unless this is given",
  accumulate: "batches per step (gradient accumulation)",
  schedule: "learning rate schedule after the warm-up",
  warmup: "warm-up steps; below 1, a fraction of all steps",
  weightDecay: "AdamW's decoupled weight decay",
  classWeights:
    "auto: weight the loss by 1 / sqrt(rows of the class) if the largest class has over 1.5 times the rows of the smallest",
  clip: "maximum global gradient norm; 0: no clipping",
  pooling:
    "what a message is classified by: the mean of its tokens' outputs, that of its first (cls: encoders alone), or of its last token; the default is the base's own, if its folder of sentence-transformers says it",
  headBias: "train the head without a bias, as PEFT and transformers do",
  evalEvery: "steps between evaluations; 0: twice per epoch, or 10 times where few rows have more epochs",
  patience:
    "stop after n evaluations in a row without a lower validation loss; 0: never; default: where few rows have more epochs, as many as make 120 steps",
  keep: "what is saved: the evaluation with the lowest validation loss, or the last",
  calibrate:
    "divide the logits by the temperature that has the lowest loss on the validation set; classify does so too",
  threshold:
    "<how> of two classes, predict --positive from the probability that has the highest f1 on the validation set, or precision=P (as much recall as possible with it) or recall=R (as much precision); of several labels, each by itself; classify does so too",
  positive:
    "<class> of two classes, the one that --threshold is for, and areas under curves (default: the rarer in the training set)",
  seed: "random seed of the split, the batch order and the initialization",
});
