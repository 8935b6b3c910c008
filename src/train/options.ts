/** The defaults and presets of training, and its checks. */

import { checkArguments, parseChoice, refuseUnknown } from "../core/checks.ts";
import { isEncoder, isLlama, type ModelConfig, type ModelType, traits } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import { countBase, isInBlocks } from "../core/names.ts";
import { setting } from "../core/setting.ts";
import { checkSetting, refuseLacked } from "../data/settings.ts";
import type { TrainingData } from "../data/training-data.ts";
import type { BaseModel } from "../io/hf.ts";
import type { AdapterMeta } from "../io/peft/peft.ts";
import { METHODS, MODES, type Mode, takesSteps } from "../methods/index.ts";
import { validateLora } from "../methods/lora.ts";
import type { Rates } from "../methods/method.ts";
import { adapterOptions, hasSetting, methodConfig, TRAINING } from "../methods/training.ts";
import { DEFAULT_OBJECTIVE, isMean, isOfMessages, type Objective, type Pooling, TASKS } from "../tasks/index.ts";
import { parseThreshold } from "../tasks/threshold.ts";
import { TRAINING as OF_TASKS } from "../tasks/training.ts";
import { SETTING_NAMES, SETTINGS, type Setting, type TrainOptions } from "./settings.ts";

/** What the defaults depend on. What is not known yet counts as the small model and many rows. */
export interface Known {
  /** Rows of the training set. */
  rows?: number;
  /** Labels that are told apart. */
  labels?: number;
  /** Whether a row is a pair of texts. */
  pairs?: boolean;
  /** Whether there is a validation set. */
  validated?: boolean;
  /** Parameters of the base model. */
  parameters?: number;
  /** Its architecture, unless it is a GPT-2. */
  model_type?: ModelType;
  /** Its blocks. */
  n_layer?: number;
  /** The pooling that its folder says, if it does. */
  pooling?: Pooling;
}

export const knownBase = ({ config, pooling }: Pick<BaseModel, "config" | "pooling">): Known => ({
  parameters: countBase(config),
  n_layer: config.n_layer,
  ...(config.model_type ? { model_type: config.model_type } : {}),
  ...(pooling ? { pooling } : {}),
});

export const knownData = ({ train, val, labels, pairs }: TrainingData): Known => ({
  rows: train.size,
  labels: labels.length,
  pairs: pairs !== undefined,
  validated: val.size > 0,
});

/** What the defaults of a run depend on. */
export const knownRun = (data: TrainingData, model: Pick<BaseModel, "config" | "pooling">): Known => ({
  ...knownData(data),
  ...knownBase(model),
});

/** The parameters from which a model counts as large: rates were measured with 7 million, and published from 80 on. */
export const LARGE = 50e6;

/** The learning rate for a model of so many parameters. */
export const pickRate = ([small, large]: Rates, { parameters = 0 }: Known) => (parameters < LARGE ? small : large);

export const defaultRate = (mode: Mode, known: Known) => pickRate(TRAINING[mode].rates, known);

/** A rate to try after one that was too high: the mode's default, or a quarter of a rate that is no higher. */
export function smallerRate(lr: number, mode: Mode, known: Known): number {
  const usual = defaultRate(mode, known);
  return lr > usual ? usual : Number((lr / 4).toPrecision(2));
}

/** The defaults for a classifier; `objectiveDefaults` has those of other objectives. */
export const DEFAULTS = Object.fromEntries(
  SETTING_NAMES.map((name) => [name, SETTINGS[name].default]),
) as unknown as TrainOptions;

export const objectiveDefaults = (objective: Objective): TrainOptions => ({
  ...DEFAULTS,
  ...OF_TASKS[objective].defaults,
});

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

/**
 * The steps that few rows have. Two classes need the fewest; how the texts of a pair belong together, or many labels,
 * up to three times as many (measured on eight sets: the best evaluation of pairs is behind step 300).
 */
const fewestSteps = ({ labels = 2, pairs = false }: Known) =>
  pairs ? 450 : Math.min(450, 50 + 50 * Math.max(2, labels));

/** The evaluations of a run that has more epochs for it, and the steps without a better one after which it ends. */
const EVALUATIONS = 10;
const PATIENCE = 120;

/**
 * The blocks that get adapters. Of a small Llama or encoder, read as a mean over tokens, these are the upper third:
 * below them is what tells texts apart, and what is frozen runs once (measured with the lower layers of SmolLM2-135M).
 */
function defaultLayers(
  { parameters = LARGE, n_layer = 0, ...known }: Known,
  { targets, pooling }: Pick<TrainOptions, "targets" | "pooling">,
): number[] | null {
  const isSmall = (isLlama(known) || isEncoder(known)) && parameters < LARGE;
  if (!isSmall || pooling !== "mean" || !targets.some(isInBlocks)) return null;
  const first = Math.floor((2 * n_layer) / 3);
  return Array.from({ length: n_layer - first }, (_, i) => first + i);
}

/**
 * The defaults of a task for so many training rows, this model and what is given: few rows have more epochs, and very
 * few a smaller batch. Given epochs keep their evaluations.
 */
export function defaultsFor(
  known: Known,
  given: Partial<TrainOptions>,
  defaults: TrainOptions,
  objective: Objective,
): Partial<TrainOptions> & Pick<TrainOptions, "epochs" | "evalEvery"> {
  const { rows = Number.POSITIVE_INFINITY } = known;
  const { mode = defaults.mode, batchSize, accumulate, epochs } = given;
  const { epochs: usual, evalEvery } = defaults;
  if (!takesSteps(mode)) return { epochs: usual, evalEvery };
  const size = Math.min(defaults.batchSize, rows);
  const stepsPerEpoch = Math.floor(rows / ((batchSize ?? size) * (accumulate ?? defaults.accumulate))) || 1;
  const enough = Math.ceil(fewestSteps(known) / stepsPerEpoch);
  const isShort = epochs === undefined && enough > defaults.epochs;
  const every = Math.ceil((enough * stepsPerEpoch) / EVALUATIONS);
  const ofMethod = TRAINING[mode].defaults?.(given);
  return {
    lr: defaultRate(mode, known),
    ...ofMethod,
    ...(hasSetting(mode, "layers") ? { layers: defaultLayers(known, { ...defaults, ...ofMethod, ...given }) } : {}),
    ...(known.pooling && isMean(defaults) ? { pooling: known.pooling } : {}),
    batchSize: size,
    epochs: isShort ? enough : defaults.epochs,
    evalEvery: isShort ? every : defaults.evalEvery,
    ...(isShort && known.validated ? { patience: Math.ceil(PATIENCE / (given.evalEvery || every)) } : {}),
    // Most heads of transformers have none, and behind an RMS norm it could not be folded into the weight for them.
    headBias: defaults.headBias && (traits(known).biases === "all" || TASKS[objective].module?.hasBias === true),
  };
}

/** Fills in the objective's defaults. Throws ConfigError for unknown options and invalid values. */
export function resolveOptions(
  given: Partial<TrainOptions>,
  objective: Objective = DEFAULT_OBJECTIVE,
  known: Known = {},
): TrainOptions {
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [key] of set) if (!Object.hasOwn(DEFAULTS, key)) refuseUnknown(key, SETTING_NAMES);
  const defaults = objectiveDefaults(objective);
  refuseLacked(given, objective, SETTINGS);
  const mode = parseChoice("mode", given.mode ?? defaults.mode, MODES);
  const wanted = Object.fromEntries(set);
  const options: TrainOptions = {
    ...defaults,
    ...defaultsFor(known, { ...wanted, mode }, defaults, objective),
    ...wanted,
  };
  refuseIdle(options, defaults);
  checkOptions(options);
  return options;
}

/** Throws ConfigError for invalid values, each by itself. */
export function checkOptions(options: TrainOptions): void {
  checkArguments(options, { targets: "texts", layers: "numbers or null" });
  parseThreshold(options.threshold);
  for (const name of SETTING_NAMES) checkSetting(name, options[name], SETTINGS[name] as Setting<unknown>);
  const { lora } = methodConfig(options);
  if (lora) validateLora(lora);
}

/** Whether a setting has an effect in a mode. */
export function hasEffect(name: keyof TrainOptions, mode: Mode): boolean {
  const { modes, ofSteps } = SETTINGS[name];
  return (modes?.includes(mode) ?? true) && (!ofSteps || takesSteps(mode));
}

/**
 * The mode where none is given: on an encoder a probe, which takes seconds, unless a setting is given that only steps
 * have. A frozen encoder tells little of how the texts of a pair belong together.
 */
export function usualMode(
  given: Partial<TrainOptions>,
  { objective, pairs }: { objective: Objective; pairs?: unknown },
  config: ModelConfig,
): Mode {
  const isOpen = SETTING_NAMES.every((name) => given[name] === undefined || hasEffect(name, "probe"));
  const isProbed = isOpen && isEncoder(config) && !pairs && isOfMessages(objective);
  return given.mode ?? (isProbed ? "probe" : DEFAULTS.mode);
}

/** The settings without those that have no effect in their mode. */
export function ofMode<T extends Partial<TrainOptions>>(settings: T, mode: Mode): T {
  const idle = SETTING_NAMES.filter((name) => !hasEffect(name, mode));
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
      name !== "dtype" && !hasEffect(name, mode) && JSON.stringify(options[name]) !== JSON.stringify(defaults[name]),
  );
  if (idle === undefined) return;
  const ofMode = SETTING_NAMES.filter((name) => name !== "dtype" && SETTINGS[name].modes && hasEffect(name, mode));
  throw new ConfigError("option-without-effect", `${setting(idle)} has no effect in ${setting("mode", mode)}`, {
    expected: `settings of ${METHODS[mode].title}: ${ofMode.map((name) => setting(name)).join(", ") || "it has none of its own"}`,
    found: `${setting(idle, options[idle])}, a setting of ${SETTINGS[idle].modes?.join(", ") ?? "modes that take steps"}`,
    hint: `omit ${setting(idle)}, or choose another mode`,
  });
}

/**
 * Settings with those that the adapter to continue from determines, and, unless another is given, with its dropout.
 * Throws ConfigError if one that it determines is given with another value, or if it has another objective.
 */
export function withAdapter<T extends Partial<TrainOptions>>(given: T, meta: AdapterMeta, objective: Objective): T {
  const { mode, task } = meta;
  if (task.objective !== objective)
    throw new ConfigError("wrong-task", `not an adapter of ${TASKS[objective].title}`, {
      expected: `an adapter of ${TASKS[objective].title}`,
      found: `${METHODS[mode].title}, ${TASKS[task.objective].title}`,
      hint: `train with ${setting("objective", task.objective)}`,
    });
  const settings: Record<string, unknown> = { ...given };
  const ofAdapter = { ...adapterOptions(meta), pooling: task.pooling, headBias: task.head_bias };
  for (const [key, value] of Object.entries(ofAdapter)) {
    const requested = settings[key] ?? value;
    if (SETTINGS[key as keyof TrainOptions].ofAdapter && JSON.stringify(requested) !== JSON.stringify(value))
      throw new ConfigError("settings-of-adapter", `${setting(key)} differs from the adapter to continue from`, {
        expected: String(value),
        found: String(requested),
        hint: `omit ${setting(key)}: the adapter determines it`,
      });
    settings[key] = requested;
  }
  return settings as T;
}
