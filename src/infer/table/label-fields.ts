/** The fields that the rows of a labelled table get behind their own. */
import type { DataFormat } from "../../data/table/dialect.ts";
import { csvField } from "../../io/csv.ts";
import type { Labelled } from "../../tasks/predictions.ts";
import { USAGES } from "../../tasks/words.ts";
import type { Labeller } from "./labeller.ts";
import type { Table } from "./table.ts";

/** Null: the row has no text. */
type Value = string | number | null;

/** With six decimals: every probability has the same length. */
const showNumber = (value: number) => value.toFixed(6);
const showCell = (value: Value) => (typeof value === "number" ? showNumber(value) : (value ?? ""));

/** Further fields of a row as they stand in a file of the format. */
const FORMATS: Record<DataFormat, (values: readonly Value[], names: readonly string[], separator: string) => string> = {
  csv: (values, _, separator) => values.map((value) => separator + csvField(showCell(value), separator)).join(""),
  tsv: (values) => values.map((value) => `\t${showCell(value).replace(/[\t\r\n]/g, " ")}`).join(""),
  jsonl: (values, names) =>
    values
      .map((value, i) => [names[i], typeof value === "number" ? showNumber(value) : JSON.stringify(value)])
      .map(([name, value]) => `,${JSON.stringify(name)}:${value}`)
      .join(""),
};

/** Further fields of a copy's rows, as bytes. */
export class Fields {
  /** The columns, named so that the table has none of them. */
  readonly names: readonly string[];
  readonly header: Uint8Array;
  private readonly cells: (result: Labelled) => Value[];

  /** `taken`: the names of the table's columns, in lower case. */
  constructor(
    private readonly table: Table,
    taken: ReadonlySet<string>,
    labeller: Labeller,
  ) {
    const { labels, task } = labeller.meta;
    const { columns, cells } = USAGES[task.objective];
    this.cells = (result) => cells!(result, labels);
    this.names = freeNames(columns!(labels), taken);
    this.header = this.write(this.names);
  }

  /** Null: the row has no text. */
  of(result: Labelled | null): Uint8Array {
    return this.write(result ? this.cells(result) : this.names.map(() => null));
  }

  private write(values: readonly Value[]): Uint8Array {
    const { format, separator } = this.table;
    return new TextEncoder().encode(FORMATS[format](values, this.names, separator));
  }
}

/** The columns, all with the same number behind them where the table has one of them already. */
function freeNames(columns: readonly string[], taken: ReadonlySet<string>): string[] {
  for (let i = 1; ; i++) {
    const names = columns.map((name) => (i === 1 ? name : `${name}_${i}`));
    if (!names.some((name) => taken.has(name.toLowerCase()))) return names;
  }
}
