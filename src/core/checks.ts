/**
 * Checks of values that come from outside: in a file, as an argument, as a setting. They are checked where they are
 * read, so that what works with them never meets a value of another kind. `findWrong` finds what is wrong; the others
 * throw it, as FormatError of a file, as ConfigError of an argument or a setting.
 */
import type { ErrorCodes } from "./error-codes.ts";
import { ConfigError, FormatError } from "./errors.ts";
import { setting } from "./setting.ts";
import { didYouMean, nearest } from "./suggest.ts";

export const isText = (value: unknown): value is string => typeof value === "string";
export const isNumber = (value: unknown): value is number => typeof value === "number";
export const isListOf = (value: unknown, is: (item: unknown) => boolean): value is unknown[] =>
  Array.isArray(value) && value.every(is);
export const hasKeys = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;
const isFunction = (value: unknown) => typeof value === "function";
/** An object with these methods. */
export const can =
  /* @__NO_SIDE_EFFECTS__ */
    (...methods: string[]) =>
    (value: unknown) =>
      hasKeys(value) && methods.every((name) => isFunction(value[name]));
const isPromise = can("then");
export const isFile = can("read", "close");
export const isObject = (value: unknown): value is Record<string, unknown> =>
  hasKeys(value) && !Array.isArray(value) && !isPromise(value);

// ---------------------------------------------------------------------------------------------------- kinds

/** The allowed numbers of a setting: its check, its description, and the bounds of its field in the page. */
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

/** The number of a text, of a flag or a field; undefined: it is none in that range. */
export function readNumber(text: string, range: NumberRange = { min: -Infinity }): number | undefined {
  const number = text.trim() === "" ? Number.NaN : Number(text);
  return isWithin(number, range) ? number : undefined;
}

/** "a whole number from 1 to 16", "a number above 0", "a number of 0 or more", "a number from 0 to below 1". */
export function describeRange({ min, max, whole, above, below }: NumberRange): string {
  const what = whole ? "a whole number" : "a number";
  if (above) return `${what} above ${min}${max === undefined ? "" : `, at most ${max}`}`;
  return max === undefined ? `${what} of ${min} or more` : `${what} from ${min} to ${below ? "below " : ""}${max}`;
}

/** A kind of value, in words, and its test. */
export type Kind = readonly [words: string, is: (value: unknown) => boolean];

export const inRange = /* @__NO_SIDE_EFFECTS__ */ (range: NumberRange): Kind => [
  describeRange(range),
  (value) => isWithin(value, range),
];
const listOf = /* @__NO_SIDE_EFFECTS__ */ (words: string, is: (item: unknown) => boolean): Kind => [
  `an array of ${words}`,
  (value) => isListOf(value, is),
];
const isModel = (value: unknown) => isFile(value) && "config" in (value as object);
const isMeta = (value: unknown) => hasKeys(value) && isObject(value.task);
const probability = inRange({ min: 0, max: 1 });

/** The kinds of more than one place. */
const KINDS = {
  any: ["anything", (value) => !isPromise(value)],
  text: ["a string", isText],
  texts: listOf("strings", isText),
  "named texts": ["strings by names", (value) => isObject(value) && Object.values(value).every(isText)],
  "text or texts": ["a string, or an array of strings", (value) => isText(value) || isListOf(value, isText)],
  boolean: ["true or false", (value) => typeof value === "boolean"],
  object: ["an object", isObject],
  objects: listOf("objects", isObject),
  /** Also one that is not finite. */
  number: ["a number", isNumber],
  numbers: listOf("numbers", isNumber),
  finite: ["a number", Number.isFinite],
  positive: inRange({ min: 0, above: true }),
  probability,
  probabilities: listOf("numbers from 0 to 1", probability[1]),
  count: inRange({ min: 0, whole: true }),
  size: inRange({ min: 1, whole: true }),
  function: ["a function", isFunction],
  signal: ["an AbortSignal", can("throwIfAborted")],
  device: ["a device, from `await openDevice()`", can("prepare", "destroy")],
  model: ["a model, from loadModel", isModel],
  "name or model": ["a model's name, or a model from loadModel", (value) => isText(value) || isModel(value)],
  adapter: [
    "an adapter, from loadAdapter",
    (value) => hasKeys(value) && isMeta(value.meta) && value.tensors instanceof Map,
  ],
  meta: ["the `meta` of an adapter", isMeta],
} as const satisfies Record<string, Kind>;

type KindName = keyof typeof KINDS;

/** A kind, or the name of one; with "?" the value may be missing. */
export type FieldKind = Kind | KindName | `${KindName}?` | `${KindName} or null` | `${KindName} or null?`;

export type Fields = Readonly<Record<string, FieldKind>>;

export const optional = ([words, is]: Kind): Kind => [words, (value) => value === undefined || is(value)];

function readKind(kind: FieldKind): Kind {
  if (!isText(kind)) return kind;
  if (kind.endsWith("?")) return optional(readKind(kind.slice(0, -1) as FieldKind));
  const name = kind.replace(" or null", "") as KindName;
  const [words, is] = KINDS[name];
  return name === kind ? [words, is] : [`${words}, or null`, (value) => value === null || is(value)];
}

export interface Wrong {
  key: string;
  value: unknown;
  expected: string;
}

/** The first value that is not of its kind: its key, and what is expected. */
export function findWrong(values: object, fields: Fields): Wrong | undefined {
  for (const [key, kind] of Object.entries(fields)) {
    const value = (values as Record<string, unknown>)[key];
    const [expected, is] = readKind(kind);
    if (!is(value)) return { key, value, expected };
  }
  return undefined;
}

// ---------------------------------------------------------------------------------------------------- files

/**
 * Throws FormatError unless a record of the file `where` has values of these kinds. `code`: of the error; `named`: the
 * name of a key in the file.
 */
export function checkKinds(
  record: object,
  fields: Fields,
  where: string,
  {
    code = "invalid-field",
    named = (key) => key,
  }: { code?: ErrorCodes["FormatError"]; named?: (key: string) => string } = {},
): void {
  const wrong = findWrong(record, fields);
  if (!wrong) return;
  const { key, value, expected } = wrong;
  throw new FormatError(code, `${named(key)} is invalid`, { where, expected, found: show(value) });
}

/** The entry of a table under a word from outside; undefined for any other word, also one that all objects know. */
export function lookUp<T>(table: Readonly<Record<string, T>>, word: unknown): T | undefined {
  return isText(word) && Object.hasOwn(table, word) ? table[word] : undefined;
}

/** The values that a record has: in the files of Hugging Face a null is a default. */
export function withoutNulls(record: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => (value ?? null) !== null));
}

/** A value of a file for a message. */
export function show(value: unknown): string {
  return isNumber(value) ? String(value) : (JSON.stringify(value) ?? "nothing");
}

// ---------------------------------------------------------------------------------------------------- settings

/** Throws ConfigError, with the nearest of the `allowed` words, for a word that is none of them. */
export function parseChoice<T extends string>(what: string, word: unknown, allowed: readonly T[], where?: string): T {
  const match = allowed.find((candidate) => candidate === word);
  if (match !== undefined) return match;
  throw new ConfigError("unknown-value", `unknown ${what}`, {
    expected: `one of ${allowed.join(", ")}`,
    found: show(word),
    where,
    hint: isText(word) ? didYouMean(word, allowed) : undefined,
  });
}

/** Throws ConfigError if a number is out of range. */
export function checkNumber(name: string, value: unknown, range: NumberRange, where?: string): void {
  if (isWithin(value, range)) return;
  throw new ConfigError("invalid-value", `${name} is invalid`, {
    expected: describeRange(range),
    found: show(value),
    where,
  });
}

// ---------------------------------------------------------------------------------------------------- arguments

/** Throws ConfigError, naming the argument, if a value is not of its kind. */
export function checkArguments(given: object, kinds: Fields): void {
  const wrong = findWrong(given, kinds);
  if (!wrong) return;
  const { key, value, expected } = wrong;
  throw new ConfigError("invalid-argument", `${key}: ${inWords(value)}`, { expected });
}

/**
 * Names of other programs for options: for each of them the option, and the value that it stands for if it is more than
 * a name.
 */
export type OtherNames<Option extends string = string> = Readonly<
  Record<string, readonly [option: Option, value?: string]>
>;

/** Checks an argument that is an object of options. For an unknown option, the error suggests the nearest known one. */
export function checkOptions(name: string, options: unknown, kinds: Fields, others?: OtherNames): void {
  const needed = Object.keys(kinds).filter((key) => !readKind(kinds[key]!)[1](undefined));
  if (options === undefined && needed.length > 0)
    throw new ConfigError("invalid-argument", `${name}: undefined`, {
      expected: `an object with ${needed.join(", ")}`,
    });
  checkArguments({ [name]: options }, { [name]: "object" });
  for (const [key, value] of Object.entries(options as object))
    if (value !== undefined && !Object.hasOwn(kinds, key)) {
      const bare = needed.find((one) => readKind(kinds[one]!)[1](options));
      if (bare === undefined) refuseUnknown(key, Object.keys(kinds), others);
      throw new ConfigError("invalid-argument", `${name}: ${bare} without braces`, { expected: `{ ${bare} }` });
    }
  checkArguments(options as object, kinds);
}

export function refuseUnknown(option: string, known: readonly string[], given: OtherNames = {}): never {
  const others = { ...given, abortSignal: ["signal"] } as OtherNames;
  const names = Object.keys(others).filter((name) => known.includes(others[name]![0]));
  const near = nearest(option, [...known, ...names]);
  const [meant, value] = lookUp(others, near) ?? [near];
  throw new ConfigError("unknown-option", `unknown option ${option}`, {
    expected: known.join(", "),
    hint: meant && `did you mean ${value === undefined ? meant : setting(meant, value)}?`,
  });
}

function inWords(value: unknown): string {
  if (isPromise(value)) return "a Promise; is an await missing?";
  if (Array.isArray(value)) {
    const odd = value.find((item) => typeof item !== typeof value[0]) ?? value[0];
    return value.length === 0 ? "an empty array" : `an array that contains ${inWords(odd)}`;
  }
  if (isFunction(value)) return "a function";
  if (isText(value)) return `the string ${JSON.stringify(value)}`;
  if (!hasKeys(value)) return String(value);
  const keys = Object.keys(value);
  return keys.length > 0 ? `an object with ${keys.slice(0, 8).join(", ")}` : "an object without keys";
}

/**
 * The kinds of an object's values by their keys: one of them, those of an object within, or those of the objects of a
 * list. What is within an object, with "?" after its key, may be null or missing.
 */
export interface Tree {
  readonly [key: string]: FieldKind | Tree | readonly [Tree];
}

const isKind = (one: Tree[string]): one is FieldKind => isText(one) || (Array.isArray(one) && one.length === 2);

/** The first value that is not of its kind: its key, behind `path`, and what is expected. */
export function findWrongIn(object: object, tree: Tree, path = ""): Wrong | undefined {
  for (const [name, kind] of Object.entries(tree)) {
    const key = isKind(kind) ? name : name.replace("?", "");
    const value = (object as Record<string, unknown>)[key];
    if (key !== name && (value ?? null) === null) continue;
    const kinds = isKind(kind) ? kind : Array.isArray(kind) ? "objects" : "object";
    // Under one name: an object with a name of its own for each value of a long list would be slow.
    const wrong = findWrong({ value }, { value: kinds });
    if (wrong) return { ...wrong, key: path + key };
    const within = isKind(kind) ? undefined : findWithin(value as object, kind as Tree | [Tree], path + key);
    if (within) return within;
  }
  return undefined;
}

function findWithin(value: object, kind: Tree | readonly [Tree], place: string): Wrong | undefined {
  if (!Array.isArray(kind)) return findWrongIn(value, kind as Tree, `${place}.`);
  for (const [i, one] of (value as object[]).entries()) {
    const wrong = findWrongIn(one, kind[0], `${place}[${i}].`);
    if (wrong) return wrong;
  }
  return undefined;
}

/** Throws FormatError unless a file of ours, such as "the run", has the version of its format that is read here. */
export function checkVersion(what: string, found: unknown, expected: number, where: string): void {
  if (found === expected) return;
  const isNewer = typeof found === "number" && found > expected;
  throw new FormatError("unsupported-version", `${what} was written by another version of Lowrank`, {
    where,
    expected: `version ${expected} of its format`,
    found: `version ${show(found)}`,
    hint: isNewer
      ? "use it with a newer version of Lowrank"
      : "make it again, or use it with the version that wrote it",
  });
}
