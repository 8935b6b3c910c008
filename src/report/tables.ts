/** Aligned tables for a terminal. */
import Table from "cli-table3";

export interface Column<Row> {
  header: string;
  /** What to show: numbers stand to the right, everything else to the left; null is shown as a dash. */
  value: (row: Row) => string | number | null;
  /** Digits after the point, for numbers; as many as they have where it is left out. */
  digits?: number;
}

/** A table with one line a row, without colours, ready to print (no line break at its end). */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const values = rows.map((row) => columns.map(({ value }) => value(row)));
  const table = new Table({
    head: columns.map(({ header }) => header),
    colAligns: columns.map((_, i) => (isNumeric(values.map((row) => row[i]!)) ? "right" : "left")),
    style: { head: [], border: [], compact: true },
  });
  for (const row of values) table.push(row.map((value, i) => show(value, columns[i]!.digits)));
  return table.toString();
}

function isNumeric(values: (string | number | null)[]): boolean {
  return values.some((value) => typeof value === "number") && values.every((value) => typeof value !== "string");
}

function show(value: string | number | null, digits?: number): string {
  if (value === null) return "-";
  if (typeof value === "string" || digits === undefined) return String(value);
  return value.toFixed(digits);
}
