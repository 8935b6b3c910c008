/** The settings of a run, as the form has them: the defaults, and what was entered into fields. */
import { batch, computed, signal } from "@preact/signals";
import { readNumber } from "../../../core/checks.ts";
import { hasSettingOf } from "../../../data/settings.ts";
import { METHODS, type Mode } from "../../../methods/index.ts";
import { readSetting } from "../../../run/settings.ts";
import { hasHead } from "../../../tasks/index.ts";
import { defaultsFor, knownBase, usualMode } from "../../../train/options.ts";
import type { RunSettings, TrainOptions } from "../../../train/settings.ts";
import type { PageSettings } from "../../protocol.ts";
import { knownOfData, objective, readWith } from "../data/data.ts";
import { goTo } from "../shared/scroll.ts";
import {
  applies,
  FIELDS,
  type Field,
  isOwnDefault,
  type Key,
  OFFERED_TARGETS,
  startValues,
  type Values,
} from "./field-list.ts";
import { adapter, model } from "./model.ts";

/** A field's value: a text, a choice, a tick, or the ticks of a list. */
type Shown = string | boolean | readonly string[];

interface Entry {
  shown: Shown;
  /** The last valid value; undefined: there was none. */
  value: unknown;
  isInvalid: boolean;
}

/** The entries, by typing or otherwise, since the last reset. */
const entries = signal<Readonly<Partial<Record<Key, Entry>>>>({});

const isSame = (a: unknown, b: unknown) => String(a) === String(b);
const start = computed(() => startValues(objective.value));

const given = computed((): Partial<Values> => {
  const valid = Object.entries(entries.value).filter(([key, { value }]) => isOffered(key, value));
  return Object.fromEntries(valid.map(([key, { value }]) => [key, value]));
});

/** Whether a value of a setting is one for what is to be learned, and for the model. */
export function isOffered(key: string, value: unknown): boolean {
  if (value === undefined || !hasSettingOf(objective.value, `${key} ${value}`)) return false;
  if (key !== "mode") return true;
  const needsHead = METHODS[value as Mode].classifiersOnly !== undefined;
  return (
    (!needsHead || hasHead({ objective: objective.value })) && (model.value?.modes.includes(value as Mode) ?? true)
  );
}

/** The defaults for the objective, the mode and the rows: few need more epochs, and very few a smaller batch. */
const defaults = computed((): Values => {
  const { epochs: wanted, mode: chosen, ...others } = given.value;
  const base = model.value?.config;
  const known = { ...knownOfData.value, ...(model.value ? knownBase(model.value) : {}) };
  // Of pairs two columns are read.
  const data = { objective: objective.value, pairs: readWith("textColumn")?.includes(",") || undefined };
  const usual = base ? usualMode(others, data, base) : start.value.mode;
  const more = { ...others, mode: chosen ?? usual };
  const follow = defaultsFor(known, more, start.value, objective.value);
  // Epochs that are given keep their evaluations.
  const isGiven = wanted !== undefined && wanted !== follow.epochs;
  const all = isGiven ? { ...more, epochs: wanted } : more;
  const { evalEvery, patience = start.value.patience } = defaultsFor(known, all, start.value, objective.value);
  return { ...start.value, ...follow, mode: usual, evalEvery, patience };
});

/** The value of each field: where what is entered is invalid, the one before. */
export const values = computed((): Values => ({ ...defaults.value, ...given.value }));

export const visible = computed(() => {
  const { mode } = values.value;
  const keys = FIELDS.map(({ key }) => key);
  return new Set(keys.filter((key) => applies(key, objective.value, mode, adapter.value !== undefined)));
});

/** The first visible field that is invalid, as it is seen. */
export const invalidField = computed(() =>
  FIELDS.find(({ key }) => visible.value.has(key) && entries.value[key]?.isInvalid),
);

/** The settings that are not a run's defaults. */
export const fieldSettings = computed((): Partial<PageSettings> => {
  const isGiven = (key: Key) => {
    if (key === "maxLength") return values.value.maxLength > 0;
    return isOwnDefault(key, objective.value) || !isSame(values.value[key], defaults.value[key]);
  };
  return Object.fromEntries([...visible.value].filter(isGiven).map((key) => [key, values.value[key]]));
});

/** A field's value, and whether it is invalid. */
export function fieldState(field: Field): { shown: Shown; isInvalid: boolean } {
  const entry = entries.value[field.key];
  // A text stays as it is typed: "1.0" may become "1.05". A choice may not be offered any more.
  if (entry && !field.choices) return entry;
  return { shown: show(field, values.value[field.key]), isInvalid: false };
}

function show({ kind }: Field, value: unknown): Shown {
  if (kind === "check") return value === true;
  return kind === "targets" ? String(value).split(",") : String(value ?? "");
}

/** The value of what a field shows; undefined: it is invalid. */
function read({ key, kind, number }: Field, shown: Shown): unknown {
  switch (kind) {
    case "number":
      return readNumber(shown as string, number!);
    case "targets": {
      const chosen = OFFERED_TARGETS.filter((target) => (shown as readonly string[]).includes(target));
      return chosen.length > 0 ? chosen : undefined;
    }
    case "layers":
      try {
        return readSetting(key, (shown as string).replaceAll(" ", "") || "all");
      } catch {
        return undefined;
      }
    default:
      return shown;
  }
}

/** Takes what is typed or chosen. */
export function enter(field: Field, shown: Shown): void {
  const value = read(field, shown);
  const entry = { shown, value: value ?? (value === null ? null : entries.value[field.key]?.value) };
  entries.value = { ...entries.value, [field.key]: { ...entry, isInvalid: value === undefined } };
}

/** Sets a field as if the value had been typed. Returns whether there is such a field, and the value is valid. */
export function set(key: string, value: unknown): boolean {
  const field = FIELDS.find((candidate) => candidate.key === key);
  if (!field || (field.choices && !field.choices.some(([choice]) => choice === value))) return false;
  const shown = show(field, value);
  if (read(field, shown) === undefined) return false;
  enter(field, shown);
  return true;
}

/** Sets a field, and moves the focus to it: that of a button that is gone afterwards. */
export function correct(key: keyof TrainOptions, value: string | number): void {
  set(key, value);
  goTo(`field-${key}`);
}

/** Fills in `settings`; returns the names of those that have no field, and of values that are invalid. */
export function restoreFields(settings: RunSettings): string[] {
  const hasOwn = (key: Key) => isOwnDefault(key, objective.value);
  // Without a length a run has the model's context. The page's own defaults were not entered.
  const all: Record<string, unknown> = { ...(hasOwn("maxLength") ? { maxLength: 0 } : {}), ...settings };
  const isDefault = (key: Key) => hasOwn(key) && isSame(all[key], start.value[key]);
  const names = Object.keys(all).filter((key) => !isDefault(key as Key));
  return batch(() => names.filter((key) => !set(key, all[key])));
}

export function reset(): void {
  entries.value = {};
}
