/** Rows in memory among files, where a row is in the words of errors, and the rows that were skipped. */
import type { LowrankError } from "./errors.ts";

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

/** Errors of skipped rows that are listed, as by data.wasm. */
export const MOST_LISTED = 100;

/** Invalid rows that were skipped. */
export interface LeftOut {
  rows: number;
  /** The errors of the first of them; `where` is FILE:LINE. */
  rowErrors: LowrankError[];
}
