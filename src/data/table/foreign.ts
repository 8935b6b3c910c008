/** Files that are no text, called by name. Loaded when one begins like such a file. */
import { FormatError } from "../../errors.ts";
import type { FileReader } from "../../platform/reader.ts";

const AS_CSV = "open it in a spreadsheet program and save it as .xlsx without a password, or as CSV in UTF-8";
const AS_TEXT = "copy its text into a file that ends in .txt, or a table with a row for each text into a spreadsheet";

/** What a file is by its first bytes, and what to do. */
const KINDS: readonly [start: RegExp, what: string, hint: string][] = [
  [/^%PDF/, "a PDF file", AS_TEXT],
  [/^\xd0\xcf.\xe0/, "an Office file of before 2007, or one with a password", AS_CSV],
  [/^PK.*xl\//s, "an Excel file", "give it a name that ends in .xlsx"],
  [/^PK.*word\//s, "a Word file", AS_TEXT],
  [/^PK.*opendocument\.spreadsheet/s, "a file of LibreOffice Calc", AS_CSV],
  [/^PK.*opendocument\.text/s, "a file of LibreOffice Writer", AS_TEXT],
  [/^PK/, "a zip file", "unpack it, and give a file of it"],
  [/^\{\\rtf/, "a file of formatted text (RTF)", AS_TEXT],
];

/** Refuses a file by its first bytes. */
export function refuseForeign(file: FileReader, head: Uint8Array): never {
  const bytes = new TextDecoder("latin1").decode(head);
  const [, what, hint] = KINDS.find(([start]) => start.test(bytes)) ?? [null, "a picture", "give a file of text"];
  throw new FormatError("not-text", `This is ${what}, not a text or a table`, { where: file.name, hint });
}
