/** The settings that have a field, as the tables of settings and of their words have them. */

import { describeRange, type NumberRange } from "../../../core/checks.ts";
import { TARGETS } from "../../../core/names.ts";
import type { SettingWord } from "../../../core/surface.ts";
import { DATA_NAMES, hasSettingOf, type OpenSetting } from "../../../data/settings.ts";
import { MODES, type Mode } from "../../../methods/index.ts";
import { GUIDES } from "../../../methods/training.ts";
import { OBJECTIVES, type Objective } from "../../../tasks/index.ts";
import { TRAINING } from "../../../tasks/training.ts";
import { WORDS } from "../../../tasks/words.ts";
import { hasEffect, objectiveDefaults } from "../../../train/options.ts";
import {
  ALL_SETTINGS,
  offeredChoices,
  type RunSettings,
  SETTING_NAMES,
  SETTINGS,
  type TrainOptions,
} from "../../../train/settings.ts";
import type { PageSettings } from "../../protocol.ts";

/** The settings of a run, and their values on the page; a maximum length of 0 is the model's context. */
export type Values = TrainOptions &
  Pick<PageSettings, "device"> &
  Required<Pick<PageSettings, "dedupe" | "maxLength" | "labelSeparator">> & {
    split: NonNullable<PageSettings["split"]> | "default";
  };

export type Key = keyof Values;

export interface Field {
  key: Key;
  label: string;
  help?: string | undefined;
  /** Its meaning, and when to change it. */
  why: string;
  kind: "number" | "choice" | "check" | "targets" | "layers";
  choices?: readonly (readonly [value: string, label: string])[];
  number?: NumberRange;
}

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
/** Their names in a Llama-type model. */
export const GATED_TARGET_NAMES: Record<string, string> = { fc: "MLP gate and up", proj: "MLP down" };

const METHOD_NAMES = Object.fromEntries(MODES.map((mode) => [mode, GUIDES[mode].choice]));

const labelOf = (name: string) => ALL_SETTINGS[name as keyof RunSettings]?.field?.split(": ")[0];

/** The fields among these settings. */
function fieldsOf(names: readonly (keyof RunSettings)[]): (Field & Pick<OpenSetting<unknown>, "isMain">)[] {
  return names.flatMap((name) => {
    const { number, default: usual, kind, help, isMain, ...words }: OpenSetting<unknown> = ALL_SETTINGS[name];
    const [, label, why] = /^(.*?): (.*)$/.exec(words.field ?? "") ?? [];
    if (label === undefined || why === undefined) return [];
    const named: Readonly<Record<string, string>> = name === "mode" ? METHOD_NAMES : (words.named ?? {});
    const offered = offeredChoices(name);
    // Without a default of its own, a setting follows from the data.
    const choices = offered ? [...(usual === undefined ? ["default"] : []), ...offered] : Object.keys(named);
    const field = { key: name as Key, label, help, why, ...(isMain && { isMain }) };
    if (kind === "targets" || kind === "layers") return { ...field, kind };
    // 0 stands for what follows from the model.
    if (number) return { ...field, kind: "number", number: usual === undefined ? { ...number, min: 0 } : number };
    if (choices.length === 0) return { ...field, kind: "check" };
    return { ...field, kind: "choice", choices: choices.map((value) => [value, named[value] ?? value] as const) };
  });
}

const DEVICE: Field = {
  key: "device",
  label: "Device",
  why: "What computes. Auto tries the graphics processor (WebGPU), compares its results with the CPU's and takes the faster one.",
  kind: "choice",
  choices: [
    ["auto", "auto"],
    ["webgpu", "WebGPU"],
    ["wasm", "CPU"],
  ],
};

const OF_TRAINING = fieldsOf(SETTING_NAMES);
const DATA_FIELDS = fieldsOf(DATA_NAMES);

/** The fields that are seen first. */
export const MAIN: readonly Field[] = OF_TRAINING.filter(({ isMain }) => isMain);

export const MORE: readonly Field[] = [DEVICE, ...OF_TRAINING.filter(({ isMain }) => !isMain), ...DATA_FIELDS];

export const FIELDS = [...MAIN, ...MORE];

/** Help for a field that is invalid. */
export function wantedIn({ kind, number }: Field): string {
  if (number) return `Enter ${describeRange(number)}.`;
  return kind === "targets" ? "Choose at least one." : "Enter block numbers or ranges, counted from 0.";
}

/** The defaults for an objective, whatever the data. */
export const startValues = (objective: Objective): Values => ({
  ...objectiveDefaults(objective),
  device: "auto",
  split: "default",
  dedupe: false,
  maxLength: 0,
  labelSeparator: "|",
  ...TRAINING[objective].pageDefaults,
});

/** Whether the page has a default of its own for a setting: a run gets it in any case. */
export const isOwnDefault = (key: Key, objective: Objective): boolean =>
  key in (TRAINING[objective].pageDefaults ?? {});

/** Settings that change the data set or its description. */
export const OF_DATA: readonly Key[] = [...DATA_FIELDS.map(({ key }) => key), "seed", "classWeights"];

/** Whether a setting counts for what the model learns, in a mode, with or without an adapter to start from. */
export function applies(key: Key, objective: Objective, mode: Mode, hasAdapter: boolean): boolean {
  const isOfMode = !(key in SETTINGS) || hasEffect(key as keyof TrainOptions, mode);
  const isOfAdapter = hasAdapter && SETTINGS[key as keyof TrainOptions]?.ofAdapter;
  return !isOfAdapter && hasSettingOf(objective, key) && isOfMode;
}

/** The page's words for settings in texts: “Frozen weights: float16”. */
export const asField: SettingWord = (name, value) => {
  const field = FIELDS.find(({ key }) => key === name);
  const label = field?.label ?? labelOf(name);
  if (label === undefined) return null;
  const shown =
    field?.kind === "targets" &&
    value
      ?.split(",")
      .map((target) => TARGET_NAMES[target] ?? target)
      .join(", ");
  const choices = Object.fromEntries(
    field?.choices ?? OBJECTIVES.map((objective) => [objective, WORDS[objective].choice]),
  );
  return `“${label}${value === undefined ? "" : `: ${shown || (choices[value] ?? value)}`}”`;
};
