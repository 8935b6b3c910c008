/** Parquet files, read a row group at a time; their rows are written as CSV. */
import { type AsyncBuffer, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { findTextName } from "../data/columns.ts";
import { DataError, FormatError } from "../errors.ts";
import type { FileReader } from "../platform/reader.ts";
import { csvField } from "../report/csv.ts";
import type { Table, TableRow } from "./table.ts";

/** Rows that are passed on together. */
const ROWS = 256;

/** The footer and the values of a file by hyparquet; what it throws is the file's fault. */
async function reading<T>(name: string, work: Promise<T>): Promise<T> {
  return work.catch((cause) => {
    throw new FormatError("The file is not a valid Parquet file", { where: name, found: cause.message, cause });
  });
}

export async function openParquet(file: FileReader, asked: string | undefined): Promise<Table> {
  const buffer: AsyncBuffer = {
    byteLength: file.size,
    slice: async (start, end = file.size) => (await file.read(start, end - start)).buffer,
  };
  const metadata = await reading(file.name, parquetMetadataAsync(buffer));
  // The schema is a tree in depth-first order: the columns of the table are the children of the first element.
  const names: string[] = [];
  for (let at = 1; at < metadata.schema.length; at = behind(metadata.schema, at)) names.push(metadata.schema[at]!.name);
  const { textName } = findTextName(names, names.length === 1 ? 0 : -1, asked, file.name);
  const encoder = new TextEncoder();
  const rowOf = (values: readonly unknown[], text: string | null): TableRow => {
    const bytes = encoder.encode(`${values.map((value) => csvField(textOf(value))).join(",")}\r\n`);
    return { bytes, at: bytes.length - 2, text };
  };
  async function* rows(): AsyncGenerator<TableRow[]> {
    yield [rowOf(names, null)];
    let rowStart = 0;
    for (const { num_rows } of metadata.row_groups) {
      const rowEnd = rowStart + Number(num_rows);
      const group = await reading(
        file.name,
        parquetReadObjects({ file: buffer, metadata, compressors, rowStart, rowEnd }),
      );
      for (let first = 0; first < group.length; first += ROWS)
        yield group.slice(first, first + ROWS).map((row, i) => {
          const text = row[textName] ?? "";
          if (typeof text === "object")
            throw new DataError(`"${textName}" is not a text`, {
              where: `${file.name}, row ${rowStart + first + i + 1}`,
              expected: "a string or a number",
              found: Array.isArray(text) ? "a list" : "an object",
            });
          return rowOf(
            names.map((name) => row[name]),
            String(text),
          );
        });
      rowStart = rowEnd;
    }
  }
  return { format: "csv", separator: ",", textColumn: textName, names, rows, close: () => file.close() };
}

/** The index of the element after `at` and all that is below it. */
function behind(schema: readonly { num_children?: number }[], at: number): number {
  let next = at + 1;
  for (let i = schema[at]!.num_children ?? 0; i > 0; i--) next = behind(schema, next);
  return next;
}

/** A value as text: nested ones as JSON. */
function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== "object") return String(value);
  return JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner));
}
