/** Blocks for a terminal. */
import { printable } from "../../errors.ts";
import type { Block, Table } from "../blocks.ts";
import { brief, cellLine, isNumeric, shownColumns } from "../cells.ts";
import { drawTable } from "./table.ts";
import { wrapLines } from "./text.ts";

/** Rows of a table of details that are printed: files have the others. */
const ROWS = 12;

/** Lines of text and tables; on a terminal of at most `width` columns. Figures are left out. */
export function renderBlocks(blocks: readonly Block[], width?: number, rows?: number): string {
  return blocks
    .flatMap((block): string | string[] => {
      if (block.kind === "figure") return [];
      if (block.kind === "details") return renderBlocks(block.blocks, width, ROWS);
      if (block.kind === "table")
        return [wrapLines(`${brief(block.caption)}:`, width), renderTable(block, width, rows)];
      return wrapLines(`${block.kind === "note" ? "note: " : ""}${printable(block.text)}`, width);
    })
    .join("\n");
}

function renderTable(table: Table, width: number | undefined, most: number | undefined): string {
  const rows = table.rows.slice(0, most);
  const columns = shownColumns(table).map(({ title, column, i }) => ({
    header: title,
    isNumeric: isNumeric(table, i),
    cells: rows.map((row) => cellLine(row[i], column)),
  }));
  const more = table.rows.length - rows.length;
  return `${drawTable(columns, width)}${more > 0 ? `\nand ${more} more` : ""}`;
}
