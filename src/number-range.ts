/** The allowed numbers of a setting: the check, its description, and the bounds of the field in the page. */
import { ConfigError } from "./errors.ts";
import { show } from "./kinds.ts";

export interface NumberRange {
  min: number;
  max?: number;
  whole?: true;
  /** Whether `min` itself is excluded. */
  above?: true;
  /** Whether `max` itself is excluded. */
  below?: true;
}

export function isWithin(value: unknown, { min, max = Infinity, whole, above, below }: NumberRange): value is number {
  if (!(whole ? Number.isSafeInteger(value) : Number.isFinite(value))) return false;
  const number = value as number;
  return (below ? number < max : number <= max) && (above ? number > min : number >= min);
}

/** "a whole number from 1 to 16", "a number above 0", "a number of 0 or more", "a number from 0 to below 1". */
export function describeRange({ min, max, whole, above, below }: NumberRange): string {
  const what = whole ? "a whole number" : "a number";
  if (above) return `${what} above ${min}${max === undefined ? "" : `, at most ${max}`}`;
  return max === undefined ? `${what} of ${min} or more` : `${what} from ${min} to ${below ? "below " : ""}${max}`;
}

/** Throws ConfigError if a number is out of range. */
export function checkNumber(name: string, value: unknown, range: NumberRange, where?: string): void {
  if (!isWithin(value, range))
    throw new ConfigError("invalid-value", `${name} is invalid`, {
      ...(where === undefined ? {} : { where }),
      expected: describeRange(range),
      found: show(value),
    });
}
