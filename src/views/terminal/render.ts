/** Blocks for a terminal. */

import { printableLine } from "../../core/printable.ts";
import { nameSettings } from "../../core/surface.ts";
import { type Block, makeTable, type RowColumn, type Table } from "../../document/blocks.ts";
import { brief, cellLine, isNumeric, shownColumns, shownRows } from "../../document/cells.ts";
import { asFlag } from "./flag-words.ts";
import { drawTable } from "./table.ts";
import { wrapLines } from "./text.ts";

/** Rows of a table of details that are printed: files have the others. */
const ROWS = 12;

/** Lines of text and tables; on a terminal of at most `width` columns. Figures are left out. */
export function renderBlocks(blocks: readonly Block[], width?: number, rows?: number): string {
  return blocks
    .flatMap((block): string | string[] => {
      if (block.kind === "figure") return [];
      // In one line, to be copied.
      if (block.kind === "code") return printableLine(block.text);
      if (block.kind === "details") return renderBlocks(block.blocks, width, ROWS) || [];
      if (block.kind === "table") return [wrapLines(`${brief(block.caption)}:`, width), tableLines(block, width, rows)];
      return wrapLines(
        `${block.kind === "note" ? "note: " : ""}${printableLine(nameSettings(block.text, asFlag))}`,
        width,
      );
    })
    .join("\n");
}

/** A table without a caption, of records. */
export function renderTable<Row>(columns: readonly RowColumn<Row>[], rows: readonly Row[], width?: number): string {
  return tableLines(makeTable("", "", columns, rows), width);
}

function tableLines(table: Table, width?: number, most = Infinity): string {
  const rows = shownRows(table, most);
  const columns = shownColumns(table).map(({ column, i }) => ({
    header: brief(nameSettings(column.title!, asFlag)),
    isNumeric: isNumeric(table, i),
    cells: rows.map((row) => cellLine(row[i], column)),
  }));
  const more = table.rows.length - rows.length;
  return `${drawTable(columns, width)}${more > 0 ? `\nand ${more} more` : ""}`;
}
