/** The settings of data: what each may be. Those of training and of a whole run are in train/settings.ts. */

import { checkArguments, checkNumber, isListOf, isNumber, type Kind, parseChoice } from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import { type Flags, inPage, type Setting } from "../methods/method.ts";
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
}

export const FRACTIONS: Kind = [
  "the shares of train, val and test: three numbers",
  (value) => isListOf(value, isNumber) && value.length === 3,
];

const ONE_OR_MORE = { min: 1, whole: true } as const;

export const DATA_SETTINGS: { readonly [K in keyof DataSettings]: OpenSetting<DataSettings[K]> } = {
  data: { kind: "files", field: "Own file", others: ["train_file", "train"] },
  dataset: { kind: "text", others: ["dataset_name"], field: "Data set" },
  val: { kind: "files", others: ["validation_file"] },
  test: { kind: "files", others: ["test_file"] },
  split: inPage(
    { choices: SPLITS, published: ["experiment"] },
    "Data split: How the data is divided into what is trained on, what is checked during training, and what is tested at the end. Stratified keeps each class's share in all three; near-duplicates are in one of them, unless the order is kept.",
  ),
  fractions: { kind: "fractions" },
  dedupe: inPage(
    { default: false },
    "Deduplicate: Drops near-duplicates of earlier rows: texts that differ only in numbers, punctuation, white space and case. Otherwise they are in one set with them, or, where sets are given or rows keep their order, make the test too easy.",
  ),
  trainRows: { number: ONE_OR_MORE, others: ["max_train_samples"] },
  textColumn: { kind: "text", field: "Text column" },
  labelColumn: { kind: "text", field: "Label column" },
  groupColumn: { kind: "text" },
  corrections: { kind: "files" },
  labelSeparator: inPage(
    { kind: "text", named: { "|": "|", ",": "comma", ";": "semicolon" } },
    "Between labels: What is between several labels in a cell of the table.",
  ),
  sheet: { kind: "text" },
  encoding: { kind: "text", field: "Encoding" },
  skipFaulty: { default: false },
  maxLength: inPage(
    { number: ONE_OR_MORE, help: "Tokens; 0: context, at most 1024", others: ["max_seq_length", "cutoff_len"] },
    "Maximum length: Longer messages are cut to this many tokens, and texts are cut into blocks of this many. Shorter ones train faster; 0 means the model's context, at most 1024.",
  ),
  stride: { number: ONE_OR_MORE },
  balance: { kind: "switch", published: true },
  padding: { default: "none", choices: ["none", "longest"], number: ONE_OR_MORE, published: true },
};

/** Their flags. */
export const DATA_FLAGS: Flags<Omit<DataSettings, "balance" | "padding">> = {
  data: "CSV, Excel (.xlsx), JSON lines, a JSON array, Parquet, or a folder with one for each class; CSV has commas, semicolons or tabs, the folder may have train and test; rows are split 70/10/20",
  dataset:
    "spam or languages (bundled), or owner/name of the Hugging Face Hub; spam is mails and short messages; sms is the published experiment's data (downloaded once); with --objective lm human-rights (bundled); of the hub owner/name[:configuration], such as stanfordnlp/imdb, fancyzhx/ag_news or ucirvine/sms_spam",
  val: "validation set; --data is the training set (without --test it is the test set, too)",
  test: "test set; --data is the training set, of which a part is the validation set unless --val gives one",
  split:
    "how --data or --dataset is split, or how a validation set that the hub's data lacks is taken from the training set (default: that of the published experiment for sms, ordered for languages, else stratified: each class separately; random without one class a message)",
  fractions:
    "shares of training, validation and test set: 1,0,0 trains on all rows, and measures nothing on others (default: .7,.1,.2; of texts .8,.1,.1; of languages its own)",
  dedupe:
    "drop rows that are near-duplicates of an earlier row, before splitting (default: they stay, in one set with it)",
  trainRows:
    "learn from about n rows, each class in proportion, and validate on as many fewer; the test set stays (default: all; without data of your own 100)",
  textColumn: "text column, or FIRST,SECOND of pairs; their relation is classified (default: detected)",
  labelColumn:
    "label column; of several labels a message that have a column each, with 0 or 1, all: A,B,C (default: detected)",
  groupColumn: "rows of one value here, such as a customer, stay in one set; and in one fold",
  corrections:
    'a review.csv of --folds, after you have corrected it; you have looked through its column "correct label": these labels count, rows with "drop" are left out, and "new: LABEL", once, says which are new; repeat it for several',
  labelSeparator: '<s> what is between several labels in a cell (default: "|")',
  sheet: "sheet of an Excel file (default: the only one with cells)",
  encoding: "encoding of files that are not UTF-8, such as windows-1252; UTF-16 is recognized by its byte order mark",
  skipFaulty: "skip invalid rows and report them",
  maxLength:
    "maximum message length in tokens; longer messages are truncated (default: the model's context, at most 1024)",
  stride: "lm: tokens between the starts of two blocks (default: --max-length)",
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
