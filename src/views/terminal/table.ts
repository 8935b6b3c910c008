/** Aligned tables for a terminal, in time linear in the number of cells. */
import stringWidth from "string-width";
import { oneLine } from "./text.ts";

export interface Column<Row> {
  header: string;
  /** The cell's value. Numbers are right-aligned, everything else left-aligned; null is shown as a dash. */
  value: (row: Row) => string | number | null;
  /** Decimal places of numbers; default: as many as needed. */
  digits?: number;
}

/** Maximum width of a cell, and its minimum width in a narrowed table, in terminal columns. */
const LONGEST_CELL = 60;
const SHORTEST_CELL = 12;

/**
 * A table with one line per row, without colours and without a line break at its end. Texts are truncated, in the
 * widest column first, so that the table fits into `width` columns if possible.
 */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width = 120): string {
  const values = rows.map((row) => columns.map(({ value }) => value(row)));
  const numeric = columns.map((_, i) => isNumeric(values.map((row) => row[i]!)));
  const cells = [
    columns.map(({ header }) => oneLine(header, LONGEST_CELL)),
    ...values.map((row) => row.map((value, i) => show(value, columns[i]!.digits))),
  ];
  const widths = columns.map((_, i) => widest(cells, i));
  // Numbers are never truncated, only their headers.
  const least = columns.map((_, i) => Math.max(SHORTEST_CELL, numeric[i] ? widest(cells.slice(1), i) : 0));
  for (let over = frameWidth(widths) - width; over > 0; over--) {
    const spare = widths.map((of, i) => (of > least[i]! ? of : 0));
    const most = Math.max(...spare);
    if (most > 0) widths[spare.indexOf(most)]!--;
  }
  const line = (row: readonly string[]) => {
    const padded = row.map((cell, i) => {
      const text = stringWidth(cell) > widths[i]! ? oneLine(cell, widths[i]!) : cell;
      const space = " ".repeat(widths[i]! - stringWidth(text));
      return numeric[i] ? ` ${space}${text} ` : ` ${text}${space} `;
    });
    return `│${padded.join("│")}│`;
  };
  const rule = (left: string, middle: string, right: string) =>
    left + widths.map((of) => "─".repeat(of + 2)).join(middle) + right;
  const [head, ...body] = cells.map(line);
  return [rule("┌", "┬", "┐"), head, rule("├", "┼", "┤"), ...body, rule("└", "┴", "┘")].join("\n");
}

function widest(rows: readonly (readonly string[])[], column: number): number {
  return rows.reduce((most, row) => Math.max(most, stringWidth(row[column]!)), 0);
}

/** The width of a table with its frame. */
function frameWidth(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width + 3, 1);
}

function isNumeric(values: (string | number | null)[]): boolean {
  return values.some((value) => typeof value === "number") && values.every((value) => typeof value !== "string");
}

function show(value: string | number | null, digits?: number): string {
  if (value === null) return "-";
  if (typeof value === "string") return oneLine(value, LONGEST_CELL);
  return digits === undefined ? String(value) : value.toFixed(digits);
}
