/** Checks the arguments of the API at its boundary, so that an error names the invalid argument. */
import { ConfigError } from "./errors.ts";
import { type Fields, findWrong, isListOf, isText, KINDS as JSON_KINDS, type Kinds } from "./kinds.ts";
import { didYouMean } from "./suggest.ts";

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
const isRecord = (value: unknown) => JSON_KINDS.object[1](value) && !isPromise(value);
const isFunction = (value: unknown) => typeof value === "function";
const isNumber = (value: unknown) => typeof value === "number";
/** An object with these methods. */
const can =
  (...methods: string[]) =>
  (value: unknown) =>
    isObject(value) && methods.every((name) => isFunction(value[name]));
const isPromise = can("then");
const isFile = can("read", "close");
const isSource = (value: unknown) => isText(value) || isFile(value);

const isMeta = (value: unknown) => isObject(value) && isObject(value.task);
const isAdapter = (value: unknown) => isObject(value) && isMeta(value.meta) && value.tensors instanceof Map;

/** The kinds of arguments. */
const KINDS = {
  any: ["anything", (value: unknown) => !isPromise(value)],
  text: JSON_KINDS.text,
  texts: ["an array of strings", (value: unknown) => isListOf(value, isText)],
  "text or texts": ["a string, or an array of strings", (value: unknown) => isText(value) || isListOf(value, isText)],
  "texts or pairs": [
    "a string, or an array of strings or of pairs",
    (value: unknown) =>
      isText(value) || isListOf(value, (one) => isText(one) || (isListOf(one, isText) && one.length === 2)),
  ],
  number: ["a number", isNumber],
  numbers: ["an array of numbers", (value: unknown) => isListOf(value, isNumber)],
  "numbers or null": ["an array of numbers, or null", (value: unknown) => value === null || isListOf(value, isNumber)],
  boolean: JSON_KINDS.boolean,
  function: ["a function", isFunction],
  object: ["an object", isRecord],
  "one or more objects": [
    "an array of one or more objects",
    (value: unknown) => isListOf(value, isRecord) && value.length > 0,
  ],
  signal: ["an AbortSignal", can("throwIfAborted")],
  bytes: ["a Uint8Array", (value: unknown) => value instanceof Uint8Array],
  "file source": [
    "a Blob, a Response, a URL or a file handle",
    (value: unknown) =>
      value instanceof URL ||
      [["slice", "arrayBuffer"], ["clone", "arrayBuffer"], ["getFile"], ["read", "stat"]].some((methods) =>
        can(...methods)(value),
      ),
  ],
  ids: ["an array of token ids", (value: unknown) => isObject(value) && isNumber(value.length)],
  source: ["a path, or an opened file", isSource],
  sources: [
    "a path, an opened file, or an array of these",
    (value: unknown) => isSource(value) || isListOf(value, isSource),
  ],
  device: ["a device, from `await openDevice()`", can("prepare", "destroy")],
  model: ["a model, from loadModel", (value: unknown) => isFile(value) && "config" in (value as object)],
  data: [
    "data, from loadDataset or loadTexts",
    (value: unknown) => isObject(value) && ["objective", "train", "val", "test"].every((key) => key in value),
  ],
  adapter: ["an adapter, from loadAdapter", isAdapter],
  "adapter or null": ["an adapter, or null", (value: unknown) => value === null || isAdapter(value)],
  meta: ["the `meta` of an adapter", isMeta],
  tensors: ["a Map of tensors", (value: unknown) => value instanceof Map],
  checkpoint: [
    "a checkpoint, from onCheckpoint",
    (value: unknown) => isObject(value) && Array.isArray(value.steps) && value.tensors instanceof Map,
  ],
  interval: [
    'a whole number of steps, or "evaluation"',
    (value: unknown) => value === "evaluation" || (Number.isSafeInteger(value) && (value as number) >= 0),
  ],
} as const satisfies Kinds<string>;

export type ArgumentKind = keyof typeof KINDS | `${keyof typeof KINDS}?`;

/** Throws ConfigError, naming the argument, if a value is not of its kind. A kind with "?" allows undefined. */
export function checkArguments(given: object, kinds: Fields<keyof typeof KINDS>): void {
  const wrong = findWrong(given, kinds, KINDS);
  if (!wrong) return;
  const { key, value, expected } = wrong;
  throw new ConfigError("invalid-argument", `${key}: ${inWords(value)}`, { expected });
}

/** Checks an argument that is an object of options. For an unknown option, the error suggests the nearest known one. */
export function checkOptions(name: string, options: unknown, kinds: Readonly<Record<string, ArgumentKind>>): void {
  const needed = Object.keys(kinds).filter((key) => !kinds[key]!.endsWith("?"));
  if (options === undefined && needed.length > 0)
    throw new ConfigError("invalid-argument", `${name}: undefined`, {
      expected: `an object with ${needed.join(", ")}`,
    });
  checkArguments({ [name]: options }, { [name]: "object" });
  for (const [key, value] of Object.entries(options as object))
    if (value !== undefined && !Object.hasOwn(kinds, key)) {
      const bare = needed.find((one) => KINDS[kinds[one] as keyof typeof KINDS][1](options));
      if (bare === undefined) refuseUnknown(key, Object.keys(kinds));
      throw new ConfigError("invalid-argument", `${name}: ${bare} without braces`, { expected: `{ ${bare} }` });
    }
  checkArguments(options as object, kinds);
}

export function refuseUnknown(option: string, known: readonly string[]): never {
  throw new ConfigError("unknown-option", `unknown option ${option}`, {
    expected: known.join(", "),
    ...didYouMean(option, known),
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
  if (!isObject(value)) return String(value);
  const keys = Object.keys(value);
  return keys.length > 0 ? `an object with ${keys.slice(0, 8).join(", ")}` : "an object without keys";
}
