/** Bars, one below the other, with their names above them, their values at the end, and 95 % intervals. */

import { cellLine } from "../../document/cells.ts";
import type { BarChart } from "../../document/chart.ts";
import { colorAt, round } from "./axes.tsx";
import { cut, textWidth } from "./text.ts";

/** Of a bar with its name: the bar is its lower part. */
const [ROW, TOP, THICK, SIZE] = [42, 19, 14, 13];

export const barsHeight = ({ bars }: BarChart) => ROW * bars.length;

export function Bars({ chart: { bars, most, show }, width }: { chart: BarChart; width: number }) {
  const longest = most ?? Math.max(...bars.map(({ value, interval }) => Math.max(value, interval.high || value)));
  const x = (value: number) => round((width * Math.max(0, Math.min(value, longest))) / (longest || 1));
  return bars.map(({ name, value, interval }, i) => {
    const [top, middle] = [i * ROW + TOP, i * ROW + TOP + THICK / 2];
    const [low, high] = [x(interval.low), x(interval.high)];
    const shown = cellLine({ value, ...interval }, { title: "", format: show });
    const room = width - textWidth(shown, SIZE) - 12;
    return (
      <g key={i} font-size={SIZE} fill="var(--ink)" font-weight={i === 0 ? 600 : 400}>
        <text y={top - 6}>{cut(name, room, SIZE)}</text>
        <text x={width} y={top - 6} text-anchor="end">
          {shown}
        </text>
        <rect y={top} width={width} height={THICK} fill="var(--line)" />
        <rect y={top} width={x(value)} height={THICK} fill={i === 0 ? colorAt(0) : "var(--frozen)"} />
        <path
          d={low < high ? `M${low} ${middle}H${high}M${low} ${middle - 4}v8M${high} ${middle - 4}v8` : undefined}
          stroke="var(--ink)"
          stroke-width={1.5}
        />
      </g>
    );
  });
}
