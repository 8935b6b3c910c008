/** CSV (RFC 4180). Lossless: labels that a spreadsheet would interpret as formulas are not changed. */

/** A field; null and undefined are written as empty. */
export type Field = string | number | boolean | null | undefined;

/** One line, with its CRLF. */
export function csvLine(fields: readonly Field[]): string {
  return `${fields.map((field) => csvField(field)).join(",")}\r\n`;
}

/** A field as written in a line of CSV. */
export function csvField(field: Field, separator = ","): string {
  const text = field === null || field === undefined ? "" : String(field);
  const isQuoted = text.includes(separator) || /["\r\n]|^\s|\s$/.test(text);
  return isQuoted ? `"${text.replaceAll('"', '""')}"` : text;
}
