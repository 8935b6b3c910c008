/** The files of a report's tables and figures, in a folder next to it. */

import { formatCount } from "../core/format.ts";
import type { Block, Figure, Table } from "../document/blocks.ts";
import { shownRows } from "../document/cells.ts";
import { chartSvg } from "./charts/svg.tsx";
import { tableToCsv } from "./csv.ts";

/** The file of a table or a figure, from the report that shows it. */
export function blockFile({ kind, name }: Table | Figure): string {
  return `figures/${name}.${kind === "table" ? "csv" : "svg"}`;
}

/** "The first 500 of 10,000 rows; runs.csv has all."; null: there are no more. */
export function aboutRows(table: Table): string | null {
  const [shown, all] = [shownRows(table), table.rows].map(({ length }) => formatCount(length));
  return shown === all ? null : `The first ${shown} of ${all} rows; ${table.name}.csv has all.`;
}

export function blockFiles(blocks: readonly Block[]): [path: string, content: string][] {
  return blocks.flatMap((block): [string, string][] => {
    if (block.kind === "details") return blockFiles(block.blocks);
    if (block.kind === "table") return [[blockFile(block), tableToCsv(block)]];
    return block.kind === "figure" ? [[blockFile(block), chartSvg(block.chart)]] : [];
  });
}
