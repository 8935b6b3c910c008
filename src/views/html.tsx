/**
 * Blocks as a self-contained HTML file. A script saves its tables as CSV and its charts as SVG; without scripts it can
 * be read, too.
 */
import type { ComponentChildren } from "preact";
import { renderToString } from "preact-render-to-string";
import { printableLine } from "../core/printable.ts";
import { scriptLiteral } from "../core/quote.ts";
import type { Block, Cell, Column, Figure, Table } from "../document/blocks.ts";
import { csvLine } from "../io/csv.ts";
import { chartSvg } from "./charts/svg.tsx";
import { Blocks, TableView } from "./components.tsx";
import { csvLines } from "./csv.ts";
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
.verdict { font-size: 1.35rem; line-height: 1.4; padding-left: .75rem; border-left: .4rem solid; }
.good { border-color: #009e73; } .unclear { border-color: #e69f00; } .poor { border-color: #d55e00; }
.note { padding-left: .75rem; border-left: 3px solid #8888; }
pre { padding: .5rem .75rem; white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; }
figure { margin: 1.5rem 0; }
figure svg { max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) { figure svg { filter: invert(.9) hue-rotate(180deg); } }
figcaption, .save { color: var(--faint); font-size: .9rem; }
.save { margin: -.5rem 0 1.5rem; }
figcaption .save { margin: .25rem 0; }
.save button { font: inherit; }
`;

/** The script of a report. It is written into the file as it is, and uses nothing from outside itself. */
function offerFiles(): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>(".save button")) {
    const place = button.closest(".block")!;
    const choices = [...place.querySelectorAll("select")];
    const isChanged = ({ options, selectedIndex }: HTMLSelectElement) => !options[selectedIndex]!.defaultSelected;
    const offer = () => {
      button.disabled = choices.length > 0 && !choices.some(isChanged);
    };
    offer();
    place.addEventListener("change", offer);
    button.hidden = false;
    button.addEventListener("click", () => {
      const [csv, svg] = [place.querySelector("script"), place.querySelector("svg")];
      const [header = "", ...rows] = csv ? (JSON.parse(csv.textContent!) as string[]) : [];
      const chosen = choices.flatMap((choice, i) =>
        isChanged(choice) ? `"${choice.value.replaceAll('"', '""')}",${rows[i]}` : [],
      );
      const lines = [header, ...(choices.length > 0 ? chosen : rows)];
      const content = csv ? lines.join("") : new XMLSerializer().serializeToString(svg!);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([content], { type: csv ? "text/csv" : "image/svg+xml" }));
      link.download = button.value;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    });
  }
}

/** It loads nothing, and what it shows cannot leave it. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

export function toHtml(title: string, blocks: readonly Block[]): string {
  const page = (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content={POLICY} />
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

/** Where a column has choices, the rows that its reader has changed are saved, and that column is the first. */
function table(block: Table) {
  const chosen = block.columns.findIndex((_, i) => isChoice(block.rows[0]?.[i]));
  const { key, ...column } = block.columns[chosen] ?? {};
  const lines = [...csvLines(chosen < 0 ? block : { ...block, columns: block.columns.with(chosen, column as Column) })];
  if (chosen >= 0) lines[0] = `${csvLine([key]).trimEnd()},${lines[0]}`;
  return (
    <div class="block">
      <TableView table={block} />
      <Save file={chosen < 0 ? `${block.name}.csv` : "corrections.csv"}>{aboutRows(block)} </Save>
      <script type="application/json" dangerouslySetInnerHTML={{ __html: scriptLiteral(lines) }} />
    </div>
  );
}

const isChoice = (cell: Cell) => typeof cell === "object" && cell !== null && "choices" in cell;

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
