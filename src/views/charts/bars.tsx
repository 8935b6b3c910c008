/** Horizontal bars: one panel for each quantity, with the same names in all panels. */
import { round } from "./axes.tsx";
import type { BarChart } from "./chart.ts";
import { cut } from "./text.ts";

const PITCH = 24;
const PANEL_HEAD = 34;
const COLUMNS = 2;
/** Space for a name, left of the bars, and for a value, right of the longest. */
const [NAME, VALUE] = [128, 76];

const panelHeight = ({ names }: BarChart) => PANEL_HEAD + names.length * PITCH + 16;

export const barsHeight = (chart: BarChart) => Math.ceil(chart.panels.length / COLUMNS) * panelHeight(chart);

/** Each panel has its own scale, starting at 0. */
export function Bars({ chart, width }: { chart: BarChart; width: number }) {
  const across = Math.floor(width / COLUMNS);
  return (
    <>
      {chart.panels.map((panel, i) => (
        <g
          key={i}
          font-size={12}
          fill="var(--ink)"
          transform={`translate(${(i % COLUMNS) * across + NAME} ${Math.floor(i / COLUMNS) * panelHeight(chart)})`}
        >
          <text y={16} font-size={13} font-weight={600}>
            {cut(panel.title, across - NAME, 14)}
          </text>
          <Panel chart={chart} values={panel.values} length={across - NAME - VALUE} />
        </g>
      ))}
    </>
  );
}

interface PanelProps {
  chart: BarChart;
  values: BarChart["panels"][number]["values"];
  length: number;
}

function Panel({ chart: { names, highlight }, values, length }: PanelProps) {
  const measured = values.map((value) => (value !== null && Number.isFinite(value) ? Math.max(0, value) : null));
  const longest = Math.max(...measured.map((value) => value ?? 0), Number.MIN_VALUE);
  return (
    <g transform={`translate(0 ${PANEL_HEAD - 8})`}>
      {names.map((name, i) => {
        const value = measured[i] ?? null;
        const end = round((length * (value ?? 0)) / longest);
        return (
          <g key={i} transform={`translate(0 ${i * PITCH})`}>
            <text x={-8} y={16} text-anchor="end">
              {cut(name, NAME - 16, 12)}
            </text>
            <rect y={5} width={end} height={15} fill={i === highlight ? "var(--c1)" : "var(--frozen)"} />
            <text x={end + 6} y={16}>
              {value === null ? "not measured" : value.toFixed(value < 100 ? 1 : 0)}
            </text>
          </g>
        );
      })}
      <path d={`M0 0v${names.length * PITCH}`} stroke="var(--edge)" />
    </g>
  );
}
