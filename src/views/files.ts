/** The files of a report's tables and figures, in a folder next to it. */

import type { Block } from "../document/blocks.ts";
import { blockFile } from "./block-file.ts";
import { chartSvg } from "./charts/svg.tsx";
import { tableToCsv } from "./csv.ts";

export function blockFiles(blocks: readonly Block[]): [path: string, content: string][] {
  return blocks.flatMap((block): [string, string][] => {
    if (block.kind === "details") return blockFiles(block.blocks);
    if (block.kind === "table") return [[blockFile(block), tableToCsv(block)]];
    return block.kind === "figure" ? [[blockFile(block), chartSvg(block.chart)]] : [];
  });
}
