/** A report as a list of blocks, rendered as Markdown or as a single HTML file. */
import { printable } from "../errors.ts";

export type Block =
  | { kind: "heading"; level: 1 | 2; text: string }
  | { kind: "text"; text: string }
  | { kind: "table"; header: string[]; rows: (string | number)[][] }
  | { kind: "figure"; name: string; caption: string; svg: string };

const isNumber = (cell: string | number) => typeof cell === "number" || /^[-+.\d][\d.,%\s]*$/.test(cell);

/** Markdown; figures are linked as figures/<name>.svg. */
export function toMarkdown(blocks: readonly Block[]): string {
  return `${blocks.map(blockToMarkdown).join("\n\n")}\n`;
}

/** Escapes text for Markdown and joins its lines: a line end would end a table cell. */
function escapeMarkdown(text: string | number): string {
  return printable(String(text))
    .replaceAll(/\s+/g, " ")
    .replaceAll(/[\\|`*_<>[\]&~$]/g, "\\$&");
}

function blockToMarkdown(block: Block): string {
  switch (block.kind) {
    case "heading":
      return `${"#".repeat(block.level)} ${escapeMarkdown(block.text)}`;
    case "text":
      // Escapes markers of lists and headings at the start of a paragraph.
      return escapeMarkdown(block.text.trim()).replace(/^(\d*)([-+#=.)])/, "$1\\$2");
    case "table": {
      const line = (cells: readonly (string | number)[]) => `| ${cells.map(escapeMarkdown).join(" | ")} |`;
      return [line(block.header), `|${" --- |".repeat(block.header.length)}`, ...block.rows.map(line)].join("\n");
    }
    case "figure":
      return `![${escapeMarkdown(block.caption)}](figures/${block.name}.svg)`;
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
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
td:first-child { white-space: nowrap; }
td.long { min-width: 16rem; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; }
figure svg { max-width: 100%; height: auto; }
figcaption { color: #888; }
`;

/** Longer cells can be broken anywhere. */
const LONG_CELL = 40;

function blockToHtml(block: Block): string {
  switch (block.kind) {
    case "heading":
      return `<h${block.level}>${escapeHtml(block.text)}</h${block.level}>`;
    case "text":
      return `<p>${escapeHtml(block.text)}</p>`;
    case "table": {
      const numeric = block.header.map((_, i) => block.rows.length > 0 && block.rows.every((row) => isNumber(row[i]!)));
      const kind = (cell: string | number, i: number) =>
        numeric[i] ? ' class="n"' : String(cell).length > LONG_CELL && i > 0 ? ' class="long"' : "";
      const cells = (tag: string, row: readonly (string | number)[]) =>
        row.map((cell, i) => `<${tag}${kind(cell, i)}>${escapeHtml(cell)}</${tag}>`).join("");
      const rows = block.rows.map((row) => `<tr>${cells("td", row)}</tr>`).join("\n");
      const label = escapeHtml(block.header.slice(0, 3).join(", "));
      return `<div class="scroll" tabindex="0" role="region" aria-label="${label}">\n<table>\n<thead><tr>${cells("th", block.header)}</tr></thead>\n<tbody>\n${rows}\n</tbody>\n</table>\n</div>`;
    }
    case "figure":
      return `<figure role="img" aria-label="${escapeHtml(block.caption)}">\n${block.svg}\n<figcaption>${escapeHtml(block.caption)}</figcaption>\n</figure>`;
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
