/** Finds the text and label columns of a file, by their names or by the first rows. */
import { isObject } from "../checks.ts";
import { DataError, nameList } from "../errors.ts";
import { joinWords } from "../format.ts";
import type { Pair } from "../pair.ts";
import { setting } from "../setting.ts";
import { nearest } from "../suggest.ts";

/** Common names. Case, surrounding white space, and the signs between words are ignored. */
export const TEXT_NAMES = [
  ...["text", "message", "sms", "content", "body", "v2", "sentence", "review", "comment", "tweet", "post", "email"],
  ...["question", "query", "utterance", "message text", "review text", "comment text"],
];
/** Names of the columns of two texts whose relation is the label: those of data sets on the hub. */
export const PAIR_NAMES: readonly Pair[] = [
  ["sentence1", "sentence2"],
  ["premise", "hypothesis"],
  ["question", "answer"],
  ["question1", "question2"],
  ["text a", "text b"],
];
const LABEL_NAMES = [
  ...["label", "class", "category", "target", "v1", "spam", "is spam", "topic", "sentiment", "emotion", "intent"],
];

const USUAL = { text: TEXT_NAMES, label: LABEL_NAMES } as const;

/** A longer value is not a label. */
const LONGEST_LABEL = 64;

/** A cell of the first row with at least this many words is a text, not a column name. */
const WORDS_OF_A_TEXT = 4;

/** The requested columns; the others are chosen automatically. */
export interface ColumnChoice {
  /** One column, or the two of pairs of texts with a comma between their names. */
  textColumn?: string;
  labelColumn?: string;
}

/** The names of the columns of text and label, and of the second text if the texts are pairs. */
export interface FoundNames {
  textName: string;
  labelName: string;
  secondName?: string | undefined;
}

/** The indices (from 0) and names of the columns, and whether the first row is a header. */
export interface Columns extends FoundNames {
  text: number;
  label: number;
  /** -1: the texts are no pairs. */
  second: number;
  header: boolean;
  /** Fields per row. */
  width: number;
}

/**
 * Finds the columns of a CSV or TSV file by its first rows (`sample`, including the first row).
 *
 * A file of two columns has no header if no column is requested by name and its first row looks like data. The row
 * looks like data if its value in the label column (the column with fewer distinct values, none of them long) occurs
 * again in a later row, like "ham" in `ham<TAB>text`; or if no cell is a common name and the text has at least
 * WORDS_OF_A_TEXT words. Every other file has a header. Throws DataError if a column is missing or ambiguous.
 */
export function findColumns(sample: string[][], choice: ColumnChoice, file: string): Columns {
  const [names = [], ...rows] = sample;
  const width = names.length;
  const asked = choice.textColumn !== undefined || choice.labelColumn !== undefined;
  if (width < 2) {
    throw new DataError("too-few-columns", "Text and label need two columns", {
      where: file,
      found: nameList(names),
      hint: "separate them with commas, semicolons or tabs",
    });
  }
  const guess = width === 2 ? likelyLabel(rows.length > 0 ? rows : sample) : -1;
  if (!asked && guess >= 0 && looksLikeData(names, rows, guess)) {
    return { text: 1 - guess, label: guess, second: -1, textName: "text", labelName: "label", header: false, width };
  }
  return { ...findNames(names, guess, choice, file), header: true, width };
}

/** `label`: the label column of two, -1 where there is one column, of texts. */
export function looksLikeData(first: string[], rows: string[][], label: number): boolean {
  if (label >= 0 && rows.some((row) => row[label]?.trim() === first[label]?.trim())) return true;
  const usual = first.some((name) => [...TEXT_NAMES, ...LABEL_NAMES].includes(plain(name)));
  return !usual && (first[label < 0 ? 0 : 1 - label] ?? "").trim().split(/\s+/).length >= WORDS_OF_A_TEXT;
}

/** The keys of the first object that has some, of those of a sample, each given as key, value, key, value, ... */
export function sampleKeys(sample: string[][]): string[] {
  return (sample.find(({ length }) => length > 0) ?? []).filter((_, i) => i % 2 === 0);
}

/** Finds the text and label keys of a JSON-lines file, or the paths to them (`message.body`), by its first objects. */
export function findKeys(sample: string[][], choice: ColumnChoice, file: string): FoundNames {
  const names = sampleKeys(sample);
  if (names.length < 2)
    throw new DataError("too-few-columns", "Text and label need two keys", { where: file, found: nameList(names) });
  const values = sample.map((row) => row.filter((_, i) => i % 2 === 1));
  const guess = names.length === 2 ? likelyLabel(values) : -1;
  const { text: _, label: __, second: ___, ...found } = findNames(names, guess, choice, file);
  return found;
}

/** The one of two columns with fewer distinct values, on a tie with shorter ones; -1 if its values are long. */
export function likelyLabel(rows: string[][]): number {
  const columns = [0, 1].map((column) => {
    const values = rows.map((row) => row[column] ?? "");
    const total = values.reduce((sum, value) => sum + value.length, 0);
    return { column, distinct: new Set(values).size, total, longest: Math.max(0, ...values.map((v) => v.length)) };
  }) as [ColumnFacts, ColumnFacts];
  const [a, b] = columns;
  const label = a.distinct < b.distinct || (a.distinct === b.distinct && a.total <= b.total) ? a : b;
  return rows.length === 0 || label.longest > LONGEST_LABEL ? -1 : label.column;
}

interface ColumnFacts {
  column: number;
  distinct: number;
  total: number;
  longest: number;
}

function findNames(names: string[], guess: number, choice: ColumnChoice, file: string) {
  let label = choice.labelColumn === undefined ? -1 : findAsked(names, choice.labelColumn, file);
  // One of two columns is the label.
  const pair = names.length > 2 ? findPair(names, label) : null;
  let [text, second] =
    choice.textColumn === undefined
      ? (pair ?? [findUsual(names, "text", label, file), -1])
      : findAskedTexts(names, choice.textColumn, file);
  if (label < 0) label = findUsual(names, "label", text, file);
  // With two columns, use the remaining one, or the one that looks like labels.
  if (names.length === 2) {
    if (text < 0 && label < 0) label = guess;
    if (text < 0 && label >= 0) text = 1 - label;
    if (label < 0 && text >= 0) label = 1 - text;
  }
  if (text < 0 || label < 0) {
    throw new DataError("column-not-recognized", `No column is recognized as the ${text < 0 ? "text" : "label"}`, {
      where: file,
      expected: `one of ${USUAL[text < 0 ? "text" : "label"].join(", ")}`,
      found: nameList(names),
      columns: names,
      hint:
        text < 0 && label < 0
          ? `give the names of both columns with ${setting("textColumn")} and ${setting("labelColumn")}`
          : `give its name with ${setting(text < 0 ? "textColumn" : "labelColumn")}`,
    });
  }
  if (new Set([text, second, label]).size < 3)
    throw new DataError("same-column", "Text and label are the same column, or both texts", {
      where: file,
      found: names[text === label ? text : second]!,
    });
  const found = { text, label, second, textName: names[text] ?? "", labelName: names[label] ?? "" };
  return second < 0 ? found : { ...found, secondName: names[second]! };
}

/** The columns of texts that are requested: one of this very name, or the two whose names a comma separates. */
export function findAskedTexts(names: string[], asked: string, file: string): [text: number, second: number] {
  const [first, ...rest] = asked.split(",");
  if (rest.length === 0 || columnNamed(names, asked) >= 0) return [findAsked(names, asked, file), -1];
  return pairNamed(names, asked) ?? [findAsked(names, first!, file), findAsked(names, rest.join(), file)];
}

/** The two columns whose names a comma separates; the names can have commas, too. Null: there are none. */
export function pairNamed(names: string[], asked: string): [text: number, second: number] | null {
  const parts = asked.split(",");
  for (let i = 1; i < parts.length; i++) {
    const pair = [parts.slice(0, i), parts.slice(i)].map((half) => columnNamed(names, half.join())) as [number, number];
    if (!pair.includes(-1)) return pair;
  }
  return null;
}

/** The columns of a pair by their names; null if there are none, or other columns that may be texts. */
export function findPair(names: string[], taken: number): [text: number, second: number] | null {
  const kinds = names.map((name, i) => (i === taken ? "" : plain(name)));
  const found = PAIR_NAMES.filter((pair) => pair.every((name) => kinds.includes(name)));
  const others = kinds.filter((name) => [...TEXT_NAMES, ...PAIR_NAMES.flat()].includes(name));
  return found.length === 1 && others.length === 2
    ? (found[0]!.map((name) => kinds.indexOf(name)) as [number, number])
    : null;
}

const NUMBER = /^[-+]?\d*[.,]?\d+(e[-+]?\d+)?$/i;
export const isNumber = (value: string) => NUMBER.test(value.trim());

/** Throws DataError if all texts in the first rows are numbers. */
export function refuseNumbers(texts: readonly string[], column: string, file: string): void {
  const filled = texts.filter((text) => text.trim() !== "");
  if (filled.length === 0 || !filled.every(isNumber)) return;
  throw new DataError("text-column-is-numeric", `The text column "${column}" has only numbers`, {
    where: file,
    expected: "messages",
    found: `${nameList(filled)}: rows 1 to ${texts.length}`,
    hint: `give another ${setting("textColumn")}`,
  });
}

/** The names of classes 0, 1, ...: a list, or an object with these keys; undefined if they are anything else. */
export function classNames(names: unknown): readonly string[] | undefined {
  const list = isObject(names) ? Object.keys(names).map((_, i) => names[i]) : names;
  if (!Array.isArray(list) || list.length === 0) return undefined;
  const texts = list.map((name) => (typeof name === "object" || name === undefined ? "" : String(name).trim()));
  return texts.every((text) => text !== "") && new Set(texts).size === texts.length ? texts : undefined;
}

/** More classes than this are usually a mistake. */
export const MANY_CLASSES = 20;

/** Between several labels of a message, unless another sign is given. */
export const LABEL_SEPARATOR = "|";

/** What a cell has between a sign: the labels of "a|b", none of an empty one. */
export const partsOf = (cell: string, sign: string) => cell.split(sign).flatMap((part) => part.trim() || []);

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
  const groups = new Map<string, string[]>();
  for (const label of labels) {
    const key = label.toLowerCase().replace(/\s+/g, " ");
    const group = groups.get(key);
    if (group) group.push(label);
    else groups.set(key, [label]);
  }
  return [...groups.values()].filter(({ length }) => length > 1);
}

function plain(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/[\s_-]+/g, " ");
}

/** The column with a common name, -1 if there is none. Throws DataError if there are several. */
export function findUsual(names: string[], kind: "text" | "label", taken: number, file: string): number {
  const found = names.flatMap((name, i) => (i !== taken && USUAL[kind].includes(plain(name)) ? [i] : []));
  if (found.length <= 1) return found[0] ?? -1;
  throw new DataError(
    "ambiguous-column",
    `Several columns may be the ${kind}: ${nameList(found.map((i) => names[i]!))}`,
    {
      where: file,
      expected: `one column with a common name of the ${kind}`,
      found: nameList(names),
      columns: names,
      hint: `give its name with ${setting(`${kind}Column`)}`,
    },
  );
}

/** The index of a column; -1 if there is none. */
export function columnNamed(names: string[], asked: string): number {
  const exact = names.indexOf(asked);
  return exact >= 0 ? exact : names.findIndex((n) => plain(n) === plain(asked));
}

export function findAsked(names: string[], asked: string, file: string): number {
  const index = columnNamed(names, asked);
  if (index >= 0) return index;
  const near = nearest(asked, names);
  throw new DataError("no-such-column", `There is no column "${asked}"`, {
    where: file,
    found: nameList(names),
    columns: names,
    ...(near === undefined ? {} : { hint: `did you mean "${near}"?` }),
  });
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
