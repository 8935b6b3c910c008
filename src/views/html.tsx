/**
 * Blocks as a self-contained HTML file. A script saves its tables as CSV and its charts as SVG; without scripts it can
 * be read, too.
 */
import type { ComponentChildren } from "preact";
import { renderToString } from "preact-render-to-string";
import type { Block, Figure, Table } from "../document/blocks.ts";
import { printableLine } from "../printable.ts";
import { scriptLiteral } from "../quote.ts";
import { chartSvg } from "./charts/svg.tsx";
import { Blocks, TableView } from "./components.tsx";
import { tableToCsv } from "./csv.ts";
import { aboutRows } from "./files.ts";

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
.note { padding-left: .75rem; border-left: 3px solid #8888; }
pre { padding: .5rem .75rem; white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; }
figure { margin: 1.5rem 0; }
figure svg { max-width: 100%; height: auto; }
figcaption, .save { color: var(--faint); font-size: .9rem; }
.save { margin: -.5rem 0 1.5rem; }
figcaption .save { margin: .25rem 0; }
.save button { font: inherit; }
`;

/** The script of a report. It is written into the file as it is, and uses nothing from outside itself. */
function offerFiles(): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>(".save button")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const place = button.closest(".block")!;
      const [csv, svg] = [place.querySelector("script"), place.querySelector("svg")];
      const content = csv ? (JSON.parse(csv.textContent!) as string) : new XMLSerializer().serializeToString(svg!);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([content], { type: csv ? "text/csv" : "image/svg+xml" }));
      link.download = button.value;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    });
  }
}

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
        <main>
          <Blocks blocks={blocks} medium={{ draw, table }} />
        </main>
        <script dangerouslySetInnerHTML={{ __html: `(${offerFiles})();` }} />
      </body>
    </html>
  );
  return `<!doctype html>\n${renderToString(page)}\n`;
}

const table = (block: Table) => (
  <div class="block">
    <TableView table={block} />
    <Save file={`${block.name}.csv`}>{aboutRows(block)} </Save>
    <script type="application/json" dangerouslySetInnerHTML={{ __html: scriptLiteral(tableToCsv(block)) }} />
  </div>
);

const draw = ({ name, chart, caption }: Figure) => (
  <figure class="block">
    <div role="img" aria-label={printableLine(caption)} dangerouslySetInnerHTML={{ __html: chartSvg(chart) }} />
    <figcaption>
      {printableLine(caption)}
      <Save file={`${name}.svg`} />
    </figcaption>
  </figure>
);

/** A button that saves what its block shows. */
const Save = ({ file, children }: { file: string; children?: ComponentChildren }) => (
  <p class="save">
    {children}
    <button type="button" value={file} hidden>
      Save {file}
    </button>
  </p>
);
