/** Finds the text and label columns of a file, by their names or by the first rows. */
import { DataError, nameList } from "../../core/errors.ts";
import { setting } from "../../core/setting.ts";
import { nearest } from "../../core/suggest.ts";
import { isNumber, LONGEST_LABEL } from "../../labels/cells.ts";
import type { LabelKind } from "../../labels/kind.ts";
import { type CellFile, SAMPLE_ROWS } from "./cells.ts";
import { type ColumnFacts, type Columns, describeColumns, findByContents, type TableSample } from "./column-facts.ts";
import { isUsual, PAIR_NAMES, plain, sayChosen, TEXT_NAMES, USUAL, usualName } from "./column-names.ts";
import { hasCells } from "./dialect.ts";

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
  /** Called with the beginning of a table before its columns are found. */
  onTable?: ((table: TableSample) => void) | undefined;
}

export interface TableChoice extends Omit<ColumnChoice, "textColumn"> {
  textColumn?: string | undefined;
  /** The text column if none is requested and the table has one of this name. */
  likelyTextColumn?: string | undefined;
  /** Whether the texts are pairs; undefined: as requested, and where there are labels by the names. */
  isPair?: boolean | undefined;
  /** null: the table needs no labels. */
  labelsAre: LabelKind;
}

type Names = readonly string[];

/** The first rows of a table; without names the first of them may have the names. */
export type ColumnSample = Pick<TableSample, "rows"> & Partial<TableSample>;

/**
 * Finds the columns of a table by its first rows.
 *
 * A file of two columns has no header if no column is requested by name and its first row looks like data. The row
 * looks like data if its value in the label column (the column with fewer distinct values, none of them long) occurs
 * again in a later row, like "ham" in `ham<TAB>text`; or if no cell is a common name, the text has at least
 * WORDS_OF_A_TEXT words, and not all other labels repeat. So does a file of one column of texts that need no labels.
 * Every other file has a header. Throws DataError if a column is missing or ambiguous.
 */
export function findColumns(sample: ColumnSample, choice: TableChoice, file: string): Columns {
  const { labelColumn, labelsAre, likelyTextColumn: likely, isPair, onTable } = choice;
  const [names, rows] = sample.names ? [sample.names, sample.rows] : [sample.rows[0] ?? [], sample.rows.slice(1)];
  const width = names.length;
  const isLabelled = labelsAre.columns.length > 0;
  if (isLabelled && width < 2) refuseFew(sample, names, file);
  const hasLikely = likely !== undefined && (columnNamed(names, likely) >= 0 || pairNamed(names, likely) !== null);
  const { textColumn = hasLikely ? likely : undefined } = choice;
  // Two keys of texts without labels have names that say it, or contents that do.
  const guess =
    width === 2 && (isLabelled || !sample.names) ? likelyLabel({ names, rows: rows.length > 0 ? rows : [names] }) : -1;
  const isAsked = textColumn !== undefined || labelColumn !== undefined || isPair;
  if (!sample.names && !isAsked && (guess >= 0 || width === 1) && looksLikeData(names, rows, guess)) {
    const at = { text: guess < 0 ? 0 : 1 - guess, label: isLabelled ? guess : -1, second: -1, moreLabels: [] };
    const found = { ...at, textName: "text", labelName: "label", header: false, width };
    onTable?.({ names: guess === 1 ? ["text", "label"] : ["label", "text"], rows: sample.rows, found });
    return found;
  }
  const table: TableSample = { names, rows };
  onTable?.(table);
  const labels = labelColumn === undefined ? [] : findAskedLabels(names, labelColumn, labelsAre, file);
  let [label = -1] = labels;
  // One of two columns is the label.
  const pair = (isLabelled ? width > 2 : isPair) ? findPair(names, label) : null;
  let [text, second] = textColumn === undefined ? (pair ?? [-1, -1]) : findAskedTexts(names, textColumn, file);
  if (isPair !== undefined && isPair !== second >= 0) refuseCount(names, textColumn, isPair, file);
  const isOpen = isLabelled ? width > 2 && (text < 0 || label < 0) : text < 0;
  const byContents = isOpen ? findByContents(table, { text, second, label, labelsAre }) : null;
  const candidates = byContents?.candidates ?? { text: "", label: "" };
  const choose = (kind: "text" | "label", taken: number) => {
    const found = byContents?.[kind] ?? -1;
    const usual = found < 0 || !isLabelled ? findUsual(names, kind, taken, file, candidates[kind]) : -1;
    return usual < 0 ? found : usual;
  };
  if (text < 0) text = choose("text", label);
  if (label < 0 && isLabelled) label = choose("label", text);
  const isGuessed = width === 2 && text < 0 && label < 0;
  // The remaining one of two, or the one that looks like labels.
  if (isGuessed) label = guess;
  if (width === 2 && text < 0 && label >= 0) text = 1 - label;
  if (width === 2 && label < 0 && text >= 0) label = 1 - text;
  if (!isLabelled) label = -1;
  if (!isLabelled && width === 1) text = 0;
  const isMissing = { text: text < 0, label: label < 0 && isLabelled };
  if (isMissing.text || isMissing.label) refuseOpen(names, isMissing, candidates, file);
  const moreLabels = labels.slice(1);
  const used = [text, second, label, ...moreLabels].filter((i) => i >= 0);
  const twice = used.find((i, at) => used.indexOf(i) < at);
  if (twice !== undefined)
    throw new DataError("same-column", "Text and label are the same column, or both texts", {
      where: file,
      found: names[twice]!,
      hint: `give different columns with ${setting("textColumn")}${isLabelled ? ` and ${setting("labelColumn")}` : ""}`,
    });
  const [textName, labelName] = [names[text]!, moreLabels.length > 0 ? labelColumn! : (names[label] ?? "")];
  const chosen = isGuessed
    ? sayChosen([textName], "the other one", [labelName], "fewer or shorter values")
    : byContents?.chosen;
  table.found = {
    ...{ text, label, second, moreLabels, textName, labelName },
    ...(second < 0 ? {} : { secondName: names[second]! }),
    ...(moreLabels.length > 0 ? { labelNames: labels.map((i) => names[i]!) } : {}),
    ...(chosen ? { chosen } : {}),
    ...{ header: !sample.names, width },
  };
  return table.found;
}

/**
 * Finds the columns of a file of cells; `columns` are those of its rows for `cellNames`, `names` those of all, none if
 * no row has them.
 */
export function chooseCells(table: CellFile, choice: TableChoice, file: string) {
  return table.choose(async (sample, usable) => {
    const rows = await sample();
    const found = findColumns(usable ? { names: usable, rows } : { rows }, choice, file);
    refuseNumbers(rows, found, choice, file);
    const { text, label, second, moreLabels, header } = found;
    const used = [text, label, second, ...moreLabels].filter((i) => i >= 0);
    // Columns of a sheet may have the same name.
    const columns = usable ? used.map((i) => table.names!.indexOf(usable[i]!)) : used;
    return { found, columns, header, names: table.names ?? (header ? rows[0]! : []) };
  });
}

function refuseFew({ names: keys }: ColumnSample, names: Names, file: string): never {
  throw new DataError("too-few-columns", `Text and label need two ${keys ? "keys" : "columns"}`, {
    where: file,
    found: nameList(names),
    hint: keys
      ? `for texts that are learned to be written, use ${setting("objective", "lm")}; for chats ${setting("model", "smollm2-135m")} as well`
      : `add a column of labels${hasCells(file) ? "" : ", or separate the columns with commas, semicolons or tabs"}`,
  });
}

/** `label`: the label column of two, -1 where there is one column, of texts. */
function looksLikeData(first: Names, rows: TableSample["rows"], label: number): boolean {
  if (label >= 0 && rows.some((row) => row[label]?.trim() === first[label]?.trim())) return true;
  const usual = first.some((name) => isUsual(name, "text") || isUsual(name, "label"));
  const isTitle = label >= 0 && rows.length >= ROWS_OF_LABELS && repeatAll(rows.map((row) => row[label]?.trim()));
  return !usual && !isTitle && (first[label < 0 ? 0 : 1 - label] ?? "").trim().split(/\s+/).length >= WORDS_OF_A_TEXT;
}

const repeatAll = (values: readonly unknown[]) =>
  values.every((value) => values.indexOf(value) !== values.lastIndexOf(value));

/** The one of two columns with fewer distinct values, on a tie with shorter ones; -1 if its values are long. */
function likelyLabel(table: TableSample): number {
  const [a, b] = describeColumns(table) as [ColumnFacts, ColumnFacts];
  const label = Number(a.distinct > b.distinct || (a.distinct === b.distinct && a.meanLength > b.meanLength));
  return [a, b][label]!.longest > LONGEST_LABEL ? -1 : label;
}

/** The columns of texts that are requested: one of this very name, or the two whose names a comma separates. */
export function findAskedTexts(names: Names, asked: string, file: string): [text: number, second: number] {
  const [first, ...rest] = asked.split(",");
  if (rest.length === 0 || columnNamed(names, asked) >= 0) return [findAsked(names, asked, file), -1];
  return pairNamed(names, asked) ?? [findAsked(names, first!, file), findAsked(names, rest.join(), file)];
}

/** The column of the labels; of several labels a message also those whose names commas separate. */
function findAskedLabels(names: Names, asked: string, { isList }: LabelKind, file: string): number[] {
  const isOne = !isList || columnNamed(names, asked) >= 0;
  return (isOne ? [asked] : asked.split(",")).map((name) => findAsked(names, name.trim() || name, file));
}

/** The two columns whose names a comma separates; the names can have commas, too. Null: there are none. */
function pairNamed(names: Names, asked: string): [text: number, second: number] | null {
  const parts = asked.split(",");
  for (let i = 1; i < parts.length; i++) {
    const pair = [parts.slice(0, i), parts.slice(i)].map((half) => columnNamed(names, half.join())) as [number, number];
    if (!pair.includes(-1)) return pair;
  }
  return null;
}

/** The columns of a pair by their names; null if there are none, or other columns that may be texts. */
function findPair(names: Names, taken: number): [text: number, second: number] | null {
  const kinds = names.map((name, i) => (i === taken ? "" : usualName(name)));
  const all = new Set(kinds);
  const found = PAIR_NAMES.filter((pair) => pair.every((name) => all.has(name)));
  const others = kinds.filter((name) => [...TEXT_NAMES, ...PAIR_NAMES.flat()].includes(name));
  return found.length === 1 && others.length === 2
    ? (found[0]!.map((name) => kinds.indexOf(name)) as [number, number])
    : null;
}

/** Throws DataError if all texts in the first rows are numbers. */
export function refuseNumbers(rows: TableSample["rows"], columns: Columns, { labelsAre }: TableChoice, file: string) {
  const { text, textName, header } = columns;
  const texts = rows.slice(Number(header), SAMPLE_ROWS + Number(header)).map((row) => row[text] ?? "");
  const filled = texts.filter((text) => text.trim() !== "");
  if (labelsAre.of === "nothing" || filled.length === 0 || !filled.every(isNumber)) return;
  throw new DataError("text-column-is-numeric", `The text column "${textName}" has only numbers`, {
    where: file,
    expected: "messages",
    found: `${nameList(filled)}: rows 1 to ${texts.length}`,
    hint: `give another ${setting("textColumn")}`,
  });
}

/** Of an error about the names of a table's columns. */
const ofNames = (names: Names) => ({ found: nameList(names), columns: names });

/** Throws DataError for one column of texts where they are pairs, and for two if not. */
function refuseCount(names: Names, asked: string | undefined, isPair: boolean, where: string): never {
  const found = asked ?? nameList(names);
  if (!isPair)
    throw new DataError("wrong-text-count", "The model reads single texts, not pairs", {
      ...ofNames(names),
      ...{ where, found, expected: "one column of texts" },
      hint: `give its name with ${setting("textColumn")}`,
    });
  throw new DataError("column-not-recognized", "The model reads pairs of texts: two columns are needed", {
    ...ofNames(names),
    ...{ where, found, expected: `columns such as ${PAIR_NAMES[0]!.join(" and ")}` },
    hint: `give both names: ${setting("textColumn", "FIRST,SECOND")}`,
  });
}

/** The column with a common name, -1 if there is none. Throws DataError if there are several. */
export function findUsual(names: Names, kind: "text" | "label", taken: number, where: string, candidates = ""): number {
  const found = names.flatMap((name, i) => (i !== taken && isUsual(name, kind) ? [i] : []));
  if (found.length <= 1) return found[0] ?? -1;
  const several = nameList(found.map((i) => names[i]!));
  throw new DataError("ambiguous-column", `Several columns may be the ${kind}: ${several}`, {
    ...ofNames(names),
    ...{ where, expected: `one column with a common name of the ${kind}` },
    hint: `give its name with ${setting(`${kind}Column`)}${candidates}`,
  });
}

type Kinds<T> = Record<"text" | "label", T>;

/** Throws DataError: no column is the text or the label. `candidates`: the end of a hint, by what is missing. */
function refuseOpen(names: Names, isMissing: Kinds<boolean>, candidates: Kinds<string>, where: string): never {
  const kind = isMissing.text ? "text" : "label";
  const more = candidates[kind] ? ", or one column alone that looks like it" : "";
  throw new DataError("column-not-recognized", `No column is recognized as the ${kind}`, {
    ...ofNames(names),
    ...{ where, expected: `one of ${USUAL[kind].join(", ")}${more}` },
    hint:
      isMissing.text && isMissing.label
        ? `give the names of both columns with ${setting("textColumn")} and ${setting("labelColumn")}`
        : `give its name with ${setting(`${kind}Column`)}${candidates[kind]}`,
  });
}

/** The index of a column; -1 if there is none. */
export function columnNamed(names: Names, asked: string): number {
  const exact = names.indexOf(asked);
  return exact >= 0 ? exact : names.findIndex((n) => plain(n) === plain(asked));
}

function findAsked(names: Names, asked: string, where: string): number {
  const index = columnNamed(names, asked);
  if (index >= 0) return index;
  const near = nearest(asked, names);
  const hint = near && `did you mean "${near}"?`;
  throw new DataError("no-such-column", `There is no column "${asked}"`, { ...ofNames(names), where, hint });
}
