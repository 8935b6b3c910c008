/** The words of the commands for settings: their flags. */
import { LowrankError } from "../../core/errors.ts";
import { messageFor, type SettingWord } from "../../core/surface.ts";
import { ALL_SETTINGS, isOffered, offeredChoices, type RunSettings } from "../../train/settings.ts";

/** "--batch-size", or "--no-head-bias" of what is true by default. */
export function flagName(name: string): string {
  const word = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return ALL_SETTINGS[name as keyof RunSettings]?.default === true ? `--no-${word}` : `--${word}`;
}

/** "--dtype f16"; --set of what has no flag. */
export const asFlag: SettingWord = (name, value) => {
  const { published, default: usual } = ALL_SETTINGS[name as keyof RunSettings] ?? {};
  if (published === true) return `--set ${name}${value === undefined ? "" : `=${value}`}`;
  if (value === undefined || typeof usual === "boolean") return flagName(name);
  return `${flagName(name)} ${/^[\w.,=:/-]*$/.test(value) ? value : JSON.stringify(value)}`;
};

/** The words of a command line for a setting. */
export function asArguments([key, value]: [key: string, value: unknown]): string[] {
  const name = key as keyof RunSettings;
  if (Array.isArray(value) && ALL_SETTINGS[name].kind === "files")
    return value.flatMap((item) => asArguments([name, item]));
  const word = value === null ? "all" : String(value);
  const choices = offeredChoices(name);
  if (!isOffered(name) || (choices && typeof value === "string" && !choices.includes(word)))
    return ["--set", `${name}=${word}`];
  if (typeof value === "boolean")
    return value === ALL_SETTINGS[name].default ? ["--set", `${name}=${word}`] : [flagName(name)];
  return [flagName(name), word];
}

/** An error in the words of a terminal. */
export const terminalMessage = (error: Error): string =>
  error instanceof LowrankError ? messageFor(error, asFlag) : error.message;
