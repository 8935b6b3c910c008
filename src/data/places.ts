/** Rows in memory among files, and where a row is in the words of errors. */

/** Their name; no path is one of these words. */
export const ROWS = "rows in memory";

/** Between the labels of a list in memory: a sign that no name has. */
export const LIST_SEPARATOR = "\x1f";

/** Behind the name of a file whose rows are counted, not its lines. */
export const COUNTED = ", row";

/** FILE:LINE, or the row's place in the array. */
export const placeOf = (file: string, line: number): string =>
  file === ROWS ? `rows[${line - 1}]` : `${file}${file.endsWith(COUNTED) ? " " : ":"}${line}`;

/** The same without the file's name. */
export const lineOf = (file: string, line: number): string =>
  file === ROWS ? placeOf(file, line) : `${file.endsWith(COUNTED) ? "row" : "line"} ${line}`;
