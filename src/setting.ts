/**
 * Settings in the texts of errors and reports. A text has them as data, and each surface puts its own word there: the
 * library `dtype "f16"`, a command `--dtype f16`, the page its field's label: see surface.ts.
 */

// Control characters, which no text from outside keeps: see `printable`.
export const BEGIN = "\u0002";
export const END = "\u0003";
export const OR = "\u0004";

/** A setting in a text, or a value of it: `use a smaller ${setting("batchSize")}`. */
export function setting(name: string, value?: unknown): string {
  const shown = typeof value === "number" || typeof value === "boolean" ? value : JSON.stringify(String(value));
  return `${BEGIN}${name}${value === undefined ? "" : ` ${shown}`}${END}`;
}

/** Ways out, of which a surface gives those whose settings it has: "a, or b". */
export const either = (...ways: readonly string[]): string => ways.join(OR);

/** A text in the words of the library: the names of arguments. */
export const plain = (text: string): string => text.replaceAll(BEGIN, "").replaceAll(END, "").replaceAll(OR, ", or ");
