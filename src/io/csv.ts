/** CSV (RFC 4180). Lossless, but for tables that people open in a spreadsheet. */
import { cellText } from "../core/quote.ts";

/** A field; null and undefined are written as empty. */
export type Field = string | number | boolean | null | undefined;

/** One line, with its CRLF. */
export function csvLine(fields: readonly Field[]): string {
  return `${fields.map((field) => csvField(field)).join(",")}\r\n`;
}

/** The same for a spreadsheet, where no text is a formula: `isSameCell` reads it. */
export const sheetLine = (fields: readonly Field[]): string =>
  csvLine(fields.map((field) => (typeof field === "string" ? cellText(field) : field)));

/** A field as written in a line of CSV. */
export function csvField(field: Field, separator = ","): string {
  const text = field === null || field === undefined ? "" : String(field);
  const isQuoted = text.includes(separator) || /["\r\n]|^\s|\s$/.test(text);
  return isQuoted ? `"${text.replaceAll('"', '""')}"` : text;
}
