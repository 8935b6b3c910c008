/** Finds the text and label columns of a file, by their names or by the first rows. */
import { DataError, nameList } from "../../errors.ts";
import { setting } from "../../setting.ts";
import { nearest } from "../../suggest.ts";
import type { LabelKind } from "../../tasks/task.ts";
import { findByContents } from "./column-facts.ts";
import { isUsual, PAIR_NAMES, plain, sayChosen, TEXT_NAMES, USUAL, usualName } from "./column-names.ts";
import { knownFormat } from "./dialect.ts";
import { isNumber, LONGEST_LABEL } from "./labels.ts";

/** A cell of the first row with at least this many words is a text, not a column name. */
const WORDS_OF_A_TEXT = 4;

/** If the labels of this many rows all repeat but the first row's, that is a question of a form: a column name. */
const ROWS_OF_LABELS = 8;

/** The requested columns; the others are chosen automatically. */
export interface ColumnChoice {
  /** One column, or the two of pairs of texts with a comma between their names. */
  textColumn?: string;
  /** One column, or of several labels a message those of all labels, each with 0 or 1, with commas between them. */
  labelColumn?: string;
  /** Called with the names and the first rows of a table before its columns are found. */
  onColumns?: ((names: readonly string[], rows: readonly (readonly string[])[]) => void) | undefined;
}

export interface LabelledChoice extends ColumnChoice {
  labelsAre?: LabelKind;
}

/** The names of the columns of text and label, and of the second text if the texts are pairs. */
export interface FoundNames {
  textName: string;
  labelName: string;
  secondName?: string | undefined;
  /** Of labels that have a column each. */
  labelNames?: readonly string[];
  /** How they were chosen, if not by their names: "text: column \"Libelle\" (the longest texts), ...". */
  chosen?: string | undefined;
}

/** The indices (from 0) and names of the columns, and whether the first row is a header. */
export interface Columns extends FoundNames {
  text: number;
  label: number;
  /** -1: the texts are no pairs. */
  second: number;
  /** The columns of labels behind the first, if each has one. */
  moreLabels?: readonly number[];
  header: boolean;
  /** Fields per row. */
  width: number;
}

/**
 * Finds the columns of a CSV or TSV file by its first rows (`sample`, including the first row).
 *
 * A file of two columns has no header if no column is requested by name and its first row looks like data. The row
 * looks like data if its value in the label column (the column with fewer distinct values, none of them long) occurs
 * again in a later row, like "ham" in `ham<TAB>text`; or if no cell is a common name, the text has at least
 * WORDS_OF_A_TEXT words, and not all other labels repeat. Every other file has a header. Throws DataError if a column is
 * missing or ambiguous.
 */
export async function findColumns(sample: string[][], choice: LabelledChoice, file: string): Promise<Columns> {
  const [names = [], ...rows] = sample;
  const width = names.length;
  const asked = choice.textColumn !== undefined || choice.labelColumn !== undefined;
  if (width < 2) {
    throw new DataError("too-few-columns", "Text and label need two columns", {
      where: file,
      found: nameList(names),
      hint: `add a column of labels${knownFormat(file) === "jsonl" ? "" : ", or separate the columns with commas, semicolons or tabs"}`,
    });
  }
  const guess = width === 2 ? likelyLabel(rows.length > 0 ? rows : sample) : -1;
  if (!asked && guess >= 0 && looksLikeData(names, rows, guess)) {
    choice.onColumns?.(guess === 1 ? ["text", "label"] : ["label", "text"], sample);
    return { text: 1 - guess, label: guess, second: -1, textName: "text", labelName: "label", header: false, width };
  }
  const { at, found } = await findNames(names, rows, guess, choice, file);
  return { ...at, ...found, header: true, width };
}

/** `label`: the label column of two, -1 where there is one column, of texts. */
export function looksLikeData(first: string[], rows: string[][], label: number): boolean {
  if (label >= 0 && rows.some((row) => row[label]?.trim() === first[label]?.trim())) return true;
  const usual = first.some((name) => isUsual(name, "text") || isUsual(name, "label"));
  const isTitle = label >= 0 && rows.length >= ROWS_OF_LABELS && repeatAll(rows.map((row) => row[label]?.trim()));
  return !usual && !isTitle && (first[label < 0 ? 0 : 1 - label] ?? "").trim().split(/\s+/).length >= WORDS_OF_A_TEXT;
}

const repeatAll = (values: readonly unknown[]) =>
  values.every((value) => values.indexOf(value) !== values.lastIndexOf(value));

/** The keys of the first object that has some, of those of a sample, each given as key, value, key, value, ... */
export function sampleKeys(sample: string[][]): string[] {
  return (sample.find(({ length }) => length > 0) ?? []).filter((_, i) => i % 2 === 0);
}

/** Finds the text and label keys of a JSON-lines file, or the paths to them (`message.body`), by its first objects. */
export async function findKeys(sample: string[][], choice: LabelledChoice, file: string): Promise<FoundNames> {
  const names = sampleKeys(sample);
  if (names.length < 2)
    throw new DataError("too-few-columns", "Text and label need two keys", {
      where: file,
      found: nameList(names),
      hint: `for texts that are learned to be written, use ${setting("objective", "lm")}; for chats ${setting("model", "smollm2-135m")} as well`,
    });
  const rows = sampleValues(sample, names);
  const guess = names.length === 2 ? likelyLabel(rows) : -1;
  return (await findNames(names, rows, guess, choice, file)).found;
}

/** The values of these keys in the objects of a sample, as rows of a table. */
export function sampleValues(sample: string[][], names: readonly string[]): string[][] {
  return sample.map((row) => {
    const values = new Map(row.flatMap((key, i) => (i % 2 === 0 ? [[key, row[i + 1] ?? ""] as const] : [])));
    return names.map((name) => values.get(name) ?? "");
  });
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

/** The ends of hints: the columns that may be text or label. */
type Candidates = Record<"text" | "label", string>;

async function findNames(
  names: string[],
  rows: string[][],
  guess: number,
  choice: LabelledChoice,
  file: string,
): Promise<{ at: Pick<Columns, "text" | "label" | "second" | "moreLabels">; found: FoundNames }> {
  const { textColumn, labelColumn, labelsAre = "class", onColumns } = choice;
  onColumns?.(names, rows);
  const labels = labelColumn === undefined ? [] : findAskedLabels(names, labelColumn, labelsAre, file);
  let [label = -1] = labels;
  // One of two columns is the label.
  const pair = names.length > 2 ? findPair(names, label) : null;
  let [text, second] = textColumn === undefined ? (pair ?? [-1, -1]) : findAskedTexts(names, textColumn, file);
  const isOpen = names.length > 2 && (text < 0 || label < 0);
  const known = { text, second, label, labelsAre };
  const byContents = isOpen ? findByContents(names, rows, known) : null;
  const candidates = byContents?.candidates ?? { text: "", label: "" };
  const choose = (kind: "text" | "label", taken: number) => {
    const found = byContents?.[kind] ?? -1;
    return found >= 0 ? found : findUsual(names, kind, taken, file, candidates[kind]);
  };
  if (text < 0) text = choose("text", label);
  if (label < 0) label = choose("label", text);
  const isGuessed = names.length === 2 && text < 0 && label < 0;
  if (names.length === 2) {
    // The remaining one, or the one that looks like labels.
    if (isGuessed) label = guess;
    if (text < 0 && label >= 0) text = 1 - label;
    if (label < 0 && text >= 0) label = 1 - text;
  }
  if (text < 0 || label < 0) refuseOpen(names, { text: text < 0, label: label < 0 }, candidates, file);
  if (new Set([text, second, label, ...labels.slice(1)]).size < 2 + Math.max(1, labels.length))
    throw new DataError("same-column", "Text and label are the same column, or both texts", {
      where: file,
      found: names[text === label ? text : second]!,
      hint: `give different columns with ${setting("textColumn")} and ${setting("labelColumn")}`,
    });
  const [textName, labelName] = [names[text]!, labels.length > 1 ? labelColumn! : names[label]!];
  const chosen = isGuessed
    ? sayChosen([textName], "the other one", [labelName], "fewer or shorter values")
    : byContents?.chosen;
  const found: FoundNames = {
    ...{ textName, labelName },
    ...(second < 0 ? {} : { secondName: names[second]! }),
    ...(labels.length > 1 ? { labelNames: labels.map((i) => names[i]!) } : {}),
    ...(chosen ? { chosen } : {}),
  };
  return { at: { text, label, second, moreLabels: labels.slice(1) }, found };
}

/** The columns of texts that are requested: one of this very name, or the two whose names a comma separates. */
export function findAskedTexts(names: string[], asked: string, file: string): [text: number, second: number] {
  const [first, ...rest] = asked.split(",");
  if (rest.length === 0 || columnNamed(names, asked) >= 0) return [findAsked(names, asked, file), -1];
  return pairNamed(names, asked) ?? [findAsked(names, first!, file), findAsked(names, rest.join(), file)];
}

/** The column of the labels; of several labels a message also those whose names commas separate. */
function findAskedLabels(names: string[], asked: string, labelsAre: LabelKind, file: string): number[] {
  const isOne = labelsAre !== "set" || columnNamed(names, asked) >= 0;
  return (isOne ? [asked] : asked.split(",")).map((name) => findAsked(names, name.trim() || name, file));
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
  const kinds = names.map((name, i) => (i === taken ? "" : usualName(name)));
  const found = PAIR_NAMES.filter((pair) => pair.every((name) => kinds.includes(name)));
  const others = kinds.filter((name) => [...TEXT_NAMES, ...PAIR_NAMES.flat()].includes(name));
  return found.length === 1 && others.length === 2
    ? (found[0]!.map((name) => kinds.indexOf(name)) as [number, number])
    : null;
}

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

/** The column with a common name, -1 if there is none. Throws DataError if there are several. */
export function findUsual(
  names: string[],
  kind: "text" | "label",
  taken: number,
  file: string,
  candidates = "",
): number {
  const found = names.flatMap((name, i) => (i !== taken && isUsual(name, kind) ? [i] : []));
  if (found.length <= 1) return found[0] ?? -1;
  throw new DataError(
    "ambiguous-column",
    `Several columns may be the ${kind}: ${nameList(found.map((i) => names[i]!))}`,
    {
      where: file,
      expected: `one column with a common name of the ${kind}`,
      found: nameList(names),
      columns: names,
      hint: `give its name with ${setting(`${kind}Column`)}${candidates}`,
    },
  );
}

/** Throws DataError: no column is the text or the label. `candidates`: the end of a hint, by what is missing. */
function refuseOpen(
  names: string[],
  isOpen: Record<"text" | "label", boolean>,
  candidates: Candidates,
  file: string,
): never {
  const kind = isOpen.text ? "text" : "label";
  throw new DataError("column-not-recognized", `No column is recognized as the ${kind}`, {
    where: file,
    expected: `one of ${USUAL[kind].join(", ")}${candidates[kind] ? ", or one column alone that looks like it" : ""}`,
    found: nameList(names),
    columns: names,
    hint:
      isOpen.text && isOpen.label
        ? `give the names of both columns with ${setting("textColumn")} and ${setting("labelColumn")}`
        : `give its name with ${setting(`${kind}Column`)}${candidates[kind]}`,
  });
}

/** The index of a column; -1 if there is none. */
export function columnNamed(names: string[], asked: string): number {
  const exact = names.indexOf(asked);
  return exact >= 0 ? exact : names.findIndex((n) => plain(n) === plain(asked));
}

function findAsked(names: string[], asked: string, file: string): number {
  const index = columnNamed(names, asked);
  if (index >= 0) return index;
  const near = nearest(asked, names);
  throw new DataError("no-such-column", `There is no column "${asked}"`, {
    where: file,
    found: nameList(names),
    columns: names,
    hint: near && `did you mean "${near}"?`,
  });
}
