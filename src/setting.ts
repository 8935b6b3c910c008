/**
 * Settings in the texts of errors and reports. A text has them as data, and each surface puts its own word there: the
 * library `dtype "f16"`, a command `--dtype f16`, the page its field's label.
 */

// Control characters, which no text from outside keeps: see `printable`.
const BEGIN = "\u0002";
const END = "\u0003";
const OR = "\u0004";

/** A setting in a text, or a value of it: `use a smaller ${setting("batchSize")}`. */
export function setting(name: string, value?: string | number | boolean): string {
  return `${BEGIN}${name}${value === undefined ? "" : `=${value}`}${END}`;
}

/** Ways out, of which a surface gives those whose settings it has: "a, or b". */
export function either(...ways: readonly string[]): string {
  return ways.join(OR);
}

/** The word of a surface for a setting, or for a value of it; null: it does not have the setting. */
export type SettingWord = (name: string, value?: string) => string | null;

/** The library's: the name of the argument. */
export const asArgument: SettingWord = (name, value) =>
  value === undefined ? name : `${name} ${/^(true|false|[\d.]+)$/.test(value) ? value : JSON.stringify(value)}`;

const SETTING = new RegExp(`${BEGIN}(\\w+)(?:=([^${END}]*))?${END}`, "g");

/** A text with the words of a surface in place of its settings. */
export function nameSettings(text: string, word: SettingWord): string {
  const ways = text.split(OR);
  const can = ways.filter((way) => [...way.matchAll(SETTING)].every(([, name, value]) => word(name!, value) !== null));
  return (can.length > 0 ? can : ways.slice(0, 1))
    .join(", or ")
    .replaceAll(SETTING, (_, name: string, value?: string) => word(name, value) ?? name);
}
