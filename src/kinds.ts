/**
 * The kinds of values that come from outside, in a file or as an argument. A record is checked where it is read, so
 * that what works with it never meets a value of another kind.
 */
import type { ErrorCodes } from "./error-codes.ts";
import { FormatError } from "./errors.ts";

/** Says of a value whether it is of a kind, and in words what it should be. */
export type Kinds<Name extends string> = Readonly<
  Record<Name, readonly [words: string, is: (value: unknown) => boolean]>
>;

/** Kinds of values by their keys. With "?" a value may be missing. */
export type Fields<Name extends string> = Readonly<Record<string, Name | `${Name}?`>>;

export const isText = (value: unknown): value is string => typeof value === "string";
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
export const isListOf = (value: unknown, is: (item: unknown) => boolean): value is unknown[] =>
  Array.isArray(value) && value.every(is);
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isProbability = (value: unknown) => typeof value === "number" && value >= 0 && value <= 1;

/** The kinds of JSON values. */
export const KINDS = {
  text: ["a string", isText],
  texts: ["a list of strings", (value) => isListOf(value, isText)],
  object: ["an object", isObject],
  objects: ["a list of objects", (value) => isListOf(value, isObject)],
  boolean: ["true or false", (value) => typeof value === "boolean"],
  number: ["a number", Number.isFinite],
  amount: ["a number of 0 or more", (value) => typeof value === "number" && value >= 0],
  positive: ["a number above 0", (value) => Number.isFinite(value) && (value as number) > 0],
  probability: ["a number from 0 to 1", isProbability],
  probabilities: ["a list of numbers from 0 to 1", (value) => isListOf(value, isProbability)],
  count: ["a whole number of 0 or more", isCount],
  size: ["a whole number of 1 or more", (value) => isCount(value) && value !== 0],
} as const satisfies Kinds<string>;

/** The first value that is not of its kind: its key, and what is expected. */
export function findWrong<Name extends string>(
  values: object,
  fields: Fields<Name>,
  kinds: Kinds<Name>,
): { key: string; value: unknown; expected: string } | undefined {
  for (const [key, kind] of Object.entries(fields)) {
    const value = (values as Record<string, unknown>)[key];
    if (value === undefined && kind.endsWith("?")) continue;
    const [expected, is] = kinds[kind.replace("?", "") as Name];
    if (!is(value)) return { key, value, expected };
  }
  return undefined;
}

/**
 * Throws FormatError unless a record of the file `where` has values of these kinds. `code`: of the error; `named`: the
 * name of a key in the file.
 */
export function checkKinds(
  record: object,
  fields: Fields<keyof typeof KINDS>,
  where: string,
  {
    code = "invalid-field",
    named = (key) => key,
  }: { code?: ErrorCodes["FormatError"]; named?: (key: string) => string } = {},
): void {
  const wrong = findWrong(record, fields, KINDS);
  if (!wrong) return;
  const { key, value, expected } = wrong;
  throw new FormatError(code, `${named(key)} is invalid`, { where, expected, found: show(value) });
}

/** What a table has under a word from outside; undefined for any other word, also for those that all objects know. */
export function lookUp<T>(table: Readonly<Record<string, T>>, word: unknown): T | undefined {
  return isText(word) && Object.hasOwn(table, word) ? table[word] : undefined;
}

/** The values that a record has: in the files of Hugging Face a null is a default. */
export function withoutNulls(record: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => (value ?? null) !== null));
}

/** A value of a file for a message. */
export function show(value: unknown): string {
  return typeof value === "number" ? String(value) : (JSON.stringify(value) ?? "nothing");
}
