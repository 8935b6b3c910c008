/** Pairs of texts, whose relation is classified: a question and an answer, a premise and a hypothesis. */
import { isListOf, isText, type Kind } from "./checks.ts";

export type Pair = readonly [first: string, second: string];
export type TextOrPair = string | Pair;
/** A text, or a list: both texts of a pair, or the words of a sentence. */
export type TextOrList = string | readonly string[];

/** Checks of a call's texts, and of sentences. */
export const TEXTS: Kind = [
  "a string, or an array of strings or of pairs",
  (value) => isText(value) || isListOf(value, (one) => isText(one) || (isListOf(one, isText) && one.length === 2)),
];
export const SENTENCES: Kind = [
  "a string, or an array of strings or of lists of words",
  (value) => isText(value) || isListOf(value, (one) => isText(one) || isListOf(one, isText)),
];

/** The columns of pairs of texts. Between their tokens is the one that ends a text. */
export interface PairSettings {
  columns: Pair;
}

/** Those that an adapter was trained on; undefined: single texts, or it does not say. */
export const pairSettings = ({ settings }: { settings: Record<string, unknown> }) =>
  settings.pairs as PairSettings | undefined;

/** Whether an adapter reads pairs of texts; undefined: PEFT wrote it, which does not say. */
export function readsPairs(meta: {
  settings: Record<string, unknown>;
  base_fingerprint?: string;
}): boolean | undefined {
  return pairSettings(meta) ? true : meta.base_fingerprint === undefined ? undefined : false;
}

/** A text, or both of a pair on one line, for people. */
export const joinPair = (text: TextOrPair): string => [text].flat().join(" | ");

/** Whether there is nothing but white space in a text, in both of a pair, or in words. */
export const isBlank = (text: TextOrList): boolean => [text].flat().join("").trim() === "";

/** The beginning of a text, or of both of a pair. */
export const excerpt = (text: TextOrPair, length: number): TextOrPair =>
  typeof text === "string" ? text.slice(0, length) : [text[0].slice(0, length), text[1].slice(0, length)];
