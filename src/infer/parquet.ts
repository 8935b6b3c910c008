/** Parquet files as tables; their rows are written as CSV. */
import { findTextName } from "../data/columns.ts";
import { openParquet as openFile, textOf } from "../data/parquet.ts";
import { DataError } from "../errors.ts";
import type { FileReader } from "../platform/reader.ts";
import { csvField } from "../report/csv.ts";
import type { Table, TableRow } from "./table.ts";

/** Rows that are passed on together. */
const ROWS = 256;

export async function openParquet(file: FileReader, asked: string | undefined): Promise<Table> {
  const table = await openFile(file);
  const names = [...table.names];
  const { textName } = findTextName(names, names.length === 1 ? 0 : -1, asked, file.name);
  const encoder = new TextEncoder();
  const rowOf = (values: readonly unknown[], text: string | null): TableRow => {
    const bytes = encoder.encode(`${values.map((value) => csvField(textOf(value))).join(",")}\r\n`);
    return { bytes, at: bytes.length - 2, text };
  };
  async function* rows(): AsyncGenerator<TableRow[]> {
    yield [rowOf(names, null)];
    for await (const { before, rows: group } of table.groups(names))
      for (let first = 0; first < group.length; first += ROWS)
        yield group.slice(first, first + ROWS).map((row, i) => {
          const text = row[textName] ?? "";
          if (typeof text === "object")
            throw new DataError(`"${textName}" is not a text`, {
              where: `${file.name}, row ${before + first + i + 1}`,
              expected: "a string or a number",
              found: Array.isArray(text) ? "a list" : "an object",
            });
          return rowOf(
            names.map((name) => row[name]),
            String(text),
          );
        });
  }
  return { format: "csv", separator: ",", textColumn: textName, names, rows, close: () => file.close() };
}
