/** Sheets of Excel files as tables; their rows are written as CSV. */
import { cellValue, openSheet, refuseMerged, sheetSample, textOf } from "../../data/table/sheet-lines.ts";
import { findText, type TextChoice } from "../../data/table/text-columns.ts";
import type { FileReader } from "../../platform/reader.ts";
import { csvRow, ROWS } from "./csv-rows.ts";
import type { Table, TableRow } from "./table.ts";

export async function openSheetTable(file: FileReader, asked: TextChoice, sheet?: string): Promise<Table> {
  const table = await openSheet(file, sheet);
  const sample = sheetSample(table);
  const [first = []] = sample;
  const { text, textName, second, secondName, header } = await findText(sample, asked, file.name);
  const names = header ? first : [];
  const textColumn = secondName === undefined ? textName : `${textName},${secondName}`;
  const data = table.rows.slice(Number(header));
  refuseMerged(table, second < 0 ? [text] : [text, second], data[0]?.number ?? 0, file.name);
  async function* rows(): AsyncGenerator<TableRow[]> {
    if (header) yield [csvRow(names, null)];
    for (let at = 0; at < data.length; at += ROWS)
      yield data.slice(at, at + ROWS).map(({ number, cells }) => {
        const value = (column: number) => cellValue(cells[column], first[column]!, `${file.name}:${number}`);
        return csvRow(
          Array.from({ length: table.width }, (_, i) => textOf(cells[i])),
          second < 0 ? value(text) : [value(text), value(second)],
        );
      });
  }
  return { format: "csv", separator: ",", textColumn, names, rows, close: () => file.close() };
}
