/** Blocks as a self-contained HTML file without scripts. */
import { renderToString } from "preact-render-to-string";
import type { Block, Figure } from "../document/blocks.ts";
import { printableLine } from "../printable.ts";
import { linkTarget } from "../quote.ts";
import { blockFile } from "./block-file.ts";
import { chartSvg } from "./charts/svg.tsx";
import { Blocks } from "./components.tsx";

const STYLE = `
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .85rem; }
caption { text-align: left; color: #888; }
th, td { padding: .3rem .4rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
tbody th { font-weight: inherit; white-space: nowrap; }
td { overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n { white-space: nowrap; }
td small { display: block; color: #888; }
.note { padding-left: .75rem; border-left: 3px solid #8888; }
pre { padding: .5rem .75rem; overflow-x: auto; background: #8881; }
figure { margin: 1.5rem 0; }
figure svg { max-width: 100%; height: auto; }
figcaption, .file { color: #888; font-size: .9rem; }
.file { margin: -.5rem 0 1.5rem; }
`;

export function toHtml(title: string, blocks: readonly Block[]): string {
  const page = (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>{printableLine(title)}</title>
        <style dangerouslySetInnerHTML={{ __html: STYLE }} />
      </head>
      <body>
        <Blocks blocks={blocks} medium={{ draw, link }} />
      </body>
    </html>
  );
  return `<!doctype html>\n${renderToString(page)}\n`;
}

function draw({ chart, caption }: Figure) {
  return (
    <figure role="img" aria-label={printableLine(caption)}>
      <div dangerouslySetInnerHTML={{ __html: chartSvg(chart) }} />
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
