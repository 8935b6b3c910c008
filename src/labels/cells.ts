/** What labels are: names of classes, numbers, several in one. */
import { isObject, isText } from "../core/checks.ts";
import { ConfigError, nameList } from "../core/errors.ts";
import { joinWords } from "../core/format.ts";
import { groupBy } from "../core/group-by.ts";
import { isSameCell } from "../core/quote.ts";
import { setting } from "../core/setting.ts";

export const LONGEST_LABEL = 64;

const NUMBER = /^[-+]?\d*[.,]?\d+(e[-+]?\d+)?$/i;
export const isNumber = (value: string) => NUMBER.test(value.trim());

/** Whether some labels are numbers with decimals, as scores have and classes have not; 0.0 and 1.0 are whole. */
export const haveDecimals = (labels: readonly string[]) =>
  labels.length > 2 && labels.some((label) => isNumber(label) && /[.,]\d*[1-9]/.test(label));

/** The names of classes 0, 1, ...: a list, or an object with these keys; undefined if they are anything else. */
export function classNames(names: unknown): readonly string[] | undefined {
  const list = isObject(names) ? Object.keys(names).map((_, i) => names[i]) : names;
  if (!Array.isArray(list) || list.length === 0) return undefined;
  const texts = list.map((name) => (typeof name === "object" || name === undefined ? "" : String(name).trim()));
  return texts.every((text) => text !== "") && new Set(texts).size === texts.length ? texts : undefined;
}

/** More classes than this are usually a mistake. */
export const MANY_CLASSES = 20;

/** Values are of a kind if at least this share of them is. */
export const NEARLY_ALL = 0.9;

/** Between several labels of a message, unless another sign is given. */
export const LABEL_SEPARATOR = "|";

/** Signs that may be between several labels. */
export const SEPARATORS = [LABEL_SEPARATOR, ";", ","];

/** What a cell has between a sign: the labels of "a|b", none of an empty one. */
export const partsOf = (cell: string, sign: string) => cell.split(sign).flatMap((part) => part.trim() || []);

/** The label that a cell stands for; undefined: it is none of these. */
export const findLabel = (cell: string, labels: readonly string[]) =>
  labels.find((label) => label === cell) ?? labels.find((label) => isSameCell(cell, label));

/** Notes about the labels: too many, or spelled in several ways. `classes`: rows by class. */
export function labelNotes(classes: Readonly<Record<string, number>>): string[] {
  const labels = Object.keys(classes);
  const notes = groupVariants(labels).map((names) => {
    const counted = names.map((name) => `"${name}" (${classes[name]})`);
    return `these labels differ only in case or white space: ${nameList(counted)}. Each is a class of its own; write them alike if they are one`;
  });
  if (labels.length > MANY_CLASSES)
    notes.push(`${labels.length} classes: ${nameList(labels)}. Check that the label column is the right one`);
  return notes;
}

/** Groups of labels that differ only in case or white space. */
function groupVariants(labels: readonly string[]): string[][] {
  const groups = groupBy(labels, (label) => label.toLowerCase().replace(/\s+/g, " "));
  return [...groups.values()].filter(({ length }) => length > 1);
}

/** Labels that look like several in one. */
export interface Combined {
  labels: string[];
  /** What is between the labels in most of them. */
  separator: string;
}

/** The settings with which they are learned as several of a message. */
export function settingsOfSeveral({ separator }: Combined, hasSeveral = false): string {
  const isUsual = separator === LABEL_SEPARATOR && !hasSeveral;
  return joinWords([
    ...(hasSeveral ? [] : [setting("objective", "multi-label")]),
    ...(isUsual ? [] : [setting("labelSeparator", separator)]),
  ]);
}

/**
 * The labels that look like several in one with a sign between them. Commas are part of many names and numbers: what is
 * between them has to be in other labels, too.
 */
function combinedBy(sign: string, labels: readonly string[]): string[] {
  const times = new Map<string, number>();
  for (const part of labels.flatMap((label) => [...new Set(partsOf(label, sign))]))
    times.set(part, (times.get(part) ?? 0) + 1);
  return labels.filter((label) => {
    const parts = partsOf(label, sign);
    return parts.length > 1 && !isNumber(label) && (sign !== "," || parts.every((part) => times.get(part)! > 1));
  });
}

/** The labels that look like several in one; null: there are none. */
export function findCombined(labels: readonly string[]): Combined | null {
  const found = SEPARATORS.map((sign) => ({ sign, combined: combinedBy(sign, labels) }));
  const combined = [...new Set(found.flatMap((one) => one.combined))];
  if (combined.length === 0) return null;
  const { sign } = found.reduce((most, one) => (one.combined.length > most.combined.length ? one : most));
  return { labels: combined, separator: sign };
}

/** Rows with these labels. `classes`: rows by label. */
export const countRows = (classes: Readonly<Record<string, number>>, labels: readonly string[]) =>
  labels.reduce((sum, label) => sum + classes[label]!, 0);

/** Throws ConfigError if the names of classes, or of several labels, are not ones that rows can have. */
export function checkNames(names: readonly string[]): void {
  const wrong = names.find((name, i) => name === "" || name !== name.trim() || names.indexOf(name) < i);
  if (wrong !== undefined)
    throw new ConfigError("invalid-value", "labels is invalid", {
      expected: "different names, without white space around them",
      found: JSON.stringify(wrong),
    });
}

/** The options with which rows that may have these labels are read again as they were. */
export const inOrder = (labels: readonly string[]) => ({ split: "ordered", labels });

/** A label of a row in memory that is one text or number; undefined: it is not, or is empty. */
export const readOne = (label: unknown): string | number | undefined =>
  (Number.isFinite(label) || isText(label)) && String(label).trim() !== "" ? (label as string | number) : undefined;
