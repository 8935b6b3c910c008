/** The settings of a run in their one form: flags, files, links and a page's fields are read into it. */
import { readNumber } from "../core/checks.ts";
import { usualLength } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import { TARGETS } from "../core/names.ts";
import { setting } from "../core/setting.ts";
import type { DatasetOptions, DatasetSpec } from "../data/dataset-options.ts";
import { checkDataSettings, DATA_NAMES, type Files } from "../data/settings.ts";
import type { TextsOptions, TextsSpec } from "../data/text/texts.ts";
import { DEFAULT_BASE } from "../io/hf.ts";
import { parseLayers } from "../methods/lora.ts";
import { BUNDLED_GPT2 } from "../record/base-name.ts";
import { DEFAULT_OBJECTIVE, hasHead, readsTokens } from "../tasks/index.ts";
import { TRAINING } from "../tasks/training.ts";
import { WORDS } from "../tasks/words.ts";
import { DEFAULTS, type Known, ofMode, PAPER, resolveOptions } from "../train/options.ts";
import { ALL_SETTINGS, RUN_SETTINGS, type RunSettings, SETTING_NAMES, type TrainOptions } from "../train/settings.ts";

/** Those with these names that are given. */
function pick<K extends string>(all: { readonly [name in K]?: unknown }, names: readonly K[]) {
  return Object.fromEntries(names.map((name) => [name, all[name]]).filter(([, value]) => value !== undefined));
}

export function pickSettings(all: RunSettings): RunSettings {
  return pick(all, RUN_SETTINGS);
}

/**
 * The value of a setting from its text in a flag, a sweep's --grid or a link. It is checked where it is used. Throws
 * ConfigError for invalid blocks.
 */
export function readSetting(name: string, text: string): unknown {
  const { kind } = ALL_SETTINGS[name as keyof RunSettings] ?? {};
  if (kind === "text" || kind === "files") return text;
  if (kind === "fractions") return text.split(",").map(Number);
  // In --grid a comma separates values.
  const words = text.split(/[,+]/).flatMap((word) => word.trim() || []);
  // Unknown names are reported by `validateLora`, which suggests the nearest one.
  if (name === "targets") return words.flatMap((word) => (word === "all" ? TARGETS : word));
  if (name === "layers") return parseLayers(words);
  if (text === "true" || text === "false") return text === "true";
  return readNumber(text) ?? text;
}

export const PRESETS = {
  quickstart: { model: DEFAULT_BASE, dataset: "spam", trainRows: 100 },
  paper: { ...PAPER, model: "gpt2", dataset: "sms", balance: true, padding: "longest" },
} as const satisfies Record<string, RunSettings>;

/** Files of the user's own: with one of the others `data` is the training set. */
const FILES = ["data", "val", "test"] as const;

/** Merges flags with a preset. A data source among the flags replaces the preset's. */
export function mergePreset(given: RunSettings, preset: RunSettings): RunSettings {
  const settings: RunSettings = { ...ofMode(preset, given.mode ?? preset.mode ?? DEFAULTS.mode), ...given };
  const objective = settings.objective ?? DEFAULT_OBJECTIVE;
  if (!hasHead({ objective }) && settings.model === DEFAULT_BASE && given.model === undefined)
    settings.model = BUNDLED_GPT2;
  // The published program draws its rows before it splits them.
  if (FILES.some((name) => name !== "data" && given[name] !== undefined) && given.balance === undefined)
    delete settings.balance;
  const hasFiles = FILES.some((name) => given[name] !== undefined);
  // A preset's data set is one of its own task.
  const isOther = objective !== (preset.objective ?? DEFAULT_OBJECTIVE);
  if ((hasFiles || isOther) && given.dataset === undefined) delete settings.dataset;
  // So few only of the preset's data set, to show in a minute what a pretrained model is for.
  const isReplaced = given.dataset !== undefined || settings.dataset !== preset.dataset || hasFiles;
  if (given.trainRows === undefined && isReplaced) delete settings.trainRows;
  return settings;
}

/** The source of a run's data. Throws ConfigError unless there is one, and for settings of data that are invalid. */
export function dataSpec(settings: RunSettings): DatasetSpec | TextsSpec {
  const { objective = DEFAULT_OBJECTIVE, dataset } = settings;
  checkDataSettings(settings, objective);
  const hasLabels = TRAINING[objective].labels.of !== "nothing";
  const files = pick(settings, FILES);
  const given = [...Object.keys(files), ...(dataset === undefined ? [] : ["dataset"])];
  if ((files.data === undefined) === (dataset === undefined) || (dataset !== undefined && given.length > 1))
    throw new ConfigError("no-data-source", "exactly one data source is required", {
      expected: `one of ${setting("data")} and ${setting("dataset")}, and ${setting("val")} and ${setting("test")} with the former alone`,
      found: given.map((name) => setting(name)).join(", ") || "none of them",
    });
  if (dataset !== undefined) return { name: dataset };
  const named = Object.entries(files).map(([name, some]) => {
    const all = [some as Files].flat();
    if (hasLabels && all.length > 1)
      throw new ConfigError("too-many-files", `${setting(name)} accepts a single file`, {
        found: all.join(", "),
      });
    return [name !== "data" ? name : given.length > 1 ? "train" : "file", hasLabels ? all[0] : all];
  });
  return Object.fromEntries(named);
}

/** The settings of data that say how it is read. */
const READING = DATA_NAMES.filter((name) => !["data", "dataset", "val", "test", "maxLength"].includes(name));

export function dataOptions(settings: RunSettings, seed: number, context: number): DatasetOptions | TextsOptions {
  const { objective = DEFAULT_OBJECTIVE, padding } = settings;
  const width = typeof padding === "number" ? padding : 0;
  const { maxLength = Math.max(width, usualLength({ n_positions: context })) } = settings;
  const longest = Math.max(maxLength, width);
  if (longest > context)
    throw new ConfigError(
      "exceeds-context",
      `the maximum length of ${WORDS[objective].units.many} exceeds the model's context`,
      { expected: `at most ${context} tokens`, found: `${longest}` },
    );
  // Only `loadDataset` is told, what is not its default.
  const learned = readsTokens({ objective }) || objective === DEFAULT_OBJECTIVE ? {} : { objective };
  return { seed, maxLength, ...learned, ...pick(settings, READING) };
}

export function trainOptions(settings: RunSettings, known?: Known): TrainOptions {
  return resolveOptions(pick(settings, SETTING_NAMES), settings.objective, known);
}
