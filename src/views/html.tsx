/** Blocks as a self-contained HTML file. Only one with long tables has a script, without which it can be read, too. */
import { renderToString } from "preact-render-to-string";
import type { Block, Figure, Table } from "../document/blocks.ts";
import { printableLine } from "../printable.ts";
import { linkTarget } from "../quote.ts";
import { blockFile } from "./block-file.ts";
import { chartSvg } from "./charts/svg.tsx";
import { Blocks } from "./components.tsx";
import { isLong, LongTable, SCRIPT } from "./long-table.tsx";

const STYLE = `
:root { color-scheme: light dark; --faint: #666; background: Canvas; color: CanvasText; }
@media (prefers-color-scheme: dark) { :root { --faint: #aaa; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .85rem; }
caption { text-align: left; color: var(--faint); }
th, td { padding: .3rem .4rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
tbody th { font-weight: inherit; white-space: nowrap; }
td { overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n { white-space: nowrap; }
td small { display: block; color: var(--faint); }
.long .rows { margin: 1rem 0 -.5rem; font-size: .9rem; }
.long button, .long input { font: inherit; }
.long th button { padding: 0; border: 0; background: none; color: inherit; font-weight: inherit; text-align: inherit; cursor: pointer; }
.long th button::after { content: "\u2195" / ""; margin-left: .25em; color: var(--faint); }
.long [aria-sort="ascending"] button::after { content: "\u2191" / ""; color: inherit; }
.long [aria-sort="descending"] button::after { content: "\u2193" / ""; color: inherit; }
.note { padding-left: .75rem; border-left: 3px solid #8888; }
pre { padding: .5rem .75rem; white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; }
figure { margin: 1.5rem 0; }
figure svg { max-width: 100%; height: auto; }
figcaption, .file { color: var(--faint); font-size: .9rem; }
.file { margin: -.5rem 0 1.5rem; }
`;

/** `links`: whether there are files of tables and figures to lead to. */
export function toHtml(title: string, blocks: readonly Block[], { links = true } = {}): string {
  const page = (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>{printableLine(title)}</title>
        <style dangerouslySetInnerHTML={{ __html: STYLE }} />
      </head>
      <body>
        <main>
          <Blocks blocks={blocks} medium={{ draw, table, ...(links ? { link } : {}) }} />
        </main>
        {blocks.some(hasLong) && <script dangerouslySetInnerHTML={{ __html: SCRIPT }} />}
      </body>
    </html>
  );
  return `<!doctype html>\n${renderToString(page)}\n`;
}

const hasLong = (block: Block): boolean =>
  block.kind === "details" ? block.blocks.some(hasLong) : block.kind === "table" && isLong(block);

const table = (block: Table) => isLong(block) && <LongTable table={block} />;

function draw({ chart, caption }: Figure) {
  return (
    <figure>
      <div role="img" aria-label={printableLine(caption)} dangerouslySetInnerHTML={{ __html: chartSvg(chart) }} />
      <figcaption>{printableLine(caption)}</figcaption>
    </figure>
  );
}

function link(block: Parameters<typeof blockFile>[0]) {
  const path = blockFile(block);
  return (
    <p class="file">
      <a href={linkTarget(path)}>{path.replace(/^.*\//, "")}</a>
    </p>
  );
}
