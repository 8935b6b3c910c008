/** Texts of the library in the words of a surface, such as the commands or the page. */
import { errorParts, type LowrankError, sayError } from "./errors.ts";
import { MARK, OR } from "./setting.ts";

/** The word of a surface for a setting, or for a value of it; null: it does not have the setting. */
export type SettingWord = (name: string, value?: string) => string | null;

const SETTING = new RegExp(`${MARK}(\\w+)(?: ([^${MARK}]*))?${MARK}`, "g");

/** A text with the words of a surface in place of its settings. */
export function nameSettings(text: string, word: SettingWord): string {
  const say = (name: string, value?: string) => word(name, value && String(JSON.parse(value)));
  const ways = text.split(OR);
  const can = ways.filter((way) => [...way.matchAll(SETTING)].every(([, name, value]) => say(name!, value) !== null));
  return (can.length > 0 ? can : ways.slice(0, 1))
    .join(", or ")
    .replaceAll(SETTING, (_, name: string, value?: string) => say(name, value) ?? name);
}

/** The message of an error in the words of a surface. */
export function messageFor(error: LowrankError, word: SettingWord): string {
  const { summary, details } = errorParts(error);
  return sayError(summary, details, (text) => nameSettings(text, word))[0];
}

/** Settings one behind the other: "a and b". */
const TOGETHER = new RegExp(`${MARK}[^${MARK}]*${MARK}(?: and ${MARK}[^${MARK}]*${MARK})*`, "g");

/** The settings with values that a text advises, those together that it names together. */
export const waysIn = (text: string): Record<string, unknown>[] =>
  (text.match(TOGETHER) ?? []).map(settingsIn).filter((way) => Object.keys(way).length > 0);

/** The settings and values of the first way out in a text that has some: what a program can do about an error. */
export function settingsIn(text: string): Record<string, unknown> {
  for (const way of text.split(OR)) {
    const valued = [...way.matchAll(SETTING)].filter(([, , value]) => value !== undefined);
    if (valued.length > 0) return Object.fromEntries(valued.map(([, name, value]) => [name, JSON.parse(value!)]));
  }
  return {};
}
