/** Cells of values instead of text: of a sheet, a Parquet file, a folder or memory. */
import { DataError, FormatError, nameList } from "../../core/errors.ts";
import { placeOf } from "../../core/places.ts";
import { either, setting } from "../../core/setting.ts";
import { LIMITS } from "../../io/limits.ts";
import { formatBytes } from "../../plan/memory.ts";

/** Why a cell has no value. */
export class Fault {
  constructor(readonly found: string) {}
}

/** A text, its UTF-8, null for none, a fault, or a nested value. */
export type Cell = string | Uint8Array | null | Fault | object;

export interface CellRow {
  /** From 1. */
  number: number;
  cells: readonly Cell[];
}

type Sample = () => Promise<string[][]>;

/** An opened file of cells. */
export interface CellFile {
  /** The names of its columns; undefined: the first row may have them. */
  names?: readonly string[];
  /** The class names of a column of class numbers. */
  classes?(column: string): readonly string[] | undefined;
  /**
   * Chooses columns by the first rows, as texts, and the names of those whose values are texts or numbers, or in `lists`
   * lists.
   */
  choose<T>(by: (sample: Sample, names?: string[]) => Promise<T>, lists?: readonly string[]): Promise<T>;
  /** The rows, some at a time, with these columns, among which those `used` are texts and labels. */
  rows(columns: readonly number[], used: readonly number[], header: boolean): AsyncIterable<CellRow[]>;
}

/** Rows that decide which columns are text and label, and rows that files pass on at a time. */
export const SAMPLE_ROWS = 200;
export const PIECE_ROWS = 256;

const DECODER = /* @__PURE__ */ new TextDecoder("utf-8", { ignoreBOM: true });

/** The text of a cell, an empty one if it has none; nested values as JSON. */
export function textOf(cell: Cell): string {
  if (typeof cell === "string") return cell;
  if (cell === null || cell instanceof Fault) return "";
  if (cell instanceof Uint8Array) return DECODER.decode(cell);
  return JSON.stringify(cell, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner));
}

/** A cell's value. Throws DataError if it has a fault instead; `canSkip`: its row can be skipped. */
export function cellValue(cell: Cell, column: string, where: string, canSkip = false): string | Uint8Array | null {
  if (!(cell instanceof Fault)) return cell as string | Uint8Array | null;
  throw new DataError("cell-without-value", `A cell of "${column}" has no value`, {
    where,
    found: cell.found,
    hint: either(
      "correct it in a spreadsheet program, and save the file there: that stores the results of formulas",
      ...(canSkip ? [`skip such rows with ${setting("skipFaulty", true)}`] : []),
    ),
  });
}

/** The error for a row with too much text. */
export const rowTooLong = (where: string, hint = "shorten its texts, or leave it out") =>
  new FormatError("exceeds-limit", "The row is too long", {
    where,
    expected: `at most ${LIMITS.line / 2 ** 20} MiB`,
    hint,
  });

/** Throws for a row, or columns, with too much text: a few bytes of a dictionary can stand for many rows. */
export function checkSizes(where: string, names: readonly string[], row: number, length: number, size: number): void {
  if (length > LIMITS.line) throw rowTooLong(placeOf(where, row));
  if (size > LIMITS.columns)
    throw new DataError("data-too-large", "The file has too much text", {
      where,
      expected: `at most ${formatBytes(LIMITS.columns)} in ${nameList(names)}`,
      hint: "use a smaller part of the data",
    });
}
