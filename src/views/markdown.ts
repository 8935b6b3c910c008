/** Blocks as Markdown. */

import { printableLine } from "../core/printable.ts";
import { linkTarget, markdownFence, markdownLine, markdownText } from "../core/quote.ts";
import type { Block, Table } from "../document/blocks.ts";
import { cellLine, shownColumns, shownRows } from "../document/cells.ts";
import { aboutRows, blockFile } from "./files.ts";

/** `links`: whether there are files of tables and figures to lead to. Figures are left out where there are none. */
export function toMarkdown(blocks: readonly Block[], { links = true } = {}): string {
  return `${blocksToMarkdown(blocks, links)}\n`;
}

function blocksToMarkdown(blocks: readonly Block[], links: boolean): string {
  const shown = blocks.filter(({ kind }) => links || kind !== "figure");
  return shown.map((block) => blockToMarkdown(block, links)).join("\n\n");
}

function blockToMarkdown(block: Block, links: boolean): string {
  switch (block.kind) {
    case "heading":
      return `${"#".repeat(block.level)} ${markdownText(block.text)}`;
    case "text":
    case "note":
      return markdownLine(block.kind === "note" ? `note: ${block.text}` : block.text);
    case "code":
      return markdownFence("sh", [printableLine(block.text)]).join("\n");
    case "table":
      return [
        markdownLine(block.caption),
        tableLines(block, links ? undefined : Infinity).join("\n"),
        ...(links ? [aboutRows(block) ?? [], link(`${block.name}.csv`, blockFile(block))].flat() : []),
      ].join("\n\n");
    case "figure":
      return `!${link(block.caption, blockFile(block))}`;
    case "details":
      return blocksToMarkdown(block.blocks, links);
  }
}

const link = (text: string, href: string) => `[${markdownText(text)}](${linkTarget(href)})`;

function tableLines(table: Table, most: number | undefined): string[] {
  const columns = shownColumns(table);
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rows = shownRows(table, most).map((row) =>
    columns.map(({ column, i }) => {
      const cell = row[i];
      const text = cellLine(cell, column);
      return typeof cell === "object" && cell !== null && "href" in cell ? link(text, cell.href) : markdownText(text);
    }),
  );
  return [
    line(columns.map(({ title }) => markdownText(title))),
    `|${" --- |".repeat(columns.length)}`,
    ...rows.map(line),
  ];
}
