/** The cells of tables for people. */

import { formatCount, percent } from "../core/format.ts";
import { printableLine } from "../core/printable.ts";
import type { Cell, Column, Table } from "./blocks.ts";

/** The cell of a figure that was not measured. */
const NONE = "–";
/** Why there is no interval. */
export const NO_INTERVAL = "all samples equal";
/** The most rows of a table that a report shows. */
const MOST_ROWS = 500;
/** Characters of a name or a message in a table; CSV has all. */
const LONGEST = 400;

/** In one line, without control characters, "…" for what is too long. */
export function brief(text: string): string {
  const line = printableLine(text.slice(0, 2 * LONGEST));
  return line.length > LONGEST ? `${line.slice(0, LONGEST - 1).replace(/[\ud800-\udbff]$/, "")}…` : line;
}

/** The columns that people see, with their places in the rows. */
export function shownColumns({ columns }: Table): { column: Column; title: string; i: number }[] {
  return columns.flatMap((column, i) => (column.title === null ? [] : { column, title: brief(column.title), i }));
}

/** The rows that people see. */
export const shownRows = ({ rows, shown = Infinity }: Table, most = MOST_ROWS) => rows.slice(0, Math.min(shown, most));

/** A cell as text, and its interval, or its share. */
export function cellParts(cell: Cell, { format = String }: Column): { text: string; more?: string } {
  if (cell === null || cell === undefined) return { text: NONE };
  if (typeof cell === "string") return { text: brief(cell) };
  if (typeof cell === "number") return { text: format(cell) };
  if ("href" in cell) return { text: brief(cell.text) };
  if ("choices" in cell) return { text: brief(cell.value) };
  if ("tone" in cell) return { text: formatCount(cell.value), more: cell.share === null ? NONE : percent(cell.share) };
  // A dash would be read as a minus.
  const between = cell.low < 0 ? " to " : "–";
  const bounds = `${format(cell.low)}${between}${format(cell.high)}`.replaceAll("\u00a0%", "");
  return { text: format(cell.value), more: Number.isNaN(cell.low) ? NO_INTERVAL : bounds };
}

/** A cell in one line. Of a confusion matrix only the count: a wide table is hard to read. */
export function cellLine(cell: Cell, column: Column): string {
  const { text, more } = cellParts(cell, column);
  return more === undefined || (typeof cell === "object" && cell !== null && "tone" in cell)
    ? text
    : `${text} (${more})`;
}

/** Whether a column has numbers, which are right-aligned. */
export function isNumeric({ rows }: Table, i: number): boolean {
  const measured = rows.map((row) => row[i]).filter((cell) => cell !== null && cell !== undefined);
  return (
    measured.length > 0 &&
    measured.every(
      (cell) =>
        typeof cell === "number" || (typeof cell === "object" && "value" in cell && typeof cell.value === "number"),
    )
  );
}
