/** How many columns of a terminal a text takes. */
import stringWidth from "string-width";

/**
 * Characters of one column each: European letters, punctuation, arrows, signs of mathematics, lines of tables. For any
 * other the package compiles an expression with every emoji, which takes as long as a small run's whole table.
 */
const SINGLE = /^[ -~\u00a0-\u00ac\u00ae-\u02ff\u0391-\u03c9\u2010-\u2027\u2190-\u22ff\u2500-\u259f]*$/;

/** Columns of a terminal; undefined: it is none, or one that does not say how many (0), such as a serial line. */
export const terminalWidth = ({ columns }: { columns?: number | undefined }) => columns || undefined;

export function textWidth(text: string): number {
  return SINGLE.test(text) ? text.length : stringWidth(text);
}
