/** Converts the errors of the readers in data.wasm. The codes are those of assembly/data/row-error.ts. */
import { DataError, FormatError, type LowrankError, nameList } from "../errors.ts";

const FIELD_COUNT = 1;
const OPEN_QUOTE = 2;
const AFTER_QUOTE = 3;
const ROW_SIZE = 4;
const JSON_SYNTAX = 5;
const NO_KEY = 6;
const VALUE = 7;
export const UNKNOWN_LABEL = 8;
const EMPTY_LABEL = 9;

/** An error: its code, the line (from 1), two numbers whose meaning depends on the code, and the file. */
export interface RowError {
  code: number;
  line: number;
  first: number;
  second: number;
  file: string;
}

/** Names for the messages: the columns, the known labels, and the unknown label. */
export interface RowErrorContext {
  textColumn: string;
  labelColumn: string;
  labels: readonly string[];
  unknownLabel: string;
}

function byteName(byte: number): string {
  if (byte < 0) return "the end of the line";
  return byte > 32 && byte < 127 ? `"${String.fromCharCode(byte)}"` : `byte 0x${byte.toString(16).padStart(2, "0")}`;
}

/** The error for a row error of data.wasm. */
export function errorOf(rowError: RowError, context: RowErrorContext): LowrankError {
  const { first, second } = rowError;
  const where = `${rowError.file}:${rowError.line}`;
  const column = first === 0 ? context.textColumn : context.labelColumn;
  switch (rowError.code) {
    case FIELD_COUNT:
      return new FormatError("The row has the wrong number of fields", {
        where,
        expected: `${first} fields, as in the first row`,
        found: `${second}`,
        hint: "quote fields that contain the separator or a line end",
      });
    case OPEN_QUOTE:
      return new FormatError("A quoted field is not closed", {
        where,
        expected: `a quote that closes the field opened on line ${first}`,
        found: "the end of the file",
        hint: 'write a quote within a quoted field as ""',
      });
    case AFTER_QUOTE:
      return new FormatError("There is text after the closing quote of a field", {
        where,
        expected: `a comma or a line end after field ${first}`,
        found: byteName(second),
        hint: 'write a quote within a quoted field as ""',
      });
    case ROW_SIZE:
      return new FormatError("The row is too long", {
        where,
        expected: `at most ${first / 2 ** 20} MiB`,
        hint: "look for a quote that is not closed",
      });
    case JSON_SYNTAX:
      return new FormatError("The line is not a valid JSON object", {
        where: `${where}:${first}`,
        expected: "one object per line: strings, numbers, true, false",
        found: byteName(second),
      });
    case NO_KEY:
      return new FormatError(`The object has no "${column}"`, { where, expected: `the key "${column}" in every line` });
    case VALUE:
      return new FormatError(`"${column}" has no text`, {
        where,
        expected: "a string, a number, true or false",
        found: "null, an array or an object",
      });
    case UNKNOWN_LABEL:
      return new DataError("The label is not in the training set", {
        where,
        expected: nameList(context.labels),
        found: context.unknownLabel,
      });
    case EMPTY_LABEL:
      return new DataError("The row has no label", { where, expected: `a value in "${context.labelColumn}"` });
    default:
      return new DataError("The data does not fit in memory", {
        where,
        expected: "less than 2 GiB of tokens, 2 bytes each, and texts below 240 MiB",
        hint: "use fewer rows",
      });
  }
}
