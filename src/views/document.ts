/** A report as a list of blocks, rendered as Markdown or as a single HTML file. */
import { printable } from "../errors.ts";
import { csvLine } from "../io/csv.ts";

/** A table or a figure is also a file beside the report: figures/<name>.csv or .svg. */
export type Block =
  | { kind: "heading"; level: 1 | 2; text: string }
  | { kind: "text"; text: string }
  | { kind: "table"; name: string; header: string[]; rows: Cell[][] }
  | { kind: "figure"; name: string; caption: string; svg: string };

/** A link is to a file beside the report. */
type Cell = string | number | { href: string; text: string };

/** The folder of tables and figures, beside the report. */
const FILES = "figures";

/** The files of a report's tables and figures. */
export function blockFiles(blocks: readonly Block[]): [path: string, content: string][] {
  return blocks.flatMap((block): [string, string][] => {
    if (block.kind === "figure") return [[`${FILES}/${block.name}.svg`, block.svg]];
    if (block.kind !== "table") return [];
    const lines = [block.header, ...block.rows.map((row) => row.map(plain))].map((fields) => csvLine(fields));
    return [[`${FILES}/${block.name}.csv`, lines.join("")]];
  });
}

/** A cell in a file, where a link is its target. */
const plain = (cell: Cell) => (typeof cell === "object" ? cell.href : cell);

const isNumber = (cell: Cell) =>
  typeof cell === "number" || (typeof cell === "string" && /^[-+.\d]([\d.,%\s]|e[-+]?\d)*$/.test(cell));

export function toMarkdown(blocks: readonly Block[]): string {
  return `${blocks.map(blockToMarkdown).join("\n\n")}\n`;
}

/** Escapes text for Markdown and joins its lines: a line end would end a table cell. */
function escapeMarkdown(text: string | number): string {
  return printable(String(text))
    .replaceAll(/\s+/g, " ")
    .replaceAll(/[\\|`*_<>[\]&~$]/g, "\\$&");
}

/** A link of Markdown. */
const markdownLink = (text: string, href: string) => `[${escapeMarkdown(text)}](${encodeURI(href)})`;

const cellToMarkdown = (cell: Cell) =>
  typeof cell === "object" ? markdownLink(cell.text, cell.href) : escapeMarkdown(cell);

function blockToMarkdown(block: Block): string {
  switch (block.kind) {
    case "heading":
      return `${"#".repeat(block.level)} ${escapeMarkdown(block.text)}`;
    case "text":
      // Escapes markers of lists and headings at the start of a paragraph.
      return escapeMarkdown(block.text.trim()).replace(/^(\d*)([-+#=.)])/, "$1\\$2");
    case "table": {
      const line = (cells: readonly Cell[]) => `| ${cells.map(cellToMarkdown).join(" | ")} |`;
      const lines = [line(block.header), `|${" --- |".repeat(block.header.length)}`, ...block.rows.map(line)];
      return `${lines.join("\n")}\n\n${markdownLink(`${block.name}.csv`, `${FILES}/${block.name}.csv`)}`;
    }
    case "figure":
      return `!${markdownLink(block.caption, `${FILES}/${block.name}.svg`)}`;
  }
}

function escapeHtml(text: string | number): string {
  return printable(String(text))
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

const STYLE = `
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .85rem; }
th, td { padding: .3rem .4rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
td:nth-child(-n + 2) { white-space: nowrap; }
td.long { min-width: 16rem; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; }
figure svg { max-width: 100%; height: auto; }
figcaption, .file { color: #888; font-size: .9rem; }
.file { margin: -.5rem 0 1.5rem; }
`;

/** Longer cells can be broken anywhere. */
const LONG_CELL = 40;

const htmlLink = (text: string, href: string) => `<a href="${escapeHtml(encodeURI(href))}">${escapeHtml(text)}</a>`;

const cellToHtml = (cell: Cell) => (typeof cell === "object" ? htmlLink(cell.text, cell.href) : escapeHtml(cell));

const fileToHtml = (name: string) => `<p class="file">${htmlLink(name, `${FILES}/${name}`)}</p>`;

function blockToHtml(block: Block): string {
  switch (block.kind) {
    case "heading":
      return `<h${block.level}>${escapeHtml(block.text)}</h${block.level}>`;
    case "text":
      return `<p>${escapeHtml(block.text)}</p>`;
    case "table": {
      const numeric = block.header.map((_, i) => block.rows.length > 0 && block.rows.every((row) => isNumber(row[i]!)));
      const kind = (cell: Cell, i: number) =>
        numeric[i] ? ' class="n"' : String(cell).length > LONG_CELL && i > 0 ? ' class="long"' : "";
      const cells = (tag: string, row: readonly Cell[]) =>
        row.map((cell, i) => `<${tag}${kind(cell, i)}>${cellToHtml(cell)}</${tag}>`).join("");
      const rows = block.rows.map((row) => `<tr>${cells("td", row)}</tr>`).join("\n");
      const label = escapeHtml(block.header.slice(0, 3).join(", "));
      return `<div class="scroll" tabindex="0" role="region" aria-label="${label}">\n<table>\n<thead><tr>${cells("th", block.header)}</tr></thead>\n<tbody>\n${rows}\n</tbody>\n</table>\n</div>\n${fileToHtml(`${block.name}.csv`)}`;
    }
    case "figure":
      return `<figure role="img" aria-label="${escapeHtml(block.caption)}">\n${block.svg}\n<figcaption>${escapeHtml(block.caption)}</figcaption>\n</figure>\n${fileToHtml(`${block.name}.svg`)}`;
  }
}

/** A self-contained HTML file without scripts. */
export function toHtml(title: string, blocks: readonly Block[]): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
${blocks.map(blockToHtml).join("\n")}
</body>
</html>
`;
}
