/** Rows in memory among files, and where a row is in the words of errors. */

/** Their name; no path is one of these words. */
export const ROWS = "rows in memory";

/** Between the labels of a list in memory: a sign that no name has. */
export const LIST_SEPARATOR = "\x1f";

/** In place of a file whose rows are counted, not its lines. */
export const rowsOf = (file: string): string => `${file}, row`;
const hasRows = (file: string) => file.endsWith(rowsOf(""));

/** FILE:LINE, or the row's place in the array. */
export const placeOf = (file: string, line: number): string =>
  file === ROWS ? `rows[${line - 1}]` : `${file}${hasRows(file) ? " " : ":"}${line}`;

/** The same without the file's name. */
export const lineOf = (file: string, line: number): string =>
  file === ROWS ? placeOf(file, line) : `${hasRows(file) ? "row" : "line"} ${line}`;
