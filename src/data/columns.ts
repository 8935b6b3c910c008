/** Which columns of a file are the text and the label, from their names or from the first rows. */
import { DataError, nameList } from "../errors.ts";
import { nearest } from "../suggest.ts";

/** Usual names, the likeliest first; compared without regard to case and to white space around them. */
export const TEXT_NAMES = ["text", "message", "sms", "content", "body", "v2", "sentence"];
const LABEL_NAMES = ["label", "class", "category", "target", "v1", "spam"];

/** Bytes beyond which a value is no label. */
const LONGEST_LABEL = 64;

/** Words that make a cell of the first row a text and not a column's name. */
const WORDS_OF_A_TEXT = 4;

/** Columns as asked for; those left out are guessed. */
export interface ColumnChoice {
  textColumn?: string;
  labelColumn?: string;
}

/** Where text and label stand (from 0), what to call them, and whether the first row is a header. */
export interface Columns {
  text: number;
  label: number;
  textName: string;
  labelName: string;
  header: boolean;
  /** Fields of a row. */
  width: number;
}

/**
 * Finds the columns of a CSV or TSV file from its first rows (`sample`, the first row included).
 *
 * A file of two columns has no header when no name is asked for and its first row looks like data: the value that this
 * row has in the label column (the one with fewer distinct values below, none of them long) comes again further down, as
 * "ham" does in `ham<TAB>text`; or no cell is a usual name and the text has WORDS_OF_A_TEXT words or more. Every other
 * file has a header. Throws DataError where a column is missing or unclear.
 */
export function findColumns(sample: string[][], choice: ColumnChoice, file: string): Columns {
  const [names = [], ...rows] = sample;
  const width = names.length;
  const asked = choice.textColumn !== undefined || choice.labelColumn !== undefined;
  if (width < 2) {
    throw new DataError("Text and label need two columns", {
      where: file,
      found: nameList(names),
      hint: "is it the right separator? .csv has commas, .tsv and .txt have tabs",
    });
  }
  const guess = width === 2 ? likelyLabel(rows.length > 0 ? rows : sample) : -1;
  if (!asked && guess >= 0 && looksLikeData(names, rows, guess)) {
    return { text: 1 - guess, label: guess, textName: "text", labelName: "label", header: false, width };
  }
  return { ...findNames(names, guess, choice, file), header: true, width };
}

function looksLikeData(first: string[], rows: string[][], label: number): boolean {
  if (rows.some((row) => row[label]?.trim() === first[label]?.trim())) return true;
  const usual = first.some((name) => [...TEXT_NAMES, ...LABEL_NAMES].includes(plain(name)));
  return !usual && (first[1 - label] ?? "").trim().split(/\s+/).length >= WORDS_OF_A_TEXT;
}

/** Finds the keys of text and label in a JSON-lines file from its first objects, given as key, value, key, value, ... */
export function findKeys(
  sample: string[][],
  choice: ColumnChoice,
  file: string,
): { textName: string; labelName: string } {
  const names = (sample[0] ?? []).filter((_, i) => i % 2 === 0);
  if (names.length < 2) throw new DataError("Text and label need two keys", { where: file, found: nameList(names) });
  const values = sample.map((row) => row.filter((_, i) => i % 2 === 1));
  const guess = names.length === 2 ? likelyLabel(values) : -1;
  const { textName, labelName } = findNames(names, guess, choice, file);
  return { textName, labelName };
}

/** Of two columns the one with fewer distinct values, or shorter ones where they have the same; -1 if its values are long. */
function likelyLabel(rows: string[][]): number {
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
  let text = choice.textColumn === undefined ? -1 : findAsked(names, choice.textColumn, file);
  let label = choice.labelColumn === undefined ? -1 : findAsked(names, choice.labelColumn, file);
  if (text < 0) text = findUsual(names, TEXT_NAMES, label);
  if (label < 0) label = findUsual(names, LABEL_NAMES, text);
  // Of two columns the other one, or the one that looks like it.
  if (names.length === 2) {
    if (text < 0 && label < 0) label = guess;
    if (text < 0 && label >= 0) text = 1 - label;
    if (label < 0 && text >= 0) label = 1 - text;
  }
  if (text < 0 || label < 0) {
    throw new DataError(`No column is known to be the ${text < 0 ? "text" : "label"}`, {
      where: file,
      expected: `one of ${(text < 0 ? TEXT_NAMES : LABEL_NAMES).join(", ")}`,
      found: nameList(names),
      hint: `name it with --${text < 0 ? "text" : "label"}-column`,
    });
  }
  if (text === label) {
    throw new DataError("Text and label are the same column", { where: file, found: names[text] ?? "" });
  }
  return { text, label, textName: names[text] ?? "", labelName: names[label] ?? "" };
}

/** More classes than these are rarely meant. */
const MANY_CLASSES = 20;

/** What lets one doubt that the label column is the right one, for people; null where nothing does. */
export function labelDoubt(labels: readonly string[]): string | null {
  const count = labels.length;
  if (count <= MANY_CLASSES) return null;
  const numbers = labels.filter((label) => /^[-+]?\d*[.,]?\d+(e[-+]?\d+)?$/i.test(label));
  if (numbers.length > 0.9 * count && numbers.some((label) => /[.,]/.test(label)))
    return (
      `${count} classes, decimal numbers (${nameList(numbers.slice(0, 3))}): every number is a class of its own, near ones as ` +
      "different as far ones. Numbers cannot be predicted (no regression): sort them into a few classes, such as low and high, " +
      "or take another column as the label"
    );
  return `${count} classes: ${nameList(labels)}. Is it the right label column?`;
}

function plain(name: string): string {
  return name.trim().toLowerCase();
}

export function findUsual(names: string[], usual: string[], taken: number): number {
  for (const name of usual) {
    const index = names.findIndex((n, i) => i !== taken && plain(n) === name);
    if (index >= 0) return index;
  }
  return -1;
}

function findAsked(names: string[], asked: string, file: string): number {
  const exact = names.indexOf(asked);
  const index = exact >= 0 ? exact : names.findIndex((n) => plain(n) === plain(asked));
  if (index >= 0) return index;
  const near = nearest(asked, names);
  throw new DataError(`There is no column "${asked}"`, {
    where: file,
    found: nameList(names),
    ...(near === undefined ? {} : { hint: `did you mean "${near}"?` }),
  });
}
