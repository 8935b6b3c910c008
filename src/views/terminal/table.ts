/** Aligned tables for a terminal, in time linear in the number of cells. */

import { oneLine } from "./text.ts";
import { textWidth } from "./width.ts";

/** Maximum width of a cell, in terminal columns. */
const LONGEST_CELL = 60;
/** In a narrow terminal, columns that are wider than this are truncated, and the first one, to not less than that. */
const WIDE = 32;
const SHORTEST_CELL = 12;

/** A column as it is shown. Numbers are right-aligned and never truncated, everything else left-aligned. */
interface ShownColumn {
  header: string;
  isNumeric: boolean;
  cells: readonly string[];
}

/**
 * A table with one line per row, without colours and without a line break at its end. Texts are truncated, in the
 * widest column first, so that the table fits into `width` columns. What does not fit even then is continued in a table
 * below it, which has the first column again.
 */
export function drawTable(columns: readonly ShownColumn[], width = 120): string {
  const [first, ...others] = columns.map(fitColumn);
  const parts: Fitted[][] = [[first!]];
  for (const column of others) {
    const part = parts.at(-1)!;
    if (part.length > 1 && frameWidth([...part, column].map(({ least }) => least)) > width)
      parts.push([first!, column]);
    else part.push(column);
  }
  return parts.map((part) => drawPart(part, width)).join("\n");
}

interface Fitted {
  isNumeric: boolean;
  /** The header, then the cells. */
  lines: string[];
  /** The width that it has, and that it needs. */
  wanted: number;
  least: number;
}

function fitColumn({ header, isNumeric, cells }: ShownColumn, place: number): Fitted {
  const lines = [header, ...cells].map((cell) => oneLine(cell, LONGEST_CELL));
  const widest = (texts: readonly string[]) => texts.reduce((most, line) => Math.max(most, textWidth(line)), 0);
  const wanted = widest(lines);
  const least = Math.max(SHORTEST_CELL, isNumeric ? widest(lines.slice(1)) : 0);
  return { isNumeric, lines, wanted, least: place > 0 && wanted <= WIDE ? wanted : Math.min(wanted, least) };
}

function drawPart(columns: readonly Fitted[], width: number): string {
  const widths = columns.map(({ wanted }) => wanted);
  for (let over = frameWidth(widths) - width; over > 0; over--) {
    const spare = widths.map((size, i) => (size > columns[i]!.least ? size : 0));
    const most = Math.max(...spare);
    if (most > 0) widths[spare.indexOf(most)]!--;
  }
  const line = (row: number) => {
    const padded = columns.map(({ lines, isNumeric }, i) => {
      const text = oneLine(lines[row]!, widths[i]!);
      const space = " ".repeat(widths[i]! - textWidth(text));
      return isNumeric ? ` ${space}${text} ` : ` ${text}${space} `;
    });
    return `│${padded.join("│")}│`;
  };
  const rule = (left: string, middle: string, right: string) =>
    left + widths.map((size) => "─".repeat(size + 2)).join(middle) + right;
  const [head, ...body] = columns[0]!.lines.map((_, row) => line(row));
  return [rule("┌", "┬", "┐"), head, rule("├", "┼", "┤"), ...body, rule("└", "┴", "┘")].join("\n");
}

/** The width of a table with its frame. */
function frameWidth(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width + 3, 1);
}
