/** A sheet of an Excel file as rows of cells. */
import { DataError } from "../../core/errors.ts";
import { setting } from "../../core/setting.ts";
import type { FileReader } from "../../platform/reader.ts";
import { type CellFile, PIECE_ROWS, SAMPLE_ROWS, textOf } from "./cells.ts";
import { readSheet, type Sheet, type SheetRow } from "./xlsx.ts";

/** The table in a sheet, below rows of one cell alone, as a title. Throws DataError if it has no rows. */
export async function openSheet(file: FileReader, asked?: string): Promise<CellFile> {
  const sheet = await readSheet(file, asked);
  const filled = ({ cells }: SheetRow) => cells.filter((cell) => cell !== undefined).length;
  const most = sheet.rows.slice(0, SAMPLE_ROWS).reduce((sum, row) => Math.max(sum, filled(row)), 0);
  const first = sheet.rows.findIndex((row) => filled(row) >= Math.min(2, most));
  if (first < 0) throw new DataError("no-rows", "The sheet is empty", { where: `${file.name}, sheet "${sheet.name}"` });
  const rows = sheet.rows.slice(first);
  return {
    choose: (by) => by(async () => sampleOf(rows)),
    async *rows(columns, used, header) {
      const data = rows.slice(Number(header));
      refuseMerged(sheet, used, data[0]?.number ?? 0, file.name);
      for (let at = 0; at < data.length; at += PIECE_ROWS)
        yield data
          .slice(at, at + PIECE_ROWS)
          .map(({ number, cells }) => ({ number, cells: columns.map((column) => cells[column] ?? "") }))
          .filter(({ cells }) => cells.some((cell) => cell !== ""));
    },
  };
}

/** The first rows as texts, with the header, and as many others: many tables are sorted by their labels. */
function sampleOf(rows: readonly SheetRow[]): string[][] {
  const [first, others] = [rows.slice(0, SAMPLE_ROWS + 1), rows.slice(SAMPLE_ROWS + 1)];
  const step = Math.ceil(others.length / SAMPLE_ROWS);
  const sample = [...first, ...others.filter((_, i) => i % step === 0)];
  return sample.map(({ cells }) => Array.from({ length: rows[0]!.cells.length }, (_, i) => textOf(cells[i] ?? null)));
}

/** Throws DataError if a cell spans several of the rows or columns that are read: only its first place has the value. */
function refuseMerged({ merged, name }: Sheet, columns: readonly number[], first: number, file: string): void {
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
