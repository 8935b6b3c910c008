/** A sheet of an Excel file as JSON lines of its columns of text and labels: row N on line N. */
import { DataError } from "../../errors.ts";
import { bytesReader, type FileReader } from "../../platform/reader.ts";
import { either, setting } from "../../setting.ts";
import { type FoundNames, findColumns, type LabelledChoice } from "./columns.ts";
import { Lines } from "./lines.ts";
import { type Cell, readSheet, type Sheet, type SheetRow } from "./xlsx.ts";

/** Rows that decide which columns are text and label. */
const SAMPLE_ROWS = 200;

/** A table in a sheet: its rows from the header on, each with a text in every column. */
export interface SheetTable extends Sheet {
  width: number;
}

/** A sheet without what is above its table: rows of one cell alone, as a title. Throws DataError if it has no rows. */
export async function openSheet(file: FileReader, asked?: string): Promise<SheetTable> {
  const sheet = await readSheet(file, asked);
  const filled = ({ cells }: SheetRow) => cells.filter((cell) => cell !== undefined).length;
  const most = sheet.rows.slice(0, SAMPLE_ROWS).reduce((sum, row) => Math.max(sum, filled(row)), 0);
  const first = sheet.rows.findIndex((row) => filled(row) >= Math.min(2, most));
  if (first < 0) throw new DataError("no-rows", "The sheet is empty", { where: `${file.name}, sheet "${sheet.name}"` });
  const rows = sheet.rows.slice(first);
  return { ...sheet, rows, width: rows[0]!.cells.length };
}

export const textOf = (cell: Cell | undefined) => (typeof cell === "string" ? cell : "");

/** The first rows as texts, with the header, and as many others: many tables are sorted by their labels. */
export function sheetSample({ rows, width }: SheetTable): string[][] {
  const [first, others] = [rows.slice(0, SAMPLE_ROWS + 1), rows.slice(SAMPLE_ROWS + 1)];
  const step = Math.ceil(others.length / SAMPLE_ROWS);
  const sample = [...first, ...others.filter((_, i) => i % step === 0)];
  return sample.map(({ cells }) => Array.from({ length: width }, (_, i) => textOf(cells[i])));
}

/** The columns of text and labels as JSON lines, and their names. Throws DataError, FormatError. */
export async function sheetLines(
  file: FileReader,
  choice: LabelledChoice & { sheet?: string | undefined; skipFaulty?: boolean },
): Promise<{ lines: FileReader; found: FoundNames }> {
  const table = await openSheet(file, choice.sheet);
  const found = await findColumns(sheetSample(table), choice, file.name);
  const { text, label, second, moreLabels = [], header, textName, labelName, labelNames = [labelName] } = found;
  const columns = [text, label, ...moreLabels, ...(second < 0 ? [] : [second])];
  const names = [textName, ...labelNames, ...(second < 0 ? [] : [found.secondName!])];
  if (new Set(names).size < names.length)
    throw new DataError("same-column", "Two of the columns have the same name", {
      where: file.name,
      found: names.join(),
    });
  const rows = table.rows.slice(Number(header));
  refuseMerged(table, columns, rows[0]?.number ?? 0, file.name);
  const lines = new Lines(file.name, names);
  for (const { number, cells } of rows) {
    const values = columns.map((column, i) => {
      const cell = cells[column];
      // The reader of the lines skips such a row, and reports it.
      if (choice.skipFaulty && typeof cell === "object") return [names[i]!, null];
      return [names[i]!, cellValue(cell, names[i]!, `${file.name}:${number}`, true)];
    });
    if (values.some(([, value]) => value !== "")) lines.add(JSON.stringify(Object.fromEntries(values)), number);
  }
  return { lines: bytesReader(file.name, await lines.bytes()), found };
}

/** A cell that is read. Throws DataError if it has a fault instead of a value; `canSkip`: its row can be skipped. */
export function cellValue(cell: Cell | undefined, column: string, where: string, canSkip = false): string {
  if (typeof cell !== "object") return cell ?? "";
  throw new DataError("cell-without-value", `A cell of "${column}" has no value`, {
    where,
    found: cell.fault,
    hint: either(
      "correct it in a spreadsheet program, and save the file there: that stores the results of formulas",
      ...(canSkip ? [`skip such rows with ${setting("skipFaulty", true)}`] : []),
    ),
  });
}

/** Throws DataError if a cell spans several of the rows or columns that are read: only its first place has the value. */
export function refuseMerged({ merged, name }: Sheet, columns: readonly number[], first: number, file: string): void {
  const found = merged.find(
    ({ columns: [left, right], rows: [, bottom] }) =>
      bottom >= first && columns.some((column) => left <= column && column <= right),
  );
  if (!found) return;
  throw new DataError("merged-cells", "Merged cells are in the columns of texts and labels", {
    where: `${file}, sheet "${name}", ${found.range}`,
    expected: "a cell of its own for each row",
    hint: `unmerge them and fill each cell, or give other columns with ${setting("textColumn")} and ${setting("labelColumn")}`,
  });
}
