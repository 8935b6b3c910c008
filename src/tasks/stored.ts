/** The kinds of values in a stored record of a run. */
import { isListOf, isText, KINDS as JSON_KINDS, type Kinds } from "../kinds.ts";

const isNumber = (value: unknown) => typeof value === "number";
const isPair = (value: unknown) => isListOf(value, isText) && value.length === 2;

/** A figure is what was measured, also where that is not finite. */
export const KINDS = {
  ...JSON_KINDS,
  figure: ["a number", isNumber],
  "figure or null": ["a number, or null", (value: unknown) => value === null || isNumber(value)],
  figures: ["a list of numbers", (value: unknown) => isListOf(value, isNumber)],
  counts: ["a list of three counts", (value) => isListOf(value, JSON_KINDS.count[1]) && value.length === 3],
  pair: ["two strings", isPair],
  "text or null": ["a string, or null", (value: unknown) => value === null || isText(value)],
  "class or null": ["0 or 1, or null", (value: unknown) => value === null || value === 0 || value === 1],
  "text or pair": ["a string, or two", (value: unknown) => isText(value) || isPair(value)],
  answer: ["a string, a number or strings", (value) => isText(value) || isNumber(value) || isListOf(value, isText)],
} as const satisfies Kinds<string>;

type FieldKind = keyof typeof KINDS;

/**
 * The kinds of an object's values by their keys: one of them, those of an object within, or those of the objects of a
 * list. Kinds with "?" may be missing; what is within an object, with "?" after its key, may be null or missing.
 */
export interface StoredKinds {
  readonly [key: string]: FieldKind | `${FieldKind}?` | StoredKinds | readonly [StoredKinds];
}

export const INTERVAL = { low: "figure", high: "figure" } as const;
export const ESTIMATE = { value: "figure", ...INTERVAL } as const;
const SHARE = { share: "figure", ...INTERVAL } as const;

/** The figures of a class or a label. */
export const LABEL = {
  rows: "count",
  predicted: "count",
  "precision?": SHARE,
  "recall?": SHARE,
  "f1?": SHARE,
} as const;
