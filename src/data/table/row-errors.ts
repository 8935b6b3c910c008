/** Converts the errors of the readers in data.wasm. */
import { DataError, FormatError, type LowrankError, nameList } from "../../core/errors.ts";
import { placeOf } from "../../core/places.ts";
import { nearest } from "../../core/suggest.ts";
import { rowTooLong } from "./cells.ts";
import { hasCells, knownFormat } from "./dialect.ts";
import { encodingHint } from "./encoding.ts";

/** The codes of row errors, for data.wasm too (src/tools/kernels.mjs). A comment says what its two numbers are. */
export const ROW_ERRORS = {
  FIELD_COUNT: 1, // expected, found
  OPEN_QUOTE: 2, // line of the opening quote, -
  AFTER_QUOTE: 3, // field (from 1), byte after the closing quote
  ROW_SIZE: 4, // largest number of bytes, -
  JSON: 5, // byte of the line (from 1), byte found or -1 at the end of the line
  NO_KEY: 6, // column, -
  VALUE: 7, // column, -
  LABEL: 8, // address and bytes of an unknown label
  EMPTY_LABEL: 9, // -
  TOO_LARGE: 10, // -
  ENCODING: 11, // column, byte
  ARRAY: 12, // byte of the line (from 1), byte found
  OPEN_ARRAY: 13, // 0 between two objects, 1 in an object; -
} as const;

/** Columns of a row, in the order of their numbers: last those of further labels. */
type ColumnNames = readonly [text: string, label: string, second?: string | undefined, ...labels: string[]];

const CUT_HINT = "the file ends in this row: it may have been cut off";

/** An error: its code, the line (from 1), two numbers that depend on the code, the file, and whether it ends there. */
export interface RowError {
  code: number;
  line: number;
  first: number;
  second: number;
  file: string;
  atEnd: boolean;
}

/** Names for the messages: the columns, the known labels, and the unknown label. */
interface RowErrorContext {
  columns: ColumnNames;
  labels: readonly string[];
  unknownLabel: string;
}

function byteName(byte: number): string {
  if (byte < 0) return "the end of the line";
  return byte > 32 && byte < 127 ? `"${String.fromCharCode(byte)}"` : `byte 0x${byte.toString(16).padStart(2, "0")}`;
}

export function describeRowError(rowError: RowError, context: RowErrorContext): LowrankError {
  const { first, second, atEnd } = rowError;
  const where = placeOf(rowError.file, rowError.line);
  const column = context.columns[first];
  switch (rowError.code) {
    case ROW_ERRORS.FIELD_COUNT:
      return new FormatError("wrong-field-count", "The row has the wrong number of fields", {
        where,
        expected: `${first} fields, as in the first row`,
        found: `${second}`,
        hint: atEnd && second < first ? CUT_HINT : "quote fields that contain the separator or a line end",
      });
    case ROW_ERRORS.OPEN_QUOTE:
      return new FormatError("unclosed-quote", "A quoted field is not closed", {
        where,
        expected: `a quote that closes the field opened on line ${first}`,
        found: "the end of the file",
        hint: 'write a quote within a quoted field as ""; or the file may have been cut off',
      });
    case ROW_ERRORS.AFTER_QUOTE:
      return new FormatError("text-after-quote", "There is text after the closing quote of a field", {
        where,
        expected: `a separator or a line end after field ${first}`,
        found: byteName(second),
        hint: 'write a quote within a quoted field as ""',
      });
    case ROW_ERRORS.ROW_SIZE:
      return rowTooLong(
        where,
        knownFormat(rowError.file) === "jsonl" ? undefined : "look for a quote that is not closed",
      );
    case ROW_ERRORS.JSON:
      return new FormatError("row-not-json-object", "The row is not a valid JSON object", {
        where: `${where}:${first}`,
        expected: "one object per line, or an array of objects: strings, numbers, true, false",
        found: byteName(second),
        ...(atEnd ? { hint: CUT_HINT } : {}),
      });
    case ROW_ERRORS.ARRAY:
      return new FormatError("invalid-json-array", "The array of objects is invalid", {
        where: `${where}:${first}`,
        expected: "objects with commas between them",
        found: byteName(second),
      });
    case ROW_ERRORS.OPEN_ARRAY:
      return new FormatError("unclosed-json-array", "The array is not closed", {
        where,
        expected: `${first === 1 ? "the end of the object that begins here, and " : ""}"]"`,
        found: "the end of the file",
        hint: first === 1 ? CUT_HINT : "the file may have been cut off",
      });
    case ROW_ERRORS.ENCODING:
      return new FormatError("invalid-text-encoding", "The text is not UTF-8", {
        where,
        expected: "UTF-8",
        found: `${byteName(second)} in "${column}"`,
        hint: hasCells(rowError.file) ? undefined : encodingHint(),
        isGuess: true,
      });
    case ROW_ERRORS.NO_KEY:
      return new FormatError("no-such-key", `The object has no "${column}"`, {
        where,
        expected: `the key "${column}" in every object`,
      });
    case ROW_ERRORS.VALUE:
      return new FormatError("value-not-text", `"${column}" has no text`, {
        where,
        expected: "a string, a number, true or false",
        found: "null, an array or an object",
      });
    case ROW_ERRORS.LABEL: {
      const near = nearest(context.unknownLabel, context.labels);
      return new DataError("unknown-label", "The label is not in the training set", {
        where,
        expected: nameList(context.labels),
        found: context.unknownLabel,
        hint: near && `did you mean "${near}"?`,
      });
    }
    case ROW_ERRORS.EMPTY_LABEL:
      return new DataError("row-without-label", "The row has no label", {
        where,
        expected: `a value in "${context.columns[1]}"`,
      });
    default:
      return new DataError("data-too-large", "The data does not fit in memory", {
        where,
        expected: "less than 2 GiB of tokens, 2 bytes each, and texts below 240 MiB",
        hint: "use fewer rows",
      });
  }
}
