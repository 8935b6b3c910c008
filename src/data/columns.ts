/** Finds the text and label columns of a file, by their names or by the first rows. */
import { DataError, nameList } from "../errors.ts";
import { nearest } from "../suggest.ts";

/** Common names, the most likely first. Case and surrounding white space are ignored. */
export const TEXT_NAMES = ["text", "message", "sms", "content", "body", "v2", "sentence"];
const LABEL_NAMES = ["label", "class", "category", "target", "v1", "spam"];

/** A longer value is not a label. */
const LONGEST_LABEL = 64;

/** A cell of the first row with at least this many words is a text, not a column name. */
const WORDS_OF_A_TEXT = 4;

/** The requested columns; the others are chosen automatically. */
export interface ColumnChoice {
  textColumn?: string;
  labelColumn?: string;
}

/** The indices (from 0) and names of the text and label columns, and whether the first row is a header. */
export interface Columns {
  text: number;
  label: number;
  textName: string;
  labelName: string;
  header: boolean;
  /** Fields per row. */
  width: number;
}

/**
 * Finds the columns of a CSV or TSV file by its first rows (`sample`, including the first row).
 *
 * A file of two columns has no header if no column is requested by name and its first row looks like data. The row looks like
 * data if its value in the label column (the column with fewer distinct values, none of them long) occurs again in a later row,
 * like "ham" in `ham<TAB>text`; or if no cell is a common name and the text has at least WORDS_OF_A_TEXT words. Every other
 * file has a header. Throws DataError if a column is missing or ambiguous.
 */
export function findColumns(sample: string[][], choice: ColumnChoice, file: string): Columns {
  const [names = [], ...rows] = sample;
  const width = names.length;
  const asked = choice.textColumn !== undefined || choice.labelColumn !== undefined;
  if (width < 2) {
    throw new DataError("Text and label need two columns", {
      where: file,
      found: nameList(names),
      hint: "check the separator: .csv has commas, .tsv and .txt have tabs",
    });
  }
  const guess = width === 2 ? likelyLabel(rows.length > 0 ? rows : sample) : -1;
  if (!asked && guess >= 0 && looksLikeData(names, rows, guess)) {
    return { text: 1 - guess, label: guess, textName: "text", labelName: "label", header: false, width };
  }
  return { ...findNames(names, guess, choice, file), header: true, width };
}

/** `label`: the label column of two, -1 where there is one column, of texts. */
function looksLikeData(first: string[], rows: string[][], label: number): boolean {
  if (label >= 0 && rows.some((row) => row[label]?.trim() === first[label]?.trim())) return true;
  const usual = first.some((name) => [...TEXT_NAMES, ...LABEL_NAMES].includes(plain(name)));
  return !usual && (first[label < 0 ? 0 : 1 - label] ?? "").trim().split(/\s+/).length >= WORDS_OF_A_TEXT;
}

/** Finds the text and label keys of a JSON-lines file by its first objects, given as key, value, key, value, ... */
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

/** The one of two columns with fewer distinct values, on a tie with shorter ones; -1 if its values are long. */
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
  // With two columns, use the remaining one, or the one that looks like labels.
  if (names.length === 2) {
    if (text < 0 && label < 0) label = guess;
    if (text < 0 && label >= 0) text = 1 - label;
    if (label < 0 && text >= 0) label = 1 - text;
  }
  if (text < 0 || label < 0) {
    throw new DataError(`No column is recognized as the ${text < 0 ? "text" : "label"}`, {
      where: file,
      expected: `one of ${(text < 0 ? TEXT_NAMES : LABEL_NAMES).join(", ")}`,
      found: nameList(names),
      hint: `give its name with --${text < 0 ? "text" : "label"}-column`,
    });
  }
  if (text === label) {
    throw new DataError("Text and label are the same column", { where: file, found: names[text] ?? "" });
  }
  return { text, label, textName: names[text] ?? "", labelName: names[label] ?? "" };
}

/**
 * Finds the text column of a CSV or TSV file that need have no labels, by its first rows. A file of one or two columns can have
 * no header, as in `findColumns`. Throws DataError if the column is missing or ambiguous.
 */
export function findText(
  sample: string[][],
  asked: string | undefined,
  file: string,
): Pick<Columns, "text" | "textName" | "header" | "width"> {
  const [names = [], ...rows] = sample;
  const width = names.length;
  const label = width === 2 ? likelyLabel(rows.length > 0 ? rows : sample) : -1;
  const text = width === 1 ? 0 : label < 0 ? -1 : 1 - label;
  if (asked === undefined && text >= 0 && looksLikeData(names, rows, label))
    return { text, textName: "text", header: false, width };
  return { ...findTextName(names, text, asked, file), header: true, width };
}

/** Finds the text key of a JSON-lines file that need have no labels, by its first objects. */
export function findTextKey(sample: string[][], asked: string | undefined, file: string): string {
  const names = (sample[0] ?? []).filter((_, i) => i % 2 === 0);
  return findTextName(names, names.length === 1 ? 0 : -1, asked, file).textName;
}

/** The text column by its name, else the column `guess`. */
export function findTextName(names: string[], guess: number, asked: string | undefined, file: string) {
  const usual = asked === undefined ? findUsual(names, TEXT_NAMES, -1) : findAsked(names, asked, file);
  const text = usual >= 0 ? usual : guess;
  if (text >= 0) return { text, textName: names[text] ?? "" };
  throw new DataError("No column is recognized as the text", {
    where: file,
    expected: `one of ${TEXT_NAMES.join(", ")}`,
    found: nameList(names),
    hint: "give its name with --text-column",
  });
}

/** More classes than this are usually a mistake. */
const MANY_CLASSES = 20;

/** A warning if the label column is probably the wrong one, otherwise null. */
export function labelDoubt(labels: readonly string[]): string | null {
  const count = labels.length;
  if (count <= MANY_CLASSES) return null;
  const numbers = labels.filter((label) => /^[-+]?\d*[.,]?\d+(e[-+]?\d+)?$/i.test(label));
  if (numbers.length > 0.9 * count && numbers.some((label) => /[.,]/.test(label)))
    return (
      `${count} classes, decimal numbers (${nameList(numbers.slice(0, 3))}): every number becomes a separate class. ` +
      "Regression is not supported: group the numbers into a few classes, such as low and high, or use another label column"
    );
  return `${count} classes: ${nameList(labels)}. Check that the label column is the right one`;
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
