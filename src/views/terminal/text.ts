/** Formats text from outside (labels, messages, names) for tables, reports and the terminal. */

import { printableLine } from "../../core/printable.ts";
import { textWidth } from "./width.ts";

/** Lines of a table, which keep to the width themselves. */
const TABLE = /^[│┌├└]/;

/** Text with lines wider than the terminal broken between words, not after a number; unchanged without a terminal. */
export function wrapLines(text: string, width: number | undefined): string {
  if (width === undefined) return text;
  return text
    .split("\n")
    .map((line) => (TABLE.test(line) ? line : wrapLine(line, width)))
    .join("\n");
}

function wrapLine(line: string, width: number): string {
  const lines: string[] = [];
  const [first = "", ...words] = line.split(/(?<!\d) (?=\S)/);
  let last = first;
  for (const word of words) {
    const longer = `${last} ${word}`;
    if (textWidth(longer) > width) lines.push(last);
    last = textWidth(longer) > width ? `  ${word}` : longer;
  }
  return [...lines, last].join("\n");
}

/** The text in one line of at most `longest` columns: white space collapsed, controls escaped, "…" for the rest. */
export function oneLine(text: string, longest: number): string {
  const line = printableLine(text);
  let width = 0;
  let end = 0;
  // End of the text that leaves room for "…".
  let fits = 0;
  for (const sign of line) {
    width += textWidth(sign);
    end += sign.length;
    // Combining marks have no width, so their number is limited by `end`.
    if (width > longest || end > 4 * longest) return `${line.slice(0, fits)}…`;
    if (width < longest) fits = end;
  }
  return line;
}
