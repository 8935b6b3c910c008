/** A chart as an SVG document: with its title, its legend, a white background and colours of its own. */
import { renderToString } from "preact-render-to-string";
import { printable } from "../../core/printable.ts";
import type { Chart } from "../../document/chart.ts";
import { KEY_WIDTH, Key } from "./axes.tsx";
import { Bars, barsHeight } from "./bars.tsx";
import { HeatCells } from "./heat-map.tsx";
import { type LegendEntry, legendEntries } from "./legend.ts";
import { Lines, layLines } from "./lines.tsx";
import { Scatter } from "./scatter.tsx";
import { cut, textWidth, wrap } from "./text.ts";

const FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";

/** Of the variables: Okabe and Ito's colours, which are safe for colour blindness. */
const COLORS: Record<string, string> = {
  ink: "#1f2933",
  faint: "#5f6b7a",
  line: "#e4e7eb",
  edge: "#8793a0",
  frozen: "#b8c1cc",
  "on-accent": "#ffffff",
  c1: "#0072b2",
  c2: "#d55e00",
  c3: "#009e73",
  c4: "#cc79a7",
  c5: "#e69f00",
  c6: "#56b4e9",
};

const MARGIN = 16;
/** Font sizes and line heights. The title is bold, which is wider. */
const TITLE = { size: 17, wide: 19, line: 24 };
const SMALL = { size: 13, line: 22 };

/** The size of a chart without title and legend. */
function plotSize(chart: Chart): { width: number; height: number } {
  switch (chart.kind) {
    case "lines":
      return chart.counts ? { width: 620, height: 540 } : { width: 860, height: 430 };
    case "scatter":
      return { width: 860, height: 430 };
    case "bars":
      return { width: 620, height: barsHeight(chart) + MARGIN };
    case "heat-map":
      return {
        width: Math.max(700, 190 + 96 * chart.x.names.length),
        height: Math.max(400, 64 + 48 * chart.y.names.length),
      };
  }
}

/** The same chart has the same bytes. */
export function chartSvg(chart: Chart): string {
  const size = plotSize(chart);
  const title = wrap(chart.title, size.width - 2 * MARGIN, TITLE.wide);
  const note = "note" in chart && chart.note !== undefined ? wrap(chart.note, size.width - 2 * MARGIN, SMALL.size) : [];
  const rows = legendRows(legendEntries(chart), size.width);
  const below = MARGIN + title.length * TITLE.line;
  const legend = below + note.length * SMALL.line;
  const head = legend + rows.length * SMALL.line + 8;
  const [width, height] = [size.width, head + size.height];
  const svg = renderToString(
    // biome-ignore lint/a11y/noSvgWithoutTitle: what shows the file has a text for it
    <svg
      xmlns="http://www.w3.org/2000/svg"
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      font-family={FONT}
    >
      <rect width={width} height={height} fill="#ffffff" />
      {title.map((line, i) => (
        <text
          key={i}
          x={MARGIN}
          y={MARGIN + 14 + i * TITLE.line}
          font-size={TITLE.size}
          font-weight={600}
          fill="var(--ink)"
        >
          {line}
        </text>
      ))}
      {note.map((line, i) => (
        <text key={i} x={MARGIN} y={below + 12 + i * SMALL.line} font-size={SMALL.size} fill="var(--faint)">
          {line}
        </text>
      ))}
      {rows.flatMap((row, i) =>
        row.map(({ text, key, x }) => (
          <g key={x} transform={`translate(${x} ${legend + i * SMALL.line})`}>
            {key && <Key {...key} />}
            <text x={key ? KEY_WIDTH + 6 : 0} y={11} font-size={SMALL.size} fill="var(--ink)">
              {text}
            </text>
          </g>
        )),
      )}
      <g transform={`translate(0 ${head})`}>
        <Plot chart={chart} {...size} />
      </g>
    </svg>,
  );
  return inXml(svg.replaceAll(/ (fill|stroke)="var\(--([\w-]+)\)"/g, (_, kind, name) => ` ${kind}="${COLORS[name]}"`));
}

/** Text from outside may have what XML forbids, even escaped. The renderer leaves ">" as it is. */
const inXml = (svg: string) =>
  `${printable(svg)
    .toWellFormed()
    .replaceAll(/[\ufffe\uffff]/g, "\ufffd")
    .replaceAll(/>([^<]*)/g, (_, text: string) => `>${text.replaceAll(">", "&gt;")}`)}\n`;

function Plot({ chart, width, height }: { chart: Chart; width: number; height: number }) {
  switch (chart.kind) {
    case "lines":
      return <Lines chart={chart} layout={layLines(chart, width, height)} />;
    case "scatter":
      return <Scatter chart={chart} width={width} height={height} />;
    case "bars":
      return (
        <g transform={`translate(${MARGIN} 0)`}>
          <Bars chart={chart} width={width - 2 * MARGIN} />
        </g>
      );
    case "heat-map":
      return <HeatCells chart={chart} width={width} height={height} />;
  }
}

/** The entries with their places, in as many rows as they need. */
function legendRows(entries: readonly LegendEntry[], width: number) {
  const rows: (LegendEntry & { x: number })[][] = [];
  let x = Infinity;
  for (const { text, ...entry } of entries) {
    const shown = cut(text, width - 2 * MARGIN - KEY_WIDTH - 6, SMALL.size);
    const needed = textWidth(shown, SMALL.size) + (entry.key ? KEY_WIDTH + 6 : 0);
    if (x + needed > width - MARGIN) {
      rows.push([]);
      x = MARGIN;
    }
    rows.at(-1)!.push({ text: shown, ...entry, x });
    x = Math.round(x + needed + 20);
  }
  return rows;
}
