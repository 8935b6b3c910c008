/** Formats text from outside (labels, messages, names) for tables, reports and the terminal. */
import stringWidth from "string-width";
import { printable } from "../errors.ts";

/** The text in one line of at most `longest` columns: white space collapsed, control characters escaped, the rest replaced by "…". */
export function oneLine(text: string, longest: number): string {
  const line = printable(text.replaceAll(/\s+/g, " ").trim());
  let width = 0;
  let end = 0;
  // End of the text that leaves room for "…".
  let fits = 0;
  for (const sign of line) {
    width += stringWidth(sign);
    end += sign.length;
    // Combining marks have no width, so their number is limited by `end`.
    if (width > longest || end > 4 * longest) return `${line.slice(0, fits)}…`;
    if (width < longest) fits = end;
  }
  return line;
}
