/** The columns of a table with what each is read as, and those that are likeliest where several may be meant. */
import { CLASS } from "../../labels/class.ts";
import { SET } from "../../labels/set.ts";
import type { Objective } from "../../tasks/index.ts";
import { objectiveWith } from "../../tasks/training.ts";
import { type ColumnFacts, chooseColumns, describeColumns, type TableSample } from "./column-facts.ts";
import { type ColumnChoice, columnNamed } from "./columns.ts";

/** A column of a table by its first rows, and what it is read as. */
export interface CheckedColumn extends ColumnFacts {
  readAs: "text" | "label" | null;
}

export function checkColumns(table: TableSample): CheckedColumn[] {
  const { textName, secondName, labelName, labelNames = [labelName] } = table.found ?? {};
  const roleOf = (name: string) =>
    name === textName || name === secondName ? "text" : labelNames.includes(name) ? "label" : null;
  return describeColumns(table).map((facts) => ({ ...facts, readAs: roleOf(facts.name) }));
}

/** So many columns with 0 and 1 are labels of a message, not one label among other columns. */
const SEVERAL = 3;

/** Settings of the columns that are likeliest to be meant where it is open; null: no column may be the one. */
export function likeliestColumns(
  table: TableSample,
  { textColumn, labelColumn }: ColumnChoice,
): { settings: { textColumn?: string; labelColumn?: string; objective?: Objective }; isGuess: boolean } | null {
  const { names } = table;
  const columns = describeColumns(table);
  const place = (name: string | undefined) => (name === undefined ? -1 : columnNamed(names, name));
  const known = { text: place(textColumn), second: -1, label: place(labelColumn), labelsAre: CLASS };
  const { text, label, texts, labels } = chooseColumns(columns, known);
  const most = (some: readonly number[], of: "meanLength" | "distinct") =>
    some.toSorted((a, b) => columns[b]![of] - columns[a]![of])[0];
  const textAt = text >= 0 ? text : most(texts, "meanLength");
  const others = labels.filter((i) => i !== textAt);
  const labelAt = label >= 0 ? label : most(others, "distinct");
  if (textAt === undefined || labelAt === undefined) return null;
  const areFlags = label < 0 && others.length > 1 && others.every((i) => columns[i]!.kind === "flags");
  // Two that are as long may be pairs: both are read.
  const textsAt = text < 0 && texts.length === 2 ? texts : [textAt];
  return {
    isGuess: text < 0 || !(areFlags && others.length >= SEVERAL),
    settings: {
      ...(text < 0 || textColumn !== undefined ? { textColumn: textsAt.map((i) => names[i]).join() } : {}),
      labelColumn: areFlags ? others.map((i) => names[i]).join() : names[labelAt]!,
      ...(areFlags ? { objective: objectiveWith(SET) } : {}),
    },
  };
}
