/** The settings of a run in their one form: flags, files, links and a page's fields are read into it. */
import { type Objective, parseLayers, TARGETS } from "../config.ts";
import type { Padding } from "../data/dataset.ts";
import type { DatasetOptions, DatasetSpec } from "../data/datasets.ts";
import type { Split } from "../data/split.ts";
import type { TextsOptions, TextsSpec } from "../data/texts.ts";
import { ConfigError } from "../errors.ts";
import { DEFAULTS, ofMode, PAPER, resolveOptions, SETTING_NAMES, type TrainOptions } from "../train/options.ts";

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
  encoding?: string;
  skipFaulty?: boolean;
  split?: Split;
  balance?: boolean;
  dedupe?: boolean;
  padding?: Padding;
  maxLength?: number;
  stride?: number;
  /** The directory of the adapter that training starts from. */
  adapter?: string;
}

/** Settings whose value is a text, whatever it looks like. */
const TEXTS = ["model", "data", "train", "val", "test", "dataset", "textColumn", "labelColumn", "encoding", "adapter"];
/** Settings of messages that texts do not have. */
const OF_MESSAGES = ["labelColumn", "skipFaulty", "split", "balance", "dedupe", "padding"] as const;
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
  if (name === "targets") return text === "all" ? [...TARGETS] : words;
  if (name === "layers") return parseLayers(words);
  if (text === "true" || text === "false") return text === "true";
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** A file, or several if the flag is repeated. */
export type Files = string | readonly string[];

export const PRESETS = {
  quickstart: { model: "gpt2-micro", dataset: "spam" },
  paper: { ...PAPER, model: "gpt2", dataset: "sms", balance: true, padding: "longest" },
} as const satisfies Record<string, RunSettings>;

/** Merges flags with a preset. A data source among the flags replaces the preset's. */
export function mergePreset(flags: RunSettings, preset: RunSettings): RunSettings {
  const { headBias, ...given } = flags;
  const settings: RunSettings = { ...ofMode(preset, given.mode ?? preset.mode ?? DEFAULTS.mode), ...given };
  // Commander sets true if --no-head-bias is absent.
  if (headBias === false) settings.headBias = false;
  // The published program draws its rows before it splits them.
  if (given.train !== undefined && given.balance === undefined) delete settings.balance;
  const hasFiles = [given.data, given.train, given.val, given.test].some((file) => file !== undefined);
  if ((hasFiles || given.objective === "lm") && given.dataset === undefined) delete settings.dataset;
  return settings;
}

/** The source of a run's data. Throws ConfigError for settings that are invalid with its objective. */
export function dataSpec(settings: RunSettings): DatasetSpec | TextsSpec {
  return settings.objective === "lm" ? textsSpec(settings) : datasetSpec(settings);
}

/** How a run's data is read. */
export function dataOptions(settings: RunSettings, seed: number, context: number): DatasetOptions | TextsOptions {
  return settings.objective === "lm" ? textsOptions(settings, seed, context) : datasetOptions(settings, seed, context);
}

/** The source of messages. */
function datasetSpec(settings: RunSettings): DatasetSpec {
  const { dataset, stride } = settings;
  if (stride !== undefined)
    throw new ConfigError("--stride is invalid for a classifier", { expected: "--objective lm" });
  const sources = sourcesOf(settings, "--data FILE, --dataset NAME");
  if (dataset !== undefined) return { name: dataset };
  const one = (flag: keyof typeof sources) => {
    const [file, ...more] = sources[flag]!;
    if (more.length === 0) return file!;
    throw new ConfigError(`--${flag} accepts a single file of messages`, { found: sources[flag]!.join(", ") });
  };
  if (sources.data) return { file: one("data") };
  return { train: one("train"), val: one("val"), test: one("test") };
}

/** The combinations of flags that make up one data source. */
const SOURCES = ["data", "dataset", "train,val,test"];

/** The files of each source flag. Throws ConfigError, which lists the `single` flags, unless there is exactly one source. */
function sourcesOf({ data, train, val, test, dataset, patience }: RunSettings, single: string) {
  const given = Object.entries({ data, train, val, test, dataset }).filter(([, named]) => named !== undefined);
  const flags = given.map(([flag]) => flag);
  if (patience && flags.join() === "train,test")
    throw new ConfigError("--patience needs a validation set", {
      expected: "--train, --val and --test",
      found: "--train and --test",
    });
  if (!SOURCES.includes(flags.join()))
    throw new ConfigError("exactly one data source is required", {
      expected: `one of ${single}, or all of --train, --val and --test`,
      found: flags.map((flag) => `--${flag}`).join(", ") || "none of them",
    });
  const named = given.map(([flag, some]) => [flag, [some!].flat()]);
  return Object.fromEntries(named) as Partial<Record<"data" | "train" | "val" | "test", string[]>>;
}

/** The source of texts for a language model. Throws ConfigError for settings that are valid only for messages. */
function textsSpec(settings: RunSettings): TextsSpec {
  const { dataset } = settings;
  const refused = Object.keys(pick(settings, OF_MESSAGES));
  if (refused.length > 0)
    throw new ConfigError("these settings are invalid for a language model", {
      expected: "files or dataset, maxLength, stride, textColumn, encoding",
      found: refused.join(", "),
    });
  const { data, train, val, test } = sourcesOf(settings, "--data FILE, --dataset OWNER/NAME");
  if (dataset !== undefined) return { name: dataset };
  return data ? { file: data } : { train: train!, val: val!, test: test! };
}

/** The options for reading texts. */
function textsOptions(settings: RunSettings, seed: number, context: number): TextsOptions {
  const { maxLength = context } = settings;
  checkContext("blocks", maxLength, context);
  return { seed, maxLength, ...pick(settings, ["textColumn", "encoding", "stride"]) };
}

/** The options for reading messages. */
function datasetOptions(settings: RunSettings, seed: number, context: number): DatasetOptions {
  const { maxLength = context, padding = "none" } = settings;
  checkContext("messages", Math.max(maxLength, typeof padding === "number" ? padding : 0), context);
  return { seed, maxLength, ...pick(settings, ["textColumn", "encoding", ...OF_MESSAGES]), padding };
}

function checkContext(what: string, longest: number, context: number): void {
  if (longest > context)
    throw new ConfigError(`the maximum length of ${what} exceeds the model's context`, {
      expected: `at most ${context} tokens`,
      found: `${longest}`,
    });
}

/** The training options among the settings, for so many training rows if their number is known. */
export function trainOptions(settings: RunSettings, rows?: number): TrainOptions {
  return resolveOptions(pick(settings, SETTING_NAMES), settings.objective, rows);
}
