/**
 * What the columns of a table have, by its first rows, and which of them are text and label. Loaded when names leave it
 * open.
 */
import { show } from "../../core/checks.ts";
import { nameList } from "../../core/errors.ts";
import { formatCount, joinWords } from "../../core/format.ts";
import { setting } from "../../core/setting.ts";
import { isNumber, LONGEST_LABEL, MANY_CLASSES, NEARLY_ALL, partsOf, SEPARATORS } from "../../labels/cells.ts";
import type { LabelKind } from "../../labels/kind.ts";
import { isSetColumn, isUsual, sayChosen, usualName } from "./column-names.ts";

/**
 * What the values of a column are: `texts`; `labels`, a few short ones that repeat; `flags`, 0 and 1 or the like;
 * `numbers`; `ids`, single words that are all different; `dates`; `sets`, train, test and the like; `nothing`, no value or
 * one alone.
 */
export type ColumnKind = "texts" | "labels" | "flags" | "numbers" | "ids" | "dates" | "sets" | "nothing";

export interface ColumnFacts {
  name: string;
  /** Rows that have a value, and those that were looked at. */
  filled: number;
  rows: number;
  distinct: number;
  /** Characters of the values. */
  meanLength: number;
  longest: number;
  kind: ColumnKind;
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
  /** -1: none is needed. */
  label: number;
  /** -1: the texts are no pairs. */
  second: number;
  /** The columns of labels behind the first, if each has one. */
  moreLabels: readonly number[];
  header: boolean;
  /** Fields per row. */
  width: number;
}

/** The beginning of a table: some of its rows, the first ones first. */
export interface TableSample {
  names: readonly string[];
  rows: readonly (readonly string[])[];
  /** Once they are found. */
  found?: Columns;
}

/** Values repeat if at most this share of them is different. */
const REPEATING = 0.7;

/** The longest texts are those of a column if the next one's are shorter than this share of them. */
const CLEARLY_SHORTER = 2 / 3;

const DATE = /^(\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}\/\d{1,2}\/\d{1,2})([T ,]|$)/;
const FLAG = /^(0|1|true|false|yes|no)$/i;
/** One word of signs that names, codes and addresses have. */
const CODE = /^[\w.:@/#+-]+$/;

export function describeColumns({ names, rows }: TableSample): ColumnFacts[] {
  return names.map((name, column) => {
    const values = rows.map((row) => (row[column] ?? "").trim()).filter((value) => value !== "");
    const distinct = new Set(values).size;
    const total = values.reduce((sum, { length }) => sum + length, 0);
    const longest = values.reduce((most, { length }) => Math.max(most, length), 0);
    const meanLength = values.length === 0 ? 0 : total / values.length;
    const facts = { name, filled: values.length, rows: rows.length, distinct, meanLength, longest };
    return { ...facts, kind: isSetColumn(name, values) ? "sets" : kindOf(values, facts) };
  });
}

function kindOf(values: readonly string[], { filled, distinct, longest }: Omit<ColumnFacts, "kind">): ColumnKind {
  const mostly = (test: (value: string) => boolean) => values.filter(test).length >= NEARLY_ALL * filled;
  const repeats = distinct <= REPEATING * filled;
  if (filled === 0 || (distinct === 1 && filled > 1)) return "nothing";
  if (values.every((value) => FLAG.test(value)) && distinct === 2 && repeats) return "flags";
  if (mostly((value) => DATE.test(value))) return "dates";
  if (mostly(isNumber)) {
    const isWhole = values.every((value) => /^\d+$/.test(value));
    if (isWhole && distinct === filled) return filled > 1 ? "ids" : "numbers";
    return isWhole && repeats && distinct <= MANY_CLASSES ? "labels" : "numbers";
  }
  if (longest <= LONGEST_LABEL && (repeats || repeatsInParts(values))) return "labels";
  return mostly((value) => CODE.test(value)) ? "ids" : "texts";
}

/** Whether cells are lists of a few labels, though most of the lists are different. */
function repeatsInParts(values: readonly string[]): boolean {
  return SEPARATORS.some((sign) => {
    const parts = values.flatMap((value) => partsOf(value, sign));
    return parts.length > 1.2 * values.length && new Set(parts).size <= Math.min(MANY_CLASSES, parts.length / 3);
  });
}

/** Names of labels in tables that have other columns of few values, too. */
const LIKELY_LABELS = [
  ...["labels", "tag", "tags", "type", "queue", "department", "team", "genre", "score", "rating", "stars"],
  ...["kategorie", "klasse", "thema", "abteilung", "categorie", "classe", "etiquette", "categoria", "etiqueta"],
];

/** What is known of the columns: those that are requested, -1 for others, and what is learned of the labels. */
interface Known {
  text: number;
  /** The second text of pairs. */
  second: number;
  label: number;
  labelsAre: LabelKind;
}

/** The columns of text and label, -1 where it is open, and the columns that may be them. */
export interface ByContents {
  text: number;
  label: number;
  texts: readonly number[];
  labels: readonly number[];
  /** The end of a hint: how two columns of texts are read as pairs. */
  pairs: string;
  /** Which were chosen and why, unless their names say it. */
  chosen?: string;
}

/** The columns of a table, of which not both are requested; `candidates` are ends of hints. */
export function findByContents(table: TableSample, known: Known) {
  const columns = describeColumns(table);
  const found = chooseColumns(columns, known);
  const list = (some: readonly number[]) => (some.length > 0 ? `: ${listCandidates(columns, some)}` : "");
  // Columns with 0 and 1 together may be several labels of a message.
  const wide = columns.filter(({ kind }) => kind === "flags").map(({ name }) => name);
  const several = joinWords([setting("objective", "multi-label"), setting("labelColumn", wide.join())]);
  const ofWide = wide.length > 1 ? `; for several labels a message, each with a column: ${several}` : "";
  const hasScores = found.labels.length === 0 && columns.some(({ kind }, i) => kind === "numbers" && i !== found.text);
  const ofScores = hasScores ? `; to learn scores: ${setting("objective", "regression")}` : "";
  return {
    ...found,
    candidates: { text: list(found.texts) + found.pairs, label: list(found.labels) + ofWide + ofScores },
  };
}

/** A column, -1 for none, and why it is that one; no reason where its name says it. */
type Choice = readonly [column: number, why: string | null];
const OPEN: Choice = [-1, null];

/**
 * The text is the column with a usual name, or else with the longest texts by far; the label is the column of labels
 * with a usual name, or else the only one.
 */
export function chooseColumns(columns: readonly ColumnFacts[], { text, second, label, labelsAre }: Known): ByContents {
  const { columns: kinds } = labelsAre;
  const others = columns.map((_, i) => i).filter((i) => i !== label && i !== text && i !== second);
  const texts = others.filter((i) => columns[i]!.kind === "texts");
  const [textAt, textWhy] = text >= 0 ? [text, null] : chooseText(columns, others);
  const labels = others.filter((i) => i !== textAt);
  const [labelAt, labelWhy] = label >= 0 ? [label, null] : chooseLabel(columns, labels, kinds);
  const nameAll = (some: readonly number[]) => some.flatMap((i) => columns[i]?.name ?? []);
  const read = nameAll([...new Set([textAt, ...texts])].sort((a, b) => a - b));
  const isOpen = kinds.length > 0 && second < 0 && read.length === 2;
  const pairs = isOpen ? `; for pairs of texts: ${setting("textColumn", read.join())}` : "";
  const isSaid = textAt >= 0 && labelAt >= 0 && ((textWhy ?? labelWhy) !== null || isOpen);
  return {
    ...{ text: textAt, label: labelAt, texts, pairs },
    labels: labelsOf(columns, labels, kinds),
    ...(isSaid ? { chosen: sayChosen(nameAll([textAt, second]), textWhy, nameAll([labelAt]), labelWhy) + pairs } : {}),
  };
}

function chooseText(columns: readonly ColumnFacts[], others: readonly number[]): Choice {
  const texts = others.filter((i) => columns[i]!.kind === "texts");
  const usual = others.filter((i) => isUsual(columns[i]!.name, "text") && /texts|labels/.test(columns[i]!.kind));
  if (usual.length === 1) return [usual[0]!, null];
  const among = usual.length > 0 ? usual : texts;
  const [first, next] = among.toSorted((a, b) => columns[b]!.meanLength - columns[a]!.meanLength);
  if (first === undefined) return OPEN;
  if (next === undefined) return [first, "the only texts"];
  const isClear = columns[next]!.meanLength <= CLEARLY_SHORTER * columns[first]!.meanLength;
  return isClear ? [first, "the longest texts"] : OPEN;
}

/** The columns of the likeliest kind. */
function labelsOf(columns: readonly ColumnFacts[], others: readonly number[], kinds: readonly ColumnKind[]) {
  const found = kinds.map((kind) => others.filter((i) => columns[i]!.kind === kind));
  return found.find(({ length }) => length > 0) ?? [];
}

function chooseLabel(columns: readonly ColumnFacts[], others: readonly number[], kinds: readonly ColumnKind[]): Choice {
  const possible = others.filter((i) => kinds.includes(columns[i]!.kind));
  for (const likely of [false, true]) {
    const isLabel = (name: string) => (likely ? LIKELY_LABELS.includes(usualName(name)) : isUsual(name, "label"));
    const usual = possible.filter((i) => isLabel(columns[i]!.name));
    if (usual.length === 1) return [usual[0]!, likely ? countValues(columns[usual[0]!]!) : null];
    if (usual.length > 1) return OPEN;
  }
  const labels = labelsOf(columns, others, kinds);
  return labels.length === 1 ? [labels[0]!, countValues(columns[labels[0]!]!)] : OPEN;
}

const countValues = ({ distinct, kind }: ColumnFacts) =>
  kind === "numbers" ? "numbers" : `${formatCount(distinct)} values`;

/** `"queue" (5 values), "status" (2 values)`. */
export function listCandidates(columns: readonly ColumnFacts[], some: readonly number[]): string {
  return nameList(
    some.map((i) => {
      const column = columns[i]!;
      const what = column.kind === "texts" ? `${Math.round(column.meanLength)} characters` : countValues(column);
      return `${show(column.name)} (${what})`;
    }),
  );
}
