/** The settings of a run in their one form: flags, files, links and a page's fields are read into it. */
import { parseLayers, TARGETS, usualLength } from "../config.ts";
import type { Padding } from "../data/dataset.ts";
import type { DatasetOptions, DatasetSpec } from "../data/datasets.ts";
import type { Split } from "../data/split.ts";
import type { TextsOptions, TextsSpec } from "../data/texts.ts";
import { ConfigError } from "../errors.ts";
import type { Objective } from "../tasks/index.ts";
import {
  DEFAULTS,
  type Known,
  ofMode,
  PAPER,
  resolveOptions,
  SETTING_NAMES,
  type TrainOptions,
} from "../train/options.ts";

/** Missing settings are taken from a preset, then from the defaults. */
export interface RunSettings extends Partial<TrainOptions> {
  objective?: Objective;
  model?: string;
  data?: Files;
  train?: Files;
  val?: Files;
  test?: Files;
  dataset?: string;
  textColumn?: string;
  labelColumn?: string;
  labelSeparator?: string;
  encoding?: string;
  skipFaulty?: boolean;
  split?: Split;
  balance?: boolean;
  dedupe?: boolean;
  trainRows?: number;
  padding?: Padding;
  maxLength?: number;
  stride?: number;
  /** The directory of the adapter that training starts from. */
  adapter?: string;
}

/** Settings whose value is a text, whatever it looks like. */
const TEXTS = [
  ...["model", "data", "train", "val", "test", "dataset", "textColumn", "labelColumn", "encoding", "adapter"],
  ...["labelSeparator", "positive"],
];
/** Settings of messages that texts do not have. */
const OF_MESSAGES = [
  "labelColumn",
  "labelSeparator",
  "skipFaulty",
  "split",
  "balance",
  "dedupe",
  "trainRows",
  "padding",
] as const;
/** The names of a run's settings, in a defined order. */
export const RUN_SETTINGS = [
  ...["objective", "maxLength", "stride"],
  ...new Set([...TEXTS, ...OF_MESSAGES, ...SETTING_NAMES]),
] as readonly (keyof RunSettings)[];

/** Those with these names that are given. */
function pick<K extends string>(all: { readonly [name in K]?: unknown }, names: readonly K[]) {
  return Object.fromEntries(names.map((name) => [name, all[name]]).filter(([, value]) => value !== undefined));
}

/** The settings of a run among those of a program. */
export function pickSettings(all: RunSettings): RunSettings {
  return pick(all, RUN_SETTINGS);
}

/**
 * The value of a setting from its text in a flag, a sweep's --grid or a link. It is checked where it is used. Throws
 * ConfigError for invalid blocks.
 */
export function readSetting(name: string, text: string): unknown {
  if (TEXTS.includes(name)) return text;
  // In --grid a comma separates values.
  const words = text.split(/[,+]/).flatMap((word) => word.trim() || []);
  // Unknown names are reported by `validateLora`, which suggests the nearest one.
  if (name === "targets") return words.flatMap((word) => (word === "all" ? TARGETS : word));
  if (name === "layers") return parseLayers(words);
  if (text === "true" || text === "false") return text === "true";
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** A file, or several if the flag is repeated. */
export type Files = string | readonly string[];

/**
 * The base model of what is learned of messages: the lowest layers of SmolLM2-135M, pretrained on 2 trillion tokens,
 * where gpt2-micro has seen 40 million. It learns more from the same rows, and takes longer.
 */
export const DEFAULT_BASE = "smollm2-cut";
/**
 * That of language models, as what is left of SmolLM2 does not write, and of sweeps, as the experiment is one of GPT-2.
 */
export const BUNDLED_GPT2 = "gpt2-micro";

export const PRESETS = {
  quickstart: { model: DEFAULT_BASE, dataset: "spam", trainRows: 100 },
  paper: { ...PAPER, model: "gpt2", dataset: "sms", balance: true, padding: "longest" },
} as const satisfies Record<string, RunSettings>;

/** Merges flags with a preset. A data source among the flags replaces the preset's. */
export function mergePreset(flags: RunSettings, preset: RunSettings): RunSettings {
  const { headBias, ...given } = flags;
  const settings: RunSettings = { ...ofMode(preset, given.mode ?? preset.mode ?? DEFAULTS.mode), ...given };
  // Commander sets true if --no-head-bias is absent.
  if (headBias === false) settings.headBias = false;
  if (settings.objective === "lm" && settings.model === DEFAULT_BASE && given.model === undefined)
    settings.model = BUNDLED_GPT2;
  // The published program draws its rows before it splits them.
  if (given.train !== undefined && given.balance === undefined) delete settings.balance;
  const hasFiles = [given.data, given.train, given.val, given.test].some((file) => file !== undefined);
  // A preset's data set has classes.
  const isOther = (given.objective ?? "classification") !== "classification";
  if ((hasFiles || isOther) && given.dataset === undefined) delete settings.dataset;
  // So few only of the preset's data set, to show in a minute what a pretrained model is for.
  if (given.trainRows === undefined && (settings.dataset === undefined || given.dataset !== undefined))
    delete settings.trainRows;
  return settings;
}

/** The combinations of settings that make up one source of data. */
const SOURCES = ["data", "dataset", "train,val,test"];

/** The source of a run's data. Throws ConfigError unless there is one, and for settings of the other objective. */
export function dataSpec(settings: RunSettings): DatasetSpec | TextsSpec {
  const { objective, dataset, patience, stride } = settings;
  const isLm = objective === "lm";
  const refused = isLm ? Object.keys(pick(settings, OF_MESSAGES)) : [];
  if (refused.length > 0)
    throw new ConfigError("options-conflict", "these settings are invalid for a language model", {
      expected: "files or dataset, maxLength, stride, textColumn, encoding",
      found: refused.join(", "),
    });
  if (!isLm && stride !== undefined)
    throw new ConfigError("options-conflict", "--stride is invalid for messages", { expected: "--objective lm" });
  const files = pick(settings, ["data", "train", "val", "test"]);
  const flags = [...Object.keys(files), ...(dataset === undefined ? [] : ["dataset"])];
  if (patience && flags.join() === "train,test")
    throw new ConfigError("no-validation-set", "--patience needs a validation set", {
      expected: "--train, --val and --test",
      found: "--train and --test",
    });
  if (!SOURCES.includes(flags.join()))
    throw new ConfigError("no-data-source", "exactly one data source is required", {
      expected: `one of --data FILE, --dataset ${isLm ? "OWNER/NAME" : "NAME"}, or all of --train, --val and --test`,
      found: flags.map((flag) => `--${flag}`).join(", ") || "none of them",
    });
  if (dataset !== undefined) return { name: dataset };
  const named = Object.entries(files).map(([flag, some]) => {
    const all = [some as Files].flat();
    if (!isLm && all.length > 1)
      throw new ConfigError("too-many-files", `--${flag} accepts a single file of messages`, { found: all.join(", ") });
    return [flag === "data" ? "file" : flag, isLm ? all : all[0]];
  });
  return Object.fromEntries(named);
}

/** How a run's data is read. */
export function dataOptions(settings: RunSettings, seed: number, context: number): DatasetOptions | TextsOptions {
  const { objective, padding } = settings;
  const width = typeof padding === "number" ? padding : 0;
  const { maxLength = Math.max(width, usualLength({ n_positions: context })) } = settings;
  const longest = Math.max(maxLength, width);
  if (longest > context)
    throw new ConfigError(
      "exceeds-context",
      `the maximum length of ${objective === "lm" ? "blocks" : "messages"} exceeds the model's context`,
      { expected: `at most ${context} tokens`, found: `${longest}` },
    );
  const learned = objective === undefined || objective === "classification" || objective === "lm" ? {} : { objective };
  return { seed, maxLength, ...learned, ...pick(settings, ["textColumn", "encoding", "stride", ...OF_MESSAGES]) };
}

/** The training options among the settings. */
export function trainOptions(settings: RunSettings, known?: Known): TrainOptions {
  return resolveOptions(pick(settings, SETTING_NAMES), settings.objective, known);
}
