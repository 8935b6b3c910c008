/** Parquet files as tables; their rows are written as CSV. */

import { openParquet as openFile, valueText } from "../../data/table/parquet.ts";
import { findTextName, type TextChoice } from "../../data/table/text-columns.ts";
import { DataError } from "../../errors.ts";
import type { FileReader } from "../../platform/reader.ts";
import { csvRow, ROWS } from "./csv-rows.ts";
import type { Table, TableRow } from "./table.ts";

export async function openParquet(file: FileReader, asked: TextChoice): Promise<Table> {
  const table = await openFile(file);
  const names = [...table.names];
  const { textName, secondName } = findTextName(names, -1, asked, file.name);
  async function* rows(): AsyncGenerator<TableRow[]> {
    yield [csvRow(names, null)];
    for await (const { before, rows: group } of table.groups(names))
      for (let first = 0; first < group.length; first += ROWS)
        yield group.slice(first, first + ROWS).map((row, i) => {
          const textIn = (name: string) => {
            const value = row[name] ?? "";
            if (typeof value !== "object") return String(value);
            throw new DataError("value-not-text", `"${name}" is not a text`, {
              where: `${file.name}, row ${before + first + i + 1}`,
              expected: "a string or a number",
              found: Array.isArray(value) ? "a list" : "an object",
            });
          };
          return csvRow(
            names.map((name) => valueText(row[name])),
            secondName === undefined ? textIn(textName) : [textIn(textName), textIn(secondName)],
          );
        });
  }
  const textColumn = secondName === undefined ? textName : `${textName},${secondName}`;
  return { format: "csv", separator: ",", textColumn, names, rows, close: () => file.close() };
}
