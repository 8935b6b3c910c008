/**
 * Settings in the texts of errors and reports. A text has them as data, and each surface puts its own word there: the
 * library `dtype "f16"`, a command `--dtype f16`, the page its field's label: see surface.ts.
 */

// Control characters, which no text from outside keeps: see `printable`.
/** Around a setting. */
export const MARK = "\u0002";
/** Between ways out. */
export const OR = "\u0003";

/** A setting in a text, or a value of it: `use a smaller ${setting("batchSize")}`. */
export const setting = (name: string, value?: unknown): string =>
  MARK + (value === undefined ? name : `${name} ${JSON.stringify(value)}`) + MARK;

/** Ways out, of which a surface gives those whose settings it has: "a, or b". */
export const either = (...ways: readonly string[]): string => ways.join(OR);

/** A text in the words of the library: the names of arguments. */
export const plain = (text: string): string => text.replaceAll(MARK, "").replaceAll(OR, ", or ");
