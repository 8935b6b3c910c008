/** Tables as CSV: raw values in full precision. */

import type { Cell, Column, Table } from "../document/blocks.ts";
import { csvLine, type Field } from "../io/csv.ts";

export function tableToCsv(table: Table): string {
  return [...csvLines(table)].join("");
}

/** A header and one line per row, as `line` writes them. */
export function* csvLines(
  { columns, rows }: { columns: readonly Column[]; rows: Iterable<readonly Cell[]> },
  line = csvLine,
): Generator<string> {
  const shown = columns.flatMap((column, i) => (column.key ? { ...column, i, key: column.key } : []));
  yield line(shown.flatMap(({ key, interval }) => (interval ? [key, `${key}_low`, `${key}_high`] : [key])));
  for (const row of rows) yield line(shown.flatMap(({ i, interval }) => fields(row[i], interval)));
}

function fields(cell: Cell, interval: true | undefined): Field[] {
  const plain = typeof cell !== "object" || cell === null ? cell : "href" in cell ? cell.href : cell.value;
  if (!interval) return [plain];
  const { low, high } = typeof cell === "object" && cell !== null && "low" in cell ? cell : {};
  return [plain, ...[low, high].map((end) => (Number.isNaN(end) ? null : end))];
}
