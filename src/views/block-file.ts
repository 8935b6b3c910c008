import type { Figure, Table } from "../document/blocks.ts";
import { shownRows } from "../document/cells.ts";
import { formatCount } from "../format.ts";

/** The file of a table or a figure, from the report that shows it. */
export function blockFile({ kind, name }: Table | Figure): string {
  return `figures/${name}.${kind === "table" ? "csv" : "svg"}`;
}

/** "The first 500 of 10,000 rows; runs.csv has all."; null: there are no more. */
export function aboutRows(table: Table): string | null {
  const [shown, all] = [shownRows(table), table.rows].map(({ length }) => formatCount(length));
  return shown === all ? null : `The first ${shown} of ${all} rows; ${table.name}.csv has all.`;
}
