/** Rows of tables that are not text, written as CSV. */
import { csvField } from "../../io/csv.ts";
import type { TextOrPair } from "../../pair.ts";
import type { TableRow } from "./table.ts";

/** Rows passed on at a time. */
export const ROWS = 256;

const encoder = new TextEncoder();

/** A row, or the header, in which `text` is null. */
export function csvRow(values: readonly string[], text: TextOrPair | null): TableRow {
  const bytes = encoder.encode(`${values.map((value) => csvField(value)).join(",")}\r\n`);
  return { bytes, at: bytes.length - 2, text };
}
