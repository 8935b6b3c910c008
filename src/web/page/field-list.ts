/** The settings that have a field: their labels, their valid values, and the modes that they apply to. */

import type { NumberRange } from "../../checks.ts";
import { TARGETS } from "../../config.ts";
import { GUIDES, type MethodOptions, MODES, type Mode, settingWords } from "../../methods/index.ts";
import type { Objective } from "../../tasks/index.ts";
import { DEFAULTS, objectiveDefaults, SETTINGS, type Setting, type TrainOptions } from "../../train/options.ts";
import type { ScheduleName } from "../../train/schedule.ts";
import type { Values } from "./field-help.ts";

export type Key = keyof Values;

export interface Field {
  key: Key;
  label: string;
  help?: string;
  /** What it is, and when to change it, where `FIELD_HELP` does not say so. */
  why?: string;
  kind: "number" | "choice" | "check" | "targets" | "layers";
  choices?: readonly (readonly [value: string, label: string])[];
  number?: NumberRange;
}

/** The field of a training option, as `SETTINGS` defines it; `words` are labels of its choices. */
function optionField(
  key: keyof TrainOptions,
  label: string,
  more: Pick<Field, "help" | "why"> & { words?: Record<string, string>; kind?: "targets" | "layers" } = {},
): Field {
  const { choices, number } = SETTINGS[key] as Setting<unknown>;
  const { words = {}, ...rest } = more;
  if (number) return { key, label, kind: "number", number, ...rest };
  if (!choices) return { key, label, kind: "check", ...rest };
  return {
    key,
    label,
    kind: "choice",
    choices: (choices as string[]).map((value) => [value, words[value] ?? value]),
    ...rest,
  };
}

/** Labels of the schedules: the learning rate after the warm-up. */
export const SCHEDULE_NAMES: Record<ScheduleName, string> = {
  constant: "constant",
  linear: "linear decay",
  cosine: "cosine decay",
};

/** The targets that the page offers; the token table's adapter is a classifier's. */
export const OFFERED_TARGETS = [...TARGETS, "wte"] as const;

export const TARGET_NAMES: Record<string, string> = {
  q: "query",
  k: "key",
  v: "value",
  o: "attention out",
  fc: "MLP in",
  proj: "MLP out",
  head: "head",
  wte: "token table",
};
/** What these stand for in a Llama-type model. */
export const LLAMA_TARGET_NAMES: Record<string, string> = { fc: "MLP gate and up", proj: "MLP down" };

/** The fields of the methods' settings. */
function methodFields(isMain: boolean): Field[] {
  return Object.entries(settingWords())
    .filter(([, words]) => (words.isMain ?? false) === isMain)
    .map(([name, { label, why, help, kind }]) =>
      optionField(name as keyof MethodOptions, label, { why, ...(help && { help }), ...(kind && { kind }) }),
    );
}

export const MAIN: readonly Field[] = [
  optionField("mode", "Method", { words: Object.fromEntries(MODES.map((mode) => [mode, GUIDES[mode].choice])) }),
  ...methodFields(true),
  optionField("epochs", "Epochs"),
  optionField("lr", "Learning rate"),
];

export const MORE: readonly Field[] = [
  ...methodFields(false),
  {
    key: "device",
    label: "Device",
    kind: "choice",
    choices: [
      ["auto", "auto"],
      ["webgpu", "WebGPU"],
      ["wasm", "CPU"],
    ],
  },
  optionField("dtype", "Frozen weights", {
    words: { f32: "float32", f16: "float16", q8: "8 bits", q4: "4 bits (NF4)", auto: "what fits" },
  }),
  optionField("recompute", "Recomputation", { words: { auto: "if needed" } }),
  optionField("batchSize", "Batch size"),
  optionField("accumulate", "Accumulation", { help: "Batches per step" }),
  optionField("batching", "Batching", { words: { random: "random", length: "by length" } }),
  optionField("schedule", "Rate schedule", { words: SCHEDULE_NAMES }),
  optionField("warmup", "Warm-up", { help: "Steps; < 1: fraction" }),
  optionField("weightDecay", "Weight decay"),
  optionField("classWeights", "Class weights", { words: { auto: "if unequal" } }),
  optionField("clip", "Gradient clipping", { help: "Maximum norm; 0: off" }),
  optionField("pooling", "Pooling", {
    words: { mean: "mean of all tokens", "last-token": "last token", last: "last position" },
  }),
  {
    key: "maxLength",
    label: "Maximum length",
    help: "Tokens; 0: context, at most 1024",
    kind: "number",
    number: { min: 0, whole: true },
  },
  {
    key: "split",
    label: "Data split",
    kind: "choice",
    choices: [
      ["default", "default"],
      ...(["random", "stratified", "ordered"] as const).map((split) => [split, split] as const),
    ],
  },
  optionField("evalEvery", "Evaluation interval", { help: "Steps; 0: twice per epoch" }),
  optionField("patience", "Patience", { help: "Evaluations without improvement; 0: off" }),
  optionField("keep", "Keep evaluation"),
  optionField("calibrate", "Calibrate"),
  {
    key: "threshold",
    label: "Threshold",
    kind: "choice",
    choices: [
      ["none", "none"],
      ["f1", "highest F1"],
      ["precision=.95", "precision 95 %"],
      ["recall=.95", "recall 95 %"],
    ],
  },
  optionField("seed", "Seed"),
  {
    key: "labelSeparator",
    label: "Between labels",
    kind: "choice",
    choices: [
      ["|", "|"],
      [",", "comma"],
      [";", "semicolon"],
    ],
  },
  { key: "balance", label: "Balance classes", kind: "check" },
  { key: "dedupe", label: "Deduplicate", kind: "check" },
  optionField("headBias", "Head bias"),
  optionField("headInit", "Head's start", { words: { zeros: "zeros", normal: "N(0, .02²)", uniform: "U(±1/√C)" } }),
];

export const FIELDS = [...MAIN, ...MORE];

const MESSAGES: Values = {
  ...DEFAULTS,
  ...{ device: "auto", split: "default", balance: false, dedupe: false, maxLength: 0, labelSeparator: "|" },
};

/** The defaults, whatever the data. */
export const START: Readonly<Record<Objective, Values>> = {
  classification: MESSAGES,
  regression: { ...MESSAGES, ...objectiveDefaults("regression") },
  "multi-label": { ...MESSAGES, ...objectiveDefaults("multi-label") },
  tokens: { ...MESSAGES, ...objectiveDefaults("tokens") },
  // Texts are often short: small blocks and batches give enough steps, each of about as many tokens as with messages.
  lm: { ...MESSAGES, ...objectiveDefaults("lm"), batchSize: 2, maxLength: 64 },
};

/** Settings of texts that the page has a default of its own for: a run gets them in any case. */
export const OWN_OF_TEXTS: readonly Key[] = ["batchSize", "maxLength"];

/** Settings that need one class a message, a probability, or messages. */
const OF_CLASSES: readonly Key[] = ["classWeights", "balance", "calibrate"];
const OF_CLASSIFIERS: readonly Key[] = [...OF_CLASSES, "threshold"];
const OF_MESSAGES: readonly Key[] = [...OF_CLASSIFIERS, "pooling", "headBias", "headInit", "dedupe", "split"];

/** Settings that an objective does not have. */
const NOT_OF: Readonly<Record<Objective, readonly Key[]>> = {
  classification: ["labelSeparator"],
  regression: [...OF_CLASSIFIERS, "labelSeparator"],
  "multi-label": OF_CLASSES,
  tokens: [...OF_MESSAGES, "labelSeparator"],
  lm: [...OF_MESSAGES, "labelSeparator"],
};

/** Settings that an existing adapter determines. */
const OF_ADAPTER: readonly Key[] = [
  ...([
    "mode",
    "rank",
    "alpha",
    "scaling",
    "init",
    "targets",
    "layers",
    "dora",
    "pooling",
    "headBias",
    "headInit",
  ] as const),
];

/** Settings that change the data set or its description. */
export const OF_DATA: readonly Key[] = [
  "maxLength",
  "split",
  "seed",
  "balance",
  "dedupe",
  "classWeights",
  "labelSeparator",
];

/** Whether a setting counts for what the model learns, in a mode, with or without an adapter to start from. */
export function applies(key: Key, objective: Objective, mode: Mode, hasAdapter: boolean): boolean {
  if (hasAdapter && OF_ADAPTER.includes(key)) return false;
  if (NOT_OF[objective].includes(key)) return false;
  return ((key in SETTINGS && SETTINGS[key as keyof TrainOptions].modes) || MODES).includes(mode);
}
