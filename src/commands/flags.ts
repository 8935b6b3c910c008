/** The flags shared by train and sweep: one for each setting of a run that people are offered, and --set for all. */
import { type Command, Option } from "commander";
import { refuseUnknown } from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import { joinWords } from "../core/format.ts";
import { setting } from "../core/setting.ts";
import { DATA_NAMES, type Files } from "../data/settings.ts";
import { MODES, takesSteps } from "../methods/index.ts";
import { readSetting } from "../run/settings.ts";
import { defaultRate, type Known, LARGE } from "../train/options.ts";
import {
  ALL_SETTINGS,
  flagTexts,
  isOffered,
  OTHER_NAMES,
  offeredChoices,
  RUN_SETTINGS,
  type RunSettings,
  SETTING_NAMES,
  SETTINGS,
} from "../train/settings.ts";
import { asFlag, flagName } from "../views/terminal/flag-words.ts";
import { choice, gather, listMain, number, suggestFlag } from "./cli.ts";

/** Adds a flag for each of these settings, and one that sets any of them. */
export function addSettings(program: Command, names = RUN_SETTINGS): Command {
  const texts: { readonly [name in keyof RunSettings]?: string } = {
    ...flagTexts(),
    lr: `${flagTexts().lr} (default: ${listRates({})}; with ${LARGE / 1e6} million parameters or more ${listRates({ parameters: LARGE })})`,
  };
  for (const name of names.filter(isOffered)) program.addOption(createFlag(name, texts[name]!));
  for (const [other, [name, value]] of Object.entries(OTHER_NAMES))
    for (const spelt of new Set([other, other.replaceAll("_", "-")]))
      if (names.includes(name)) suggestFlag(program, `--${spelt}`, asFlag(name, value)!);
  const others = names.filter((name) => !isOffered(name)).join(", ");
  return program.option(
    "--set <name=value>",
    `any setting by its name in run.json, such as rank=16; also those of the published experiment alone, such as padding=longest (${others})`,
    gather,
  );
}

/** The groups of --help before that of a run; a flag is in the first that has its name. */
const GROUPS: [heading: string, names: readonly string[]][] = [
  ["Data:", DATA_NAMES],
  ["Memory and device:", ["dtype", "recompute", "device", "threads"]],
  ["Method:", SETTING_NAMES.filter((name) => SETTINGS[name].modes)],
  ["Training:", [...RUN_SETTINGS, "set"]],
];

/** Groups the flags that a command has so far; --help lists `main`, and `--help settings` all. */
export function groupFlags(program: Command, main: readonly string[] = []): void {
  for (const option of listMain(program, main).options) {
    const name = option.attributeName();
    if (name === "version") continue;
    const [heading] = GROUPS.find(([, names]) => names.includes(name)) ?? ["Run:"];
    option.helpGroup(heading);
  }
}

/** The modes of each default learning rate. */
function listRates(known: Known): string {
  const modes = MODES.filter(takesSteps);
  const rates = [...new Set(modes.map((mode) => defaultRate(mode, known)))].sort((a, b) => a - b);
  return rates
    .map((rate) => `${joinWords(modes.filter((mode) => defaultRate(mode, known) === rate))} ${rate}`)
    .join(", ");
}

/** A flag's value in the help, where its text does not begin with it. */
const ARGUMENTS: Readonly<Record<string, string>> = { files: "<file>", text: "<name>", fractions: "<shares>" };

function createFlag(name: keyof RunSettings, words: string): Option {
  const { default: value, number: range, kind = "" } = ALL_SETTINGS[name];
  const [, argument = ARGUMENTS[kind] ?? "<n>", help = "", usual = value] =
    /^(<\w+>)? ?(.*?)(?: \(default: (.*)\))?$/.exec(words)!;
  const flag = flagName(name);
  // A setting that is true by default gets a flag that turns it off.
  if (typeof value === "boolean") return new Option(flag, words);
  const choices = offeredChoices(name);
  const option = choices ? choice(`${flag} <how>`, help, choices) : new Option(`${flag} ${argument}`, help);
  if (range) option.argParser(number);
  else if (kind === "files") option.argParser(addFile);
  else if (!choices) option.argParser((text) => readSetting(name, text));
  // Only shown: what is not given follows from the objective and the mode.
  return usual === null || usual === undefined ? option : option.default(undefined, `${usual}`);
}

/** A file, or several where the flag is repeated. */
function addFile(value: string, before?: Files): Files {
  return before === undefined ? value : [before, value].flat();
}

/** The flags of a command, with the settings of --set among them. */
export function parseFlags<Flags extends RunSettings>(program: Command, names = RUN_SETTINGS): Flags {
  const { set = [], ...flags } = program.opts<Flags & { set?: string[] }>();
  const settings = { ...flags } as RunSettings;
  // Commander makes an empty text of the null of --layers all.
  if (Object.is(settings.layers, "")) settings.layers = null;
  // Commander sets true if --no-head-bias is absent.
  if (settings.headBias) delete settings.headBias;
  for (const text of set) {
    const [, key, value] = /^(\w+)=(.+)$/s.exec(text) ?? [];
    if (!key || !value)
      throw new ConfigError("invalid-value", "--set is invalid", { expected: "key=value", found: text });
    const name = key as keyof RunSettings;
    if (!names.includes(name)) refuseUnknown(key, names, OTHER_NAMES);
    if (settings[name] !== undefined)
      throw new ConfigError("options-conflict", `${setting(name)} is given twice`, { found: `--set ${text}` });
    (settings as Record<string, unknown>)[name] = readSetting(name, value);
  }
  return settings as Flags;
}

/** Takes a file that is given without a flag as that of --data. */
export function takeFile(program: Command): void {
  const [file] = program.args;
  if (file === undefined) return;
  const data = program.getOptionValue("data");
  if (data !== undefined)
    throw new ConfigError("options-conflict", "too many arguments: the data is given twice", {
      expected: "FILE or --data FILE",
      found: `${data} and ${file}`,
    });
  program.setOptionValueWithSource("data", file, "cli");
}
