/**
 * What is asked of a method of fine-tuning. Each has a file with three exports: `method`, what it is in a model and in
 * files, `training`, its settings, and `guide`, what people read and choose by; one with settings of its own also has
 * `flags`, their texts in --help.
 */

import type { NumberRange } from "../core/checks.ts";
import type { ModelConfig } from "../core/config.ts";
import type { ModelTensor } from "../core/names.ts";

/** The definition of a setting. Its flag, its check and its field in the page are derived from it. */
export interface Setting<T> {
  /** The defaults train gpt2-micro well on short messages and follow common PEFT configurations. */
  default: T;
  /** The allowed words. */
  choices?: readonly (T & string)[];
  /** The allowed numbers. */
  number?: NumberRange;
  /** Each run has its own. The others are an adapter's: training that continues from one takes them from there. */
  perRun?: true;
  /** It is there for the published experiment alone, or these words are: no flag and no field has it. */
  published?: true | readonly (T & string)[];
  /** Its kind, where it is neither a number, nor a word of `choices`, nor of its default's type. */
  kind?: "text" | "files" | "switch" | "fractions" | "targets" | "layers";
  /**
   * "Label: what it is, and when to change it", its field in the page; of a label alone, it is not among the fields.
   */
  field?: string;
  /** A unit or a special value, below the field. */
  help?: string;
  /** Names of some choices in the field; of a text, all its choices there. */
  named?: Readonly<Record<string, string>>;
  /** Whether its field is among those that are seen first. */
  isMain?: true;
  /** Its names in PEFT, transformers and their scripts, or a value of it: an error about such a name suggests ours. */
  others?: readonly string[];
}

/** A setting with a field in the page. A bundler drops those that are not used. */
/* @__NO_SIDE_EFFECTS__ */
export function inPage<S extends object>(setting: S, field: string): S {
  return { ...setting, field };
}

/** A method in a model and in files. `Config`: its part of a model's description, by PEFT's keys. */
export interface Method<Config = object, Key = keyof Config> {
  /** "LoRA" */
  title: string;
  /** The keys that a stored adapter's description has for it. */
  keys: readonly Key[];
  /**
   * What it adds to a model, in the order of the forward pass. `classes`: those of the head, or V of a language model.
   */
  tensors?(model: ModelConfig, config: Config, classes: number): ModelTensor[];
  /** Whether it trains a tensor of the base model; absent: none. What it adds is trained in any case. */
  trains?(tensor: ModelTensor, model: ModelConfig, config: Config): boolean;
  /** What it adds cannot be merged into the matrices of a GPT-2. */
  isSeparate?: true;
  /** Where it has virtual tokens: rows before those of each text, or keys and values in every block's attention. */
  virtual?: "rows" | "keys";
  /** It trains every parameter: no matrix is frozen, and none can have another type than f32. */
  freezesNothing?: true;
  /** It is a model by itself: it trains no base model, and is none of the modes of a run on one. */
  withoutModel?: true;
  /** Its head is fitted by a regression, beside word counts (TF-IDF), and no step is taken. */
  isFitted?: true;
  /** Why a language model cannot be trained with it, as a hint; absent: it can. */
  classifiersOnly?: string;
  /** How PEFT calls it, and the keys of adapter_config.json that only it has; absent: PEFT does not have it. */
  peft?: { type: string; config?: (model: ModelConfig) => Record<string, unknown> };
}

/** Learning rates: for a small model, as measured on gpt2-micro (src/bench/README.md), and for one of GPT-2's size. */
export type Rates = readonly [small: number, large: number];

/** How a method is trained: its settings, and what follows from them. */
export interface Training<Options = object, Config = object> {
  settings: { readonly [K in keyof Options]: Setting<Exclude<Options[K], undefined>> };
  /** The defaults of the peak learning rate. */
  rates: Rates;
  /** The defaults that follow from its other settings, where these are given. */
  defaults?(given: Partial<Options>): Partial<Options>;
  /** Its sizes in words: "rank 8, alpha 16". */
  describe?(options: Options): string;
  /** Its part of a model's description, from its settings. */
  config?(options: Options): Config;
  /** The settings with which training continues from an adapter: the inverse. */
  options?(config: Config): Partial<Options>;
}

/** The texts of the flags of settings in --help, which no page loads: "<argument> text; more (default: usual)". */
export type Flags<Options> = { readonly [K in keyof Options]: string };

/** A method's words, and the runs of it where methods are compared. */
export interface Guide<Options = object> {
  /** Its name in a menu. */
  choice: string;
  /** A sentence or two about it; not of LoRA, which the page explains at length. */
  about?: string;
  /** The lowest learning rate that a sweep tries. */
  rates: { lowest: number };
  /** The setting that decides how many parameters it trains, and its largest value in a sweep. */
  size?: { setting: keyof Options; most?: (model: ModelConfig) => number };
  /** The duration of a run, measured on gpt2-micro, in runs with LoRA. */
  duration: number;
  /**
   * Its runs in the page's comparison; `rates`: where these settings need other learning rates than the default ones.
   */
  compared?: readonly { settings: Partial<Options>; rates?: Rates }[];
}
