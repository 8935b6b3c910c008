/** Text from outside (labels, messages, names) as it may stand in a table, a report or a line of a terminal. */
import stringWidth from "string-width";
import { printable } from "../errors.ts";

/** In one line of at most `longest` columns: white space as one space, control characters as escapes, what is left out as "…". */
export function oneLine(text: string, longest: number): string {
  const line = printable(text.replaceAll(/\s+/g, " ").trim());
  let width = 0;
  let end = 0;
  // Where a line that is too long ends: with room for the "…".
  let fits = 0;
  for (const sign of line) {
    width += stringWidth(sign);
    end += sign.length;
    // Marks above a letter take no column.
    if (width > longest || end > 4 * longest) return `${line.slice(0, fits)}…`;
    if (width < longest) fits = end;
  }
  return line;
}
