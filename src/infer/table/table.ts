/** The rows of a table with their bytes in its file (as UTF-8), in order, so that a copy can have more columns. */

import type { TextOrPair } from "../../core/pair.ts";
import type { DataFormat } from "../../data/table/dialect.ts";

/** A row, or the header, in which `text` is null. */
export interface TableRow {
  /** All bytes from the end of the row before: those of the row, of its line end, and of blank lines. */
  bytes: Uint8Array;
  /** Where in `bytes` further fields belong. At the end of the file there can be bytes without a row: -1. */
  at: number;
  text: TextOrPair | null;
}

export interface Table {
  /** The format of the rows' bytes. */
  format: DataFormat;
  /** Between fields of CSV. */
  separator: string;
  /** Of pairs of texts both, with a comma between them. */
  textColumn: string;
  /** Names of the columns; of JSON lines, those of the first row. */
  names: string[];
  /** The rows in the file's order, some at a time. Throws FormatError for a row that is invalid in the format. */
  rows(): AsyncIterable<TableRow[]>;
  close(): Promise<void>;
}
