/** The settings of data: what each may be. Those of training and of a whole run are in train/settings.ts. */

import { checkArguments, checkNumber, isListOf, isNumber, type Kind, parseChoice } from "../checks.ts";
import { ConfigError } from "../errors.ts";
import type { Setting } from "../methods/method.ts";
import { setting } from "../setting.ts";
import { type Objective, TASKS } from "../tasks/index.ts";
import { TRAINING } from "../tasks/training.ts";
import type { Padding } from "./dataset.ts";
import { SPLITS, type Split } from "./sets/split.ts";

/** A file, or several if the flag is repeated. */
export type Files = string | readonly string[];

/** Where the data of a run comes from, and how it is read. */
export interface DataSettings {
  data: Files;
  dataset: string;
  train: Files;
  val: Files;
  test: Files;
  split: Split;
  fractions: readonly [number, number, number];
  dedupe: boolean;
  trainRows: number;
  textColumn: string;
  labelColumn: string;
  groupColumn: string;
  corrections: Files;
  labelSeparator: string;
  sheet: string;
  encoding: string;
  skipFaulty: boolean;
  maxLength: number;
  stride: number;
  balance: boolean;
  padding: Padding;
}

/** A setting whose default follows from the data or the model, unless it has one. */
export interface OpenSetting<T> extends Omit<Setting<T>, "default"> {
  default?: T;
  /** What it is where it is neither a number nor a word of `choices`: any text, names of files, true or false, ... */
  kind?: "text" | "files" | "switch" | "fractions";
}

export const FRACTIONS: Kind = [
  "the shares of train, val and test: three numbers",
  (value) => isListOf(value, isNumber) && value.length === 3,
];

const ONE_OR_MORE = { min: 1, whole: true } as const;

export const DATA_SETTINGS: { readonly [K in keyof DataSettings]: OpenSetting<DataSettings[K]> } = {
  data: { kind: "files" },
  dataset: { kind: "text" },
  train: { kind: "files" },
  val: { kind: "files" },
  test: { kind: "files" },
  split: { choices: SPLITS, published: ["experiment"] },
  fractions: { kind: "fractions" },
  dedupe: { default: false },
  trainRows: { number: ONE_OR_MORE },
  textColumn: { kind: "text" },
  labelColumn: { kind: "text" },
  groupColumn: { kind: "text" },
  corrections: { kind: "files" },
  labelSeparator: { kind: "text" },
  sheet: { kind: "text" },
  encoding: { kind: "text" },
  skipFaulty: { default: false },
  maxLength: { number: ONE_OR_MORE },
  stride: { number: ONE_OR_MORE },
  balance: { kind: "switch", published: true },
  padding: { default: "none", choices: ["none", "longest"], number: ONE_OR_MORE, published: true },
};

export const DATA_NAMES = Object.keys(DATA_SETTINGS) as readonly (keyof DataSettings)[];

export const hasSettingOf = (objective: Objective, name: string): boolean =>
  !Object.hasOwn(TRAINING[objective].lacks, name);

/** Settings by name, as far as a check needs them; `modes`: they are a method's own. */
type Table = Readonly<Record<string, OpenSetting<never> & { modes?: unknown }>>;

/** Throws ConfigError for a setting of `table` that the task has not. A value that it has in any case does not count. */
export function refuseLacked(given: object, objective: Objective, table: object): void {
  const { lacks, defaults } = TRAINING[objective];
  const { title } = TASKS[objective];
  const all = table as Table;
  for (const [what, why] of Object.entries(lacks)) {
    const [name, word] = what.split(" ") as [string, string?];
    const value: unknown = all[name] && given[name as keyof object];
    const isUsual = JSON.stringify(value) === JSON.stringify(defaults?.[name] ?? all[name]?.default);
    if (value === undefined || isUsual || (word !== undefined && ![value].flat().includes(word))) continue;
    const others = all[name]!.choices?.filter((one) => !Object.hasOwn(lacks, `${name} ${one}`));
    const names = Object.keys(all).filter((one) => !all[one]!.modes && hasSettingOf(objective, one));
    throw new ConfigError("options-conflict", `${setting(name, word)} is invalid for ${title}: ${why}`, {
      expected:
        word === undefined
          ? `settings of ${title}: ${names.map((one) => setting(one)).join(", ")}`
          : `another ${setting(name)}${others ? `: ${others.join(", ")}` : ""}`,
      found: setting(name, value),
    });
  }
}

/** Throws ConfigError if a setting has a value that it cannot have. */
export function checkSetting(
  name: string,
  value: unknown,
  { choices, number, kind, default: usual }: OpenSetting<unknown>,
) {
  if (value === null && usual === null) return;
  if (number && !(choices && typeof value === "string")) return checkNumber(setting(name), value, number);
  if (choices) return void parseChoice(name, value, choices as readonly string[]);
  if (kind === "text") checkArguments({ [name]: value }, { [name]: "text" });
  if (kind === "files") checkArguments({ [name]: value }, { [name]: "text or texts" });
  if (kind === "fractions") checkArguments({ [name]: value }, { [name]: FRACTIONS });
  if (kind === "switch" || typeof usual === "boolean") checkArguments({ [name]: value }, { [name]: "boolean" });
}

/** Throws ConfigError for settings of data that are invalid, each by itself, or that the task has not. */
export function checkDataSettings(given: Partial<DataSettings>, objective: Objective): void {
  refuseLacked(given, objective, DATA_SETTINGS);
  for (const name of DATA_NAMES) if (given[name] !== undefined) checkSetting(name, given[name], DATA_SETTINGS[name]);
}
